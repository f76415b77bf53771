"""Do two measures put the layers in the same order? Spearman's rho, with two tests and an interval.

- p by permutation: layers shuffled; exact (all orders) where there are few, else random orders. It takes layers as
  exchangeable, but neighbouring layers resemble each other, so it is too small.
- p by rotation: one measure shifted along the depth by 1, 2, ... L - 1 layers, which keeps neighbours together; at best
  1 / L.
- interval: questions resampled, both measures averaged again (percentile bootstrap): what other questions would give
  for these layers. Resampling adds noise, which pulls rho towards 0; where that leaves rho outside, the interval is
  stretched to hold it.
"""

import math
from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.streams import stream

_EXACT = 7  # layers of which all orders (5040) are tried
_ROWS_AT_ONCE = 1000


class RankCorrelation(NamedTuple):
    """Spearman's rho of two measures over layers."""

    rho: float
    """NaN where a measure is constant."""
    low: float
    """Lower end of the interval over questions."""
    high: float
    p_permutation: float
    """Two-sided."""
    p_rotation: float
    """Two-sided; neighbours stay together."""
    n: int
    """Layers."""


def spearman(x: Float[Tensor, "*#many layers"], y: Float[Tensor, "*#many layers"]) -> Float[Tensor, "..."]:
    """Spearman's rho along the last axis, the others broadcast; ties at their mean rank, NaN where a side is constant.

    Source: Spearman 1904.
    """
    a, b = (torch.as_tensor(rankdata(side.double().numpy(), axis=-1)) for side in (x, y))
    a, b = (ranks - ranks.mean(dim=-1, keepdim=True) for ranks in (a, b))
    return (a * b).sum(dim=-1) / (a.square().sum(dim=-1) * b.square().sum(dim=-1)).sqrt()


def rank_correlation(
    x: Float[Tensor, "questions layers"],
    y: Float[Tensor, "questions layers"],
    *,
    n_permutations: int = 9999,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> RankCorrelation:
    """Spearman's rho between the question means of two measures, over layers.

    Arguments:
        x: one measure, of each question at each layer.
        y: the other, of the same questions and layers (or windows of layers).
        n_permutations: random orders where not all are tried.
        n_bootstrap: resamples of the questions.
        seed: of orders and resamples.
    Returns: rho with 95 % interval and p values; all NaN, with p = 1, where a measure is constant.
    Raises: ShapeError on unpaired rows, NaN, fewer than 3 layers or 2 questions.
    Source: p = (1 + #)/(K + 1): Phipson and Smyth 2010, doi 10.2202/1544-6115.1585; rotations: house rule.
    """
    require_paired(len(x), len(y), "questions", "one measure", "the other", "in both")
    require_paired(x.shape[1], y.shape[1], "layers", "one measure", "the other", "in both")
    for name, values in (("the first measure", x), ("the second measure", y)):
        require_finite(name, values)
    n_questions, n = x.shape
    require_rows("layers", n, 3, "a rank correlation")
    require_rows("questions", n_questions, 2, "an interval over questions")
    mean_x, mean_y = x.double().mean(dim=0), y.double().mean(dim=0)
    rho = float(spearman(mean_x, mean_y))
    if math.isnan(rho):
        return RankCorrelation(rho, rho, rho, 1.0, 1.0, n)
    resampled = _bootstrap(x.double(), y.double(), n_bootstrap, stream(seed, "questions"))
    low, high = torch.quantile(resampled[~resampled.isnan()], torch.tensor([0.025, 0.975]).double()).tolist()
    return RankCorrelation(
        rho,
        min(low, rho),
        max(high, rho),
        _p_permutation(mean_x, mean_y, rho, n_permutations, stream(seed, "orders of layers")),
        _p_rotation(mean_x, mean_y, rho),
        n,
    )


def _bootstrap(x: Tensor, y: Tensor, n: int, numbers: np.random.Generator) -> Float[Tensor, " resamples"]:
    out = []
    for start in range(0, n, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, n - start)
        counts = torch.zeros(rows, len(x), dtype=torch.float64)
        drawn = torch.from_numpy(numbers.integers(len(x), size=(rows, len(x))))
        counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
        out.append(spearman(counts @ x, counts @ y))
    return torch.cat(out)


def _p_permutation(x: Tensor, y: Tensor, rho: float, n: int, numbers: np.random.Generator) -> float:
    if len(x) <= _EXACT:  # the order that was found is among them
        found = spearman(x, y[torch.tensor(list(permutations(range(len(y)))))])
        return float((found.abs() >= abs(rho) - 1e-12).double().mean())
    orders = torch.from_numpy(numbers.random((n, len(y)))).argsort(dim=1)
    found = spearman(x, y[orders])
    return (1 + int((found.abs() >= abs(rho) - 1e-12).sum())) / (n + 1)


def _p_rotation(x: Tensor, y: Tensor, rho: float) -> float:
    index = torch.arange(len(y))
    found = spearman(x, y[(index[:, None] + index) % len(y)])  # the first is no rotation
    return float((found.abs() >= abs(rho) - 1e-12).double().mean())
