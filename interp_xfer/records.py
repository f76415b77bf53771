"""What is kept on disk as JSON: typed records that write themselves, and are believed only if they read as written.

1. A record is a frozen pydantic model. Reading is strict: no unknown key, no number for a flag or text for a number, no
   NaN, and every value within its bounds.
2. Beside its values a record keeps a checksum of them. A changed value that is still plausible (another accuracy,
   another model name) does not agree with it, so it is refused too.
3. The tensors of an artifact are covered by the digest of their file (`artifacts`).

Standard dataclasses take part as fields: their annotations say what is allowed, `__pydantic_config__ = STRICT` how.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from torch import Tensor

from interp_xfer.artifacts import load_artifact, read_json, save_artifact, write_json
from interp_xfer.errors import ArtifactError, InterpXferError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""First hex digits of a sha256."""
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
"""Name of a file of a run; safe as a part of a path."""
Count = Annotated[int, Field(ge=0, le=10**12)]
Positive = Annotated[int, Field(ge=1, le=10**12)]
Layers = Annotated[int, Field(ge=1, le=10_000)]
"""Depth of a model."""
Layer = Annotated[int, Field(ge=0, lt=10_000)]
"""0-based block output."""
Width = Annotated[int, Field(ge=1, le=2**20)]
"""Of a residual stream."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1 - 1e-6, le=1 + 1e-6)]
NotNegative = Annotated[float, Field(ge=0)]

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""How records and their parts are read."""

_CHECKSUM = "checksum"
T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """Base of what is kept as JSON; one with a file of its own names it: `kind: Literal["search"] = "search"`."""

    model_config: ClassVar[ConfigDict] = {**STRICT, "frozen": True}

    def to_dict(self) -> dict[str, Any]:
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


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON with a checksum of itself."""
    return {**values, _CHECKSUM: checksum(values)}


def unsealed(kind: type[T], values: Mapping[str, Any], source: str) -> T:
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


def checksum(values: Mapping[str, Any]) -> str:
    """Sixteen hex digits over plain JSON, whatever the order of its names; over all but `kind`, which files repeat."""
    content = {name: value for name, value in values.items() if name != "kind"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def checked(kind: type[T], values: Any, source: str) -> T:
    """Plain JSON as a record or a dataclass with typed fields.

    Raises: ArtifactError naming source, place and what is wrong there.
    """
    try:
        return _reader(kind).validate_json(to_json(values, inf_nan_mode="constants"), strict=True)
    except ValidationError as error:
        raise ArtifactError(f"{source} is damaged ({reasons(error, 1)}). Delete it and make it again.") from None
    except (InterpXferError, ValueError) as error:  # of a dataclass's own checks; of text that is no Unicode
        raise ArtifactError(f"{source} is damaged ({error}). Delete it and make it again.") from None


def require_tensors(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    source: Path | str,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> None:
    """Nothing, if exactly the tensors of these names are there, with these shapes; in float32 where no type is named.

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


@contextmanager
def damaged(source: Path | str) -> Iterator[None]:
    """Within it, values that are refused are an ArtifactError naming the source."""
    try:
        yield
    except ArtifactError:
        raise
    except InterpXferError as error:
        raise ArtifactError(f"{source} is damaged ({error}). Delete it and make it again.") from None


def reasons(error: ValidationError, most: int | None = None) -> str:
    """What pydantic found wrong, as "place: reason; place: reason", the first `most` of it."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" if e["loc"] else e["msg"] for e in found[:most]]
    more = f" and {len(found) - len(shown)} more" if len(shown) < len(found) else ""
    return "; ".join(shown).replace("Value error, ", "") + more


@cache
def _reader(kind: type[Any]) -> Any:
    return TypeAdapter(kind)


def _kind(record: type[Any]) -> str | None:
    """Kind of a record with a file of its own."""
    field = getattr(record, "model_fields", {}).get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None
