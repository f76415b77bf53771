"""The best of many strengths looks good by luck: tests and estimates that know of the search; ranks among controls."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_rows
from interp_xfer.errors import ConfigError
from interp_xfer.streams import random_order, stream

_ROWS_AT_ONCE = 1000  # flips held in memory together


class MaxT(NamedTuple):
    """The largest gain over many strengths, judged against the largest of random sign flips."""

    best: int
    """Column of the largest t."""
    t: float
    p_value: float
    """Of the largest, adjusted for having searched."""
    adjusted: tuple[float, ...]
    """Adjusted p value of every column; 1.0 for a column without any difference."""


def max_t_sign_flip(
    differences: Float[Tensor, "questions strengths"],
    n_flips: int | None = 10_000,
    alternative: Literal["greater", "two-sided"] = "greater",
    seed: int = 0,
) -> MaxT:
    """Whether the best of many strengths gains more than the best of as many strengths without effect.

    T = max_k mean(D_k) / se_k, against T* of D with whole question rows negated at random, p = (1 + #{T* >= T}) / (B +
    1). Computed from r_k = sum(D_k) / sqrt(sum D_k²), of which t is the same increasing function in every column; its
    denominator is the same for all flips. Columns of zeros are left out.

    Arguments:
        differences: steered minus baseline score, one column a strength.
        n_flips: B; None: all 2^m flips of the m questions that differ anywhere, p = #{T* >= T} / 2^m.
        alternative: "two-sided" takes the absolute value.
        seed: of the flips.
    Returns: best column, its t, and adjusted p values.
    Raises: ShapeError on NaN or fewer than two questions; ConfigError on more than 2^20 exact flips.
    Source: Westfall and Young 1993 (single-step max-T).
    """
    require_finite("differences", differences)
    n, n_strengths = differences.shape
    require_rows("questions", n, 2, "a sign-flip test")
    values = differences.double()
    norms = values.norm(dim=0)
    used = norms > 0
    scaled = values[:, used] / norms[used]
    scaled = scaled[(scaled != 0).any(dim=1)]  # a row without differences is the same when flipped
    if not used.any():
        return MaxT(0, 0.0, 1.0, (1.0,) * n_strengths)

    observed = _sided(scaled.sum(dim=0), alternative)
    exceeded = torch.zeros_like(observed)
    n_signs = 0
    for signs in _sign_flips(len(scaled), n_flips, seed):
        largest = _sided(signs @ scaled, alternative).amax(dim=1)
        # Equal sums in another order of addition must count as equal.
        exceeded += (largest[:, None] >= observed - 1e-10).sum(dim=0)
        n_signs += len(signs)
    extra = 0 if n_flips is None else 1
    adjusted = torch.ones(n_strengths, dtype=torch.float64)
    adjusted[used] = (exceeded + extra) / (n_signs + extra)
    best = int(used.nonzero()[:, 0][observed.argmax()])
    r = float(observed.max())
    t = r * math.sqrt((n - 1) / max(n - r**2, 1e-300))
    return MaxT(best, t, float(adjusted[best]), tuple(adjusted.tolist()))


def cross_fitted_selection(
    correct: Bool[Tensor, "questions strengths"], n_folds: int = 5, seed: int = 0
) -> Bool[Tensor, " questions"]:
    """Correctness of each question at the strength that was best on the other folds of questions.

    Its accuracy is an honest estimate of what choosing the strength is worth. Ties go to the first column.

    Arguments:
        correct: one column a strength, in increasing strength.
        n_folds: K, questions are dealt at random.
        seed: of the deal.
    Returns: (questions), to be compared with the baseline by `paired_difference`.
    Raises: ShapeError on fewer questions than folds; ConfigError on fewer than two folds.
    """
    if n_folds < 2:
        raise ConfigError(f"cross-fitting needs 2 folds or more, got {n_folds}.")
    n = len(correct)
    require_rows("questions", n, n_folds, f"cross-fitting in {n_folds} folds")
    fold = random_order(stream(seed, "folds"), n) % n_folds
    selected = torch.zeros(n, dtype=torch.bool)
    for number in range(n_folds):
        counts = correct[fold != number].sum(dim=0).tolist()
        selected[fold == number] = correct[fold == number, counts.index(max(counts))]
    return selected


def rank_p_value(observed: float, null: Float[Tensor, " draws"]) -> float:
    """P value of an observation among draws of a control, such as random directions.

    (1 + #{null >= observed}) / (R + 1); with R = 20 draws it cannot fall below .048.

    Arguments:
        observed: the value of the real thing, large is better.
        null: the same value for each draw of the control.
    Returns: p.
    Raises: ShapeError on NaN.
    Source: Phipson and Smyth 2010, arXiv 1603.05766.
    """
    require_finite("control values", null)
    return (1 + int((null.double() >= observed).sum())) / (len(null) + 1)


def _sided(sums: Tensor, alternative: str) -> Tensor:
    return sums.abs() if alternative == "two-sided" else sums


def _sign_flips(n: int, n_flips: int | None, seed: int) -> Iterator[Tensor]:
    """Chunks of rows of +1 and -1: all 2^n, or n_flips at random."""
    if n_flips is None:
        if n > 20:
            raise ConfigError(f"all flips of {n} questions are too many (the limit is 20); give n_flips.")
        numbers = torch.arange(2**n)[:, None] >> torch.arange(n)
        yield from (1.0 - 2.0 * (numbers & 1).double()).split(_ROWS_AT_ONCE)
        return
    numbers = stream(seed, "sign-flips")
    for done in range(0, n_flips, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, n_flips - done)
        yield torch.from_numpy(numbers.integers(2, size=(rows, n))).double() * 2 - 1
