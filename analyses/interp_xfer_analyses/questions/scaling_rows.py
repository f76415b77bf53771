"""The rows of baseline, lambda* and vote: what `inference_scaling` computes and its figures draw."""

from dataclasses import dataclass

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.questions.vote_curves import VotePoint


@dataclass(frozen=True)
class Row:
    """One cell and arm."""

    key: str
    label: str
    parent: str
    child: str
    dataset: str
    unit: str
    arm: str
    strength: float | None
    generations: int
    """Answers generated for each question."""
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    delta: float | None
    """From the baseline, paired by question; None for the baseline."""
    delta_low: float | None
    delta_high: float | None
    broken: int | None
    fixed: int | None
    p_value: float | None


@dataclass(frozen=True)
class Curve:
    """Accuracy against k of one cell."""

    key: str
    points: tuple[VotePoint, ...]


@dataclass(frozen=True)
class InferenceScaling:
    """Arms by cell, and the vote against k where single answers are there."""

    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    missing: tuple[str, ...]


def change_text(row: Row) -> str:
    """Like "+3.1 points [-2.0, +8.2], 4 lost, 6 gained, p = .754"."""
    if row.delta is None or row.delta_low is None or row.delta_high is None or row.p_value is None:
        return "no difference"
    return (
        f"{style.points(row.delta)} points {style.point_interval(row.delta_low, row.delta_high)}, {row.broken} lost, "
        f"{row.fixed} gained, {style.p_text(row.p_value)}"
    )
