"""Finished answers kept while a sweep runs, so that an interrupt loses only the rows on their way."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from interp_xfer.errors import ArtifactError
from interp_xfer.fields import Count
from interp_xfer.files.reading import parse_json, require_file
from interp_xfer.files.records import Record, sealed, unsealed
from interp_xfer.files.writing import explained
from interp_xfer.generation.records import Generation, RowKey, StopReason


class _Line(Record):
    """One line of the file."""

    row: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """`RowKey.digest`."""
    text: str
    token_ids: tuple[Count, ...]
    stop_reason: StopReason


class FinishedAnswers:
    """Answers of one sweep, in memory and, with a path, in a file as they are finished.

    An answer is found only by the row, model, vectors, steering and limits that it was made with (`RowKey.digest`).

    Arguments:
        path: JSON lines, read if the file is there and appended to; None keeps them in memory only.
    Raises: ArtifactError for a file that is not such a list. A last line cut short by a crash is dropped.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._answers: dict[str, Generation] = {}
        if path is not None and path.exists():
            self._read(path)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: RowKey) -> Generation | None:
        """The answer of a row, if it is finished."""
        return self._answers.get(key.digest)

    def add(self, answers: Iterable[tuple[RowKey, Generation]]) -> None:
        """Keep answers, on disk before this returns.

        Raises: ArtifactError if the file cannot be written.
        """
        new = {key.digest: generation for key, generation in answers}
        if self._path is not None and new:
            lines = [
                _Line(row=row, text=made.text, token_ids=made.token_ids, stop_reason=made.stop_reason)
                for row, made in new.items()
            ]
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("".join(json.dumps(sealed(line.to_dict())) + "\n" for line in lines))
            except OSError as error:
                raise ArtifactError(
                    f"finished answers cannot be kept in {self._path}: {error.strerror}. Make room or give another "
                    "directory; the same command goes on with those that are there."
                ) from None
        self._answers |= new

    def forget(self) -> None:
        """Remove the file, once the answers are kept elsewhere."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._answers.clear()

    def _read(self, path: Path) -> None:
        require_file(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from None
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.split(b"\n")[:-1], 1):
            source = f"{path}, line {number}"
            try:
                values = parse_json(line.decode("utf-8"))
            except ValueError as error:
                raise ArtifactError(f"{source} is damaged ({error}). Delete the file and run again.") from None
            if not isinstance(values, dict):
                raise ArtifactError(f"{source} is no finished answer. Delete the file and run again.")
            found = unsealed(_Line, values, source)
            self._answers[found.row] = Generation(found.text, found.token_ids, found.stop_reason)
        if len(whole) < len(content):  # so that the next line does not join the torn one
            with explained(path):
                os.truncate(path, len(whole))  # a rewrite that is interrupted would lose all of them
