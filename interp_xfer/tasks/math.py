r"""MATH: competition problems with a LaTeX answer in a box (2103.03874); the test split is MATH-500 (2305.20050).

Extraction: the last `\boxed{}` whose braces balance, else what follows "answer is", else what math-verify finds in the
text. Equality: math-verify 0.9 in a process of its own, or equal strings after the published normalisation. An empty
answer is never correct.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from interp_xfer.errors import DataError
from interp_xfer.tasks.latex import is_equiv, last_boxed, normalise_latex, replace_boxes, strip_wrapping
from interp_xfer.tasks.math_pool import Comparison, Verdict, shared_pool
from interp_xfer.tasks.numbers import canonical_number
from interp_xfer.tasks.prompt_files import shipped_examples, shipped_text
from interp_xfer.tasks.records import HubSplit, Problem, Score, Source, Task, cut_at_stop
from interp_xfer.tasks.rows import require, row_id

STOP_SEQUENCES = ("Question:", "Problem:", "<|im_end|>", "<|endoftext|>", "</s>")
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_ANSWER_IS = re.compile(r"answer\**\s*(?:is\b|:)\s*:?", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z]{4,}(?:[ -]+[A-Za-z]+)*(?: \d{1,4})?")
_CLOSING = re.compile(r"\s*I hope (?:it|this) is correct\.?\s*$", re.IGNORECASE)


class _Candidate(NamedTuple):
    text: str
    rule: str | None


def parse_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    r"""A row of the MATH, MATH-500 or few-shot MATH schema as a problem.

    Without a field `answer`, it is the content of the last box of the solution. Two published rows have an empty box;
    their problems keep an empty answer and `load_problems` leaves them out.

    Raises: DataError if a field is missing or null, or there is no box.
    """
    question, solution = require(row, "problem"), require(row, "solution")
    answer = require(row, "answer", blank=True) if "answer" in row else last_boxed(solution)
    if answer is None:
        raise DataError(r"field 'solution' has no \boxed{} with balanced braces, and there is no field 'answer'")
    return Problem(
        id=row_id(row, "unique_id", fallback_id, "math/"),
        question=question.strip(),
        reasoning=solution.strip(),
        answer=answer.strip(),
        task="math",
    )


def format_question(problem: Problem) -> str:
    """User text: the problem."""
    return problem.question


def format_solution(problem: Problem) -> str:
    """Assistant text: the solution without its box, then the boxed answer in a line of its own."""
    if not problem.reasoning:
        return format_answer(problem)
    return f"{replace_boxes(problem.reasoning)}\n{format_answer(problem)}"


def format_answer(problem: Problem) -> str:
    """Assistant text: the boxed answer."""
    return rf"The final answer is $\boxed{{{problem.answer}}}$."


def is_complete(text: str) -> bool:
    """True once a box is closed, or a stop sequence has begun."""
    return "boxed" in text and last_boxed(text + " ") is not None or cut_at_stop(text, STOP_SEQUENCES) != text


def score(text: str, problem: Problem, truncated: bool = False) -> Score:
    """The score of one generation; for many, `score_many` uses all workers."""
    return score_many([text], [problem], [truncated])[0]


def score_many(texts: list[str], problems: list[Problem], truncated: list[bool]) -> list[Score]:
    """The scores of many generations, compared in parallel processes.

    Arguments:
        texts: generations.
        problems: one for each text.
        truncated: whether each ran into its token limit.
    Returns: scores in order. `extra` has `hendrycks_is_equiv` (last balanced box, published string comparison) and
        `math_verify` (its verdict alone).
    Source: 2103.03874; math-verify 0.9.0.
    """
    candidates = [extract(cut_at_stop(text, STOP_SEQUENCES)) for text in texts]
    comparisons: dict[Comparison, Verdict | None] = {}
    keys: list[Comparison | None] = []
    for candidate, problem in zip(candidates, problems, strict=True):
        key = None
        plain = _plain_value(candidate)
        decided = plain is not None and (plain == _plain_value(_gold(problem)) or plain[0].isalpha())
        if candidate.text and not decided:
            key = Comparison(_gold(problem).text or None, candidate.text, candidate.rule == "text")
            comparisons[key] = None
        keys.append(key)
    if comparisons:
        verdicts = shared_pool().compare(list(comparisons))
        comparisons = dict(zip(comparisons, verdicts, strict=True))
    scores = []
    for text, problem, cut, candidate, key in zip(texts, problems, truncated, candidates, keys, strict=True):
        verdict = comparisons[key] if key is not None else None
        scores.append(_score(text, problem, cut, candidate, verdict))
    return scores


def _score(text: str, problem: Problem, truncated: bool, candidate: _Candidate, verdict: Verdict | None) -> Score:
    plain = _plain_value(candidate)
    same_string = candidate.rule != "text" and is_equiv(_gold(problem).text, candidate.text)
    if not candidate.text:
        parsed, verified = None, False
    elif verdict is None:  # words, or the same number
        parsed, verified = plain, plain == _plain_value(_gold(problem))
    else:
        canonical = verdict.canonical and (canonical_number(verdict.canonical) or verdict.canonical)
        fallback = normalise_latex(candidate.text) if candidate.rule != "text" else None
        parsed, verified = plain or canonical or fallback or None, verdict.equal
    return Score(
        raw=text,
        parsed=parsed,
        correct=parsed is not None and bool(problem.answer) and (verified or same_string),
        rule=candidate.rule if parsed is not None else None,
        truncated=truncated,
        extra={
            "hendrycks_is_equiv": is_equiv(problem.answer, last_boxed(cut_at_stop(text, STOP_SEQUENCES))),
            "math_verify": bool(problem.answer) and verified,
        },
    )


def _gold(problem: Problem) -> _Candidate:
    return _Candidate(_unwrap(problem.answer), "gold")


def _unwrap(answer: str) -> str:
    return strip_wrapping(answer).rstrip(".").strip()


def _plain_value(candidate: _Candidate) -> str | None:
    """The canonical form of a number, or of words, which math-verify would read as products of letters."""
    if candidate.rule != "text" and _WORDS.fullmatch(candidate.text):
        return " ".join(candidate.text.casefold().split())
    return canonical_number(candidate.text)


def extract(text: str) -> _Candidate:
    """The part of a solution that holds its answer, and the rule that chose it."""
    boxed = last_boxed(text)
    if boxed is not None:
        return _Candidate(_unwrap(boxed), "boxed")
    for match in reversed(list(_ANSWER_IS.finditer(text))):
        line = _CLOSING.sub("", text[match.end() :].lstrip(" \t\n*:").split("\n", 1)[0])
        inline = re.match(r"\$([^$]+)\$|\\\((.+?)\\\)", line)
        answer = (inline[1] or inline[2]) if inline else line
        answer = _unwrap(answer.strip("* ").rstrip(". "))
        if answer:
            return _Candidate(answer, "answer_is")
    return _Candidate(text.strip(), "text" if text.strip() else None)


def wrong_answer(problem: Problem, rng: random.Random) -> str:
    """The reference answer with its last number moved by 1 to 3; without a number, another expression."""
    answer = problem.answer
    numbers = [match for match in re.finditer(r"\d{1,12}", answer)]
    if numbers:
        last = numbers[-1]
        for _ in range(20):
            moved = int(last[0]) + rng.choice((-3, -2, -1, 1, 2, 3))
            changed = answer[: last.start()] + str(moved) + answer[last.end() :]
            if moved > 0 and not is_equiv(answer, changed):
                return changed
    if match := re.search(r"\b([A-E])\b", answer):
        letter = rng.choice([other for other in "ABCDE" if other != match[1]])
        return answer[: match.start()] + letter + answer[match.end() :]
    return str(rng.randint(2, 99)) if r"\text" in answer or not answer else f"{answer} + 1"


_HENDRYCKS = ("EleutherAI/hendrycks_math", "21a5633873b6a120296cce3e2df9d5550074f4a3")
_TRAIN = HubSplit(*_HENDRYCKS, split="train", configs=SUBJECTS)

MATH = Task(
    name="math",
    system_prompt=shipped_text("math.system.txt"),
    few_shot=shipped_examples("math.fewshot.jsonl", parse_row),
    max_new_tokens=600,
    stop_sequences=STOP_SEQUENCES,
    format_question=format_question,
    format_solution=format_solution,
    format_answer=format_answer,
    score=score,
    score_many=score_many,
    is_complete=is_complete,
    wrong_answer=wrong_answer,
    source=Source(
        hub={
            "train": _TRAIN,
            "test": HubSplit("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", "test"),
        },
        licence="MIT",
        rows={"train": 7500, "test": 500},
    ),
    parse_row=parse_row,
)

MATH_FULL = replace(
    MATH,
    name="math_full",
    source=Source(
        hub={"train": _TRAIN, "test": HubSplit(*_HENDRYCKS, split="test", configs=SUBJECTS)},
        licence="MIT",
        rows={"train": 7500, "test": 5000},
    ),
)
"""MATH with its full test split of 5,000 problems."""
