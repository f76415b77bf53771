"""The rows of the strength curves: what `lambda_robustness` computes and its figures draw."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One cell, split and strength."""

    key: str
    label: str
    parent: str
    child: str
    dataset: str
    unit: str
    split: str
    strength: float
    """0 is the unsteered baseline."""
    is_lambda_star: bool
    shift_length: float | None
    """In units of the residual stream, median over steered layers."""
    shift_share: float | None
    """Shift over residual norm, summed over steered layers."""
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    invalid: int
    truncated: int
    timed_out: int
    """Answers whose comparison with the reference was given up."""
    mean_tokens: float
    rules: dict[str, float]
    """Extraction rule -> share of the answers it found."""
    compression: float | None
    """Compressed over plain length of the test answers, mean; near 0: repetition."""
