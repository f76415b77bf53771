"""Artifacts (a JSON description and named tensors) and single records (JSON), whole or not there (`writing`).

An artifact's description holds the sha256 of its tensors, so that the two cannot come apart.
"""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp_xfer.errors import ArtifactError
from interp_xfer.fields import Json
from interp_xfer.files.places import is_artifact
from interp_xfer.files.reading import file_sha256, read_record, require_file
from interp_xfer.files.writing import write_file, write_folder


def save_artifact(directory: Path, kind: str, description: Json, tensors: dict[str, Tensor]) -> Path:
    """Write `<kind>.json` and `<kind>.safetensors` into `directory`, which appears complete or not at all.

    The description also gets `kind`, and the sha256 of the other file under `tensors`.

    Raises: ArtifactError if something else than an artifact of this kind is there, which stays as it is, or the place
        cannot be written.
    """

    def fill(folder: Path) -> None:
        tensor_file = folder / f"{kind}.safetensors"
        save_file({name: t.contiguous() for name, t in tensors.items()}, tensor_file)
        sealed = {"tensors": {tensor_file.name: file_sha256(tensor_file)}}
        (folder / f"{kind}.json").write_text(_dump({"kind": kind, **description, **sealed}), encoding="utf-8")

    return write_folder(Path(directory), fill, lambda folder: is_artifact(folder, kind))


def load_artifact(directory: Path, kind: str) -> tuple[Json, dict[str, Tensor]]:
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


def write_json(path: Path, record: Json) -> Path:
    """Write one JSON record, whole or not at all.

    Raises: WriteError if the place cannot be written.
    """
    return write_file(Path(path), _dump(record))


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all.

    Raises: WriteError if the place cannot be written.
    """
    return write_file(Path(path), text)


def read_json(path: Path) -> Json:
    """One JSON record.

    Raises: ArtifactError if the file is missing, is no file, or is not strict JSON with named values.
    """
    return read_record(Path(path))


def _dump(record: Json) -> str:
    # NaN is not JSON; whoever has one must say what it means (None, or a reason).
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
