"""How close are two sets of directions? Cosines of principal angles, and what directions without a relation give.

1. Q_a, Q_b: orthonormal bases of the spans of k directions each. The singular values of Q_a Q_bᵀ are the cosines of the
   principal angles, largest first: 1 for a shared direction, 0 for a right angle. They do not depend on the basis, nor
   on the signs of the directions.
2. overlap = |Q_a Q_bᵀ|² / k, the mean squared cosine. Spans drawn at random in d dimensions overlap by k / d.
3. One direction each: |cos|, cos² ~ Beta(1/2, (d - 1)/2) for directions drawn at random. The best of m comparisons
   exceeds the quantile 1 - (1 - alpha)^(1/m) (Sidak) with probability alpha if they are independent, less often if not.

A correlation over n prompts is a cosine in n - 1 dimensions, so that the same thresholds hold for it.
"""

import math

import torch
from einops import einsum
from jaxtyping import Float
from scipy.stats import beta
from torch import Tensor

from interp_xfer.checks import require_finite
from interp_xfer.errors import ConfigError, ShapeError


def principal_cosines(
    xs: Float[Tensor, "n_parent k d"], ys: Float[Tensor, "n_child k d"]
) -> Float[Tensor, "n_parent n_child k"]:
    """Cosines of the principal angles between the spans of k directions, for all pairs of layers.

    Singular values of Q_x Q_yᵀ, Q orthonormal bases.

    Arguments:
        xs: k directions per parent layer, any lengths and angles; d at least k.
        ys: as many per child layer, in the same space.
    Returns: largest first, between 0 and 1, float64.
    Raises: ShapeError on NaN, other widths or numbers of directions, or directions that are linearly dependent.
    Source: Björck and Golub 1973, doi 10.2307/2005662.
    """
    if xs.shape[1:] != ys.shape[1:]:
        raise ShapeError(
            f"spans of shape {tuple(xs.shape[1:])} and {tuple(ys.shape[1:])} (directions, width) cannot be compared; "
            "carry one side into the space of the other, and take as many directions on both sides."
        )
    bases = orthonormal_bases("parent", xs), orthonormal_bases("child", ys)
    return torch.linalg.svdvals(einsum(*bases, "p a d, c b d -> p c a b")).clamp(max=1.0)


def overlap(xs: Float[Tensor, "n_parent k d"], ys: Float[Tensor, "n_child k d"]) -> Float[Tensor, "n_parent n_child"]:
    """Mean squared cosine of the principal angles: 1 for equal spans, k / d on average for random ones.

    |Q_x Q_yᵀ|² / k, without the singular values.

    Arguments:
        xs: orthonormal rows, of `orthonormal_bases`.
        ys: the same in the child.
    Returns: one value per pair of layers.
    Source: house rule; the projection metric, Edelman, Arias and Smith, arXiv physics/9806030.
    """
    return einsum(xs, ys, "p a d, c b d -> p c a b").square().sum(dim=(-2, -1)) / xs.shape[1]


def orthonormal_bases(side: str, directions: Float[Tensor, "layers k d"]) -> Float[Tensor, "layers k d"]:
    """Orthonormal rows that span the same as the k directions of each layer.

    Arguments:
        side: whose directions they are, for messages.
        directions: any lengths but zero.
    Returns: (layers, k, d), float64.
    Raises: ShapeError on NaN, more directions than dimensions, or directions that are linearly dependent.
    """
    require_finite(f"{side} directions", directions)
    _, k, d = directions.shape
    if k > d:
        raise ShapeError(f"{k} directions of width {d} are linearly dependent; take at most {d}.")
    rows = directions.double() / directions.double().norm(dim=-1, keepdim=True).clamp(min=1e-300)
    q, r = torch.linalg.qr(rows.mT)  # (layers, d, k)
    dependent = (r.diagonal(dim1=-2, dim2=-1).abs() < 1e-10).any(dim=-1).nonzero()[:, 0].tolist()
    if dependent:
        raise ShapeError(
            f"the {k} directions of {side} layers {dependent} are linearly dependent and span less than {k} "
            "dimensions; take fewer."
        )
    return q.mT


def cosine_threshold(d: int, alpha: float = 0.05, n_tests: int = 1) -> float:
    """The |cosine| that the best of some comparisons of random directions exceeds with probability at most alpha.

    sqrt(q), q the quantile (1 - alpha)^(1 / n_tests) of Beta(1/2, (d - 1) / 2).

    Arguments:
        d: dimensions; n - 1 for a correlation over n prompts.
        alpha: level, two-sided.
        n_tests: comparisons that were looked at.
    Returns: between 0 and 1.
    Raises: ConfigError for fewer than two dimensions, no comparison, or a level outside 0 to 1.
    Source: Sidak 1967, doi 10.1080/01621459.1967.10482935; holds for normal scores (Fisher 1915).
    """
    if d < 2 or n_tests < 1 or not 0 < alpha < 1:
        raise ConfigError(
            f"a threshold needs d >= 2 dimensions, n_tests >= 1 and 0 < alpha < 1; got {d}, {n_tests}, {alpha}."
        )
    tail = -math.expm1(math.log1p(-alpha) / n_tests)  # exact where alpha / n_tests is tiny
    return math.sqrt(float(beta.isf(tail, 0.5, (d - 1) / 2)))
