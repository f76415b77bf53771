"""Files and folders that are whole or not there, replaced only where what stands there is ours.

Everything is made in a workspace beside its place, flushed to the disk, and renamed. Modes follow the umask, links are
followed. A full disk, an error, Ctrl-C or a kill in the middle leaves what was there before.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from interp_xfer.errors import ArtifactError, WriteError
from interp_xfer.files.workspaces import sweep, workspace

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free space and retry"),
    errno.EDQUOT: ("your quota of the disk is used up", "free space and retry"),
    errno.EROFS: ("the file system is read-only", "name another place"),
    errno.EACCES: ("writing there is not permitted", "change the permissions or name another place"),
    errno.EPERM: ("writing there is not permitted", "change the permissions or name another place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "name another place"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "name another place"),
    errno.EISDIR: ("a folder is there", "name a file"),
    errno.ENOENT: ("its folder is gone, somebody removed or moved it", "run the command again"),
    errno.ELOOP: ("symbolic links on the path go in a circle", "name another place"),
    errno.EBUSY: ("it is in use, or a mount point", "name another place"),
    errno.EFBIG: ("the file is larger than file system or `ulimit -f` allow", "raise the limit or name another place"),
    errno.EMFILE: ("too many files are open", "raise `ulimit -n` and retry"),
    errno.ENFILE: ("too many files are open", "close other programs and retry"),
    errno.EIO: ("the disk does not answer", "check it and retry"),
    errno.ESTALE: ("the network file system does not answer", "check it and retry"),
}
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)


def why_not_written(error: Exception) -> tuple[str, str]:
    """What went wrong, and what to do about it, for an error of the system or of safetensors."""
    code = getattr(error, "errno", None)
    if code is None and (found := re.search(r"os error (\d+)", str(error))):  # how safetensors reports it
        code = int(found[1])
    return _REASONS.get(code or 0, (getattr(error, "strerror", None) or str(error), "check the place and retry"))


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Within it, errors of the system become a WriteError with reason and remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason, remedy = why_not_written(error)
        raise WriteError(f"cannot write {path}: {reason}. Nothing was left behind; {remedy}.") from None
    except UnicodeEncodeError as error:
        found = error.object[error.start : error.end]
        raise WriteError(f"cannot write {str(path)!r}: UTF-8 has no {found!r}, which is in name or content.") from None
    except ValueError as error:
        if "null byte" not in str(error):
            raise
        raise WriteError(f"cannot write {str(path)!r}: the name holds a NUL; choose another one.") from None


def write_file(path: Path, content: bytes | str) -> Path:
    """Write a file, whole or not at all. One that holds the content already is not touched, so it may be read-only.

    Raises: ArtifactError if a folder or device is there; WriteError if the place cannot be written.
    """
    with explained(path):
        content = content.encode("utf-8") if isinstance(content, str) else content
        target = Path(os.path.realpath(path))
        require_no_folder(path)
        if _holds(target, content):
            return path
        target.parent.mkdir(parents=True, exist_ok=True)
        with workspace(target.parent) as space:
            with (space / "new").open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(space / "new", target)
            _flush_names(target.parent)
    return path


def write_folder(path: Path, fill: Callable[[Path], None], is_ours: Callable[[Path], bool]) -> Path:
    """Put a folder at a place, whole or not at all.

    Arguments:
        path: nothing, an empty folder, or a folder that may be replaced.
        fill: makes the content in the empty folder it is given.
        is_ours: whether a folder holds nothing but what may be replaced.
    Raises: ArtifactError if something else is there, which stays as it is; WriteError if the place cannot be written.
    """
    require_replaceable(path, is_ours)
    with explained(path):
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with workspace(target.parent) as space:
            new, old = space / "new", space / "old" / target.name
            new.mkdir()
            fill(new)
            settle(new)
            while not _renamed(new, target):
                require_replaceable(target, is_ours)
                _discard(old)
                with suppress(FileNotFoundError):  # another process put it aside at this moment
                    old.parent.mkdir(exist_ok=True)
                    target.rename(old)
                    require_replaceable(old, is_ours)  # if it changed since it was looked at, it goes back
            _discard(old)
            _flush_names(target.parent)
    return path


def require_replaceable(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise ArtifactError unless a folder may be put at `path`; touches nothing.

    Raises: ArtifactError that says what is there; WriteError if the place cannot be looked at.
    """
    with explained(path):
        while (seen := _identity(path)) is not None:
            found = None
            with suppress(FileNotFoundError):
                found = _in_the_way(path, is_ours)
                if found is None:
                    return
            if found is not None and _identity(path) == seen:
                raise ArtifactError(f"{found}; nothing was changed. Name a new or empty folder, or remove it yourself.")
            # Another process put its own there while this one looked.


def _in_the_way(path: Path, is_ours: Callable[[Path], bool]) -> str | None:
    if not path.is_dir():
        return f"{path} is a file, not a folder"
    if any(os.path.samefile(path, place) for place in (".", os.path.expanduser("~")) if os.path.exists(place)):
        return f"{path} is the working directory or your home"
    sweep(path)
    names = sorted(os.listdir(path))
    if not names or is_ours(path):
        return None
    return f"{path} holds {some_of(names)}, and not just what would be replaced"


def require_no_folder(path: Path) -> None:
    """Raise ArtifactError unless there is a file at `path` or nothing.

    Raises: ArtifactError if a folder, a device or a pipe is there; WriteError if the place cannot be looked at.
    """
    with explained(path):
        if not _exists(path) or stat.S_ISREG(os.stat(path).st_mode):
            return
    what = "a folder" if os.path.isdir(path) else "a device or pipe"
    raise ArtifactError(f"{path} is {what}, not a file; nothing was changed. Name a file.")


def require_writable(path: Path) -> None:
    """Raise WriteError unless `path` can be made: tried out in a workspace of the nearest folder above it.

    Raises: WriteError if it cannot.
    """
    with explained(path):
        _exists(path)  # an error if its links go in a circle
        target = Path(os.path.realpath(path))
        above = next(folder for folder in target.parents if _exists(folder))
        with workspace(above) as space:
            (space / "new" / target.relative_to(above)).mkdir(parents=True)


def some_of(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _exists(path: Path) -> bool:
    return _identity(path) is not None


def _identity(path: Path) -> tuple[int, ...] | None:
    """What tells one file or folder at a place from the next; None where there is nothing."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _holds(path: Path, content: bytes) -> bool:
    with suppress(OSError):
        return path.stat().st_size == len(content) and path.read_bytes() == content
    return False


def _renamed(new: Path, target: Path) -> bool:
    """False if a folder with content is there."""
    try:
        new.rename(target)
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        return False
    return True


def _discard(folder: Path) -> None:
    """Remove a folder that `is_ours` knew: its files, and nothing that came since."""
    with suppress(FileNotFoundError):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def settle(folder: Path) -> None:
    """Give the files below a new folder the modes of the umask, and have them on the disk.

    Some libraries make files that their owner alone can read. The umask shows in the folder itself.
    """
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o777
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode & 0o666)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            path.chmod(mode)
            _flush_names(path)
    _flush_names(folder)


def _flush_names(folder: Path) -> None:
    """Have the names in a folder on the disk; not every file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
