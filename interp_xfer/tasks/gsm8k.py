"""GSM8K: grade-school word problems with a worked solution and a number as answer (2110.14168).

Rows: `question`, and `answer`, a solution with calculator marks (`<<6*12=72>>`, dropped here) that ends in `#### N`.
The answer format asked for is the paper's: a numbered derivation, then `#### The final answer is: N`.
"""

import random
import re
from collections.abc import Mapping

from interp_xfer.errors import DataError
from interp_xfer.tasks.problems import AnswerReader, HubSplit, Problem, Source, Task
from interp_xfer.tasks.prompt_files import shipped_examples, shipped_text
from interp_xfer.tasks.rows import require, row_id
from interp_xfer.tasks.scoring.number_text import canonical_number
from interp_xfer.tasks.scoring.numeric import MANY, NUMERIC_RULES, hash_lines, judge_numbers
from interp_xfer.words import shown

STOP_SEQUENCES = ("Question:", "<|im_end|>", "<|endoftext|>", "</s>")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_CLOSING = re.compile(r"\s*(?:so )?the (?:final )?answer is[^\n]*$", re.IGNORECASE)
_REVISION = "740312add88f781978c0658806c59bc2815b9866"


def parse_row(row: Mapping[str, object], fallback_id: str) -> Problem:
    """A row of the GSM8K schema, or a few-shot row with `target` and `answer`, as a problem.

    Raises: DataError if a field is missing or empty, or the answer is no number.
    """
    question, answer = require(row, "question"), require(row, "answer")
    if "target" in row:
        reasoning = _CLOSING.sub("", require(row, "target"))
    elif "####" in answer:
        reasoning, answer = answer.rsplit("####", 1)
    else:
        raise DataError("field 'answer' has no line '#### N'")
    if canonical_number(answer) is None:
        raise DataError(f"the answer {shown(answer.strip(), 40)} is not a number")
    return Problem(
        id=row_id(row, "id", fallback_id),
        question=question.strip(),
        reasoning=_CALCULATOR.sub("", reasoning).strip() or None,
        answer=answer.strip(),
        task="gsm8k",
    )


def format_question(problem: Problem) -> str:
    """User text: the question."""
    return problem.question


def format_solution(problem: Problem) -> str:
    """Assistant text: the numbered derivation and the final answer."""
    if problem.reasoning is None:
        return format_answer(problem)
    steps = [line.strip() for line in problem.reasoning.splitlines() if line.strip()]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    return f"#### Step-by-step derivation:\n{numbered}\n{format_answer(problem)}"


def format_answer(problem: Problem) -> str:
    """Assistant text: the final answer alone, in canonical spelling."""
    return f"#### The final answer is: {canonical_number(problem.answer) or problem.answer}"


def given_at(text: str) -> int | None:
    """Where the first answer line `####` ends: labelled, or beginning with a value that is no number of a heading.

    A line `#### 1`, `#### 2` ... that goes on counting may be a heading; the text is read on.
    """
    if "####" not in text:
        return None
    for line in hash_lines(text):
        if line.is_closed and line.value not in (None, MANY) and (line.is_labelled or not line.is_count):
            return line.end
    return None


def wrong_number(problem: Problem, rng: random.Random) -> str:
    """A number near the reference answer, but not equal to it.

    Whole answers move by 1 to max(3, a fifth of their size); others by a whole number.
    """
    gold = canonical_number(problem.answer)
    if gold is None:
        raise DataError(f"{problem.id}: the answer {problem.answer!r} is not a number")
    if not re.fullmatch(r"-?\d{1,15}(\.\d+)?", gold):
        return f"{rng.randint(2, 99)}"
    whole, _, decimals = gold.partition(".")
    reach = max(3, abs(int(whole)) // 5)
    step = rng.randint(1, reach) * (1 if int(whole) <= reach or rng.random() < 0.5 else -1)
    moved = str(int(whole) + step)
    return f"{moved}.{decimals}" if decimals else moved


GSM8K = Task(
    name="gsm8k",
    system_prompt=shipped_text("gsm8k.system.txt"),
    few_shot=shipped_examples("gsm8k.fewshot.jsonl", parse_row),
    max_new_tokens=400,
    stop_sequences=STOP_SEQUENCES,
    format_question=format_question,
    format_solution=format_solution,
    format_answer=format_answer,
    reader=AnswerReader(NUMERIC_RULES, given_at, judge_numbers),
    wrong_answer=wrong_number,
    source=Source(
        hub={
            "train": HubSplit("openai/gsm8k", _REVISION, "train", ("main",)),
            "test": HubSplit("openai/gsm8k", _REVISION, "test", ("main",)),
        },
        licence="MIT",
        rows={"train": 7473, "test": 1319},
    ),
    parse_row=parse_row,
)
