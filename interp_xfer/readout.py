"""How well a direction tells the members of held-out contrast pairs apart: a test of transfer by forward passes only.

AUROC is the probability that a positive member scores above a negative one, ties counting half; .5 is chance, below it
the sign is wrong. Two forms: of the members themselves, where differences between questions are noise, and of the
differences (each counted as positive, its negative as negative), where the question cancels. Easy pairs are separated
by many directions, so random directions belong beside every value.
"""

from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from scipy.stats import norm
from torch import Tensor

from interp_xfer._checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ShapeError
from interp_xfer.statistics import Interval, score_interval, wilson_interval


class Readout(NamedTuple):
    """Separation of held-out pairs by a direction."""

    auroc: Interval
    """Over all positive and negative members."""
    pair_accuracy: Interval
    """Share of pairs whose positive member scores higher."""
    n_pairs: int


def member_readout(
    direction: Float[Tensor, " d_model"],
    positive: Float[Tensor, "positive_pairs d_model"],
    negative: Float[Tensor, "negative_pairs d_model"],
    confidence: float = 0.95,
) -> Readout:
    """Separation of positive from negative members by their scores on a direction.

    Arguments:
        direction: sign resolved on other pairs; any length but zero.
        positive: held-out activations.
        negative: the other members of the same pairs.
        confidence: coverage of the intervals.
    Returns: AUROC and pair accuracy.
    Raises: ShapeError on unpaired members, fewer than two pairs, NaN, or a direction of length zero.
    Source: house rule; interval as in `paired_auroc`.
    """
    require_paired(len(positive), len(negative), "members", "the positive side", "the negative side", "on both sides")
    return score_readout(_score(direction, positive), _score(direction, negative), confidence)


def difference_readout(
    direction: Float[Tensor, " d_model"], differences: Float[Tensor, "pairs d_model"], confidence: float = 0.95
) -> Readout:
    """Separation of contrast differences from their negatives by their scores on a direction.

    P(d_i . v > -d_j . v) over all i, j: the question, common to both members of a pair, has cancelled.

    Arguments:
        direction: sign resolved on other pairs; any length but zero.
        differences: held-out h(positive) - h(negative).
        confidence: coverage of the intervals.
    Returns: AUROC and pair accuracy.
    Raises: ShapeError on fewer than two pairs, NaN, or a direction of length zero.
    Source: house rule; interval as in `paired_auroc`.
    """
    scores = _score(direction, differences)
    return score_readout(scores, -scores, confidence)


def paired_auroc(
    positive: Float[Tensor, " positive_pairs"], negative: Float[Tensor, " negative_pairs"], confidence: float = 0.95
) -> Interval:
    """Area under the ROC curve of paired scores, with an interval that knows of the pairs.

    A = mean_ij [p_i > n_j] + [p_i = n_j] / 2; its variance V by leaving out one pair at a time; the interval is
    Wilson's for A (1 - A) / V trials, for n where V = 0.

    Arguments:
        positive: score of the positive member of each pair.
        negative: of the negative member.
        confidence: coverage.
    Returns: estimate, low, high.
    Raises: ShapeError on unpaired scores, fewer than two pairs, or NaN.
    Source: jackknife of Mann and Whitney's statistic; score interval after Newcombe 2006, doi 10.1002/sim.2324.
    """
    wins = pairwise_wins(positive, negative)
    n, area, variance = len(wins), float(wins.mean()), _jackknife(wins)
    trials = area * (1 - area) / variance if variance > 1e-15 else n
    # A perfect separation of n pairs is worth n trials; hardly any spread among few pairs is not worth many more.
    return score_interval(area, min(float(trials), 2.0 * n), confidence)


def mean_auroc(wins: Float[Tensor, "layers pairs pairs"], confidence: float = 0.95) -> Interval:
    """AUROC averaged over layers, with an interval over pairs; the layers see the same pairs and are not independent.

    The mean is a statistic of the pairs like each AUROC is: mean_l A_l = mean_ij mean_l wins_lij; variance by leaving
    out one pair at a time, normal interval, cut at 0 and 1.

    Arguments:
        wins: `pairwise_wins` of each layer.
        confidence: coverage.
    Returns: estimate, low, high.
    Source: jackknife; house rule.
    """
    estimate, low, high = _normal_interval(wins.mean(dim=0), confidence)
    return Interval(estimate, max(0.0, low), min(1.0, high))


def auroc_difference(
    wins: Float[Tensor, "layers pairs pairs"], others: Float[Tensor, "layers pairs pairs"], confidence: float = 0.95
) -> Interval:
    """How much larger the AUROC of one source of directions is than that of another, averaged over layers, paired.

    Arguments:
        wins: `pairwise_wins` of each layer.
        others: of the same pairs and layers under the other source.
        confidence: coverage.
    Returns: estimate, low, high; normal interval from leaving out one pair at a time.
    Source: jackknife; house rule.
    """
    return _normal_interval((wins - others).mean(dim=0), confidence)


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
    require_paired(len(positive), len(negative), "scores", "the positive side", "the negative side", "on both sides")
    require_rows("pairs", len(positive), 2, "AUROC with an interval")
    require_finite("scores", torch.stack([positive, negative]))
    return torch.sign(positive.double()[:, None] - negative.double()) / 2 + 0.5


def _jackknife(wins: Float[Tensor, "pairs pairs"]) -> float:
    """Variance of the mean over all entries, by leaving out one pair (row and column) at a time."""
    n = len(wins)
    without = (wins.sum() - wins.sum(dim=0) - wins.sum(dim=1) + wins.diagonal()) / (n - 1) ** 2
    return float((without - without.mean()).square().sum()) * (n - 1) / n


def _normal_interval(wins: Float[Tensor, "pairs pairs"], confidence: float) -> Interval:
    estimate, half = float(wins.mean()), float(norm.ppf((1 + confidence) / 2)) * _jackknife(wins) ** 0.5
    return Interval(estimate, estimate - half, estimate + half)


def score_readout(
    positive: Float[Tensor, " positive_pairs"], negative: Float[Tensor, " negative_pairs"], confidence: float = 0.95
) -> Readout:
    """Separation of pairs whose members were scored before.

    Arguments:
        positive: score of the positive member of each pair.
        negative: of the negative member.
        confidence: coverage of the intervals.
    Returns: AUROC and pair accuracy.
    Raises: ShapeError on unpaired scores, fewer than two pairs, or NaN.
    """
    auroc = paired_auroc(positive, negative, confidence)
    right = int((positive > negative).sum())
    return Readout(auroc, wilson_interval(right, len(positive), confidence), len(positive))


def _score(direction: Tensor, rows: Tensor) -> Float[Tensor, " pairs"]:
    require_finite("activations", rows)
    require_finite("direction", direction)
    length = direction.double().norm()
    if length == 0:
        raise ShapeError("the direction has length 0 and reads nothing; leave the layer out.")
    return einsum(rows.double(), direction.double() / length, "pairs d_model, d_model -> pairs")
