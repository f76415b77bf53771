"""Checks over the published rows, where a folder holds them: INTERP_XFER_DATA, or `shared/data` beside the checkout."""

import os
from pathlib import Path

import pytest

from interp_xfer.tasks import check_disjoint, get_task, load_problems, read_rows, score_many

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
    for problem in read_rows(task, split, DATA).problems:
        original = f"{problem.reasoning}\n#### {problem.answer}"
        for text in (original, task.format_solution(problem), task.format_answer(problem)):
            score = task.score(text, problem)
            assert score.correct and score.rule == "hash", problem.id
        assert task.score(original, problem).extra == {"lm_eval_strict": True, "lm_eval_flexible": True}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_arc_gold_labels_score_as_correct(split):
    task = get_task("arc_challenge")
    for problem in read_rows(task, split, DATA).problems:
        option = next(choice.text for choice in problem.choices if choice.label == problem.answer)
        for text in (task.format_solution(problem), f"The answer is ({problem.answer}).", rf"\boxed{{{option}}}"):
            assert task.score(text, problem).correct, (problem.id, text)


@pytest.mark.parametrize("split, share", [("test", 1.0), ("train", 0.995)])
def test_math_gold_solutions_score_as_correct(split, share):
    task = get_task("math")
    problems = read_rows(task, split, DATA).problems
    scores = score_many(task, [problem.reasoning or "" for problem in problems], problems)
    assert sum(score.correct for score in scores) >= share * len(problems)
    assert not any(score.correct for score, problem in zip(scores, problems, strict=True) if not problem.answer)
