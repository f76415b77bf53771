r"""MATH: competition problems with a LaTeX answer in a box (2103.03874); the test split is MATH-500 (2305.20050).

Extraction: `math_extraction.py`. Structure and equality: `math_answer.py`, `math_equality.py`, with math-verify 0.9 in
processes of its own for the algebra. An empty answer is never correct.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from interp_xfer.errors import DataError
from interp_xfer.tasks.problems import AnswerReader, HubSplit, Problem, Score, Source, Task
from interp_xfer.tasks.prompt_files import shipped_examples, shipped_text
from interp_xfer.tasks.rows import require, row_id
from interp_xfer.tasks.scoring.latex import is_equiv, last_boxed, replace_boxes
from interp_xfer.tasks.scoring.math_equality import compare_answers
from interp_xfer.tasks.scoring.math_extraction import MATH_RULES, extract_formula
from interp_xfer.tasks.scoring.math_pool import shared_pool
from interp_xfer.tasks.scoring.statements import boxed_answer_end, tail

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
_HOPE = re.compile(r"I hope (?:it|this) is correct\.?", re.IGNORECASE)


def parse_row(row: Mapping[str, object], fallback_id: str) -> Problem:
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


def given_at(text: str) -> int | None:
    r"""Where the first sentence "The final answer is $\boxed{...}$." ends, or "I hope it is correct" behind one.

    A box alone does not end an answer: 114 of the 7,500 reference solutions have another one behind it.
    """
    ends = [boxed_answer_end(text, bool), _hope_end(text)]
    return min((end for end in ends if end is not None), default=None)


def _hope_end(text: str) -> int | None:
    for match in _HOPE.finditer(text):
        if "final answer" in text[max(0, match.start() - 400) : match.start()].casefold():
            return match.end()
    return None


def judge(texts: Sequence[str], problems: Sequence[Problem]) -> list[Score]:
    """What each text answers, by the rules of `math_extraction` and `math_equality`, in parallel processes.

    Arguments:
        texts: answers, without private reasoning and what follows them.
        problems: one for each text.
    Returns: readings in order. `extra` has `same_string`: the last balanced box is the reference after the published
        normalisation (2103.03874), in this text, which need not be the one that its own harness would have seen.
    Source: 2103.03874; math-verify 0.9.0.
    """
    found = [extract_formula(text) for text in texts]
    pairs = [(problem.answer, each.answer or "") for each, problem in zip(found, problems, strict=True)]
    needed = list(dict.fromkeys(pairs))
    compared = dict(zip(needed, compare_answers(needed, shared_pool()), strict=True))
    readings = []
    for text, problem, each, pair in zip(texts, problems, found, pairs, strict=True):
        key, equal, timed_out = compared[pair]
        same_string = is_equiv(problem.answer, last_boxed(tail(text)))
        rule = each.rule if key is not None else None
        readings.append(Score(key, equal, rule, timed_out, {"same_string": same_string}))
    return readings


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
    reader=AnswerReader(MATH_RULES, given_at, judge),
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
