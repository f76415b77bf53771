"""Files that are whole or not there: artifacts (a JSON description and named tensors) and single JSON records.

Everything is written under a temporary name beside its place and renamed at the end. A full disk, an error or Ctrl-C
in the middle leaves no half-written artifact.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp_xfer.errors import ArtifactError
from interp_xfer.reading import file_sha256, read_record, require_file


def save_artifact(directory: Path, kind: str, description: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write `<kind>.json` and `<kind>.safetensors` into `directory`, which appears complete or not at all.

    The description also gets `kind`, and the sha256 of the other file under `tensors`.

    Raises: ArtifactError if the place cannot be written or the disk is full.
    """
    directory = Path(directory)
    with _explained(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            tensor_file = temporary / f"{kind}.safetensors"
            save_file({name: t.contiguous() for name, t in tensors.items()}, tensor_file)
            sealed = {"tensors": {tensor_file.name: file_sha256(tensor_file)}}
            (temporary / f"{kind}.json").write_text(_dump({"kind": kind, **description, **sealed}), encoding="utf-8")
            if directory.exists():
                shutil.rmtree(directory)
            temporary.rename(directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return directory


def load_artifact(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description (with `kind`) and tensors written by `save_artifact`, after a check that they belong together.

    Raises: ArtifactError if a file is missing, is no file or does not parse, if the tensors are not those that the
        description was written for, or if the artifact is of another kind.
    """
    description_file, tensor_file = Path(directory) / f"{kind}.json", Path(directory) / f"{kind}.safetensors"

    def missing(name: str) -> str:
        return f"{directory} is no {kind} artifact: {name} is missing. Make it again."

    description = read_record(description_file, missing)
    require_file(tensor_file, missing)
    if description.get("kind") != kind:
        raise ArtifactError(f"{description_file} is a {description.get('kind')!r} artifact, not {kind!r}.")
    try:
        found = file_sha256(tensor_file)
        if description.pop("tensors", None) != {tensor_file.name: found}:
            raise ArtifactError(
                f"{tensor_file} is not what {description_file} was written for (its sha256 {found[:12]}... is not in "
                f"there): one of the two was changed, damaged or taken from elsewhere. Delete {directory} and make it "
                "again."
            )
        return description, load_file(tensor_file)
    except (ValueError, OSError, SafetensorError) as error:
        raise ArtifactError(f"{directory} is damaged ({error}). Delete it and make it again.") from None


def write_json(path: Path, record: dict[str, Any]) -> Path:
    """Write one JSON record under a temporary name and rename it into place.

    Raises: ArtifactError if the place cannot be written or the disk is full.
    """
    return write_text(path, _dump(record))


def write_text(path: Path, text: str) -> Path:
    """Write a text file under a temporary name and rename it into place.

    Raises: ArtifactError if the place cannot be written or the disk is full.
    """
    path = Path(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return path


def read_json(path: Path) -> dict[str, Any]:
    """One JSON record.

    Raises: ArtifactError if the file is missing, is no file, or is not strict JSON with named values.
    """
    return read_record(Path(path))


@contextmanager
def complete(directory: Path | str) -> Iterator[None]:
    """Within it, an entry that an artifact should have and has not is an ArtifactError instead of a KeyError."""
    try:
        yield
    except KeyError as error:
        raise ArtifactError(f"{directory} is damaged ({error} is missing). Delete it and make it again.") from None


def _dump(record: dict[str, Any]) -> str:
    # NaN is not JSON; whoever has one must say what it means (None, or a reason).
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        reason = "the disk is full" if full else str(error)
        raise ArtifactError(f"cannot write {path}: {reason}. Nothing was left behind; free space and retry.") from None
