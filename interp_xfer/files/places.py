"""Which places may be written, asked before hours of work: what stands there must be nothing, or ours.

No torch here, so that the command line can ask while it is read.
"""

import os
from pathlib import Path

from interp_xfer.errors import ArtifactError
from interp_xfer.files.reading import read_record, require_file
from interp_xfer.files.workspaces import is_hidden, sweep
from interp_xfer.files.writing import explained, require_no_folder, require_replaceable, require_writable, some_of

RUN_SETTINGS = ("study.yaml", "comparison.yaml")
"""Files by which a run is known, if they start with `RUN_MARK`."""

RUN_MARK = "# Settings of this run, written by interp-xfer; its next run replaces this file.\n"


def require_artifact_place(directory: Path, kind: str) -> None:
    """Raise ArtifactError unless `directory` is nothing, an empty folder, or an artifact of the kind.

    Raises: ArtifactError that says what is there; WriteError if the place cannot be written.
    """
    require_replaceable(directory, lambda folder: is_artifact(folder, kind))
    require_writable(directory)


def require_record_place(path: Path, kind: str) -> None:
    """Raise ArtifactError unless `path` is nothing, an empty file, or a record of the kind.

    Raises: ArtifactError that says what is there; WriteError if the place cannot be written.
    """
    require_no_folder(path)
    if path.exists() and path.stat().st_size:
        try:
            record = read_record(path)
        except ArtifactError:
            record = {}
        if record.get("kind") != kind:
            found = f"{record['kind']!r}" if "kind" in record else "no record of this kind"
            raise ArtifactError(
                f"{path} is there and {found}, not {kind!r}; nothing was changed. Name another file, or remove it "
                "yourself."
            )
    require_writable(path)


def require_run_place(root: Path) -> None:
    """Raise ArtifactError unless the folder `root` is not there, empty, or that of a run.

    A run on a read-only disk passes: it can be read.

    Raises: ArtifactError that says what is there; WriteError if a new place cannot be written.
    """
    with explained(root):
        if root.is_dir():
            sweep(root)
            names = sorted(name for name in os.listdir(root) if not is_hidden(name))
        else:
            require_replaceable(root, lambda folder: False)
            names = []
    if not names:
        require_writable(root / RUN_SETTINGS[0])
    elif not _is_run(root, names):
        raise ArtifactError(
            f"{root} holds {some_of(names)}, and is no run; nothing was changed. Name a new or empty folder."
        )


def require_settings_place(path: Path) -> None:
    """Raise ArtifactError unless `path` is nothing, or holds the settings of an earlier run.

    Raises: ArtifactError otherwise.
    """
    if os.path.lexists(path) and not _is_marked(path):
        raise ArtifactError(
            f"{path} was not written by a run; nothing was changed. Rename it, or run in another folder."
        )


def is_artifact(folder: Path, kind: str) -> bool:
    """Whether a folder holds an artifact of a kind and nothing else."""
    files = {f"{kind}.json", f"{kind}.safetensors"}
    if set(os.listdir(folder)) != files or any((folder / name).is_symlink() for name in files):
        return False
    try:
        require_file(folder / f"{kind}.safetensors")
        return read_record(folder / f"{kind}.json").get("kind") == kind
    except ArtifactError:
        return False


def _is_run(root: Path, names: list[str]) -> bool:
    layers_only = set(names) <= {"layers", "figures"} or any(root.glob("layers/*/layers.json"))
    return layers_only or any(_is_marked(root / name) for name in RUN_SETTINGS)


def _is_marked(path: Path) -> bool:
    try:
        require_file(path)
        with path.open("rb") as file:
            return file.read(len(RUN_MARK.encode())) == RUN_MARK.encode()
    except (ArtifactError, OSError):
        return False
