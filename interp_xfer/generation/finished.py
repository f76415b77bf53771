"""Finished answers kept while a sweep runs, so that an interrupt loses only the rows on their way."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from interp_xfer.errors import ArtifactError
from interp_xfer.generation.records import Generation, RowKey


class FinishedAnswers:
    """Answers of one model under one set of settings, in memory and, with a path, in a file as they are finished.

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
        """Keep answers, on disk before this returns."""
        new = {key.digest: generation for key, generation in answers}
        if self._path is not None and new:
            lines = [json.dumps({"row": digest, **asdict(generation)}) for digest, generation in new.items()]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in lines))
        self._answers |= new

    def forget(self) -> None:
        """Remove the file, once the answers are kept elsewhere."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._answers.clear()

    def _read(self, path: Path) -> None:
        whole, _, rest = path.read_text(encoding="utf-8").rpartition("\n")
        for number, line in enumerate(whole.split("\n") if whole else [], 1):
            try:
                values = json.loads(line)
                digest = values.pop("row")
                self._answers[digest] = Generation(**{**values, "token_ids": tuple(values["token_ids"])})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ArtifactError(f"{path}:{number} is not a finished answer ({error}); delete the file.") from error
        if rest:  # so that the next line does not join the torn one
            path.write_text(whole + "\n" if whole else "", encoding="utf-8")
