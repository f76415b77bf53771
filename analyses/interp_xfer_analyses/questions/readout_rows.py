"""The rows of a concept readout: what `concept_readout` computes and draws."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One source of directions at one child layer."""

    key: str
    label: str
    """Parent, child, data set."""
    source: str
    child_layer: int
    auroc: float
    low: float
    """Lower end of the 95 % interval over pairs; over pairs and draws, for a control of several draws."""
    high: float
    pair_accuracy: float | None
    """Share of pairs whose positive member scores higher."""
    cosine_with_native: float | None
    lowest: float | None = None
    """Of any draw."""
    highest: float | None = None


@dataclass(frozen=True)
class PairRow:
    """One parent layer carried into one child layer."""

    key: str
    parent_layer: int
    child_layer: int
    auroc: float
    low: float
    high: float
    flipped: bool


@dataclass(frozen=True)
class FitRow:
    """The ridge map of one layer pair that a layer map uses."""

    key: str
    map: str
    parent_layer: int
    child_layer: int
    r2: float
    """Out of fold."""
    r2_along: float | None
    """Of the child's score on the carried direction."""
    shuffled_r2: float | None
    """Of rows paired with those of other texts."""
    flipped: bool


@dataclass(frozen=True)
class SummaryRow:
    """A source averaged over child layers."""

    key: str
    label: str
    source: str
    n_layers: int
    n_pairs: int
    auroc: float
    low: float
    high: float
    random_mean: float
    random_best: float
    rank_p: float


@dataclass(frozen=True)
class DrawRow:
    """A control of several draws, averaged over child layers."""

    key: str
    source: str
    n_draws: int
    mean: float
    low: float
    """Lower end of the 95 % interval over pairs and draws."""
    high: float
    lowest: float
    """Mean over layers of the lowest draw."""
    highest: float
    n_flipped: tuple[int, ...]
    """Draw -> child layers whose direction was flipped."""


@dataclass(frozen=True)
class ConceptReadout:
    """All layer studies of a run."""

    rows: tuple[Row, ...]
    matrix: tuple[PairRow, ...]
    fits: tuple[FitRow, ...]
    summary: tuple[SummaryRow, ...]
    draws: tuple[DrawRow, ...]
    missing: tuple[str, ...]
