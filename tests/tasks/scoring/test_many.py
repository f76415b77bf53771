import pytest

from interp_xfer.errors import ShapeError
from interp_xfer.tasks import TASKS, cut_at_stop, get_task


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_equals_its_members_one_by_one(name):
    task = get_task(name)
    problems = list(task.few_shot) * 2
    texts = [task.format_solution(problem) for problem in task.few_shot] + [
        "",
        *[r"\boxed{7} or 12"] * len(task.few_shot),
    ]
    texts = texts[: len(problems)]
    together = task.score_many(texts, problems)
    assert all(score.rule in (None, *task.rules) for score in together) and len(set(task.rules)) == len(task.rules)
    assert together == [task.score(*each) for each in zip(texts, problems, strict=True)]
    assert all(score.correct for score in together[: len(task.few_shot)])


def test_lengths_must_agree():
    task = get_task("sums")
    with pytest.raises(ShapeError, match="2 texts and 1 problems; give one problem for each text"):
        task.score_many(["a", "b"], [task.few_shot[0]])


@pytest.mark.parametrize(
    "text, stops, kept",
    [
        ("a Question: b", ("Question:",), "a "),
        ("a\n\nb|c", ("|", "\n\n"), "a"),
        ("abc", ("x",), "abc"),
        ("abc", (), "abc"),
        ("\n\nab\n\nc", ("\n\n",), "\n\nab"),
    ],
)
def test_cut_at_stop(text, stops, kept):
    assert cut_at_stop(text, stops) == kept
    assert cut_at_stop(kept, stops) == kept
