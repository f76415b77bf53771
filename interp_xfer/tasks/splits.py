"""Named splits: train, validation and test of every task, without shared questions.

Method (house rule):

1. Where a validation split is not published (GSM8K, MATH), one tenth of train becomes validation: the rows whose
   normalised text, hashed with the seed, falls into one bucket of ten. A repeated question stays on one side.
2. Few-shot examples of the task are taken out of every split, by text.
3. Questions that a later split (train < validation < test) holds too are taken out of the earlier one.
4. Within a split, a repeated question is kept once.
"""

import hashlib
import os

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.tasks.leaks import normalise_text
from interp_xfer.tasks.problems import SPLITS, Problem, Split, Task
from interp_xfer.tasks.registry import get_task
from interp_xfer.tasks.rows import OnBadRows, checked, read_rows

_VALIDATION_BUCKETS = 10


def load_problems(
    task: str | Task,
    split: str = "train",
    limit: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    offset: int = 0,
    on_bad_rows: OnBadRows = "raise",
) -> list[Problem]:
    """Problems of one split, in the order of the source.

    Arguments:
        task: name or task.
        split: "train", "validation" or "test".
        limit: how many, all of which must be there; None for all (generated tasks: `Task.split_sizes`).
        data_dir: folder with `<task>/<split>.jsonl`; None reads the variable INTERP_XFER_DATA, else the hub.
        seed: which tenth of train is validation; for generated tasks, which problems.
        offset: how many to pass over.
        on_bad_rows: "raise", or "report" to warn and use the others.
    Returns: at least one problem, `limit` of them where it is given.
    Raises: DataError if the split is empty, smaller than `offset` and `limit` ask, or has bad rows, or if a later split
        that must share no question with it cannot be read; ConfigError for a split or number that does not exist.
    """
    task = get_task(task)
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}.")
    if offset < 0 or (limit is not None and limit < 1):
        raise ConfigError(f"limit={limit}, offset={offset}; need limit >= 1 and offset >= 0.")
    if task.generate is not None:
        problems = task.generate(split, seed, offset, task.split_sizes[split] if limit is None else limit)
    else:
        problems = _split(task, split, data_dir, seed, on_bad_rows)
        if not problems:
            raise DataError(f"the {split} split of {task.name} is empty; choose another split or data_dir.")
        problems = take(problems, offset, limit, f"{task.name} {split}")
    return problems


def take(problems: list[Problem], offset: int, limit: int | None, name: str) -> list[Problem]:
    """`limit` problems after the first `offset`, or all that follow.

    Raises: DataError if there are fewer.
    """
    there = len(problems) - offset
    if there < (1 if limit is None else limit):
        asked = "none" if limit is None else f"{max(there, 0)} of the {limit} that are asked for"
        raise DataError(f"{name} has {len(problems)} problems; offset {offset} leaves {asked}. Ask for fewer.")
    return problems[offset:] if limit is None else problems[offset : offset + limit]


def _split(
    task: Task, split: Split, data_dir: str | os.PathLike[str] | None, seed: int, on_bad_rows: OnBadRows
) -> list[Problem]:
    assert task.source is not None
    published: list[Split] = [name for name in SPLITS if name in task.source.hub]
    cut = "validation" not in published  # validation is a part of train
    read: Split = "train" if split == "validation" and cut else split
    problems = checked(read_rows(task, read, data_dir), on_bad_rows)
    texts = [normalise_text(problem.text) for problem in problems]
    taken = {normalise_text(example.text) for example in task.few_shot}
    for later in published[published.index(read) + 1 :]:
        taken.update(normalise_text(problem.text) for problem in _later(task, split, later, data_dir, on_bad_rows))
    kept = []
    for problem, text in zip(problems, texts, strict=True):
        if text in taken or not problem.answer:
            continue
        if cut and read == "train" and _is_validation(text, seed) != (split == "validation"):
            continue
        taken.add(text)
        kept.append(problem)
    return kept


def _later(
    task: Task, split: Split, later: Split, data_dir: str | os.PathLike[str] | None, on_bad_rows: OnBadRows
) -> list[Problem]:
    """All problems of a split that `split` must share no question with."""
    try:
        return checked(read_rows(task, later, data_dir), on_bad_rows)
    except DataError as error:
        raise DataError(
            f"{task.name} {split} cannot be told apart from {later}, whose questions must not be in it: {error}"
        ) from None


def _is_validation(text: str, seed: int) -> bool:
    digest = hashlib.sha256(f"validation/{seed}/{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _VALIDATION_BUCKETS == 0
