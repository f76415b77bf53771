"""Two arms on the same questions: the difference of their accuracies, with an interval and a p value that agree.

b questions were right before and wrong after (broken), c the reverse (fixed), n were asked. Everything follows from one
test, for a difference of delta:

    T(delta) = (c - b - n delta) / sqrt(n (2 q + delta (1 - delta))), q the most likely share of broken questions

- p value of no difference: T(0) = (c - b) / sqrt(b + c), McNemar's test without correction;
- interval: every delta with |T(delta)| <= z (Tango 1998). So p < .05 exactly where the 95 % interval leaves out 0.

Why this one (`python benchmarks/interval_coverage.py`, exact sums over all tables): over 8 to 200 questions of which up
to half change, the test's size at .05 is at most .054, where the exact test of McNemar stays between .004 and .040 and
finds less; the interval covers at least .93, where that of Agresti and Min falls to .83 and Wald's to .15. Only where
nearly every one of few questions changes is the size larger (.078 at 5 of 5).
"""

import math
from typing import NamedTuple

from jaxtyping import Bool, Float
from scipy.optimize import root_scalar
from scipy.stats import norm
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ConfigError


class PairedDifference(NamedTuple):
    """Steered minus baseline accuracy over the same questions."""

    delta: float
    standard_error: float
    low: float
    high: float
    broken: int
    """b: right at baseline, wrong when steered."""
    fixed: int
    """c: wrong at baseline, right when steered."""
    p_value: float
    """Of the test whose inversion is the interval."""
    n: int


class AveragedDifference(NamedTuple):
    """Mean of differences that were averaged over several settings first."""

    estimate: float
    low: float
    high: float
    p_value: float
    """Of the test whose inversion is the interval."""


def paired_difference(
    baseline_correct: Bool[Tensor, " baseline_questions"],
    steered_correct: Bool[Tensor, " steered_questions"],
    confidence: float = 0.95,
) -> PairedDifference:
    """Change in accuracy with its paired standard error, score interval and score test.

    delta = (c - b)/n; SE = sqrt(b + c - (c - b)²/n)/n; interval and p value as in the module docstring.

    Arguments:
        baseline_correct: per question.
        steered_correct: the same questions.
        confidence: coverage of the interval.
    Returns: the difference, fractions.
    Raises: ShapeError on unpaired or no questions.
    Source: delta and SE: arXiv 2411.00640; interval and test as `tango_interval` and `mcnemar_score`.
    """
    require_paired(
        len(baseline_correct), len(steered_correct), "questions", "the baseline", "the steered run", "in both"
    )
    n = len(baseline_correct)
    require_rows("questions", n, 1, "a paired difference")
    b = int((baseline_correct & ~steered_correct).sum())
    c = int((~baseline_correct & steered_correct).sum())
    low, high = tango_interval(b, c, n, confidence)
    error = math.sqrt(b + c - (c - b) ** 2 / n) / n
    return PairedDifference((c - b) / n, error, low, high, b, c, mcnemar_score(b, c), n)


def mcnemar_score(broken: int, fixed: int) -> float:
    """P value that as lopsided a split of the changed questions comes from a fair coin, two-sided, by the score test.

    2 P(Z >= |c - b| / sqrt(b + c)), Z standard normal: chi-square with one degree of freedom, without correction.

    Arguments:
        broken: b, right before and wrong after.
        fixed: c, the reverse.
    Returns: p; 1.0 when nothing changed.
    Raises: ConfigError on negative counts.
    Source: McNemar 1947, doi 10.1007/BF02295996; Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91, on
        why it is preferred to the exact form.
    """
    _require_counts(broken, fixed)
    return 2 * float(norm.sf(abs(fixed - broken) / math.sqrt(max(broken + fixed, 1))))


def tango_interval(broken: int, fixed: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The differences that the score test does not reject: |T(delta)| <= z, see the module docstring.

    It has width even when nothing changed, and never leaves -1 to 1.

    Arguments:
        broken: b.
        fixed: c.
        n: questions asked.
        confidence: coverage.
    Returns: low, high, fractions.
    Raises: ConfigError unless 0 <= b + c <= n and n >= 1.
    Source: Tango 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B; recommended by Fagerland,
        Lydersen and Laake 2014, doi 10.1002/sim.6148.
    """
    _require_counts(broken, fixed)
    if not (n >= 1 and broken + fixed <= n):
        raise ConfigError(f"{broken} broken and {fixed} fixed questions do not fit into {n}; count them again.")
    z = float(norm.ppf((1 + confidence) / 2))
    estimate = (fixed - broken) / n
    low = -1.0 if broken == n else _where(broken, fixed, n, z, (-1.0, estimate))
    high = 1.0 if fixed == n else _where(broken, fixed, n, -z, (estimate, 1.0))
    return low, high


def averaged_difference(differences: Float[Tensor, " questions"], confidence: float = 0.95) -> AveragedDifference:
    """Mean over questions of differences that were averaged over several settings first.

    Half a question is added at -1 and half at +1, so that there is width even when nothing changed, and

        T(delta) = sum(D - delta) / sqrt(sum (D - delta)²)

    over all of them, which is the statistic of a sign-flip test of D - delta; |T| <= z gives m ± z sqrt((Q - S m) /
    (N (N - z²))), N = n + 1, S = sum D, Q = sum D² + 1, m = S / N, and p is that of T(0) = S / sqrt(Q). Where N <= z²
    nothing is rejected. With differences of -1, 0 and 1 alone it is close to `paired_difference`, a little wider.

    Arguments:
        differences: of each question, between -1 and 1.
        confidence: coverage.
    Returns: mean, low, high, fractions, and p.
    Raises: ShapeError on NaN or no questions; ConfigError outside -1 to 1.
    Source: house rule; added questions after Agresti and Min 2005, doi 10.1002/sim.1781.
    """
    require_finite("differences", differences)
    n = len(differences)
    require_rows("questions", n, 1, "a difference")
    values = differences.double()
    if float(values.abs().max()) > 1 + 1e-9:
        raise ConfigError(f"differences of accuracies lie between -1 and 1, got {float(values.abs().max())}.")
    z = float(norm.ppf((1 + confidence) / 2))
    size, total, squares = n + 1, float(values.sum()), float(values.square().sum()) + 1
    low, high = -1.0, 1.0
    if size > z**2:
        middle = total / size
        half = z * math.sqrt((squares - total * middle) / (size * (size - z**2)))
        low, high = max(low, middle - half), min(high, middle + half)
    p_value = 2 * float(norm.sf(abs(total) / math.sqrt(squares)))
    return AveragedDifference(float(values.mean()), low, high, p_value)


def _where(b: int, c: int, n: int, value: float, bracket: tuple[float, float]) -> float:
    """The delta at which T has a value; T falls as delta grows, and is 0 at the estimate."""
    return root_scalar(lambda delta: _score(b, c, n, delta) - value, bracket=bracket, xtol=1e-13).root


def _score(b: int, c: int, n: int, delta: float) -> float:
    """T(delta); q solves 2n q² + ((2n - c + b) delta - b - c) q - b delta (1 - delta) = 0."""
    linear = (2 * n - c + b) * delta - b - c
    q = (math.sqrt(max(linear**2 + 8 * n * b * delta * (1 - delta), 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    return (c - b - n * delta) / math.sqrt(max(variance, 1e-300))


def _require_counts(broken: int, fixed: int) -> None:
    if min(broken, fixed) < 0:
        raise ConfigError(f"counts of changed questions cannot be negative, got b={broken}, c={fixed}.")
