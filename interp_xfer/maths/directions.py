"""Concept directions from contrast differences.

Pair i of a contrast set gives one difference per layer, d_i = h_i(positive) - h_i(negative), a row of D
(pairs, d_model). With mu = mean d_i and Sigma = cov(d), a direction is

1. the mean difference, mu / |mu| (contrastive activation addition, arXiv 2312.06681), or
2. the first principal component of D, prepared in one of three ways (`centering`):
   - "symmetric": D as it is, uncentred. Equal to the PCA of the points +d/2 and -d/2, whose mean is zero by symmetry.
   - "repe": each row is negated with probability 1/2 (a seeded swap within the pair), then the mean is removed. This is
     what the example code of representation engineering does (arXiv 2310.01405).
   - "ordered": the mean is removed with the members in fixed order. A trap, kept to show it: centring subtracts mu,
     which is the concept, and leaves the largest nuisance axis.

"symmetric" and "repe" keep the concept when |mu|^2 exceeds the largest eigenvalue of Sigma; "ordered" never does.

A principal component has no sign. `resolve_sign` takes it from the labels: s = sign(mean_i d_i . v), +1 on a tie.
Everything is computed, and returned, in float64.
"""

from dataclasses import dataclass
from typing import get_args

import torch
from einops import einsum, reduce
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_rows
from interp_xfer.choices import Centering
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.streams import stream


@dataclass(frozen=True, eq=False)
class PrincipalDirections:
    """Principal components of the contrast differences of one layer, strongest first."""

    directions: Float[Tensor, "components d_model"]
    """Unit rows. Their sign carries no meaning: the largest entry of each is positive, so that a run repeats."""

    explained_variance: Float[Tensor, " components"]
    """Share of the sum of squares of the prepared differences (about zero if "symmetric", about the mean otherwise)."""


def pca_directions(
    differences: Float[Tensor, "pairs d_model"],
    n_components: int = 1,
    centering: Centering = "symmetric",
    normalize_differences: bool = False,
    seed: int = 0,
) -> PrincipalDirections:
    """The strongest principal components of the contrast differences of one layer.

    The top right singular vectors of the prepared D, from the eigenvectors of the smaller Gram matrix (D Dᵀ when
    pairs < d_model, else Dᵀ D).

    Arguments:
        differences: rows are h(positive) - h(negative) of one pair.
        n_components: how many components, at most the rank of the prepared differences.
        centering: how D is prepared, see the module docstring.
        normalize_differences: scale each difference to unit length first (the text of arXiv 2512.19069; the code of
            arXiv 2310.01405 does not).
        seed: of the swaps within pairs; used by "repe" alone.
    Returns: directions (n_components, d_model) and their explained variance (n_components).
    Raises: ShapeError on NaN, on a zero difference that should be normalised, on a layer without any variation, and on
        more components than the rank; ConfigError for an unknown centering.
    Source: arXiv 2310.01405, section 3.1; "symmetric" is a house rule that does without its random swaps.
    """
    prepared = _prepare(differences, centering, normalize_differences, seed)
    n_pairs, d_model = prepared.shape
    squares, gram_vectors = torch.linalg.eigh(_smaller_gram(prepared))  # ascending
    total = float(squares.clamp(min=0).sum())
    # Directions below this share are rounding noise of the Gram matrix, not directions.
    rank = int((squares > squares[-1] * max(n_pairs, d_model) * torch.finfo(torch.float64).eps).sum()) if total else 0
    if not 1 <= n_components <= rank:
        raise ShapeError(
            f"{n_components} components were asked for, but the differences of shape ({n_pairs}, {d_model}) have rank "
            f"{rank} under centering {centering!r}; ask for 1 to {rank}, or give more pairs."
            if rank
            else f"the differences of shape ({n_pairs}, {d_model}) do not vary under centering {centering!r}; both "
            "members of the pairs are read at the same point, or there is one pair: check the pairs or skip the layer."
        )
    top = gram_vectors[:, -n_components:].flip(1)  # (side, components), strongest first
    if n_pairs < d_model:
        top = einsum(prepared, top, "pairs d_model, pairs components -> d_model components")
        # Weak components come out of the product slightly oblique; QR restores right angles and the unit length.
        top = torch.linalg.qr(top).Q
    directions = top.T
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return PrincipalDirections(directions * largest.sign(), squares.flip(0)[:n_components] / total)


def further_components(
    directions: Float[Tensor, "layers d_model"],
    differences: Float[Tensor, "layers pairs d_model"],
    n_further: int,
    centering: Centering = "symmetric",
    normalize_differences: bool = False,
    seed: int = 0,
) -> Float[Tensor, "layers components d_model"]:
    """Orthonormal components of every layer: a direction that is given, then the strongest at right angles to it.

    PCA of D (I - v vᵀ); for v the first component of the same D these are components 1, 2, 3, ...

    Arguments:
        directions: v, one per layer, any length.
        differences: rows are h(positive) - h(negative) of one pair.
        n_further: components beside v; 0 gives v alone.
        centering: as in `pca_directions`; so are the others.
        normalize_differences: unit length first.
        seed: of the "repe" swaps.
    Returns: (layers, 1 + n_further, d_model), float64; the sign of v is kept, those of the others mean nothing.
    Raises: as `pca_directions`.
    Source: deflation, Hotelling 1933, doi 10.1037/h0071325.
    """
    out = []
    for direction, rows in zip(directions.double(), differences.double(), strict=True):
        first = direction / direction.norm()
        if normalize_differences:
            rows = rows / rows.norm(dim=1, keepdim=True)
        rest = rows - (rows @ first)[:, None] * first
        further = [pca_directions(rest, n_further, centering, seed=seed).directions] if n_further else []
        out.append(torch.cat([first[None], *further]))
    return torch.stack(out)


def mean_difference(differences: Float[Tensor, "pairs d_model"]) -> Float[Tensor, " d_model"]:
    """The unit vector along the mean contrast difference; its sign is that of the labels.

    mu / |mu|, mu = mean_i d_i.

    Arguments:
        differences: rows are h(positive) - h(negative) of one pair.
    Returns: (d_model), float64.
    Raises: ShapeError on NaN, no pairs, or a mean of length zero.
    Source: arXiv 2312.06681, section 3.
    """
    require_finite("differences", differences)
    require_rows("pairs", len(differences), 1, "the mean difference")
    mean = reduce(differences.double(), "pairs d_model -> d_model", "mean")
    norm = mean.norm()
    if norm == 0:
        raise ShapeError(
            f"the {len(differences)} differences cancel: their mean has length 0 and no direction; "
            "check the labels of the pairs or skip the layer."
        )
    return mean / norm


def resolve_sign(direction: Float[Tensor, " d_model"], differences: Float[Tensor, "pairs d_model"]) -> float:
    """+1.0 or -1.0, so that sign * direction points from the negative to the positive members.

    s = sign(mean_i d_i . v), +1 on a tie.

    Arguments:
        direction: any length; a principal component, or a direction mapped from another model.
        differences: labelled differences in the space of the direction.
    Returns: the sign as a float.
    Raises: ShapeError on NaN or no pairs.
    Source: arXiv 2310.01405, section 3.1; the tie is a house rule.
    """
    return float(resolve_signs(direction[None], differences[None])[0])


def resolve_signs(
    directions: Float[Tensor, "layers d_model"], differences: Float[Tensor, "layers pairs d_model"]
) -> Float[Tensor, " layers"]:
    """`resolve_sign` for a stack of layers.

    s_l = sign(mean_i d_li . v_l), +1 on a tie.

    Arguments:
        directions: one per layer.
        differences: labelled differences of the same layers.
    Returns: (layers) of +1.0 and -1.0, float64.
    Raises: ShapeError on NaN or no pairs.
    Source: arXiv 2310.01405, section 3.1; the tie is a house rule.
    """
    require_finite("directions", directions)
    require_finite("differences", differences)
    require_rows("pairs", differences.shape[1], 1, "the sign of a direction")
    means = reduce(differences.double(), "layers pairs d_model -> layers d_model", "mean")
    scores = einsum(means, directions.double(), "layers d_model, layers d_model -> layers")
    return torch.where(scores < 0, -1.0, 1.0).double()


def difference_cosines(
    differences: Float[Tensor, "pairs d_model"], direction: Float[Tensor, " d_model"] | None = None
) -> Float[Tensor, " pairs"]:
    """Cosine of each difference with a direction; a wide spread predicts that steering along it fails.

    cos_i = d_i . v / (|d_i| |v|); 0 for a difference of length zero.

    Arguments:
        differences: rows are h(positive) - h(negative) of one pair.
        direction: any length; the mean difference when None.
    Returns: (pairs), float64.
    Raises: ShapeError on NaN, or a direction or mean difference of length zero.
    Source: arXiv 2505.22637.
    """
    require_finite("differences", differences)
    reference = mean_difference(differences) if direction is None else direction.double()
    if not reference.norm() > 0:
        raise ShapeError("a direction of length 0 has no cosine with anything; leave the layer out.")
    along = einsum(differences.double(), reference / reference.norm(), "pairs d_model, d_model -> pairs")
    lengths = differences.double().norm(dim=1)
    return torch.where(lengths > 0, along / lengths.clamp(min=torch.finfo(torch.float64).tiny), 0.0)


def _prepare(
    differences: Float[Tensor, "pairs d_model"], centering: Centering, normalize_differences: bool, seed: int
) -> Float[Tensor, "pairs d_model"]:
    if centering not in get_args(Centering):
        raise ConfigError(f"centering {centering!r} is not one of {', '.join(get_args(Centering))}.")
    require_finite("differences", differences)
    require_rows("pairs", len(differences), 1, "PCA of the differences")
    prepared = differences.double()
    if normalize_differences:
        lengths = prepared.norm(dim=1, keepdim=True)
        zero = (lengths == 0).nonzero()[:, 0].tolist()
        if zero:
            raise ShapeError(
                f"{len(zero)} of {len(prepared)} differences have length 0 (first: pair {zero[0]}) and cannot be "
                "scaled to unit length; drop those pairs or leave normalize_differences off."
            )
        prepared = prepared / lengths
    if centering == "symmetric":
        return prepared
    if centering == "repe":
        swaps = torch.from_numpy(stream(seed, "repe-swaps").integers(2, size=(len(prepared), 1)))
        prepared = prepared * (2 * swaps - 1).to(prepared)
    return prepared - reduce(prepared, "pairs d_model -> 1 d_model", "mean")


def _smaller_gram(rows: Float[Tensor, "pairs d_model"]) -> Float[Tensor, "side side"]:
    n_pairs, d_model = rows.shape
    if n_pairs < d_model:
        return einsum(rows, rows, "pair_a d_model, pair_b d_model -> pair_a pair_b")
    return einsum(rows, rows, "pairs d_a, pairs d_b -> d_a d_b")
