"""Linear maps from the residual stream of the parent to that of the child.

The model is h_child = h_parent W + b, rows are activations. A concept direction is a difference of activations, so
the bias cancels in it: `map_direction(v) = v W`, and only `map_activation(h) = h W + b` has the bias. Both sides are
centred before the fit, everything is float64.

1. `PairedSums` are streamed from ordinary text, disjoint from contrast pairs and evaluation questions. If a map is
   fitted on the contrast pairs themselves with fewer rows than d_parent, it reproduces the child's own direction and
   nothing was transferred; without regularisation such a fit is refused here.
2. A `fit_...` function chooses its setting by out-of-fold R² over folds of whole prompts, then fits on all rows.
   (Closed forms that leave out single rows are for independent rows, which tokens of a prompt are not.)
3. Controls: `identity`, `random_orthogonal`, or any fit on sums whose rows were paired at random.

The length of a mapped direction carries no meaning (ridge shrinks it); scale and sign are settled in the child.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.linear_solvers import (
    default_components,
    low_rank_weights,
    procrustes_weights,
    ridge_weight,
    ridge_weights,
)
from interp_xfer.maths.paired_sums import Moments, PairedSums, out_of_fold_r2
from interp_xfer.streams import normals, stream

ALPHAS = tuple(10.0**power for power in range(-6, 2))
"""Strengths of ridge, as a share of the mean parent variance."""

_SKETCH = 256  # child dimensions above which the strength is chosen on random combinations of them


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map from parent to child activations."""

    weight: Float[Tensor, "d_parent d_child"]
    """W."""

    bias: Float[Tensor, " d_child"]
    """b; enters activations, never directions."""

    kind: str
    """How it was made: "ridge", "low-rank", "procrustes", "identity", "random-orthogonal", ..."""

    n_rows: int = 0
    """Paired rows that it was fitted on; 0 for maps that were not fitted."""

    diagnostics: dict[str, float] = field(default_factory=dict)
    """Chosen settings and R², where there are any."""

    def __post_init__(self) -> None:
        require_finite("projection weights", self.weight)
        require_finite("projection biases", self.bias)

    def map_direction(self, direction: Float[Tensor, "*axes d_parent"]) -> Float[Tensor, "*axes d_child"]:
        """The direction in the child, v W: linear part only, never the bias, any length.

        Arguments:
            direction: one, or a stack along leading axes.
        Returns: the same stack in the child's width, in the dtype of the map.
        Raises: ShapeError when the width is not the parent's.
        Source: house rule; arXiv 2506.06609 (arXiv 2506.00653 adds the bias).
        """
        self._check_width(direction)
        return direction.to(self.weight) @ self.weight

    def map_activation(self, activation: Float[Tensor, "*axes d_parent"]) -> Float[Tensor, "*axes d_child"]:
        """The activation predicted in the child, h W + b.

        Arguments:
            activation: one, or a stack along leading axes.
        Returns: the same stack in the child's width, in the dtype of the map.
        Raises: ShapeError when the width is not the parent's.
        """
        self._check_width(activation)
        return activation.to(self.weight) @ self.weight + self.bias

    def _check_width(self, rows: Tensor) -> None:
        if rows.shape[-1] != len(self.weight):
            raise ShapeError(
                f"vectors of shape {tuple(rows.shape)} do not fit a {self.kind} projection {tuple(self.weight.shape)} "
                "from parent to child; use vectors of the parent it was fitted for."
            )


def fit_ridge(
    sums: PairedSums, alphas: Sequence[float] = ALPHAS, shuffled: PairedSums | None = None, seed: int = 0
) -> Projection:
    """The ridge map, its strength chosen by prompt-grouped cross-validation.

    W = (XcᵀXc + a I)⁻¹ XcᵀYc, a = alpha tr(XcᵀXc) / d_parent. Above 256 child dimensions alpha is chosen on as many
    Gaussian combinations of them (R² is a ratio of sums over dimensions, which a sketch estimates without bias); the R²
    reported is that of all dimensions. A single alpha is taken as given, and scored where there are folds.

    Arguments:
        sums: paired rows of parent and child.
        alphas: strengths to choose from; 0 is least squares and needs more rows than d_parent.
        shuffled: sums of the same rows paired at random, for the R² that chance gives.
        seed: of the combinations.
    Returns: the map; diagnostics "alpha", "r2" (out of fold), "rows_per_width", and "shuffled_r2" where given.
    Raises: ShapeError on too few rows, one fold, or a constant layer; ConfigError on no or negative alphas.
    Source: arXiv 2501.02009 for linear maps of concept directions (pseudo-inverse); ridge and its choice: house rule.
    """
    if not alphas or min(alphas) < 0:
        raise ConfigError(f"ridge strengths must be 0 or more, got {list(alphas)}; give at least one, such as 1e-3.")

    alpha = float(alphas[0])
    if len(alphas) > 1:
        scores = out_of_fold_r2(_sketched(sums, seed), partial(ridge_weights, alphas=alphas))
        alpha = max(scores, key=scores.__getitem__)
    everything = sums.moments()
    projection = _projection(everything, ridge_weight(everything, alpha), "ridge", alpha=alpha)
    del everything  # 0.4 GB at 5120 -> 4096, not needed below
    for name, paired in (("r2", sums), ("shuffled_r2", shuffled)):
        if paired is not None and len(paired.filled_folds) > 1:
            projection.diagnostics[name] = out_of_fold_r2(paired, partial(ridge_weights, alphas=[alpha]))[alpha]
    return projection


def fit_low_rank(sums: PairedSums, ranks: Sequence[int] | None = None) -> Projection:
    """Least squares between the leading principal components of both sides.

    With V_p (d_parent, k), V_c (d_child, k) the top right singular vectors and s the singular values of the parent:
    W = V_p diag(s⁻²) V_pᵀ XcᵀYc V_c V_cᵀ. The rank is the regulariser, and the best one when rows are few.

    Arguments:
        sums: paired rows of parent and child.
        ranks: to choose from by out-of-fold R²; None: powers of two up to both widths and a tenth of the rows.
    Returns: the map; diagnostics "rank", "r2" (out of fold, where there are folds) and "rows_per_width".
    Raises: ShapeError when a rank exceeds the widths, the rows or the rank of the data; ConfigError on no ranks.
    Source: principal component regression on both sides; choice of the rank: house rule.
    """
    if ranks is None:
        largest = max(1, min(sums.d_parent, sums.d_child, sums.n_rows // 10))
        ranks = [2**power for power in range(int(math.log2(largest)) + 1)]
    if not ranks or min(ranks) < 1:
        raise ConfigError(f"ranks must be 1 or more, got {list(ranks)}; give at least one, such as 64.")

    scores: dict[float, float] = {}
    if len(ranks) > 1 or len(sums.filled_folds) > 1:
        scores = out_of_fold_r2(sums, partial(low_rank_weights, ranks=ranks), with_yy=True)
        ranks = [int(max(scores, key=scores.__getitem__))]
    everything = sums.moments(with_yy=True)
    ((rank, weight),) = low_rank_weights(everything, ranks)
    r2 = {"r2": scores[rank]} if scores else {}
    return _projection(everything, weight, "low-rank", rank=rank, **r2)


def fit_procrustes(sums: PairedSums, n_components: int | None = None) -> Projection:
    """The rotation, and one scale, that come closest; between principal components where the widths differ.

    XᵀY = U S Vᵀ, Q = U Vᵀ, W = Q tr(S) / |X|². For different widths, or where n_components is given, X and Y are first
    reduced to k principal components P_p, P_c, and W = P_p Q P_cᵀ tr(S) / |X P_p|².

    Arguments:
        sums: paired rows of parent and child.
        n_components: k; None: no reduction for equal widths, else the least of both widths, a tenth of the rows, and
            the components that hold 99% of the variance of either side.
    Returns: the map; diagnostics "n_components", "scale", "r2" (out of fold, where there are folds), "rows_per_width".
    Raises: ShapeError when k exceeds the widths, rows are too few, or a layer is constant.
    Source: Schoenemann 1966; the reduction is a house rule.
    """
    reduce_both = n_components is not None or sums.d_parent != sums.d_child
    everything = sums.moments(with_yy=True)
    if n_components is None:
        n_components = default_components(everything) if reduce_both else sums.d_parent

    solve = partial(procrustes_weights, n_components=n_components, reduce_both=reduce_both)
    ((setting, weight),) = solve(everything)
    # Q has orthonormal columns in k dimensions, so that |W|² = k scale².
    settings = {"n_components": setting, "scale": float(weight.norm()) / math.sqrt(n_components)}
    if len(sums.filled_folds) > 1:
        settings["r2"] = out_of_fold_r2(sums, solve, with_yy=True)[setting]
    return _projection(everything, weight, "procrustes", **settings)


def fit_weight(sums: PairedSums, weight_of: Callable[[Moments], Float[Tensor, "d_parent d_child"]]) -> Projection:
    """The map of any function that gives weights from the moments of paired rows.

    Arguments:
        sums: paired rows of parent and child.
        weight_of: W from moments (with the child's own scatter).
    Returns: the map; diagnostics "r2" (out of fold, where there are folds) and "rows_per_width".
    Raises: ShapeError for weights of other widths, or NaN.
    """
    everything = sums.moments(with_yy=True)
    weight = weight_of(everything).double()
    if tuple(weight.shape) != (sums.d_parent, sums.d_child):
        raise ShapeError(
            f"the function returned weights of shape {tuple(weight.shape)} for widths {sums.d_parent} and "
            f"{sums.d_child}; return W (d_parent, d_child)."
        )
    r2 = {}
    if len(sums.filled_folds) > 1:
        r2 = {"r2": out_of_fold_r2(sums, lambda moments: iter([(0.0, weight_of(moments).double())]), with_yy=True)[0.0]}
    return _projection(everything, weight, "function", **r2)


def identity(d_parent: int, d_child: int, cut_or_pad: bool = False) -> Projection:
    """The map that copies coordinates; a control, since coordinates of two models share no meaning.

    W = I. With `cut_or_pad`, unequal widths keep the leading coordinates, cut or padded with zeros.

    Arguments:
        d_parent: width of the parent.
        d_child: width of the child.
        cut_or_pad: allow unequal widths.
    Returns: the map, float64, no bias.
    Raises: ShapeError on unequal widths, unless asked for.
    Source: house rule; arXiv 2512.19069 does not say how widths are bridged.
    """
    if d_parent != d_child and not cut_or_pad:
        raise ShapeError(
            f"the identity projection needs equal widths, but the parent is {d_parent} wide and the child {d_child}; "
            "fit a ridge projection, or pass cut_or_pad=True for the control that cuts or zero-pads coordinates."
        )
    kind = "identity" if d_parent == d_child else "identity-cut-or-pad"
    return Projection(torch.eye(d_parent, d_child).double(), torch.zeros(d_child).double(), kind)


def random_orthogonal(d_parent: int, d_child: int, seed: int = 0, layers: tuple[int, int] = (0, 0)) -> Projection:
    """A control: a random map with orthonormal rows, or columns where the child is narrower.

    Q of the QR decomposition of a Gaussian matrix, signs fixed so that Q is uniformly distributed.

    Arguments:
        d_parent: width of the parent.
        d_child: width of the child.
        seed: of the draw.
        layers: (parent layer, child layer); each pair has a map of its own.
    Returns: the map, float64, no bias; lengths are kept where the child is at least as wide.
    Source: Mezzadri, arXiv math-ph/0609050.
    """
    gauss = normals(stream(seed, "random-orthogonal", *layers), max(d_parent, d_child), min(d_parent, d_child))
    q, r = torch.linalg.qr(gauss)
    q = q * r.diagonal().sign()
    weight = q if d_parent >= d_child else q.T.contiguous()
    return Projection(weight, torch.zeros(d_child).double(), "random-orthogonal", diagnostics={"seed": float(seed)})


def ridge_r2_along(sums: PairedSums, alpha: float, child_direction: Float[Tensor, " d_child"]) -> float:
    """Out-of-fold R² of the ridge map for the child's score on one direction.

    R² of h_child . u, u the unit direction; ridge treats outputs one by one, so the fit is that of u as single output.

    Arguments:
        sums: paired rows, in two folds or more.
        alpha: strength, usually `diagnostics["alpha"]` of the fitted map.
        child_direction: any length, for example `map_direction(v)`.
    Returns: R²; 0 or less means that this direction is not predicted in new prompts.
    Raises: ShapeError on one fold or a constant layer.
    """
    unit = child_direction.double() / child_direction.double().norm()
    reduced = sums.project_outputs(unit[:, None])
    return out_of_fold_r2(reduced, partial(ridge_weights, alphas=[alpha]))[alpha]


def _projection(train: Moments, weight: Tensor, kind: str, **diagnostics: float) -> Projection:
    bias = train.mean_y - train.mean_x @ weight
    return Projection(weight, bias, kind, train.n, {**diagnostics, "rows_per_width": train.n / len(weight)})


def _sketched(sums: PairedSums, seed: int) -> PairedSums:
    if sums.d_child <= _SKETCH:
        return sums
    return sums.project_outputs(normals(stream(seed, "sketch of the child"), sums.d_child, _SKETCH))
