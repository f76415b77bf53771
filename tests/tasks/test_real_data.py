"""Checks over the published rows, where a folder holds them: INTERP_XFER_DATA, or `shared/data` beside the checkout.

Shapes are checked at run time here, which makes scoring slow: every fifth row is scored. `benchmarks/score_gold.py`
scores all of them.
"""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from interp_xfer.tasks import check_disjoint, get_task, load_problems, read_rows

_FOLDERS = [os.environ.get("INTERP_XFER_DATA"), Path(__file__).parents[3] / "shared" / "data"]
DATA = next((Path(folder) for folder in _FOLDERS if folder and Path(folder, "gsm8k").is_dir()), None)
pytestmark = pytest.mark.skipif(
    DATA is None, reason="no published rows: set INTERP_XFER_DATA to a folder that has them"
)

# Rows in the folder, and how many of the published ones it leaves out (its README names them).
ROWS = {
    ("gsm8k", "train"): (7473, 0),
    ("gsm8k", "test"): (1019, 300),
    ("math", "train"): (7500, 0),
    ("math", "test"): (350, 150),
    ("arc_challenge", "train"): (1119, 0),
    ("arc_challenge", "validation"): (299, 0),
    ("arc_challenge", "test"): (872, 300),
}


@pytest.mark.parametrize("name, split", ROWS)
def test_row_counts_equal_the_published_ones(name, split):
    task = get_task(name)
    present, absent = ROWS[name, split]
    rows = read_rows(task, split, DATA)
    assert (len(rows.problems), rows.bad) == (present, [])
    assert present + absent == task.source.rows[split]


@pytest.mark.parametrize("name", ["gsm8k", "math", "arc_challenge"])
def test_no_question_is_shared(name):
    task = get_task(name)
    splits = {split: load_problems(task, split, data_dir=DATA) for split in ("train", "validation", "test")}
    half = len(splits["train"]) // 2
    contrast, projection = splits.pop("train")[:half], load_problems(task, data_dir=DATA, offset=half)
    check_disjoint(splits | {"contrast": contrast, "projection": projection, "few-shot": task.few_shot})


@pytest.mark.parametrize("split", ["train", "test"])
def test_gsm8k_gold_solutions_score_as_correct(split):
    task = get_task("gsm8k")
    for problem in read_rows(task, split, DATA).problems[::5]:
        original = f"{problem.reasoning}\n#### {problem.answer}"
        for text in (original, task.format_solution(problem), task.format_answer(problem)):
            score = task.score(text, problem)
            assert score.correct and score.rule == "hash", problem.id
        assert task.score(original, problem).extra == {"strict_pattern": True, "flexible_pattern": True}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_arc_gold_labels_score_as_correct(split):
    task = get_task("arc_challenge")
    for problem in read_rows(task, split, DATA).problems:
        option = next(choice.text for choice in problem.choices if choice.label == problem.answer)
        for text in (task.format_solution(problem), f"The answer is ({problem.answer}).", rf"\boxed{{{option}}}"):
            assert task.score(text, problem).correct, (problem.id, text)


# All rows of both splits in every form, and 3,000 wrong answers: benchmarks/score_gold.py.
FORMS = (
    r"\boxed{{{0}}}",
    r"The final answer is $\boxed{{{0}}}$.",
    "Final Answer: The final answer is ${0}$. I hope it is correct.",
)


def test_math_gold_answers_score_as_correct_and_wrong_ones_do_not():
    task = get_task("math")
    problems = [*read_rows(task, "test", DATA).problems, *read_rows(task, "train", DATA).problems[::20]]
    rng = random.Random(0)
    for form in FORMS:
        scores = task.score_many([form.format(problem.answer) for problem in problems], problems)
        assert [score.correct for score in scores] == [problem.answer != "" for problem in problems]
    wrong = [replace(problem, answer=task.wrong_answer(problem, rng)) for problem in problems]
    assert not any(score.correct for score in task.score_many([task.format_answer(p) for p in wrong], problems))


def test_math_solutions_are_read_to_their_end():
    """An earlier box is not the answer; where two boxes are joined, the answer is a list, which a few rows are not."""
    task = get_task("math")
    problems = [p for p in read_rows(task, "train", DATA).problems if (p.reasoning or "").count(r"\boxed") > 1]
    assert len(problems) > 100
    texts = [problem.reasoning or "" for problem in problems]
    assert sum(score.correct for score in task.score_many(texts, problems)) >= len(problems) - 12
    assert not any(task.is_complete(text[: text.index(r"\boxed") + 30]) for text in texts)
