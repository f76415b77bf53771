"""The hub cannot be reached from every machine: `datasets.load_dataset` is replaced at the boundary."""

import re

import pytest

from interp_xfer.errors import DataError
from interp_xfer.tasks import TASKS, load_problems


@pytest.fixture
def hub(monkeypatch):
    """Serves rows from memory and records what was asked for."""
    import datasets

    monkeypatch.delenv("INTERP_XFER_DATA", raising=False)
    asked, served = [], {}

    def load_dataset(path, name=None, *, split, revision):
        asked.append((path, name, split, revision))
        if (path, split) not in served:
            raise ConnectionError("no route to host")
        return datasets.Dataset.from_list(served[path, split])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked, served


def test_gsm8k_is_asked_for_at_its_pinned_revision(hub):
    from conftest import GSM8K_ROWS

    asked, served = hub
    served["openai/gsm8k", "test"] = GSM8K_ROWS[:5]
    problems = load_problems("gsm8k", "test", limit=3)
    assert [problem.id for problem in problems] == ["gsm8k/test/0", "gsm8k/test/1", "gsm8k/test/2"]
    assert asked == [("openai/gsm8k", "main", "test", "740312add88f781978c0658806c59bc2815b9866")]


def test_math_train_joins_its_seven_subjects(hub):
    from conftest import MATH_ROWS

    asked, served = hub
    row = {key: MATH_ROWS[0][key] for key in ("problem", "solution", "level", "type")}  # no answer, no unique_id
    served["EleutherAI/hendrycks_math", "train"] = [row | {"problem": f"{row['problem']} ({n})"} for n in range(40)]
    served["HuggingFaceH4/MATH-500", "test"] = MATH_ROWS[1:3]
    train = load_problems("math", "train") + load_problems("math", "validation")
    assert len(train) == 40  # the same rows under every subject here: repeats are kept once
    assert all(problem.answer == r"\frac{5}{2}" for problem in train)
    subjects = [name for path, name, split, _ in asked if path == "EleutherAI/hendrycks_math"][:7]
    assert subjects[0] == "algebra" and subjects[-1] == "precalculus" and len(set(subjects)) == 7


def test_arc_rows_are_read_from_the_hub(hub):
    from conftest import ARC_ROWS

    asked, served = hub
    for split in ("train", "validation", "test"):
        served["allenai/ai2_arc", split] = ARC_ROWS[:1]
    assert load_problems("arc_challenge", "test")[0].id == "arc_challenge/Item_1"
    assert asked[0][1] == "ARC-Challenge"


def test_an_unreachable_hub_names_the_remedy(hub):
    with pytest.raises(
        DataError, match=r"openai/gsm8k \(train.*cannot be loaded from the hub: ConnectionError.*data_dir"
    ):
        load_problems("gsm8k")


def test_every_revision_is_a_full_commit_hash():
    for task in TASKS.values():
        for split in task.source.hub.values() if task.source else ():
            assert re.fullmatch(r"[0-9a-f]{40}", split.revision)
