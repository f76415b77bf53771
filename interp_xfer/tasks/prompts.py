"""Rendering: few-shot prompts for generation, and contrast pairs for extraction.

Where the tokenizer has a chat template, examples are turns of a conversation and the system prompt is a system message
(folded into the first user turn where the template refuses or drops one). Without a template a prompt is plain text of
"Question: ..." and "Answer: ..." blocks.

A prompt is split into a prefix, the same for all problems of a task, and a suffix, so that the prefix is run once and
its key/value cache shared. The split stands at a place where tokenising the two parts gives the tokens of the whole;
this is checked with the tokenizer for each prompt.

Every text of data goes through `plain_problem`, `render_prompt` or `render_pair`, which refuse control tokens in it
(`interp_xfer.chat.tokens` says why).
"""

from dataclasses import dataclass
from typing import NamedTuple

from interp_xfer.chat import has_chat_template, render_chat, require_plain_text, token_ids, tokens_with_offsets
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.errors import ConfigError, ModelError
from interp_xfer.tasks.contrast import ContrastPair
from interp_xfer.tasks.problems import Problem, Task

_MAX_TRIES = 24


@dataclass(frozen=True)
class RenderedPrompt:
    """A prompt as text, ready to be tokenised once."""

    prefix: str
    """The same for every problem with the same task, examples and system prompt; may be empty."""
    suffix: str
    add_special_tokens: bool
    """Whether the tokenizer adds BOS: not with a chat template, which writes it itself. With a prefix the suffix is
    always tokenised without special tokens."""

    @property
    def text(self) -> str:
        """The whole prompt."""
        return self.prefix + self.suffix


class RenderedPair(NamedTuple):
    """The two members of a contrast pair as text."""

    positive: str
    negative: str


def adds_special_tokens(tokenizer: Tokenizer) -> bool:
    """`add_special_tokens` for tokenising rendered text: only plain prompts need BOS from the tokenizer."""
    return not has_chat_template(tokenizer)


def render_prompt(
    tokenizer: Tokenizer,
    task: Task,
    problem: Problem,
    n_shots: int = 5,
    system_prompt: str | None = None,
    enable_thinking: bool = False,
) -> RenderedPrompt:
    """The prompt that asks for a solution of `problem`, up to where the model writes.

    Arguments:
        tokenizer: of the model that will read it.
        task: examples, formats and system prompt.
        problem: what is asked.
        n_shots: how many of the task's examples come first.
        system_prompt: None for the task's own, "" for none.
        enable_thinking: passed to templates that know it (Qwen3).
    Returns: prefix and suffix; their tokens joined are the tokens of the whole.
    Raises: ConfigError if the task has fewer examples; DataError for a text that holds a control token; ModelError if
        the template cannot render a conversation.
    Source: 2512.19069, section 4 and appendix A (five examples and a system prompt at inference).
    """
    if not 0 <= n_shots <= len(task.few_shot):
        raise ConfigError(f"n_shots={n_shots}, but {task.name} has {len(task.few_shot)} few-shot examples.")
    system = task.system_prompt if system_prompt is None else system_prompt
    question = task.format_question(problem).strip()
    shots = [(task.format_question(shot).strip(), task.format_solution(shot)) for shot in task.few_shot[:n_shots]]
    require_plain_text(tokenizer, system, f"the system prompt of {task.name}")
    plain_problem(tokenizer, problem, question)
    for shot, texts in zip(task.few_shot, shots, strict=False):
        plain_problem(tokenizer, shot, *texts)
    if not has_chat_template(tokenizer):
        blocks = [system] if system else []
        blocks += [f"Question: {shot}\nAnswer: {solution}" for shot, solution in shots]
        blocks.append(f"Question: {question}\nAnswer:")
        return _split_safely(tokenizer, "\n\n".join(blocks), question, add_special_tokens=True)
    turns = []
    for shot, solution in shots:
        turns += [{"role": "user", "content": shot}, {"role": "assistant", "content": solution}]
    turns.append({"role": "user", "content": question})
    text = render_chat(tokenizer, system, turns, add_generation_prompt=True, enable_thinking=enable_thinking)
    return _split_safely(tokenizer, text, question, add_special_tokens=False)


def plain_problem(tokenizer: Tokenizer, problem: Problem, *texts: str) -> None:
    """Raise DataError if a text made of a problem holds a control token.

    Raises: DataError naming the problem, and file and line where they are known.
    """
    for text in texts:
        require_plain_text(tokenizer, text, f"{problem.id} ({problem.where})" if problem.where else problem.id)


def render_pair(tokenizer: Tokenizer, pair: ContrastPair, system_prompt: str = "") -> RenderedPair:
    """Both members of a pair as text, zero-shot, ending with the last character of the assistant text.

    What the template writes after the assistant's text (an end-of-turn token, a line break) is left off, so that the
    last token belongs to the answer, with a template or without.

    Arguments:
        tokenizer: of the model that will read them.
        pair: what is rendered.
        system_prompt: none by default, so that the two members differ in the assistant text only and no text is
            shared by all pairs.
    Returns: positive and negative text; tokenise with `add_special_tokens=adds_special_tokens(tokenizer)`.
    Raises: DataError for a text that holds a control token; ModelError if the template cannot render a conversation.
    Source: 2512.19069, section 4 (extraction is zero-shot).
    """
    where = f"contrast pair {pair.id} ({pair.where})" if pair.where else f"contrast pair {pair.id}"
    for text in (system_prompt, pair.prompt, pair.negative_prompt or "", pair.positive, pair.negative):
        require_plain_text(tokenizer, text, where)
    prompts = (pair.prompt, pair.prompt if pair.negative_prompt is None else pair.negative_prompt)
    members = [
        _render_exchange(tokenizer, system_prompt, prompt, answer)
        for prompt, answer in zip(prompts, (pair.positive, pair.negative), strict=True)
    ]
    return RenderedPair(*members)


def _render_exchange(tokenizer: Tokenizer, system: str, prompt: str, answer: str) -> str:
    if not has_chat_template(tokenizer):
        block = f"Question: {prompt}\nAnswer: {answer}" if prompt else answer
        return f"{system}\n\n{block}" if system else block
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    text = render_chat(tokenizer, system, turns, add_generation_prompt=False)
    at = text.rfind(answer.strip())
    if at < 0:
        raise ModelError("the chat template changes the assistant's text, so that its end cannot be found.")
    return text[: at + len(answer.strip())]


def _split_safely(tokenizer: Tokenizer, text: str, question: str, add_special_tokens: bool) -> RenderedPrompt:
    """Cuts `text` before the last question, at a place that does not change its tokens."""
    limit = _constant_length(tokenizer, text, question, add_special_tokens)
    if getattr(tokenizer, "is_fast", False):
        ids, offsets = tokens_with_offsets(tokenizer, text, add_special_tokens)
        starts = sorted({start for start, end in offsets if end > start and 0 < start <= limit}, reverse=True)
    else:  # no offsets: only the place itself can be tried
        ids, starts = token_ids(tokenizer, text, add_special_tokens), [limit] if limit > 0 else []
    for start in starts[:_MAX_TRIES]:
        parts = (text[:start], text[start:])
        if token_ids(tokenizer, parts[0], add_special_tokens) + token_ids(tokenizer, parts[1], False) == ids:
            return RenderedPrompt(parts[0], parts[1], add_special_tokens)
    return RenderedPrompt("", text, add_special_tokens)


def _constant_length(tokenizer: Tokenizer, text: str, question: str, add_special_tokens: bool) -> int:
    """How much of the text may be prefix: up to the marker before the question, so that it is the same for all."""
    at = text.rfind(question)
    if at < 0:
        raise ModelError("the chat template changes the question, so that it cannot be found in the prompt.")
    special = [token for token in getattr(tokenizer, "all_special_tokens", []) if token]
    markers = [position for token in special if (position := text.rfind(token, 0, at)) > 0]
    if add_special_tokens or not markers:
        return max(text.rfind("Question:", 0, at), 0) if add_special_tokens else max(text.rfind("\n", 0, at), 0)
    return max(markers)
