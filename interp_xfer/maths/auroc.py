"""How well a direction tells the members of held-out contrast pairs apart: a test of transfer by forward passes only.

AUROC is the probability that a positive member scores above a negative one, ties counting half; .5 is chance, below it
the sign is wrong. Differences between questions are noise in it; the share of pairs in order is free of them. Easy
pairs are separated by many directions, so random directions belong beside every value. Intervals are of 95 %.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.stats.intervals import Interval, score_interval, wilson_interval

_NOTHING = 1e-20  # a variance below it is rounding


class Readout(NamedTuple):
    """Separation of held-out pairs by a direction."""

    auroc: Interval
    """Over all positive and negative members."""
    pair_accuracy: Interval
    """Share of pairs whose positive member scores higher."""
    n_pairs: int


def paired_auroc(positive: Float[Tensor, " positive_pairs"], negative: Float[Tensor, " negative_pairs"]) -> Interval:
    """Area under the ROC curve of paired scores, with an interval that knows of the pairs.

    A = mean_ij [p_i > n_j] + [p_i = n_j] / 2; interval as `auroc_interval` of one layer.

    Arguments:
        positive: score of the positive member of each pair.
        negative: of the negative member.
    Returns: estimate, low, high.
    Raises: ShapeError on unpaired scores, fewer than two pairs, or NaN.
    Source: Mann and Whitney 1947; interval as `auroc_interval`.
    """
    return auroc_interval(pair_values(positive, negative)[None])


def mean_auroc(wins: Float[Tensor, "layers pairs pairs"]) -> Interval:
    """AUROC averaged over layers, with an interval over pairs; the layers see the same pairs and are not independent.

    Arguments:
        wins: `pairwise_wins` of each layer.
    Returns: estimate, low, high.
    Source: as `auroc_interval`.
    """
    return auroc_interval(_values_of(wins))


def auroc_difference(
    wins: Float[Tensor, "layers pairs pairs"], others: Float[Tensor, "layers pairs pairs"]
) -> Interval:
    """How much larger the AUROC of one source of directions is than that of another, averaged over layers, paired.

    Arguments:
        wins: `pairwise_wins` of each layer.
        others: of the same pairs and layers under the other source.
    Returns: estimate, low, high.
    Source: as `difference_interval`.
    """
    return difference_interval(_values_of(wins), _values_of(others))


def pair_values(
    positive: Float[Tensor, "*layers positive_pairs"], negative: Float[Tensor, "*layers negative_pairs"]
) -> Float[Tensor, "*layers positive_pairs"]:
    """What each pair contributes to the AUROC: their mean is the AUROC, their spread its variance over pairs.

    value_i = share of negatives below p_i + share of positives above n_i - A, ties counting half.

    Arguments:
        positive: score of the positive member of each pair, any number of layers.
        negative: of the negative member.
    Returns: float64.
    Raises: ShapeError on unpaired scores, fewer than two pairs, or NaN.
    Source: structural components of DeLong, DeLong and Clarke-Pearson 1988, doi 10.2307/2531595, of paired members.
    """
    _require_pairs(positive, negative)
    n = positive.shape[-1]
    p, q = (side.double().contiguous() for side in (positive, negative))
    sorted_p, sorted_q = p.sort(dim=-1).values, q.sort(dim=-1).values
    above = (torch.searchsorted(sorted_q, p) + torch.searchsorted(sorted_q, p, right=True)).double() / (2 * n)
    below = (torch.searchsorted(sorted_p, q) + torch.searchsorted(sorted_p, q, right=True)).double() / (2 * n)
    return above + (1 - below) - above.mean(dim=-1, keepdim=True)


def auroc_interval(values: Float[Tensor, "layers pairs"], between: float = 0.0) -> Interval:
    """AUROC averaged over layers, with an interval over pairs that covers near 1 too.

    Wilson's for N trials, with Student's quantile of n - 1: the normal interval of a mean AUROC of .99 covers .6 to .8
    instead of .95, because few of the pairs lose and the variance rests on those. With V the variance of the mean over
    n pairs, k = (sum d_i²)² / sum d_i⁴ the number of pairs that it rests on (d the deviations of the pairs' values,
    averaged over layers), w = k / (k + 4), and D the number of layers that the layers are worth (mean variance of one
    layer over V):

        1 / N = w V / (A (1 - A)) + (1 - w) / (2 n (1 + w (D - 1)))

    so that N is what the data say where many pairs lose, and two trials a pair where none does.

    Arguments:
        values: `pair_values` of each layer (or draw).
        between: variance that has to be added to that over pairs, such as that of the mean over draws.
    Returns: estimate, low, high.
    Source: DeLong et al. 1988, doi 10.2307/2531595 (variance and covariance of layers); Newcombe 2006, doi
        10.1002/sim.2324 (score intervals of an AUROC); the weights are a house rule. Coverage by simulation, in
        `benchmarks/interval_coverage.py`: .93 to .99 up to an AUROC of .95, more above, where it is cautious.
    """
    area, n = float(values.mean()), values.shape[1]
    single, mean = (_variance(rows) for rows in (values, values.mean(dim=0, keepdim=True)))
    variance, weight = float(mean), _weight(values)
    layers = float(single.mean()) / variance if variance > _NOTHING else 1.0
    spread = area * (1 - area)
    rest = (1 - weight) / (2 * n * (1 + weight * (layers - 1)))
    inverse = weight * variance / spread + between / spread + rest if spread > _NOTHING else 1 / (2 * n)
    return score_interval(area, 1 / inverse, degrees=n - 1)


def difference_interval(
    values: Float[Tensor, "layers pairs"],
    others: Float[Tensor, "other_layers pairs"],
    between: float = 0.0,
) -> Interval:
    """AUROC of one source minus that of another on the same pairs, each averaged over layers (or draws).

    From the two intervals (a, l, u) and the correlation r of the two means over pairs:
    d - sqrt((a1 - l1)² - 2 r (a1 - l1)(u2 - a2) + (u2 - a2)²), and the upper end likewise. It has width where both win
    all pairs.

    Arguments:
        values: `pair_values` of the one.
        others: of the other.
        between: as in `auroc_interval`, of the other.
    Returns: estimate, low, high.
    Source: square-and-add, Newcombe 1998, doi 10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C; with
        correlation Zou and Donner 2008, doi 10.1002/sim.3095.
    """
    first, second = auroc_interval(values), auroc_interval(others, between)
    a, b = (side.mean(dim=0) - side.mean() for side in (values, others))
    lengths = float(a.norm() * b.norm())
    r = float(a @ b) / lengths if lengths > _NOTHING else 0.0
    if between > 0:  # what is added has nothing in common with the first source
        over_pairs = float(_variance(others.mean(dim=0, keepdim=True)))
        r *= (over_pairs / (over_pairs + between)) ** 0.5
    ends = [
        (x**2 - 2 * r * x * y + y**2) ** 0.5
        for x, y in (
            (first.estimate - first.low, second.high - second.estimate),
            (first.high - first.estimate, second.estimate - second.low),
        )
    ]
    estimate = first.estimate - second.estimate
    return Interval(estimate, max(-1.0, estimate - ends[0]), min(1.0, estimate + ends[1]))


def pairwise_wins(
    positive: Float[Tensor, " positive_pairs"], negative: Float[Tensor, " negative_pairs"]
) -> Float[Tensor, "pairs pairs"]:
    """1 where a positive score (row) exceeds a negative one (column), .5 on a tie, 0 below; the mean is the AUROC.

    Arguments:
        positive: score of the positive member of each pair.
        negative: of the negative member.
    Returns: (pairs, pairs), float64.
    Raises: ShapeError on unpaired scores, fewer than two pairs, or NaN.
    """
    _require_pairs(positive, negative)
    return torch.sign(positive.double()[:, None] - negative.double()) / 2 + 0.5


def score_readout(positive: Float[Tensor, " positive_pairs"], negative: Float[Tensor, " negative_pairs"]) -> Readout:
    """Separation of pairs whose members were scored before.

    Arguments:
        positive: score of the positive member of each pair.
        negative: of the negative member.
    Returns: AUROC and pair accuracy.
    Raises: ShapeError on unpaired scores, fewer than two pairs, or NaN.
    """
    auroc = paired_auroc(positive, negative)
    right = int((positive > negative).sum())
    return Readout(auroc, wilson_interval(right, len(positive)), len(positive))


def _values_of(wins: Float[Tensor, "layers pairs pairs"]) -> Float[Tensor, "layers pairs"]:
    return wins.mean(dim=2) + wins.mean(dim=1) - wins.mean(dim=(1, 2))[:, None]


def _variance(values: Float[Tensor, "layers pairs"]) -> Float[Tensor, " layers"]:
    """Of the mean over pairs."""
    return values.var(dim=1) / values.shape[1]


def _weight(values: Float[Tensor, "layers pairs"]) -> float:
    """How far a variance over pairs can be trusted: k / (k + 4), k the number of pairs that it rests on."""
    squares = (values.mean(dim=0) - values.mean()).square()
    fourth = float(squares.square().sum())
    k = float(squares.sum()) ** 2 / fourth if fourth > _NOTHING**2 else 0.0
    return k / (k + 4)


def _require_pairs(positive: Tensor, negative: Tensor) -> None:
    n, other = positive.shape[-1], negative.shape[-1]
    require_paired(n, other, "scores", "the positive side", "the negative side", "on both sides")
    require_rows("pairs", n, 2, "AUROC with an interval")
    require_finite("scores", torch.stack([positive, negative]))
