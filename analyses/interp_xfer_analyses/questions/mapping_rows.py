"""The rows of the mapping comparison: what is computed, and what its figure draws."""

from collections.abc import Collection
from dataclasses import dataclass

from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.steering.vectors import STRENGTH_UNITS

AXES = ("layer_map", "projection", "unit")
"""Settings that are compared."""

AXIS_NAMES = {"layer_map": "Layer map", "projection": "Projection", "unit": "Unit", "cell": "Each cell − baseline"}

_ORDER = (*LAYER_MAPS, *LINEAR_MAPS, *STRENGTH_UNITS)
"""Controls last, so that a difference reads "real minus control"."""


@dataclass(frozen=True)
class Row:
    """One paired difference."""

    key: str
    """Of the cell; empty for a comparison of settings."""
    dataset: str
    axis: str
    """layer_map, projection, unit, or cell."""
    label: str
    """First level − second level, or the settings of the cell."""
    n: int
    """Questions."""
    n_contexts: int
    """Pairs of cells that the difference is averaged over."""
    delta: float
    """Mean difference of accuracy at lambda*, a fraction."""
    low: float
    """Lower end of the 95 % interval over questions, for this row alone."""
    high: float
    gained: int
    """Answers that only the first level, or the steered child, got right; over all contexts."""
    lost: int
    lowest: float
    """Smallest difference of a single context."""
    highest: float
    p_value: float
    """Of the test whose inversion is the interval; two-sided."""
    p_adjusted: float
    """Max-T over the comparisons, or over the cells, of the data set."""


def axis_levels(axis: str, found: Collection[str]) -> list[str]:
    """The levels in use in their order; unknown ones last."""
    return sorted(found, key=level_rank)


def level_rank(level: str) -> tuple[int, str]:
    """Place of a level among those of its axis."""
    return (_ORDER.index(level) if level in _ORDER else len(_ORDER), level)
