"""What a value may be: bounds of numbers, shapes of names, and strict reading of plain JSON into typed facts.

Standard dataclasses take part: their annotations say what is allowed, `__pydantic_config__ = STRICT` how it is read.
Files are read and written by `files.records`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from interp_xfer.errors import ArtifactError, InterpXferError

Json = dict[str, Any]
"""Named values of plain JSON: to be written, or read and not yet checked."""
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

T = TypeVar("T")


def checked(kind: type[T], values: object, source: str) -> T:
    """Plain JSON as a record or a dataclass with typed fields.

    Raises: ArtifactError naming source, place and what is wrong there.
    """
    return checked_text(kind, to_json(values, inf_nan_mode="constants"), source)


def checked_text(kind: type[T], text: str | bytes, source: str) -> T:
    """JSON text as `checked`.

    Raises: as `checked`.
    """
    try:
        return _reader(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise ArtifactError(f"{source} is damaged ({reasons(error, 1)}). Delete it and make it again.") from None
    except (InterpXferError, ValueError) as error:  # of a dataclass's own checks; of text that is no Unicode
        raise ArtifactError(f"{source} is damaged ({error}). Delete it and make it again.") from None


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
def _reader(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)
