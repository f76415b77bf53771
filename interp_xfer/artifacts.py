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


def save_artifact(directory: Path, kind: str, description: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write `<kind>.json` and `<kind>.safetensors` into `directory`, which appears complete or not at all.

    Raises: ArtifactError if the place cannot be written or the disk is full.
    """
    directory = Path(directory)
    with _explained(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            save_file({name: t.contiguous() for name, t in tensors.items()}, temporary / f"{kind}.safetensors")
            (temporary / f"{kind}.json").write_text(_dump({"kind": kind, **description}), encoding="utf-8")
            if directory.exists():
                shutil.rmtree(directory)
            temporary.rename(directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return directory


def load_artifact(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and tensors written by `save_artifact`.

    Raises: ArtifactError if a file is missing, does not parse, or belongs to another kind of artifact.
    """
    description_file, tensor_file = Path(directory) / f"{kind}.json", Path(directory) / f"{kind}.safetensors"
    try:
        description = _parsed(description_file.read_text(encoding="utf-8"))
        tensors = load_file(tensor_file)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{directory} is no {kind} artifact: {error.filename or tensor_file} is missing. Make it again."
        ) from None
    except (ValueError, SafetensorError) as error:
        raise ArtifactError(f"{directory} is damaged ({error}). Delete it and make it again.") from None
    if description.get("kind") != kind:
        raise ArtifactError(f"{description_file} is a {description.get('kind')!r} artifact, not {kind!r}.")
    return description, tensors


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

    Raises: ArtifactError if the file is missing or does not parse.
    """
    try:
        return _parsed(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not there; run the stage that writes it.") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and make it again.") from None


@contextmanager
def complete(directory: Path | str) -> Iterator[None]:
    """Within it, an entry that an artifact should have and has not is an ArtifactError instead of a KeyError."""
    try:
        yield
    except KeyError as error:
        raise ArtifactError(f"{directory} is damaged ({error} is missing). Delete it and make it again.") from None


def _parsed(text: str) -> dict[str, Any]:
    record = json.loads(text)  # errors are ValueErrors, as are those of decoding
    if not isinstance(record, dict):
        raise ValueError(f"a {type(record).__name__} instead of named values")
    return record


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
