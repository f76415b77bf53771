from dataclasses import replace

import pytest
from conftest import GSM8K_ROWS, write_jsonl

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.tasks import check_disjoint, contrast_pairs, get_task, load_problems, projection_texts

BENCHMARKS = ["gsm8k", "math", "arc_challenge"]


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("seed", [0, 1])
def test_splits_share_nothing(name, seed, data_dir):
    task = get_task(name)
    splits = {
        split: load_problems(task, split, data_dir=data_dir, seed=seed) for split in ("train", "validation", "test")
    }
    check_disjoint(splits | {"few-shot": task.few_shot})


@pytest.mark.parametrize("name", ["gsm8k", "math"])
def test_validation_is_a_seeded_slice_of_train(name, data_dir):
    def ids(split, seed=0):
        return {problem.id for problem in load_problems(name, split, data_dir=data_dir, seed=seed)}

    assert ids("validation") == ids("validation") != ids("validation", seed=1)
    assert ids("train") | ids("validation") == ids("train", 1) | ids("validation", 1)
    assert len(ids("train")) > 4 * len(ids("validation"))
    assert all(id_.startswith(f"{name}/train/") for id_ in ids("validation"))


def test_stages_take_their_own_part_of_train(data_dir):
    task = get_task("gsm8k")
    check_disjoint(
        {
            "contrast": contrast_pairs(load_problems(task, limit=20, data_dir=data_dir)),
            "projection": projection_texts(task, load_problems(task, limit=20, offset=20, data_dir=data_dir)),
            "validation": load_problems(task, "validation", data_dir=data_dir),
            "test": load_problems(task, "test", data_dir=data_dir),
            "few-shot": task.few_shot,
        }
    )


def test_few_shot_examples_are_taken_out(data_dir):
    task = get_task("gsm8k")
    everything = load_problems(task, data_dir=data_dir)
    fewer = load_problems(replace(task, few_shot=tuple(everything[:3])), data_dir=data_dir)
    assert fewer == everything[3:]


def test_test_questions_are_taken_out_of_train_and_repeats_kept_once(data_dir):
    write_jsonl(data_dir / "gsm8k" / "train.jsonl", GSM8K_ROWS[90:] + GSM8K_ROWS[90:100])
    kept = load_problems("gsm8k", "train", data_dir=data_dir) + load_problems("gsm8k", "validation", data_dir=data_dir)
    assert sorted(problem.id for problem in kept) == sorted(f"gsm8k/train/{n}" for n in range(10))


def test_train_is_refused_where_its_test_questions_are_unknown(data_dir):
    """Without them train may hold test questions."""
    path = data_dir / "gsm8k" / "test.jsonl"
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(DataError, match=r"gsm8k train cannot be told apart from test, .*: 1 of \d+ rows"):
        load_problems("gsm8k", "train", data_dir=data_dir)
    with pytest.warns(UserWarning, match="1 of"):
        assert load_problems("gsm8k", "train", data_dir=data_dir, on_bad_rows="report")
    path.unlink()
    with pytest.raises(DataError, match="cannot be told apart from test, whose questions must not be in it: no file"):
        load_problems("gsm8k", "train", data_dir=data_dir)
    with pytest.raises(DataError, match="no file"):
        load_problems("gsm8k", "train", data_dir=data_dir, on_bad_rows="report")


def test_as_many_as_are_asked_or_none(data_dir):
    n = len(load_problems("gsm8k", "test", data_dir=data_dir))
    assert len(load_problems("gsm8k", "test", n, data_dir)) == n
    with pytest.raises(DataError, match=f"gsm8k test has {n} problems; offset 0 leaves {n} of the {n + 1} that are"):
        load_problems("gsm8k", "test", n + 1, data_dir)
    with pytest.raises(DataError, match=f"offset {n} leaves none. Ask for fewer"):
        load_problems("gsm8k", "test", None, data_dir, offset=n)


def test_a_repeated_question_stays_on_one_side(data_dir):
    again = [row | {"question": row["question"].upper() + " "} for row in GSM8K_ROWS[:100]]
    write_jsonl(data_dir / "gsm8k" / "train.jsonl", GSM8K_ROWS[:100] + again)
    for seed in range(3):
        splits = {s: load_problems("gsm8k", s, data_dir=data_dir, seed=seed) for s in ("train", "validation")}
        check_disjoint(splits)
        assert sum(map(len, splits.values())) == 100


def test_problems_without_a_reference_answer_are_left_out(data_dir):
    row = {"problem": "p", "solution": r"it is \boxed{}", "answer": ""}
    write_jsonl(data_dir / "math" / "test.jsonl", [row, {**row, "problem": "q", "answer": "3"}])
    assert [problem.answer for problem in load_problems("math", "test", data_dir=data_dir)] == ["3"]


def test_limit_and_offset(data_dir):
    everything = load_problems("gsm8k", "train", data_dir=data_dir)
    assert load_problems("gsm8k", "train", data_dir=data_dir, limit=5, offset=7) == everything[7:12]


def test_unknown_splits_are_refused(data_dir):
    with pytest.raises(ConfigError, match="unknown split 'dev'; choose from train, validation, test"):
        load_problems("gsm8k", "dev", data_dir=data_dir)
