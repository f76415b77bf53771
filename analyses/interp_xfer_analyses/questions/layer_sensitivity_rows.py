"""Rows of `layer_sensitivity`: one per layer, window, arm, peak and agreement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One child layer."""

    key: str
    layer: int
    scale: float
    """Length of the shift at strength 1."""
    slope: float
    """Of the transferred direction, nats per unit of strength."""
    low: float
    high: float
    z_isotropic: float
    z_covariance: float
    native_slope: float | None
    """Of the child's own direction; None where that is the one that steers."""
    native_low: float | None
    native_high: float | None
    deviation_isotropic: float
    """Standard deviation of the slope of random directions."""
    deviation_covariance: float


@dataclass(frozen=True)
class SweepRow:
    """One window of layers at one strength."""

    key: str
    first: int
    last: int
    n_layers: int
    strength: float
    change: float
    """Of mean log p(gold answer), nats."""
    low: float
    high: float


@dataclass(frozen=True)
class AnswerRow:
    """Generated answers with one window steered, against the unsteered ones."""

    key: str
    first: int
    last: int
    strength: float
    n: int
    correct: int
    unsteered: int
    """Right without steering."""
    delta: float
    """Change in accuracy, a fraction."""
    low: float
    high: float
    p_value: float
    invalid: int


@dataclass(frozen=True)
class PeakRow:
    """The layer that stands out most, judged for having looked at all of them."""

    key: str
    direction: str
    null: str
    layer: int
    z: float
    p_layers: float
    """Sidak over layers."""
    p_draws: float
    """Rank of the largest |z| among the draws."""
    n_draws: int


@dataclass(frozen=True)
class AgreementRow:
    """Do gradient and sweep put the layers in the same order?"""

    key: str
    strength: float
    rho: float | None
    """None where one of them is the same at all layers."""
    low: float | None
    high: float | None
    p_permutation: float
    p_rotation: float
    n_layers: int


@dataclass(frozen=True)
class MeasuredRow:
    """One cell."""

    key: str
    label: str
    unit: str
    n_questions: int
    n_layers: int
    log_p: float
    """Mean of log p(gold answer), unsteered."""
    z_search: float
    """|z| that the largest of all layers exceeds by chance in 1 of 20."""


@dataclass(frozen=True)
class LayerSensitivity:
    """All cells of a run that were measured."""

    rows: tuple[Row, ...]
    sweep: tuple[SweepRow, ...]
    answers: tuple[AnswerRow, ...]
    peaks: tuple[PeakRow, ...]
    agreement: tuple[AgreementRow, ...]
    measured: tuple[MeasuredRow, ...]
    missing: tuple[str, ...]
