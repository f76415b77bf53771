"""Paired statistics of accuracies: intervals, tests, selection among many strengths, sample sizes.

Every comparison is paired by question: b questions were right before and wrong after (broken), c the reverse (fixed).
Accuracies and effects are fractions, not points.

1. One pair of arms: `wilson_interval`, `paired_difference` with `mcnemar_exact`, `paired_bootstrap` for any score.
2. Many strengths, the best of which looks good by luck: `max_t_sign_flip` adjusts for the search, and
   `cross_fitted_selection` reports what the choice is worth on questions that did not choose.
3. Before the run: `required_n`, `minimum_detectable_effect`, `required_n_sampled`, from `sample_size`.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import binom, norm
from torch import Tensor

from interp_xfer._checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ConfigError
from interp_xfer.sample_size import minimum_detectable_effect, required_n, required_n_sampled

__all__ = [
    "Interval",
    "MaxT",
    "PairedDifference",
    "averaged_difference",
    "clustered_standard_error",
    "cross_fitted_selection",
    "max_t_sign_flip",
    "mcnemar_exact",
    "minimum_detectable_effect",
    "paired_bootstrap",
    "paired_difference",
    "rank_p_value",
    "required_n",
    "required_n_sampled",
    "score_interval",
    "wilson_interval",
]

_ROWS_AT_ONCE = 1000  # resamples held in memory together


class Interval(NamedTuple):
    """An estimate with its interval."""

    estimate: float
    low: float
    high: float


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
    """McNemar, exact."""
    n: int


class MaxT(NamedTuple):
    """The largest gain over many strengths, judged against the largest of random sign flips."""

    best: int
    """Column of the largest t."""
    t: float
    p_value: float
    """Of the largest, adjusted for having searched."""
    adjusted: tuple[float, ...]
    """Adjusted p value of every column; 1.0 for a column without any difference."""


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


def score_interval(share: float, n: float, confidence: float = 0.95) -> Interval:
    """A share with the interval that `wilson_interval` gives n trials, for an effective, fractional n.

    Arguments:
        share: estimate between 0 and 1.
        n: trials that would make the estimate as certain as it is.
        confidence: coverage.
    Returns: estimate, low, high, fractions.
    Source: Wilson 1927.
    """
    z = float(norm.ppf((1 + confidence) / 2))
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return Interval(share, 0.0 if share == 0 else low, 1.0 if share == 1 else high)


def mcnemar_exact(broken: int, fixed: int) -> float:
    """P value that as lopsided a split of the changed questions comes from a fair coin, two-sided.

    min(1, 2 P(Bin(b + c, 1/2) <= min(b, c))).

    Arguments:
        broken: b, right before and wrong after.
        fixed: c, the reverse.
    Returns: p; 1.0 when nothing changed.
    Raises: ConfigError on negative counts.
    Source: McNemar 1947, exact form.
    """
    if min(broken, fixed) < 0:
        raise ConfigError(f"counts of changed questions cannot be negative, got b={broken}, c={fixed}.")
    return min(1.0, 2 * float(binom.cdf(min(broken, fixed), broken + fixed, 0.5)))


def paired_difference(
    baseline_correct: Bool[Tensor, " baseline_questions"],
    steered_correct: Bool[Tensor, " steered_questions"],
    confidence: float = 0.95,
) -> PairedDifference:
    """Change in accuracy with its paired standard error, interval and exact test.

    delta = (c - b)/n; SE = sqrt(b + c - (c - b)²/n)/n. The interval is delta ± z SE after half a question is added to
    each of the four cells of the paired table, so that it has width even when nothing changed.

    Arguments:
        baseline_correct: per question.
        steered_correct: the same questions.
        confidence: coverage of the interval.
    Returns: the difference, fractions.
    Raises: ShapeError on unpaired or no questions.
    Source: delta and SE: arXiv 2411.00640; interval: Agresti and Min 2005, doi 10.1002/sim.1781.
    """
    require_paired(
        len(baseline_correct), len(steered_correct), "questions", "the baseline", "the steered run", "in both"
    )
    n = len(baseline_correct)
    require_rows("questions", n, 1, "a paired difference")
    b = int((baseline_correct & ~steered_correct).sum())
    c = int((~baseline_correct & steered_correct).sum())
    z = float(norm.ppf((1 + confidence) / 2))
    middle, half = (c - b) / (n + 2), z * _paired_error(b + 0.5, c + 0.5, n + 2.0)
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return PairedDifference(
        (c - b) / n, _paired_error(float(b), float(c), float(n)), low, high, b, c, mcnemar_exact(b, c), n
    )


def averaged_difference(differences: Float[Tensor, " questions"], confidence: float = 0.95) -> Interval:
    """Mean over questions of differences that were averaged over several settings first.

    The interval of `paired_difference` for values between -1 and 1: half a question is added at -1 and at +1 and one at
    0, m = sum(D)/(n + 2), SE = sqrt(sum(D²) + 1 - (n + 2) m²)/(n + 2). With differences of -1, 0 and 1 alone it is that
    interval; averages vary less, so that for them it is wide rather than narrow.

    Arguments:
        differences: of each question, between -1 and 1.
        confidence: coverage.
    Returns: mean, low, high, fractions.
    Raises: ShapeError on NaN or no questions; ConfigError outside -1 to 1.
    Source: after Agresti and Min 2005, doi 10.1002/sim.1781; averages: house rule.
    """
    require_finite("differences", differences)
    n = len(differences)
    require_rows("questions", n, 1, "a difference")
    values = differences.double()
    if float(values.abs().max()) > 1 + 1e-9:
        raise ConfigError(f"differences of accuracies lie between -1 and 1, got {float(values.abs().max())}.")
    middle = float(values.sum()) / (n + 2)
    z = float(norm.ppf((1 + confidence) / 2))
    half = z * math.sqrt(max(0.0, float(values.square().sum()) + 1 - (n + 2) * middle**2)) / (n + 2)
    return Interval(float(values.mean()), max(-1.0, middle - half), min(1.0, middle + half))


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
    generator = torch.Generator().manual_seed(seed)
    values = differences.double()
    means = [
        values[torch.randint(n, (min(_ROWS_AT_ONCE, n_resamples - done), n), generator=generator)].mean(dim=1)
        for done in range(0, n_resamples, _ROWS_AT_ONCE)
    ]
    tails = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = torch.cat(means).quantile(tails).tolist()
    return Interval(float(values.mean()), low, high)


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
    Source: house rule.
    """
    if n_folds < 2:
        raise ConfigError(f"cross-fitting needs 2 folds or more, got {n_folds}.")
    n = len(correct)
    require_rows("questions", n, n_folds, f"cross-fitting in {n_folds} folds")
    fold = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) % n_folds
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


def clustered_standard_error(values: Float[Tensor, " questions"], clusters: Int[Tensor, " questions"]) -> float:
    """Standard error of a mean whose questions come in dependent groups.

    sqrt(sum over groups of (sum of deviations)²) / n; with groups of one, the usual error with n in place of n - 1.

    Arguments:
        values: score or difference of each question.
        clusters: group of each question.
    Returns: the standard error in the unit of the values.
    Raises: ShapeError on NaN or no questions.
    Source: arXiv 2411.00640.
    """
    require_finite("values", values)
    require_rows("questions", len(values), 1, "a standard error")
    _, group = clusters.unique(return_inverse=True)
    deviations = values.double() - values.double().mean()
    sums = torch.zeros(int(group.max()) + 1, dtype=torch.float64).index_add_(0, group, deviations)
    return float(sums.norm()) / len(values)


def _paired_error(b: float, c: float, n: float) -> float:
    return math.sqrt(b + c - (c - b) ** 2 / n) / n


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
    generator = torch.Generator().manual_seed(seed)
    for done in range(0, n_flips, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, n_flips - done)
        yield torch.randint(2, (rows, n), generator=generator).double() * 2 - 1
