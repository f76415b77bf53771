"""Reading what a user wrote: whole and strictly, or refused with the name of the file, the reason and a remedy.

Only regular files are read, directly or through links: a pipe would wait for ever and a device may never end. Nothing
is read beyond a limit, and bytes are UTF-8 (a byte order mark is passed over). `reading` reads records of our own.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from interp_xfer.errors import DataError, InterpXferError
from interp_xfer.files.reading import UNREADABLE

MiB = 2**20
TEXT_BYTES = 16 * MiB
"""Largest file that is read as one text."""
LINE_BYTES = 16 * MiB
"""Longest line of a file that is read line by line."""

UserPath = str | os.PathLike[str]

_REASONS = {
    **UNREADABLE,
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENXIO: "it is a socket, not a file",
}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """From 1."""
    text: str
    """Without its end; "" where there is a problem."""
    problem: str | None
    """Why the line cannot be read."""


def is_there(path: UserPath) -> bool:
    """False if nothing has that name; True if something has, or if only reading can tell what is wrong."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True


def read_bytes(path: UserPath, what: str, limit: int = TEXT_BYTES, error: type[InterpXferError] = DataError) -> bytes:
    """The content of a regular file.

    Arguments:
        path: as the user gave it.
        what: what the file is to the user, such as "study file"; begins the message.
        limit: largest size in bytes.
        error: the type that is raised.
    Raises: `error` that names the file, what is wrong with it and what to do.
    """
    with open_file(path, what, error) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise error(f"{what} {path} is larger than {_size(limit)}, the most that is read; give a smaller file.")
    return content


def read_text(path: UserPath, what: str, limit: int = TEXT_BYTES, error: type[InterpXferError] = DataError) -> str:
    """The text in a regular UTF-8 file; arguments as `read_bytes`.

    Raises: `error` as `read_bytes`, and for bytes that are no UTF-8 or hold a NUL, with line and byte.
    """
    content = read_bytes(path, what, limit, error)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as found:
        at = found.start
        reason = f"it is not UTF-8 text ({_place(content, at)} is 0x{content[at]:02x})"
    else:
        if "\0" not in text:
            return text
        reason = f"it is no text ({_place(content, content.index(0))} is a NUL)"
    raise error(f"{what} {path} cannot be read: {reason}; save it as UTF-8 text.")


def read_lines(
    path: UserPath, what: str, limit: int = LINE_BYTES, error: type[InterpXferError] = DataError
) -> Iterator[Line]:
    """The lines of a regular file of any size, one at a time; a line that cannot be read says why.

    Reading ends at a line that is too long: what has no line ends is no such file.

    Arguments: as `read_bytes`; `limit` is that of a line.
    Raises: `error` as `read_bytes`.
    """
    with open_file(path, what, error) as file:
        number = 0
        while content := file.readline(limit + 1):
            number += 1
            if len(content) > limit and not content.endswith(b"\n"):
                yield Line(number, "", f"the line is longer than {_size(limit)}; nothing was read from there on")
                return
            try:
                text = content.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as found:
                yield Line(number, "", f"invalid UTF-8 at byte {found.start + 1} of the line")
                continue
            yield Line(number, text.rstrip("\r\n"), None)


@contextmanager
def open_file(path: UserPath, what: str, error: type[InterpXferError] = DataError) -> Iterator[BinaryIO]:
    """A regular file, open for reading; arguments as `read_bytes`.

    Raises: `error` if it cannot be opened, is no regular file, or the machine fails while it is read.
    """
    try:
        with _opened(path, what, error) as file:
            yield file
    except OSError as found:
        reason = _REASONS.get(found.errno or 0) or found.strerror or str(found)
        raise error(f"{what} {path} cannot be read: {reason}; check the path.") from None


def _opened(path: UserPath, what: str, error: type[InterpXferError]) -> BinaryIO:
    if "\0" in os.fspath(path):
        raise error(f"{what} {str(path)!r} is no path: it holds a NUL; check the setting.")
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise error(f"{what} {path} cannot be read: it is {kind}, not a file; give a regular file.")
    return os.fdopen(handle, "rb")


def _place(content: bytes, at: int) -> str:
    line_start = content.rfind(b"\n", 0, at) + 1
    line = content.count(b"\n", 0, at) + 1
    return f"line {line}, byte {at - line_start + 1}"


def _size(limit: int) -> str:
    for unit, size in (("MiB", MiB), ("KiB", 1024)):
        if limit >= size:
            return f"{limit // size} {unit}"
    return f"{limit} bytes"
