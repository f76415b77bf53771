"""Reading rows: JSON lines from a folder, or a pinned data set from the hub, and what to do about bad rows.

A row that is not valid UTF-8, no JSON object, or that the task cannot read is named with file and line. The rows after
it are still read, so that one message lists all of them. Rows are read one at a time: a file may be large, a line not.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from interp_xfer.errors import DataError
from interp_xfer.files.reading import parse_json
from interp_xfer.files.user_files import is_there, read_lines
from interp_xfer.tasks.problems import HubSplit, Problem, Split, Task
from interp_xfer.words import shown, why_no_text

OnBadRows = Literal["raise", "report"]
DATA_DIR_VARIABLE = "INTERP_XFER_DATA"
_MAX_LISTED = 20


class BadRow(NamedTuple):
    """A row that could not be used."""

    where: str
    """File and 1-based line, or data set and 0-based row."""
    reason: str


class Rows(NamedTuple):
    """What a file or data set holds."""

    problems: list[Problem]
    bad: list[BadRow]


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    """The folder with local data: the argument, else the variable INTERP_XFER_DATA, else None (the hub)."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return Path(chosen) if chosen else None


def read_rows(task: Task, split: Split, data_dir: str | os.PathLike[str] | None = None) -> Rows:
    """All rows of one published split, with the bad ones beside them.

    Arguments:
        task: a task with a source.
        split: a published split of it.
        data_dir: folder with `<task>/<split>.jsonl`; None reads the variable INTERP_XFER_DATA, else the hub.
    Returns: problems in the order of the source, and bad rows.
    Raises: DataError if the file or data set is missing or empty.
    """
    if task.source is None or task.parse_row is None:
        raise DataError(f"task {task.name!r} generates its problems and has no rows to read; use load_problems.")
    folder = data_folder(data_dir)
    if folder is not None:
        path = folder / task.name / f"{split}.jsonl"
        if not is_there(path):
            raise DataError(f"no file {path}; give a data_dir that holds <task>/<split>.jsonl, or none to use the hub.")
        return _parse(task, _file_rows(path, "data file"), f"{task.name}/{split}", str(path))
    if split not in task.source.hub:
        raise DataError(f"{task.name} publishes no {split} split; it has {', '.join(task.source.hub)}.")
    origin = task.source.hub[split]
    return _parse(task, _hub_rows(origin), f"{task.name}/{split}", f"{origin.id} ({origin.split})")


def checked(rows: Rows, on_bad_rows: OnBadRows) -> list[Problem]:
    """The problems of `rows`, after bad rows have been raised or reported.

    Raises: DataError that lists the bad rows, if there are any and `on_bad_rows` is "raise". "report" warns instead.
    """
    if rows.bad:
        listed = "\n".join(f"  {bad.where}: {bad.reason}" for bad in rows.bad[:_MAX_LISTED])
        if len(rows.bad) > _MAX_LISTED:
            listed += f"\n  and {len(rows.bad) - _MAX_LISTED} more"
        message = f"{len(rows.bad)} of {len(rows.bad) + len(rows.problems)} rows cannot be used:\n{listed}"
        if on_bad_rows == "raise":
            raise DataError(f'{message}\nMend them, or read the others with on_bad_rows="report".')
        warnings.warn(message, UserWarning, stacklevel=3)
    return rows.problems


def parse_lines(task: Task, path: Path, prefix: str, what: str) -> Rows:
    """The rows of one JSON-lines file in the task's schema; ids that the rows lack become `<prefix>/<line>`.

    Raises: DataError if the file, called `what` in the message, cannot be read or is empty.
    """
    return _parse(task, _file_rows(path, what), prefix, str(path))


def require(row: Mapping[str, object], key: str, *, blank: bool = False) -> str:
    """The text under `key`.

    Raises: DataError if it is missing, null, no string, or blank (unless `blank`).
    """
    if key not in row:
        raise DataError(f"no field {key!r}; it has {shown(sorted(map(str, row)), 200)[1:-1] or 'none'}")
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f"field {key!r} is {'null' if value is None else type(value).__name__}, not a string")
    if not blank and not value.strip():
        raise DataError(f"field {key!r} is empty")
    if problem := why_no_text(value):
        raise DataError(f"field {key!r} {problem}")
    return value


def row_id(row: Mapping[str, object], key: str, fallback: str, prefix: str = "") -> str:
    """The id under `key`, a string or a whole number, behind `prefix`; `fallback` where it is missing, null or "".

    Raises: DataError if it is anything else.
    """
    value = row.get(key)
    if value is None or value == "":
        return fallback
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{prefix}{value}"
    return prefix + require(row, key)


def _parse(task: Task, numbered: Iterable[tuple[str, int, object]], prefix: str, source: str) -> Rows:
    assert task.parse_row is not None
    problems: list[Problem] = []
    bad: list[BadRow] = []
    seen: dict[str, str] = {}
    for where, number, row in numbered:
        try:
            if isinstance(row, DataError):
                raise row
            if not isinstance(row, Mapping):
                raise DataError(f"a {type(row).__name__}, not an object")
            problem = replace(task.parse_row(row, f"{prefix}/{number}"), where=where)
            if problem.id in seen:
                raise DataError(f"id {shown(problem.id)} is taken by {seen[problem.id]}")
        except DataError as error:
            bad.append(BadRow(where, str(error)))
            continue
        seen[problem.id] = where
        problems.append(problem)
    if not problems and not bad:
        raise DataError(f"{source} is empty; {task.name} needs rows there.")
    return Rows(problems, bad)


def _file_rows(path: Path, what: str) -> Iterator[tuple[str, int, object]]:
    number = -1
    for line in read_lines(path, what):
        if not line.problem and not line.text.strip():
            continue
        number += 1
        row: object
        try:
            row = DataError(line.problem) if line.problem else parse_json(line.text)
        except ValueError as error:
            row = DataError(f"not JSON that can be used: {error}"[:200])
        yield f"{path}, line {line.number}", number, row


def _hub_rows(origin: HubSplit) -> Iterator[tuple[str, int, object]]:
    number = 0
    for config in origin.configs:
        where = f"{origin.id} {config or ''} {origin.split}".replace("  ", " ")
        for index, row in enumerate(_hub_table(origin, config)):
            yield f"{where}, row {index}", number, row
            number += 1


def _hub_table(origin: HubSplit, config: str | None) -> list[object]:
    """All rows of one configuration.

    Raises: DataError if they cannot be had, for whatever reason the hub client gives.
    """
    import datasets  # takes seconds to import and is not needed for local data

    try:
        table = datasets.load_dataset(origin.id, config, split=origin.split, revision=origin.revision)
        return list(table)
    except (NameError, AssertionError, MemoryError):
        raise  # of a program or a machine, not of the hub
    except Exception as error:  # kinds of the client, of its network library, of its file format
        first_line = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise DataError(
            f"{origin.id} ({origin.split}, revision {origin.revision[:12]}) cannot be loaded from the hub: "
            f"{type(error).__name__}: {first_line[:300]}. Give a data_dir with <task>/<split>.jsonl instead, or set "
            f"{DATA_DIR_VARIABLE}."
        ) from error
