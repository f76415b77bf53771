"""Where downloaded and converted models are kept, and how a folder gets there whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from interp_xfer.errors import ModelError


def cache_dir() -> Path:
    """`$INTERP_XFER_CACHE`, else `$XDG_CACHE_HOME/interp-xfer`, else `~/.cache/interp-xfer`."""
    if own := os.environ.get("INTERP_XFER_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "interp-xfer"


def cached_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """`target`, made by `fill(temporary folder)` if it is not there yet.

    The temporary folder lies beside the target and is renamed at the end, so that an interrupted or failed `fill`
    leaves nothing behind and two processes cannot see each other's half-written files.

    Raises: ModelError if the disk is full or the cache cannot be written.
    """
    if target.is_dir():
        return target
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        fill(temporary)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first; its folder has the same content
                raise
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise ModelError(
            f"cannot write the model cache {target}: {reason}. Free space, or point INTERP_XFER_CACHE elsewhere."
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target
