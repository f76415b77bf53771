"""Hidden folders for what is not finished yet, beside where it will be; those of dead processes are removed.

`.interp-xfer-<machine>-<random>/` holds

    lock          locked as long as its process lives; the kernel gives the lock up with the process, so that neither a
                  process number used again nor a restart of the machine misleads
    new           what is being made
    old/<name>    what stood at the place and was set aside; it goes back if nothing new took the place

On network file systems a lock may be seen on one machine alone: the name tells the machine, and the folders of other
machines are left alone. So are all where the file system knows no locks.
"""

import errno
import hashlib
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = ".interp-xfer-"
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_swept: set[str] = set()


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` for this process, removed at the end; what dead processes left there goes first.

    Raises: OSError if it cannot be made.
    """
    sweep(folder)
    while True:
        space = folder / f"{_PREFIX}{_machine()}-{secrets.token_hex(4)}"
        lock = FileLock(space / "lock", timeout=0)
        try:
            space.mkdir()
            if _locked(lock) is not False:
                yield space
                return
            # Another process took it for dead before it was locked: make another one.
        finally:
            _remove(space, lock)


def sweep(folder: Path) -> None:
    """Remove what dead processes of this machine left in `folder`; looks once per process and folder."""
    where = os.path.realpath(folder)
    if where in _swept:
        return
    _swept.add(where)
    for space in Path(where).glob(f"{_PREFIX}{_machine()}-*"):
        lock = FileLock(space / "lock", timeout=0)
        with suppress(OSError):  # a disk that can only be read
            if _locked(lock):
                _remove(space, lock)


def hidden(name: str) -> str:
    """A file name that no user takes for a result."""
    return f"{_PREFIX}{name}"


def is_hidden(name: str) -> bool:
    """Whether a file name is one of those, or that of a workspace."""
    return name.startswith(_PREFIX)


def _locked(lock: FileLock) -> bool | None:
    """Whether the lock is ours now; None where there are no locks."""
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return False
    except NotImplementedError:
        return None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _remove(space: Path, lock: FileLock) -> None:
    try:
        _put_back(space)
        shutil.rmtree(space, ignore_errors=True)
    except OSError:
        pass  # what was set aside cannot go back now; the next process tries again
    except KeyboardInterrupt:
        shutil.rmtree(space, ignore_errors=True)
        raise
    finally:
        lock.release()


def _put_back(space: Path) -> None:
    with suppress(FileNotFoundError):
        for old in (space / "old").iterdir():
            if not os.path.lexists(space.parent / old.name):
                old.rename(space.parent / old.name)


@cache
def _machine() -> str:
    """Eight hex digits for this machine; a digest, because folders are shared."""
    identity = ""
    with suppress(OSError):
        identity = Path("/etc/machine-id").read_text(encoding="utf-8")
    return hashlib.sha256(f"{platform.node()} {identity}".encode()).hexdigest()[:8]
