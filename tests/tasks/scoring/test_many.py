import pytest

from interp_xfer.errors import ShapeError
from interp_xfer.tasks import TASKS, cut_at_stop, get_task, score_many


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_equals_its_members_one_by_one(name):
    task = get_task(name)
    problems = list(task.few_shot) * 2
    texts = [task.format_solution(problem) for problem in task.few_shot] + [
        "",
        *[r"\boxed{7} or 12"] * len(task.few_shot),
    ]
    texts, flags = texts[: len(problems)], [index % 3 == 0 for index in range(len(problems))]
    together = score_many(task, texts, problems, flags)
    assert all(score.rule in (None, *task.rules) for score in together) and len(set(task.rules)) == len(task.rules)
    assert together == [task.score(*each) for each in zip(texts, problems, flags, strict=True)]
    assert [score.truncated for score in together] == flags and [score.raw for score in together] == texts
    assert all(score.correct for score in together[: len(task.few_shot)])


def test_lengths_must_agree():
    task = get_task("sums")
    with pytest.raises(ShapeError, match="2 texts, 1 problems and 2 truncation flags"):
        score_many(task, ["a", "b"], [task.few_shot[0]])


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
