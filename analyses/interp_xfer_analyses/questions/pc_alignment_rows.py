"""Rows of `pc_alignment`: what is said of two layers, of a measure, of a comparison."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One pair of layers."""

    key: str
    label: str
    """Parent, child, data set."""
    parent_layer: int
    child_layer: int
    differences: float | None
    """Correlation of scores, positive minus negative member; None where scores do not vary."""
    within_class: float | None
    """Both members, each class centred."""
    all_members: float | None
    """Both members; high whenever both models separate the classes."""
    carried: float | None
    """Cosine after the ridge map of this pair of layers; None where nothing was fitted."""
    raw: float | None
    """Cosine of the coordinates; None where the widths differ."""
    overlap: float | None
    """Mean squared canonical correlation of several components' score differences."""
    carried_overlap: float | None
    """Mean squared cosine of the principal angles between carried and own components."""


@dataclass(frozen=True)
class MeasureRow:
    """One measure over all pairs of layers."""

    key: str
    measure: str
    lowest: float
    highest: float
    entry_threshold: float
    """Size that a single pair of layers exceeds by chance in 1 of 20; median over pairs."""
    search_threshold: float
    """Size that the largest of all pairs exceeds by chance in 1 of 20."""
    entry_analytic: float | None
    """The same for normal scores, or isotropic directions; None where no formula holds."""
    search_analytic: float | None
    """After Sidak, as if pairs of layers were independent: too large for scores, too small for what varies alike."""
    p_value: float
    """Of the largest size, adjusted for the search."""
    n_beyond: int
    """Pairs of layers beyond the search threshold."""
    n_entries: int


@dataclass(frozen=True)
class ComparisonRow:
    """One parent, child and layer map."""

    key: str
    label: str
    n_pairs: int
    """Held-out contrast pairs."""
    n_components: int
    strategy: str | None
    parent_of: tuple[int | None, ...]
    """The layer map of the transfer."""
    absent: tuple[tuple[str, str], ...]
    """Measure and why it is not there."""


@dataclass(frozen=True)
class PcAlignment:
    """All comparisons of a run."""

    rows: tuple[Row, ...]
    measures: tuple[MeasureRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    missing: tuple[str, ...]
