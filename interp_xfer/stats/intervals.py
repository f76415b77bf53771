"""Intervals of shares and means over questions."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student
from torch import Tensor

from interp_xfer.checks import require_finite, require_rows
from interp_xfer.errors import ConfigError
from interp_xfer.streams import stream

_ROWS_AT_ONCE = 1000  # resamples held in memory together


class Interval(NamedTuple):
    """An estimate with its interval."""

    estimate: float
    low: float
    high: float


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Share k / n with its score interval, sound for small n and for shares of 0 and 1.

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Arguments:
        k: successes.
        n: trials.
        confidence: coverage.
    Returns: estimate, low, high, fractions.
    Raises: ConfigError unless 0 <= k <= n and n >= 1.
    Source: Wilson 1927; arXiv 2503.01747 on why normal intervals fail below a few hundred items.
    """
    if not (0 <= k <= n and n >= 1):
        raise ConfigError(f"a share needs 0 <= k <= n and n >= 1, got k={k} of n={n}; count the questions again.")
    return score_interval(k / n, float(n), confidence)


def score_interval(share: float, n: float, confidence: float = 0.95, degrees: int | None = None) -> Interval:
    """A share with the interval that `wilson_interval` gives n trials, for an effective, fractional n.

    Arguments:
        share: estimate between 0 and 1.
        n: trials that would make the estimate as certain as it is.
        confidence: coverage.
        degrees: of freedom of Student's quantile, where n itself is an estimate; None takes the normal one.
    Returns: estimate, low, high, fractions.
    Source: Wilson 1927.
    """
    tail = (1 + confidence) / 2
    z = float(norm.ppf(tail) if degrees is None else student.ppf(tail, degrees))
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return Interval(share, 0.0 if share == 0 else low, 1.0 if share == 1 else high)


def paired_bootstrap(
    differences: Float[Tensor, " questions"], n_resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean difference per question with its percentile interval over resampled questions.

    Arguments:
        differences: steered minus baseline score of each question, any unit.
        n_resamples: B.
        confidence: coverage.
        seed: of the resampling.
    Returns: mean, low, high in the unit of the differences.
    Raises: ShapeError on NaN or no questions.
    Source: Efron 1979.
    """
    require_finite("differences", differences)
    n = len(differences)
    require_rows("questions", n, 1, "a bootstrap")
    numbers = stream(seed, "paired-bootstrap")
    values = differences.double()
    means = [
        values[torch.from_numpy(numbers.integers(n, size=(min(_ROWS_AT_ONCE, n_resamples - done), n)))].mean(dim=1)
        for done in range(0, n_resamples, _ROWS_AT_ONCE)
    ]
    tails = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = torch.cat(means).quantile(tails).tolist()
    return Interval(float(values.mean()), low, high)
