r"""Numeric answers in generated text, and the two conventions of lm-eval's GSM8K task beside ours.

Ours, in this order (the rule that fired is part of the score):

1. `hash`: the last line `#### N` or `#### The final answer is: N`. Other `####` headings are passed over.
2. `answer_is`: the number after the last "answer is" (or "answer:").
3. `boxed`: the last `\boxed{N}`.
4. `last_number`: the last number of the text.

Values are compared exactly, as canonical strings (`numbers.py`).
"""

import re
from typing import NamedTuple

from interp_xfer.tasks.latex import last_boxed
from interp_xfer.tasks.numbers import canonical_number, find_numbers, plain
from interp_xfer.tasks.records import Problem, Score, cut_at_stop

# Emphasis, math delimiters and a leading "x =" may stand between the marker and the number.
_LEAD = re.compile(r"[\s*_:]*(?:about |approximately )?(?:\$?\\?\(?[A-Za-z]\s*=\s*)?")
_HASH = re.compile(r"####[ \t*]*(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\b)?", re.IGNORECASE)
_ANSWER_IS = re.compile(r"answer\**\s*(?:is\b|:|=)", re.IGNORECASE)
_SUM = re.compile(r"[\s\d.,+*/()$x\u00d7\u00f7-]*[+*/x\u00d7\u00f7-][\s\d.,+*/()$x\u00d7\u00f7-]*=\s*")


class Extracted(NamedTuple):
    """An answer and the rule that found it; both None when there is none."""

    answer: str | None
    rule: str | None


def extract_number(text: str) -> Extracted:
    """The final number of a solution.

    Arguments:
        text: a generation, already cut at its stop sequence.
    Returns: canonical number and rule name.
    Source: 2110.14168 for `####`; the order is a house rule.
    """
    text = plain(text)
    for rule, marker in (("hash", _HASH), ("answer_is", _ANSWER_IS)):
        for match in reversed(list(marker.finditer(text))):
            answer = _number_after(text[match.end() :], near=rule == "hash")
            if answer is not None:
                return Extracted(answer, rule)
    boxed = last_boxed(text)
    if boxed is not None and (numbers := find_numbers(boxed)):
        return Extracted(numbers[-1].canonical, "boxed")
    numbers = find_numbers(text)
    return Extracted(numbers[-1].canonical, "last_number") if numbers else Extracted(None, None)


def _number_after(text: str, near: bool) -> str | None:
    """The number that follows a marker: directly (`near`), or anywhere in the rest of its line."""
    lead = _LEAD.match(text)
    line = text[lead.end() if lead else 0 :].split("\n", 1)[0]
    if boxed := last_boxed(line):
        line = boxed
    elif sum_ := _SUM.match(line):
        line = line[sum_.end() :]
    numbers = find_numbers(line)
    if not numbers:
        return None
    if near and re.search(r"[^\W\d_]", line[: numbers[0].start]):  # "#### Step 1" is a heading, not an answer
        return None
    return numbers[0].canonical


def lm_eval_strict(text: str) -> str:
    r"""What lm-eval's `gsm8k` reads with its `strict-match` filter; "[invalid]" without a match.

    The first match of `#### (\-?[0-9\.\,]+)`.

    Arguments:
        text: a generation.
    Returns: the string that lm-eval compares, after its own normalisation.
    Source: lm-evaluation-harness, `lm_eval/tasks/gsm8k/gsm8k.yaml`.
    """
    match = re.search(r"#### (\-?[0-9\.\,]+)", text)
    return _lm_eval_normal(match[1] if match else "[invalid]")


def lm_eval_flexible(text: str) -> str:
    """What lm-eval's `gsm8k` reads with its `flexible-extract` filter; "[invalid]" without a match.

    The last match of `(-?[$0-9.,]{2,})|(-?[0-9]+)`, the first non-empty group.

    Arguments:
        text: a generation.
    Returns: the string that lm-eval compares, after its own normalisation.
    Source: lm-evaluation-harness, `lm_eval/tasks/gsm8k/gsm8k.yaml`.
    """
    matches = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text)
    return _lm_eval_normal((matches[-1][0] or matches[-1][1]).strip() if matches else "[invalid]")


def _lm_eval_normal(text: str) -> str:
    """lm-eval's `regexes_to_ignore` and `ignore_case` of the gsm8k task."""
    for pattern in (",", r"\$", r"(?s).*#### ", r"\.$"):
        text = re.sub(pattern, "", text)
    return text.lower()


def score_number(text: str, problem: Problem, truncated: bool, stop_sequences: tuple[str, ...]) -> Score:
    """The score of a numeric answer, with both lm-eval conventions beside it.

    Arguments:
        text: a generation.
        problem: its problem; `answer` is a number.
        truncated: the generation ran into its token limit.
        stop_sequences: the answer ends there.
    Returns: `correct` by exact value; `extra` holds `lm_eval_strict` and `lm_eval_flexible`.
    Source: house rule.
    """
    answer_text = cut_at_stop(text, stop_sequences)
    parsed, rule = extract_number(answer_text)
    gold = canonical_number(problem.answer)
    reference = _lm_eval_normal(problem.answer)
    return Score(
        raw=text,
        parsed=parsed,
        correct=parsed is not None and parsed == gold,
        rule=rule,
        truncated=truncated,
        extra={
            "lm_eval_strict": lm_eval_strict(answer_text) == reference,
            "lm_eval_flexible": lm_eval_flexible(answer_text) == reference,
        },
    )
