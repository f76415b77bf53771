"""What is kept on disk as JSON: typed records that write themselves, and are believed only if they read as written.

1. A record is a frozen pydantic model. Reading is strict: no unknown key, no number for a flag or text for a number, no
   NaN, and every value within its bounds.
2. Beside its values a record keeps a checksum of them. A changed value that is still plausible (another accuracy,
   another model name) does not agree with it, so it is refused too.
3. The tensors of an artifact are covered by the digest of their file (`artifacts`).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from interp_xfer.errors import ArtifactError
from interp_xfer.fields import STRICT, Json, T, checked
from interp_xfer.files.artifacts import load_artifact, read_json, save_artifact, write_json

_CHECKSUM = "checksum"
R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """Base of what is kept as JSON; one with a file of its own names it: `kind: Literal["search"] = "search"`."""

    model_config: ClassVar[ConfigDict] = {**STRICT, "frozen": True}

    def to_dict(self) -> Json:
        """Plain JSON."""
        return self.model_dump(mode="json")

    def write(self, path: Path | str) -> Path:
        """Write a JSON file, whole or not at all.

        Raises: ArtifactError if the place cannot be written or the disk is full.
        """
        return write_json(Path(path), sealed(self.to_dict()))

    @classmethod
    def read(cls: type[R], path: Path | str) -> R:
        """What `write` wrote.

        Raises: ArtifactError if it is missing, damaged, or another kind of record.
        """
        return unsealed(cls, read_json(Path(path)), str(path))

    def save(self, directory: Path | str, tensors: Mapping[str, Tensor]) -> Path:
        """Write an artifact: this description and its tensors, named after `kind`.

        Raises: ArtifactError if the place cannot be written or the disk is full.
        """
        kind = _kind(type(self))
        assert kind is not None
        description = sealed(self.to_dict())
        del description["kind"]  # the artifact has it already
        return save_artifact(Path(directory), kind, description, dict(tensors))

    @classmethod
    def load(cls: type[R], directory: Path | str) -> tuple[R, dict[str, Tensor]]:
        """What `save` wrote.

        Raises: ArtifactError if a file is missing or damaged, or is another kind of artifact.
        """
        kind = _kind(cls)
        assert kind is not None
        description, tensors = load_artifact(Path(directory), kind)
        return unsealed(cls, description, str(directory)), tensors


def sealed(values: Mapping[str, object]) -> Json:
    """Plain JSON with a checksum of itself."""
    return {**values, _CHECKSUM: checksum(values)}


def unsealed(kind: type[T], values: Mapping[str, object], source: str) -> T:
    """The record of `sealed` values.

    Raises: ArtifactError naming source and place if a value is not allowed or not what was written.
    """
    rest = {name: value for name, value in values.items() if name != _CHECKSUM}
    wanted = _kind(kind)
    if wanted is not None and rest.get("kind", wanted) != wanted:
        raise ArtifactError(f"{source} is a {str(rest['kind'])[:40]!r} record, not {wanted!r}; give another file.")
    record = checked(kind, rest, source)
    if values.get(_CHECKSUM) != checksum(rest):
        raise ArtifactError(
            f"{source} is damaged (its values are not those that were written: the checksum differs). "
            "Delete it and make it again."
        )
    return record


def checksum(values: Mapping[str, object]) -> str:
    """Sixteen hex digits over plain JSON, whatever the order of its names; over all but `kind`, which files repeat."""
    content = {name: value for name, value in values.items() if name != "kind"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def require_tensors(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    source: Path | str,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> None:
    """Raise ArtifactError unless exactly these tensors are there, with these shapes; float32 where no type is named.

    Raises: ArtifactError naming what is missing, surplus, or of another shape or type.
    """
    wrong = [f"tensor {name} is missing" for name in shapes if name not in tensors]
    wrong += [f"tensor {name} does not belong to it" for name in tensors if name not in shapes]
    for name, shape in shapes.items():
        if (found := tensors.get(name)) is not None:
            dtype = (dtypes or {}).get(name, torch.float32)
            if (tuple(found.shape), found.dtype) != (shape, dtype):
                wrong.append(f"tensor {name} is {tuple(found.shape)} of {found.dtype}, not {shape} of {dtype}")
    if wrong:
        more = f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        raise ArtifactError(f"{source} is damaged ({'; '.join(wrong[:2])}{more}). Delete it and make it again.")


def _kind(record: type) -> str | None:
    """Kind of a record with a file of its own."""
    field = getattr(record, "model_fields", {}).get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None
