"""Tables as JSON: every analysis returns a frozen dataclass of frozen dataclass rows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from interp_xfer.fields import Json
from interp_xfer.files.artifacts import write_json

T = TypeVar("T")


@runtime_checkable
class Table(Protocol):
    """What every analysis returns: a frozen dataclass."""

    __dataclass_fields__: ClassVar[Json]

    @property
    def rows(self) -> Sequence[Any]:
        """Frozen dataclasses of one type."""
        ...

    @property
    def missing(self) -> tuple[str, ...]:
        """What the run does not have, in words."""
        ...


def table_json(table: Table) -> Json:
    """The table as plain JSON; what is not a number is None."""
    return {name: _finite(value) for name, value in asdict(table).items()}


def write_table(path: Path, table: Table) -> Path:
    """Write the table as JSON.

    Raises: ArtifactError if the place cannot be written.
    """
    return write_json(path, table_json(table))


def distinct(values: Iterable[T]) -> list[T]:
    """Each value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))


def of_cell(table: Table, key: str) -> Table:
    """The same table with what belongs to one cell."""
    parts = {field.name: getattr(table, field.name) for field in fields(table)}
    kept = {
        name: tuple(item for item in value if item.key == key)
        for name, value in parts.items()
        if isinstance(value, tuple) and value and hasattr(value[0], "key")
    }
    return replace(table, **kept)


def columns(table: Table) -> tuple[list[str], list[list[object]]]:
    """Header and body of the rows, for showing them as a table."""
    if not table.rows:
        return [], []
    names = [field.name for field in fields(table.rows[0])]
    return names, [[getattr(row, name) for name in names] for row in table.rows]


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
