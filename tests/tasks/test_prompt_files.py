import json

import pytest
from conftest import ARC_ROWS, GSM8K_ROWS, MATH_ROWS, write_jsonl

from interp_xfer.errors import DataError
from interp_xfer.tasks import TASKS, check_disjoint, get_task, load_few_shot, load_system_prompt


@pytest.mark.parametrize("name, rows", [("gsm8k", GSM8K_ROWS), ("math", MATH_ROWS), ("arc_challenge", ARC_ROWS)])
def test_few_shot_examples_are_read_in_the_schema_of_the_task(name, rows, tmp_path):
    write_jsonl(tmp_path / "mine.jsonl", rows[:3])
    examples = load_few_shot(get_task(name), tmp_path / "mine.jsonl")
    assert [example.id for example in examples] == [f"{name}/few-shot/{n}" for n in range(3)]
    assert all(example.task == name for example in examples)


def test_bad_examples_are_named_with_file_and_line(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(GSM8K_ROWS[0]) + "\n" + json.dumps({"question": "q"}) + "\n")
    with pytest.raises(DataError, match=r"mine\.jsonl, line 2: no field 'answer'"):
        load_few_shot(get_task("gsm8k"), path)


def test_examples_that_cannot_be_read_are_called_so(tmp_path):
    with pytest.raises(DataError, match="few-shot file .*mine.jsonl cannot be read: there is no such file"):
        load_few_shot(get_task("gsm8k"), tmp_path / "mine.jsonl")
    (tmp_path / "mine.jsonl").write_text("")
    with pytest.raises(DataError, match="mine.jsonl is empty; gsm8k needs rows there"):
        load_few_shot(get_task("gsm8k"), tmp_path / "mine.jsonl")


def test_tasks_without_a_schema_say_so(tmp_path):
    with pytest.raises(DataError, match="no row schema"):
        load_few_shot(get_task("sums"), tmp_path / "mine.jsonl")


def test_a_system_prompt_is_read_from_a_file(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("\nSolve \u00bd of it.\n", encoding="utf-8")
    assert load_system_prompt(path) == "Solve \u00bd of it."


@pytest.mark.parametrize(
    "content, message",
    [(b" \n", "is blank"), (b"\xff\xfe", "not UTF-8"), (None, "cannot be read: there is no such file")],
)
def test_unreadable_system_prompts_are_refused(content, message, tmp_path):
    path = tmp_path / "prompt.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_system_prompt(path)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_shipped_prompts_are_complete(task):
    assert len(task.few_shot) >= 5 and task.system_prompt
    check_disjoint({str(number): [example] for number, example in enumerate(task.few_shot)})
