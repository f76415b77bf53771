"""JSON lines of our own: one object a line, appended as they come; a crash leaves at most a last line without its end.

Lines end with a newline byte and nothing else: a text may hold U+2028, which JSON leaves as it is.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from interp_xfer.files.writing import explained


class Lines(NamedTuple):
    """The content of a file of JSON lines; `reading.parse_object` reads each."""

    whole: list[bytes]
    """Lines that have an end, without it."""
    torn: bytes
    """What follows the last end of a line: nothing, unless writing was interrupted."""

    @classmethod
    def of(cls, content: bytes) -> "Lines":
        """Lines of the bytes of a file."""
        *whole, torn = content.split(b"\n")
        return cls(whole, torn)

    def drop_torn(self, path: Path) -> None:
        """Cut the torn line off the file, so that the next line does not join it; a rewrite could lose them all.

        Raises: WriteError if the file cannot be written.
        """
        if self.torn:
            with explained(path):
                os.truncate(path, path.stat().st_size - len(self.torn))


def json_lines(objects: Iterable[Mapping[str, object]]) -> str:
    """One line for each object.

    Raises: ValueError for a number that JSON lacks.
    """
    return "".join(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in objects)


def append_lines(path: Path, objects: Iterable[Mapping[str, object]]) -> None:
    """Add lines to a file, which is made if it is not there: all of them, or none on an error.

    Raises: WriteError if the file cannot be written.
    """
    with explained(path):
        content = json_lines(objects).encode("utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(content)
        except OSError:
            with suppress(OSError):
                os.truncate(path, before)
            raise
