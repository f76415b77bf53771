"""Worked reasoning that a model wrote for data that has none (ARC), kept as JSON lines.

One line for each accepted rationale: the problem's id and task, the reasoning, the raw text, and the fingerprint of the
model that wrote it. A store holds the work of one model only. Lines are appended as they come, so that an interrupted
run goes on where it stopped; a last line that was cut off in the middle is dropped by the next writer. One process
writes at a time; the next one goes on from there.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from interp_xfer.errors import DataError, FingerprintError
from interp_xfer.files.json_lines import Lines, append_lines
from interp_xfer.files.reading import parse_object
from interp_xfer.files.user_files import MiB, is_there, read_bytes
from interp_xfer.files.workspaces import hidden
from interp_xfer.files.writing import explained
from interp_xfer.tasks.problems import Problem, Task
from interp_xfer.words import why_no_text

RATIONALES_BYTES = 512 * MiB
"""Largest file of rationales; those of 10,000 problems take about 50 MiB."""
# Rules that read an answer which the text states on purpose; a lone last number or letter does not count.
_STATED = frozenset({"hash", "answer_is", "boxed"})
# How every line starts.
_START = b'{"id": '


def rationale_prompt(task: Task, problem: Problem) -> str:
    """User text that asks for a worked reasoning, given the right answer.

    Arguments:
        task: formats the question and the answer.
        problem: its reference answer is told.
    Returns: the text.
    Source: 2512.19069, section 4 (there another, larger model writes the reasoning for ARC); the wording is ours.
    """
    return (
        f"{task.format_question(problem)}\n\n"
        f"The correct answer is known: {_answer_in_words(problem)}\n"
        "Explain step by step, in a few sentences, how one arrives at it. Do not mention that you were given the "
        f"answer. Close with this line:\n{task.format_answer(problem)}"
    )


def accept_rationale(task: Task, problem: Problem, text: str, truncated: bool = False) -> str | None:
    """The reasoning in a generated text, or None if the text does not state the right answer at its end.

    Arguments:
        task: whose scorer judges.
        problem: the problem.
        text: generation for `rationale_prompt`.
        truncated: the generation ran into its limit; such texts are refused.
    Returns: the text before its last line, which holds the answer, without private reasoning and what follows the
        answer.
    """
    text = task.answer_text(text).text.strip()
    body, _, last = text.rpartition("\n")
    score = task.score(last, problem)
    if truncated or not score.correct or score.rule not in _STATED or not body.strip():
        return None
    return body.strip()


class RationaleStore:
    """A JSON-lines file of rationales by one model."""

    def __init__(
        self, path: str | os.PathLike[str], task: Task, fingerprint: Mapping[str, object] | str | None
    ) -> None:
        """Opens a store; the file need not exist.

        Arguments:
            path: the file.
            task: whose scorer judges.
            fingerprint: of the model that writes; where it has a `digest`, that decides. None to read the work of
                whichever one model wrote the file.
        Raises: FingerprintError if it holds the work of another model; DataError if a line cannot be read.
        """
        self.path = Path(path)
        self.task = task
        self.fingerprint = json.loads(json.dumps(fingerprint))
        self.reasoning: dict[str, str] = {}
        self.refused: set[str] = set()
        name = hashlib.sha256(self.path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        self._lock = FileLock(self.path.with_name(hidden(f"{name}.lock")))
        if is_there(self.path):
            self._read()

    @property
    def done(self) -> set[str]:
        """Ids of problems that need no further attempt: accepted, or refused before."""
        return self.reasoning.keys() | self.refused

    def missing(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems that have not been tried."""
        return [problem for problem in problems if problem.id not in self.done]

    @contextmanager
    def writing(self, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Within it, no other process writes to the file; what others wrote until then is read first.

        Arguments:
            on_wait: called once if another process writes now, before this one waits for its end.
        Raises: as opening a store; WriteError if the place cannot be written.
        """
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                on_wait()
                self._lock.acquire()
        try:
            if self._lock.lock_counter == 1 and self.path.exists():
                self._read().drop_torn(self.path)
            yield
        finally:
            if self._lock.lock_counter == 1:
                with suppress(OSError):
                    os.unlink(self._lock.lock_file)  # while it is ours: who waits for it makes a new one
            self._lock.release()

    def add(self, problem: Problem, text: str, truncated: bool = False) -> bool:
        """Keeps a generation if it ends in the right answer, and records the attempt either way.

        Returns: whether it was accepted.
        Raises: as `writing`.
        """
        reasoning = accept_rationale(self.task, problem, text, truncated)
        line = {
            "id": problem.id,
            "task": self.task.name,
            "reasoning": reasoning,
            "text": text,
            "fingerprint": self.fingerprint,
        }
        with self.writing():
            append_lines(self.path, [line])
        self._take(problem.id, reasoning)
        return reasoning is not None

    def apply(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems that have a rationale, with it as their reasoning.

        Raises: DataError if none has.
        """
        problems = list(problems)
        found = [replace(p, reasoning=self.reasoning[p.id]) for p in problems if p.id in self.reasoning]
        if not found:
            raise DataError(
                f"{self.path} has no rationale for any of the {len(problems)} problems; write them first: "
                f"interp-xfer rationales --dataset {self.task.name}."
            )
        return found

    def _take(self, id_: str, reasoning: str | None) -> None:
        if reasoning is None:
            self.refused.add(id_)
        else:
            self.refused.discard(id_)
            self.reasoning[id_] = reasoning

    def _read(self) -> Lines:
        """Take in every whole line."""
        lines = Lines.of(read_bytes(self.path, "rationales", RATIONALES_BYTES))
        for number, raw in enumerate(lines.whole, start=1):
            try:
                id_, reasoning, fingerprint = _record(raw)
            except ValueError as error:
                raise DataError(
                    f"{self.path}, line {number}: no rationale record ({str(error)[:200]}); "
                    "remove the line or give another file."
                ) from None
            if self.fingerprint is None:
                self.fingerprint = fingerprint
            if _identity(fingerprint) != _identity(self.fingerprint):
                raise FingerprintError(
                    f"{self.path}, line {number}: written by {_short(fingerprint)}, but the model is "
                    f"{_short(self.fingerprint)}; give each model a file of its own."
                )
            self._take(id_, reasoning)
        if not lines.torn.startswith(_START[: len(lines.torn)]):
            raise DataError(f"{self.path}: its last line is no rationale record; remove it or give another file.")
        return lines


def _record(raw: bytes) -> tuple[str, str | None, object]:
    """Id, reasoning (None: refused) and fingerprint in a line.

    Raises: ValueError in words.
    """
    line = parse_object(raw)
    if missing := [name for name in ("id", "reasoning", "fingerprint") if name not in line]:
        raise ValueError(f"no {', '.join(missing)}")
    id_, reasoning = line["id"], line["reasoning"]
    if not isinstance(id_, str) or not isinstance(reasoning, str | None):
        raise ValueError("id and reasoning must be strings")
    if problem := why_no_text(f"{id_} {reasoning}"):
        raise ValueError(f"its text {problem}")
    return id_, reasoning, line["fingerprint"]


def _answer_in_words(problem: Problem) -> str:
    for choice in problem.choices:
        if choice.label == problem.answer:
            return f"{choice.label}. {choice.text}"
    return problem.answer


def _identity(fingerprint: object) -> object:
    """What two loads of one model share, wherever its files came from."""
    return fingerprint.get("digest", fingerprint) if isinstance(fingerprint, Mapping) else fingerprint


def _short(fingerprint: object) -> str:
    text = fingerprint if isinstance(fingerprint, str) else json.dumps(fingerprint, sort_keys=True)
    return text if len(text) <= 120 else text[:117] + "..."
