"""Where downloaded and converted models are kept, and how a folder gets there whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from interp_xfer.errors import ModelError
from interp_xfer.files.workspaces import sweep, workspace
from interp_xfer.files.writing import settle, why_not_written


def cache_dir() -> Path:
    """`$INTERP_XFER_CACHE`, else `$XDG_CACHE_HOME/interp-xfer`, else `~/.cache/interp-xfer`."""
    if own := os.environ.get("INTERP_XFER_CACHE"):
        return Path(os.path.expanduser(own))
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "interp-xfer"


def cached_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """`target`, made by `fill(temporary folder)` if it is not there yet.

    The temporary folder lies in a workspace beside the target, where `fill` may put other things too, and is renamed
    at the end: an interrupted or failed `fill` leaves nothing behind, a killed one nothing that the next process does
    not remove, and two processes cannot see each other's half-written files.

    Raises: ModelError if the disk is full or the cache cannot be written.
    """
    sweep(target.parent)
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with workspace(target.parent) as space:
            new = space / "new"
            new.mkdir()
            fill(new)
            settle(new)
            try:
                new.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another process was first; its folder has the same content
                    raise
    except (OSError, SafetensorError) as error:
        reason, remedy = why_not_written(error)
        raise ModelError(
            f"cannot write the model cache {target}: {reason}. {remedy.capitalize()}, or point INTERP_XFER_CACHE "
            "elsewhere."
        ) from None
    return target
