"""Private reasoning: what a model writes for itself before its answer is never read, and no answer ends inside it.

Rules (house rule, after the reasoning parsers of vLLM, `vllm/reasoning`):

1. From an opening tag to the next closing tag of its kind the text is private; what stands around it is public.
2. A closing tag before any opening one ends reasoning that the prompt began: everything before it is private. Later
   ones without an opening tag mean nothing.
3. Reasoning that is not closed gives no answer: only an answer that was complete before the tag counts.
4. A prompt whose template opens the reasoning is known by its last characters (`left_open`).

Tags are read in any case. Which tags there are is a field of the task.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple


class ReasoningTag(NamedTuple):
    """What opens and what closes private reasoning."""

    opening: str
    closing: str


REASONING_TAGS: tuple[ReasoningTag, ...] = (
    *(ReasoningTag(f"<{n}>", f"</{n}>") for n in ("think", "thinking", "thought", "reasoning", "scratchpad")),
    ReasoningTag("<seed:think>", "</seed:think>"),
    ReasoningTag("[THINK]", "[/THINK]"),
    ReasoningTag("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ReasoningTag("<|START_THINKING|>", "<|END_THINKING|>"),
    ReasoningTag("<|begin_of_thought|>", "<|end_of_thought|>"),
    ReasoningTag("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
"""Tags in use: Qwen3, DeepSeek-R1, GLM, Granite and others; Seed-OSS; Magistral; Kimi; Command A; Sky-T1; gpt-oss."""


class PublicText(NamedTuple):
    """A generation without its private parts."""

    text: str
    """Public parts, in order; a space where private reasoning stood between two of them."""
    is_open: bool
    """The text ends inside private reasoning."""


def public_text(text: str, tags: Sequence[ReasoningTag] = REASONING_TAGS) -> PublicText:
    """What of a generation is meant for the reader.

    Arguments:
        text: a generation, so far or whole.
        tags: what opens and closes private reasoning; none for no such text.
    Returns: the public text, and whether reasoning is still open at the end.
    Source: house rule; see the head of this module.
    """
    pattern = _pattern(tuple(tags))
    if pattern is None:
        return PublicText(text, False)
    kinds = {mark.casefold(): (kind, index == 1) for kind, tag in enumerate(tags) for index, mark in enumerate(tag)}
    parts: list[str] = []
    start, opened, any_opened = 0, None, False
    for match in pattern.finditer(text):
        kind, closes = kinds[match[0].casefold()]
        if opened is None and not closes:
            parts.append(text[start : match.start()])
            opened, any_opened = kind, True
        elif closes and opened is None:
            parts = [*parts, text[start : match.start()]] if any_opened else []
            start = match.end()
        elif closes and opened == kind:
            start, opened = match.end(), None
    if opened is None:
        parts.append(text[start:])
    return PublicText(" ".join(part for part in parts if part), opened is not None)


def left_open(prompt: str, tags: Sequence[ReasoningTag] = REASONING_TAGS) -> str:
    """The tag with which a prompt begins the reasoning of the answer, "" where it begins none.

    Put it before a generation for that prompt, so that both read as one text.
    """
    end = prompt.rstrip().casefold()
    return next((tag.opening for tag in tags if end.endswith(tag.opening.casefold())), "")


@lru_cache
def _pattern(tags: tuple[ReasoningTag, ...]) -> re.Pattern[str] | None:
    marks = sorted({mark for tag in tags for mark in tag}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, marks)), re.IGNORECASE) if marks else None
