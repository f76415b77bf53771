"""Finished answers kept while a sweep runs, so that an interrupt loses only the rows on their way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from interp_xfer.errors import ArtifactError
from interp_xfer.fields import Count
from interp_xfer.files.json_lines import Lines, append_lines
from interp_xfer.files.reading import parse_object, require_file
from interp_xfer.files.records import Record, sealed, unsealed
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

        Raises: WriteError if the file cannot be written.
        """
        new = {key.digest: generation for key, generation in answers}
        if self._path is not None and new:
            lines = [
                _Line(row=row, text=made.text, token_ids=made.token_ids, stop_reason=made.stop_reason)
                for row, made in new.items()
            ]
            append_lines(self._path, (sealed(line.to_dict()) for line in lines))
        self._answers |= new

    def forget(self) -> None:
        """Remove the file, once the answers are kept elsewhere."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._answers.clear()

    def _read(self, path: Path) -> None:
        require_file(path)
        try:
            lines = Lines.of(path.read_bytes())
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from None
        for number, line in enumerate(lines.whole, 1):
            source = f"{path}, line {number}"
            try:
                values = parse_object(line)
            except ValueError as error:
                raise ArtifactError(f"{source} is damaged ({error}). Delete the file and run again.") from None
            found = unsealed(_Line, values, source)
            self._answers[found.row] = Generation(found.text, found.token_ids, found.stop_reason)
        lines.drop_torn(path)
