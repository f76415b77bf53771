"""Reading records that anybody may have changed: regular files of a sane size, strict UTF-8 and JSON, or an error.

Strict JSON: no NaN or infinity, no number that overflows, no name twice in one object, no lone surrogate, no nesting
that exhausts the stack. What passes can be written again as it was read.
"""

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interp_xfer.errors import ArtifactError, MissingError
from interp_xfer.fields import Json

LARGEST_RECORD = 2**28
"""Bytes of one JSON record; the largest we write has a hundredth of it."""

UNREADABLE = {
    errno.ELOOP: "its symbolic links go in a circle",
    errno.EACCES: "reading it is not permitted",
    errno.EPERM: "reading it is not permitted",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOTDIR: "a part of its path is a file",
}


def require_file(path: Path, missing: Callable[[str], str] | None = None) -> int:
    """Size in bytes of a regular file.

    Arguments:
        path: the file, or a link to it.
        missing: message for a file that is not there, from its name.
    Raises: MissingError if nothing is there; ArtifactError for a folder, a device, a pipe, a circle of links.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        text = f"{path} is not there; run the stage that writes it." if missing is None else missing(str(path))
        raise MissingError(text) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = UNREADABLE.get(getattr(error, "errno", None) or 0) or getattr(error, "strerror", None) or str(error)
        raise ArtifactError(f"{path} cannot be read: {reason}.") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a device or pipe"
        raise ArtifactError(f"{path} is {what}, not a file; remove it, or name another place.")
    return found.st_size


def read_record(path: Path, missing: Callable[[str], str] | None = None) -> Json:
    """Named values of one JSON file.

    Arguments:
        path: the file.
        missing: as in `require_file`.
    Raises: ArtifactError if the file is missing, is no file, is too large, or is not strict JSON with named values.
    """
    size = require_file(path, missing)
    if size > LARGEST_RECORD:
        raise ArtifactError(
            f"{path} has {size} bytes; no record has more than {LARGEST_RECORD}. Delete it and make it again."
        )
    try:
        return parse_object(Path(path).read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and make it again.") from None


def parse_object(content: bytes) -> dict[str, Any]:
    """The named values of strict JSON in UTF-8.

    Raises: ValueError that says what is wrong.
    """
    values = parse_json(content.decode("utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__}, not an object")
    return values


def parse_json(text: str) -> Any:
    """The value of a strict JSON text.

    Raises: ValueError that says what is wrong.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once)
        if "\\ud" in text.lower():  # an escape that may be half of a character
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair") from None
    return value


def file_sha256(path: Path) -> str:
    """sha256 of a file, 64 hex digits.

    Raises: OSError if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits} is too large")
    return value


def _once(pairs: list[tuple[str, object]]) -> Json:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return record
