"""Prompts from files: the ones that ship with a task, and a study's own.

A system prompt is a text file. Few-shot examples are JSON lines in the schema of the task's rows; for numeric tasks a
`target` (worked solution) and an `answer` in place of the `answer` with its `####` line are read too.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from interp_xfer.errors import DataError
from interp_xfer.files.json_lines import Lines
from interp_xfer.files.reading import parse_object
from interp_xfer.files.user_files import MiB, read_text
from interp_xfer.tasks.problems import Problem, Task
from interp_xfer.tasks.rows import checked, parse_lines

PROMPT_BYTES = 1 * MiB
"""Largest system prompt; no model has room for one."""
_SHIPPED = files("interp_xfer.tasks").joinpath("defaults")


def shipped_text(name: str) -> str:
    """A text that ships with the package, without surrounding blank lines."""
    return _SHIPPED.joinpath(name).read_text(encoding="utf-8").strip()


def shipped_examples(name: str, parse_row: Callable[[Mapping[str, object], str], Problem]) -> tuple[Problem, ...]:
    """Few-shot examples that ship with the package."""
    lines = Lines.of(_SHIPPED.joinpath(name).read_bytes()).whole
    task = name.split(".")[0]
    return tuple(parse_row(parse_object(line), f"{task}/few-shot/{index}") for index, line in enumerate(lines))


def load_system_prompt(path: str | os.PathLike[str]) -> str:
    """The system prompt in a text file.

    Raises: DataError if the file cannot be read as UTF-8 text, is blank, or larger than `PROMPT_BYTES`.
    """
    text = read_text(path, "system prompt", PROMPT_BYTES).strip()
    if not text:
        raise DataError(f"system prompt {path} is blank; write a prompt into it, or leave it out for the task's own.")
    return text


def load_few_shot(task: Task, path: str | os.PathLike[str]) -> tuple[Problem, ...]:
    """Few-shot examples from a JSON-lines file in the schema of the task's rows.

    Arguments:
        task: whose schema the file follows.
        path: the file.
    Returns: the examples, in order.
    Raises: DataError with file and line, if a row cannot be used or there is none.
    """
    if task.parse_row is None:
        raise DataError(f"task {task.name!r} has no row schema.")
    problems = checked(parse_lines(task, Path(path), f"{task.name}/few-shot", "few-shot file"), "raise")
    return tuple(replace(problem, id=f"{task.name}/few-shot/{i}") for i, problem in enumerate(problems))
