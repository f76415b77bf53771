"""Similarity of the representations of the same prompts in two models: centred kernel alignment of all layer pairs.

1. Rows are prompts; for choosing layers they should be contrast differences, since raw activations show the question
   and not the concept (arXiv 2606.16897). Rows are scaled to unit length first, because a few huge activations
   otherwise own the Gram matrix.
2. K = X Xᵀ is centred so that sums of products of two centred matrices estimate HSIC:
   "unbiased" A_ij = K_ij - r_i - r_j + t off the diagonal and 0 on it, r_i = sum_{j != i} K_ij / (n - 2),
   t = sum_{i != j} K_ij / ((n - 1)(n - 2)); <A, B> / (n (n - 3)) is the U-statistic of HSIC (arXiv 2010.15327).
   "biased" A = H K H, H = I - 1/n; <A, B> / (n - 1)².
3. CKA = <A, B> / (|A| |B|); for all layer pairs one product of unit rows vec(A_l).

The biased form is not fit for choosing layers: without any relation its value is about sqrt(PR_x PR_y / ((n - 1 + PR_x)
(n - 1 + PR_y))), PR the participation ratio, which differs by layer and reaches .92. The unbiased one is about 0, and
can be negative; it is never clamped. Everything is float64.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ConfigError, ShapeError

Estimator = Literal["unbiased", "biased"]

_BLOCK = 128  # rows; only blocks on and above the diagonal of X Xᵀ are multiplied out


def linear_cka(
    x: Float[Tensor, "parent_prompts d_parent"],
    y: Float[Tensor, "child_prompts d_child"],
    estimator: Estimator = "unbiased",
) -> float:
    """Similarity of two representations of the same prompts, 1 when equal up to shift, rotation and scale.

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), K = x xᵀ, L = y yᵀ.

    Arguments:
        x: rows are prompts; any unit, the scale cancels; no row normalisation here.
        y: the same prompts in the other model.
        estimator: "unbiased" can be negative; "biased" grows with width.
    Returns: a float; NaN when a self-term is not positive.
    Raises: ShapeError if row counts differ, prompts < 4, NaN values, or a constant layer.
    Source: arXiv 1905.00414 (biased); arXiv 2010.15327, eq. 3 (unbiased).
    """
    return float(cka_matrix([x], [y], estimator, normalize_rows=False))


def hsic(
    x: Float[Tensor, "parent_prompts d_parent"],
    y: Float[Tensor, "child_prompts d_child"],
    estimator: Estimator = "unbiased",
) -> float:
    """Hilbert-Schmidt independence criterion with linear kernels: |cov(x, y)|² summed over entries.

    <A, B> / (n (n - 3)) for U-centred A, B ("unbiased"); <H K H, H L H> / (n - 1)² ("biased").

    Arguments:
        x: rows are prompts.
        y: the same prompts in the other model.
        estimator: see the formula.
    Returns: a float in the squared units of x and y; "unbiased" can be negative.
    Raises: ShapeError if row counts differ, prompts < 4, NaN values, or a constant layer.
    Source: arXiv 2010.15327, eq. 3, in the equivalent U-centred form of arXiv 1310.2926.
    """
    (a,), (b,) = paired_grams([x], [y], estimator, normalize_rows=False)
    n = len(a)
    return float((a * b).sum()) / (n * (n - 3) if estimator == "unbiased" else (n - 1) ** 2)


def cka_matrix(
    xs: Sequence[Float[Tensor, "parent_prompts d_parent"]] | Float[Tensor, "n_parent parent_prompts d_parent"],
    ys: Sequence[Float[Tensor, "child_prompts d_child"]] | Float[Tensor, "n_child child_prompts d_child"],
    estimator: Estimator = "unbiased",
    normalize_rows: bool = True,
) -> Float[Tensor, "n_parent n_child"]:
    """CKA of every parent layer with every child layer.

    Arguments:
        xs: one matrix per parent layer, rows are prompts (contrast differences, to match layers by concept).
        ys: one matrix per child layer, the same prompts.
        estimator: see the module docstring.
        normalize_rows: scale rows to unit length first.
    Returns: (n_parent, n_child); NaN where a self-term is not positive.
    Raises: ShapeError if row counts differ, prompts < 4, NaN values, or a constant layer.
    Source: arXiv 2010.15327.
    """
    return cka_of_grams(*paired_grams(xs, ys, estimator, normalize_rows))


def participation_ratio(x: Float[Tensor, "prompts d_model"], estimator: Estimator = "unbiased") -> float:
    """Effective number of dimensions that the rows vary in.

    (tr S)² / tr S², S the covariance. The plug-in ("biased") value cannot exceed n - 1; "unbiased" takes tr S² from the
    U-statistic.

    Arguments:
        x: rows are prompts.
        estimator: of tr S².
    Returns: between 1 and d_model, up to sampling error; NaN when the estimate of tr S² is not positive.
    Raises: ShapeError on NaN values, prompts < 4, or a constant layer.
    """
    squares = hsic(x, x, estimator)
    total = float(x.double().var(dim=0).sum())
    return total**2 / squares if squares > 0 else float("nan")


def biased_null(n: int, pr_x: float, pr_y: float) -> float:
    """The biased CKA that unrelated representations show.

    sqrt(PR_x PR_y / ((n - 1 + PR_x)(n - 1 + PR_y))).

    Arguments:
        n: prompts.
        pr_x: participation ratio of one side.
        pr_y: participation ratio of the other.
    Returns: between 0 and 1.
    Source: house rule, from the expectation of <HKH, HLH> for independent rows.
    """
    return (pr_x * pr_y / ((n - 1 + pr_x) * (n - 1 + pr_y))) ** 0.5


def paired_grams(
    xs: Sequence[Float[Tensor, "parent_prompts d_parent"]] | Float[Tensor, "n_parent parent_prompts d_parent"],
    ys: Sequence[Float[Tensor, "child_prompts d_child"]] | Float[Tensor, "n_child child_prompts d_child"],
    estimator: Estimator = "unbiased",
    normalize_rows: bool = True,
) -> tuple[Float[Tensor, "n_parent prompts prompts"], Float[Tensor, "n_child prompts prompts"]]:
    """Centred Gram matrices of both models, for anything that needs them more than once.

    Arguments:
        xs: one matrix per parent layer, rows are prompts.
        ys: one matrix per child layer, the same prompts.
        estimator: how they are centred, see the module docstring.
        normalize_rows: scale rows to unit length first.
    Returns: of the parent (n_parent, prompts, prompts), of the child (n_child, prompts, prompts).
    Raises: ShapeError if row counts differ, prompts < 4, NaN values, or a constant layer.
    """
    if not len(xs) or not len(ys):
        raise ShapeError(f"need at least one layer of both models, got {len(xs)} and {len(ys)}; check the layer lists.")
    require_paired(len(xs[0]), len(ys[0]), "prompts")
    for rows in (*xs, *ys):
        require_paired(len(rows), len(xs[0]), "prompts", "a layer", "the first layer", "in all layers")
    require_rows("prompts", len(xs[0]), 4, "CKA")
    parent, child = (
        torch.stack([_gram(f"{model} layer {i}", rows, normalize_rows) for i, rows in enumerate(layers)])
        for model, layers in (("parent", xs), ("child", ys))
    )
    return centre(parent, estimator), centre(child, estimator)


def centre(
    grams: Float[Tensor, "layers prompts prompts"], estimator: Estimator
) -> Float[Tensor, "layers prompts prompts"]:
    """Gram matrices centred for HSIC, see the module docstring; centring a centred matrix changes nothing.

    Arguments:
        grams: symmetric; not changed.
        estimator: see the module docstring.
    Returns: the same shape.
    Raises: ConfigError for an unknown estimator.
    """
    if estimator not in get_args(Estimator):
        raise ConfigError(f"estimator {estimator!r} is not one of {', '.join(get_args(Estimator))}.")
    grams, n = grams.clone(), grams.shape[1]
    divisor = n - 2 if estimator == "unbiased" else n
    if estimator == "unbiased":
        grams.diagonal(dim1=1, dim2=2).zero_()
    means = grams.sum(dim=2) / divisor
    # Half of the grand mean goes with the rows and half with the columns.
    means -= means.sum(dim=1, keepdim=True) / (2 * (n - 1 if estimator == "unbiased" else n))
    grams -= rearrange(means, "layers prompts -> layers prompts 1")
    grams -= rearrange(means, "layers prompts -> layers 1 prompts")
    if estimator == "unbiased":
        grams.diagonal(dim1=1, dim2=2).zero_()
    return grams


def cka_of_grams(
    parent: Float[Tensor, "n_parent prompts prompts"], child: Float[Tensor, "n_child prompts prompts"]
) -> Float[Tensor, "n_parent n_child"]:
    """CKA of centred Gram matrices, one product of their unit vectors.

    Arguments:
        parent: as `paired_grams` returns them.
        child: the same prompts.
    Returns: (n_parent, n_child); NaN where a matrix is zero.
    """
    rows, columns = unit_vectors(parent), unit_vectors(child)
    return einsum(rows, columns, "n_parent entries, n_child entries -> n_parent n_child")


def unit_vectors(grams: Float[Tensor, "layers prompts prompts"]) -> Float[Tensor, "layers entries"]:
    """Centred Gram matrices as unit rows; NaN rows where a matrix is zero.

    Arguments:
        grams: centred.
    Returns: (layers, prompts²).
    """
    flat = rearrange(grams, "layers a b -> layers (a b)")
    norms = flat.norm(dim=1, keepdim=True)
    return flat / torch.where(norms > 0, norms, torch.nan)


def _gram(name: str, rows: Tensor, normalize_rows: bool) -> Float[Tensor, "prompts prompts"]:
    if bool((rows[1] == rows[0]).all()) and bool((rows == rows[0]).all()):  # the first two rows settle nearly all
        raise ShapeError(
            f"{name} is constant: its {len(rows)} rows of width {rows.shape[1]} are equal and have no similarity; "
            "leave the layer out, or read the activations at another position."
        )
    rows, n = rows.double(), len(rows)
    gram = rows.new_empty(n, n)
    for start in range(0, n, _BLOCK):
        products = rows[start : start + _BLOCK] @ rows[start:].T
        gram[start : start + _BLOCK, start:] = products
        gram[start:, start : start + _BLOCK] = products.T
    if not gram.diagonal().isfinite().all():  # spares a pass over all activations
        require_finite(f"activations of {name}", rows)
    if normalize_rows:
        norms = gram.diagonal().sqrt()
        norms = torch.where(norms > 0, norms, 1.0)
        gram /= norms[:, None] * norms
    return gram
