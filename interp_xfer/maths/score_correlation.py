"""Do two models order the same prompts alike? Correlation of their scores along one direction each, with nulls.

A score is the activation at the last token along a unit direction of its own model, so two models are compared without
any map between them. Scores are those of both members of contrast pairs that took no part in finding the directions.

1. A view decides what "alike" means:
   - "differences": positive minus negative member. What the question adds to both members cancels, and centring over
     pairs removes the class: pairs that show more of the concept in one model show more of it in the other.
   - "within-class": both members, each class centred. The class is gone, the question stays.
   - "all-members": both members, centred together. Two models that separate the classes correlate here whatever else
     they do; kept as the reference that the other two must be read against.
2. r of all pairs of layers. The sign of a principal component is arbitrary: directions have to be oriented by class
   beforehand, and |r| is what is tested.
3. Null: pairs are permuted in one model, the same way in all layers and in both classes, so that everything but the
   pairing of questions is kept. Per entry, and for the largest |r| of all entries (what a search costs).

Views "within-class" and "all-members" have two dependent rows per question; only permutation knows of it. For
"differences" of normal scores `subspaces.cosine_threshold(n - 1)` says the same without draws.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.permutation import null_threshold, threshold_rank
from interp_xfer.maths.subspaces import orthonormal_bases, overlap
from interp_xfer.streams import random_order, stream

View = Literal["differences", "within-class", "all-members"]
VIEWS: tuple[View, ...] = ("differences", "within-class", "all-members")

MINIMUM_PAIRS = 4
"""Two differences always correlate by 1 or -1; with three the threshold at 5 % is .997."""

_CONSTANT = 1e-12  # spread of scores, as a share of their size, below which a layer says nothing
_DRAWS_AT_ONCE = 100


@dataclass(frozen=True, eq=False)
class MatrixNull:
    """A statistic of all pairs of layers beside what unrelated prompts, or directions, give."""

    observed: Float[Tensor, "n_parent n_child"]
    """NaN where a layer has no spread."""

    null: Float[Tensor, "draws n_parent n_child"]
    """The same statistic under each draw."""

    alpha: float

    @property
    def entry_threshold(self) -> Float[Tensor, "n_parent n_child"]:
        """Size that an entry exceeds by chance with probability alpha, each entry for itself."""
        rank = threshold_rank(len(self.null), self.alpha)
        return self.null.abs().nan_to_num(0).kthvalue(rank, dim=0).values

    @property
    def null_max(self) -> Float[Tensor, " draws"]:
        """Largest size over all entries, per draw."""
        return self.null.abs().nan_to_num(0).flatten(1).max(dim=1).values

    @property
    def search_threshold(self) -> float:
        """Size that the largest of all entries exceeds by chance with probability alpha."""
        return null_threshold(self.null_max, self.alpha)

    @property
    def p_value(self) -> float:
        """Of the largest observed entry, adjusted for the search: (1 + #{null max >= it}) / (draws + 1)."""
        largest = float(self.observed.abs().nan_to_num(0).max())
        return (1 + int((self.null_max >= largest - 1e-12).sum())) / (len(self.null) + 1)

    @property
    def beyond(self) -> Bool[Tensor, "n_parent n_child"]:
        """Entries beyond the search threshold."""
        return self.observed.abs() > self.search_threshold


def score_null(
    parent: Float[Tensor, "n_parent 2 parent_pairs"],
    child: Float[Tensor, "n_child 2 child_pairs"],
    view: View = "differences",
    n_permutations: int = 999,
    alpha: float = 0.05,
    seed: int = 0,
) -> MatrixNull:
    """Correlation of the scores of all pairs of layers over the same prompts, beside jointly permuted prompts.

    r_pc = sum_i a_pi b_ci / (|a_p| |b_c|), a and b the centred scores of the view.

    Arguments:
        parent: scores of the positive (0) and the negative (1) members on one direction per layer.
        child: of the same pairs in the other model.
        view: what is correlated, see the module docstring.
        n_permutations: at least 1/alpha - 1.
        alpha: level of the thresholds, two-sided.
        seed: of the permutations.
    Returns: observed and permuted correlations, float64; NaN at a layer whose scores do not vary.
    Raises: ShapeError on unpaired scores, NaN, or fewer than four pairs; ConfigError for an unknown view, or too few
        permutations for the level.
    Source: Pearson; arXiv 2512.19069, figure 2, asks the question without saying how; views: house rule;
        Westfall and Young 1993 (maximum statistic); arXiv 2602.14486 for layers of two models.
    """
    threshold_rank(n_permutations, alpha)
    a, b = _both(parent, child, view)
    draws = [
        einsum(a, b[:, :, orders], "p members pairs, c members draws pairs -> draws p c")
        for orders in _permutations(a.shape[2], n_permutations, seed)
    ]
    observed = einsum(a, b, "p members pairs, c members pairs -> p c").clamp(-1, 1)
    return MatrixNull(observed, torch.cat(draws), alpha)


def subspace_null(
    parent: Float[Tensor, "n_parent 2 parent_k parent_pairs"],
    child: Float[Tensor, "n_child 2 child_k child_pairs"],
    n_permutations: int = 199,
    alpha: float = 0.05,
    seed: int = 0,
) -> MatrixNull:
    """Overlap of the spans of k components' scores on the same prompts, beside jointly permuted prompts.

    Each component's score differences, centred over pairs, are one vector in n - 1 dimensions; `overlap` of the two
    spans of k such vectors. The cosines are the canonical correlations of the scores: no map is needed, and neither
    order nor sign of the components matters. Without a relation the overlap is about k / (n - 1).

    Arguments:
        parent: scores of both members on k components per layer.
        child: of the same pairs in the other model.
        n_permutations: at least 1/alpha - 1.
        alpha: level of the thresholds.
        seed: of the permutations.
    Returns: overlaps, between 0 and 1; NaN at a layer whose components' scores are linearly dependent.
    Raises: ShapeError on unpaired scores, NaN, or no more than k + 1 pairs, where spans
        overlap whatever the scores are; ConfigError when there are too few permutations for the level.
    Source: Hotelling 1936 (canonical correlations), doi 10.1093/biomet/28.3-4.321; permutations as in `score_null`.
    """
    threshold_rank(n_permutations, alpha)
    _require_scores(parent, child)
    k, n = parent.shape[2], parent.shape[3]
    require_rows("pairs", n, k + 2, f"the overlap of spans of {k} components' scores")
    x, y = (_score_bases(side, scores) for side, scores in (("parent", parent), ("child", child)))
    draws = [overlap(x, y[:, :, order]) for orders in _permutations(n, n_permutations, seed) for order in orders]
    return MatrixNull(overlap(x, y), torch.stack(draws), alpha)


def _both(parent: Tensor, child: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """Scores of the view at unit length, (layers, members, pairs); NaN where they do not vary."""
    _require_scores(parent, child)
    if view not in VIEWS:
        raise ConfigError(f"view {view!r} is not one of {', '.join(VIEWS)}.")
    require_rows("pairs", parent.shape[2], MINIMUM_PAIRS, "a correlation of scores")
    return _seen(parent, view), _seen(child, view)


def _seen(scores: Float[Tensor, "layers 2 pairs"], view: View) -> Float[Tensor, "layers _ pairs"]:
    rows = scores[:, :1] - scores[:, 1:] if view == "differences" else scores
    centred = _centred(rows, (1, 2) if view == "all-members" else 2)
    length = centred.norm(dim=(1, 2), keepdim=True)
    size = scores.double().norm(dim=(1, 2), keepdim=True)
    return torch.where(length > _CONSTANT * size, centred / length, torch.nan)


def _centred(rows: Float[Tensor, "*axes"], axes: int | tuple[int, ...]) -> Float[Tensor, "*axes"]:
    return rows.double() - rows.double().mean(dim=axes, keepdim=True)


def _score_bases(side: str, scores: Float[Tensor, "layers 2 k pairs"]) -> Float[Tensor, "layers k pairs"]:
    rows = _centred(scores[:, 0] - scores[:, 1], 2)
    lengths = rows.norm(dim=2, keepdim=True)
    units = torch.where(lengths > _CONSTANT * scores.double().norm(dim=(1, 3))[..., None], rows / lengths, 0.0)
    dependent = torch.linalg.svdvals(units)[:, -1] < 1e-9
    units[dependent] = torch.eye(*units.shape[1:], dtype=units.dtype)
    bases = orthonormal_bases(side, units)
    bases[dependent] = torch.nan
    return bases


def _require_scores(parent: Tensor, child: Tensor) -> None:
    for side, scores in (("parent", parent), ("child", child)):
        require_finite(f"{side} scores", scores)
        if scores.shape[1] != 2:
            raise ShapeError(
                f"{side} scores of shape {tuple(scores.shape)} must hold positive and negative members along axis 1."
            )
    require_paired(parent.shape[-1], child.shape[-1], "pairs")
    if parent.shape[2:-1] != child.shape[2:-1]:
        raise ShapeError(
            f"the parent has scores of {parent.shape[2]} components and the child of {child.shape[2]}; take as many."
        )


def _permutations(n: int, n_permutations: int, seed: int) -> tuple[Int[Tensor, "draws pairs"], ...]:
    """Random orders, in chunks that keep copies of the scores small."""
    orders = [random_order(stream(seed, "permuted-pairs", number), n) for number in range(n_permutations)]
    return torch.stack(orders).split(_DRAWS_AT_ONCE)
