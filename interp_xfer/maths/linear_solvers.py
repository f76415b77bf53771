"""The linear algebra of the projections: from centred sums to a weight.

Rows are centred, X of the parent (n, d_parent), Y of the child (n, d_child); what is at hand is XᵀX, XᵀY and YᵀY.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.errors import ShapeError
from interp_xfer.maths.paired_sums import Moments


def ridge_weight(train: Moments, alpha: float) -> Float[Tensor, "d_parent d_child"]:
    """The ridge solution for one strength, from centred sums.

    W = (XcᵀXc + a I)⁻¹ XcᵀYc, a = alpha tr(XcᵀXc) / d_parent, by Cholesky.

    Arguments:
        train: centred sums.
        alpha: strength, relative to the mean parent variance.
    Returns: (d_parent, d_child), float64.
    Raises: ShapeError on a constant layer, or without regularisation on rows that do not span d_parent dimensions.
    """
    d_parent = len(train.xx)
    if alpha == 0 and train.n - 1 < d_parent:
        raise ShapeError(
            f"{train.n} rows and no regularisation cannot fix a map from {d_parent} dimensions; it would reproduce "
            f"its own rows. Use alpha > 0, or at least {10 * d_parent} rows of text."
        )
    trace = train.xx.trace()
    if not trace > 0:
        raise ShapeError(f"the parent activations of all {train.n} rows are equal; the layer is constant: skip it.")
    regularised = train.xx.clone()
    regularised.diagonal().add_(alpha * trace / d_parent)
    # In place, here and below (cholesky_solve would copy both sides): at 5120 dimensions a copy is 0.2 GB.
    factor, failed = torch.linalg.cholesky_ex(regularised, out=(regularised, torch.empty(0, dtype=torch.int32)))
    if failed:
        raise ShapeError(
            f"the {train.n} rows span fewer than {d_parent} dimensions, so alpha={alpha:g} does not fix a map; "
            "use a larger alpha or more rows of text."
        )
    weight = torch.linalg.solve_triangular(factor, train.xy, upper=False)
    return torch.linalg.solve_triangular(factor.mT, weight, upper=True, out=weight)


def ridge_weights(train: Moments, alphas: Sequence[float]) -> Iterator[tuple[float, Tensor]]:
    """`ridge_weight` for several strengths.

    Arguments:
        train: centred sums.
        alphas: strengths.
    Returns: yields (alpha, weight), weights (d_parent, d_child), float64.
    Raises: as `ridge_weight`.
    """
    return ((float(alpha), ridge_weight(train, alpha)) for alpha in alphas)


def low_rank_weights(train: Moments, ranks: Sequence[int]) -> Iterator[tuple[float, Tensor]]:
    """Least squares between the k leading principal components of both sides, for several k.

    W = V_p diag(s⁻²) V_pᵀ XᵀY V_c V_cᵀ, V the leading eigenvectors of either side and s² those of XᵀX.

    Arguments:
        train: centred sums with yy.
        ranks: the k to solve for.
    Returns: yields (k, weight), weights (d_parent, d_child), float64.
    Raises: ShapeError when a rank exceeds the widths, the rows, or the rank of the parent's rows.
    """
    assert train.yy is not None
    limit = min(train.n - 1, *train.xy.shape)
    variances, parent_axes = principal_axes(train.xx)
    limit = min(limit, int((variances > variances[0] * len(variances) * torch.finfo(torch.float64).eps).sum()))
    if max(ranks) > limit:
        raise ShapeError(
            f"rank {max(ranks)} was asked for, but {train.n} rows of widths {tuple(train.xy.shape)} allow at most "
            f"{limit}; ask for less, or give more rows of text."
        )
    _, child_axes = principal_axes(train.yy)
    for rank in ranks:
        p, c = parent_axes[:, :rank], child_axes[:, :rank]
        yield float(rank), p @ ((p.T @ train.xy @ c) / variances[:rank, None]) @ c.T


def procrustes_weights(train: Moments, n_components: int, reduce_both: bool) -> Iterator[tuple[float, Tensor]]:
    """The scaled rotation that comes closest, between k principal components of both sides where asked for.

    XᵀY = U S Vᵀ, W = U Vᵀ tr(S) / |X|²; reduced: X and Y are replaced by their components, W is taken back.

    Arguments:
        train: centred sums with yy.
        n_components: k; the width itself without reduction.
        reduce_both: project both sides on k principal components first.
    Returns: yields (k, weight), the weight (d_parent, d_child), float64.
    Raises: ShapeError when k exceeds widths or rows, or on a constant layer.
    """
    assert train.yy is not None
    limit = min(train.n - 1, *train.xy.shape)
    if not 1 <= n_components <= limit:
        raise ShapeError(
            f"Procrustes over {n_components} dimensions needs as many in both widths {tuple(train.xy.shape)} and more "
            f"rows than that, got {train.n} rows; pass n_components of 1 to {limit}, or give more rows of text."
        )
    xx, xy = train.xx, train.xy
    parent_axes = child_axes = torch.eye(1)
    if reduce_both:
        parent_axes = principal_axes(train.xx)[1][:, :n_components]
        child_axes = principal_axes(train.yy)[1][:, :n_components]
        xx, xy = parent_axes.T @ xx @ parent_axes, parent_axes.T @ xy @ child_axes
    if not xx.trace() > 0:
        raise ShapeError(f"the parent activations of all {train.n} rows are equal; the layer is constant: skip it.")
    u, s, vt = torch.linalg.svd(xy, full_matrices=False)
    weight = u @ vt * (s.sum() / xx.trace())
    yield float(n_components), parent_axes @ weight @ child_axes.T if reduce_both else weight


def default_components(train: Moments) -> int:
    """Components to keep on both sides: the least of both widths, n / 10, and what holds 99% of either variance.

    Arguments:
        train: centred sums with yy.
    Returns: k, at least 1.
    """
    assert train.yy is not None
    needed = 1
    for scatter in (train.xx, train.yy):
        shares = principal_axes(scatter)[0].cumsum(0) / scatter.trace()
        needed = max(needed, int((shares < 0.99).sum()) + 1)
    return max(1, min(*train.xy.shape, train.n // 10, needed))


def principal_axes(scatter: Float[Tensor, "d d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Eigenvalues of a scatter matrix, largest first, and its eigenvectors as columns.

    Arguments:
        scatter: XᵀX of centred rows.
    Returns: (d) and (d, d).
    """
    variances, axes = torch.linalg.eigh(scatter)
    return variances.flip(0), axes.flip(1)
