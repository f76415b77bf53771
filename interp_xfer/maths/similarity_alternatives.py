"""Other similarities of the representations of the same prompts, to check that a finding is not one of CKA's alone.

Rows are prompts, paired; everything is float64.
"""

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.cka import Estimator, centre, cka_of_grams


def mutual_knn(
    x: Float[Tensor, "parent_prompts d_parent"], y: Float[Tensor, "child_prompts d_child"], k: int = 10
) -> float:
    """Mean share of a prompt's k nearest neighbours that it has in both representations.

    mean_i |N_k^X(i) n N_k^Y(i)| / k, neighbours by cosine, the prompt itself left out; k / (n - 1) without relation.

    Arguments:
        x: rows are prompts.
        y: the same prompts.
        k: neighbours.
    Returns: between 0 and 1.
    Raises: ShapeError on unpaired rows, NaN, or fewer than k + 1 prompts.
    Source: arXiv 2405.07987.
    """
    _require(x, y, k + 1, f"{k} nearest neighbours")
    shared = _neighbours(x, k) & _neighbours(y, k)
    return float(shared.double().sum()) / (len(x) * k)


def rbf_cka(
    x: Float[Tensor, "parent_prompts d_parent"],
    y: Float[Tensor, "child_prompts d_child"],
    bandwidth: float = 1.0,
    estimator: Estimator = "unbiased",
) -> float:
    """CKA with Gaussian kernels, which sees neighbourhoods where the linear one sees directions.

    K_ij = exp(-|x_i - x_j|² / (2 bandwidth² median |x_i - x_j|²)).

    Arguments:
        x: rows are prompts.
        y: the same prompts.
        bandwidth: in medians of the distances (all ordered pairs, a prompt with itself among them).
        estimator: as in `similarity.linear_cka`.
    Returns: a float; NaN when a self-term is not positive.
    Raises: ShapeError on unpaired rows, NaN, prompts < 4, or a median distance of zero; ConfigError on the bandwidth.
    Source: arXiv 1905.00414.
    """
    if not bandwidth > 0:
        raise ConfigError(f"the bandwidth must be positive, got {bandwidth}; 1.0 is the median distance.")
    _require(x, y, 4, "CKA")
    grams = []
    for rows in (x, y):
        squares = torch.cdist(rows.double(), rows.double()).square()
        median = squares.median()
        if median == 0:
            raise ShapeError(f"half of the {len(rows)} rows are equal, so their median distance is 0; drop duplicates.")
        grams.append(centre(torch.exp(-squares / (2 * bandwidth**2 * median))[None], estimator))
    return float(cka_of_grams(grams[0], grams[1]))


def svcca(
    x: Float[Tensor, "parent_prompts d_parent"], y: Float[Tensor, "child_prompts d_child"], variance: float = 0.99
) -> float:
    """Mean canonical correlation between the leading principal components of both sides.

    Keeps the components that hold `variance` of each side, then averages the singular values of U_xᵀ U_y, U their left
    singular vectors.

    Arguments:
        x: rows are prompts.
        y: the same prompts.
        variance: share to keep; raw CCA (1.0) is identically 1 when n - 1 <= d.
    Returns: between 0 and 1; unlike unbiased CKA its value without relation is not 0.
    Raises: ShapeError on unpaired rows, NaN, a constant side, or components that fill the space of the prompts.
    Source: arXiv 1706.05806.
    """
    _require(x, y, 4, "SVCCA")
    bases = []
    for rows in (x, y):
        axes, values = _scores(rows)
        shares = values.square().cumsum(0) / values.square().sum()
        bases.append(axes[:, : int((shares < variance - 1e-12).sum()) + 1])
    kept = [basis.shape[1] for basis in bases]
    if sum(kept) > len(x) - 1:
        raise ShapeError(
            f"{kept[0]} + {kept[1]} components of {len(x)} prompts overlap whatever the data, so their correlation "
            "says nothing; give more prompts or keep less variance."
        )
    return float(torch.linalg.svdvals(bases[0].T @ bases[1]).mean())


def procrustes_distance(
    x: Float[Tensor, "parent_prompts d_parent"], y: Float[Tensor, "child_prompts d_child"]
) -> float:
    """Squared distance left after centring, scaling to unit length, and the best rotation.

    2 - 2 |XᵀY|_*, the nuclear norm.

    Arguments:
        x: rows are prompts.
        y: the same prompts.
    Returns: 0 when equal up to shift, rotation and scale, 2 when no rotation helps.
    Raises: ShapeError on unpaired rows, NaN, or a constant side.
    Source: arXiv 2108.01661.
    """
    _require(x, y, 2, "a Procrustes distance")
    # U S has the inner products of the centred rows in at most n columns, whatever the width.
    left, right = ((axes * values) / values.norm() for axes, values in (_scores(x), _scores(y)))
    return max(0.0, 2 - 2 * float(torch.linalg.svdvals(left.T @ right).sum()))


def score_correlation(
    x: Float[Tensor, "parent_prompts d_parent"],
    parent_direction: Float[Tensor, " d_parent"],
    y: Float[Tensor, "child_prompts d_child"],
    child_direction: Float[Tensor, " d_child"],
) -> float:
    """Correlation over shared prompts of the scores on a direction in each model; needs no map between them.

    corr(x v_parent, y v_child). A cosine of the directions themselves would compare coordinates that share no meaning.

    Arguments:
        x: parent activations or differences, rows are prompts.
        parent_direction: any length.
        y: child rows of the same prompts.
        child_direction: any length.
    Returns: between -1 and 1.
    Raises: ShapeError on unpaired rows, NaN, fewer than 3 prompts, or scores that do not vary.
    """
    _require(x, y, 3, "a correlation")
    scores = []
    for rows, direction in ((x, parent_direction), (y, child_direction)):
        score = einsum(rows.double(), direction.double(), "prompts d_model, d_model -> prompts")
        score = score - score.mean()
        if score.norm() == 0:
            raise ShapeError(
                f"the scores of {len(rows)} prompts on the direction are all equal and correlate with nothing; "
                "check the direction, or leave the layer out."
            )
        scores.append(score / score.norm())
    return float(scores[0] @ scores[1])


def _require(x: Tensor, y: Tensor, rows: int, why: str) -> None:
    require_paired(len(x), len(y), "prompts")
    require_rows("prompts", len(x), rows, why)
    require_finite("parent activations", x)
    require_finite("child activations", y)


def _neighbours(rows: Tensor, k: int) -> Bool[Tensor, "prompts prompts"]:
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    cosines = unit @ unit.T
    cosines.fill_diagonal_(-torch.inf)
    nearest = cosines.topk(k, dim=1).indices
    return torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, nearest, True)


def _scores(rows: Tensor) -> tuple[Float[Tensor, "prompts components"], Float[Tensor, " components"]]:
    """Left singular vectors and singular values of the centred rows, the zero ones left out."""
    centred = rows.double() - rows.double().mean(dim=0)
    axes, values, _ = torch.linalg.svd(centred, full_matrices=False)
    keep = values > values[0] * max(rows.shape) * torch.finfo(torch.float64).eps
    if not keep.any():
        raise ShapeError(f"all {len(rows)} rows of width {rows.shape[1]} are equal; leave the constant layer out.")
    return axes[:, keep], values[keep]
