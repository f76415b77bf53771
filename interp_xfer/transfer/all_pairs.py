"""A direction of every parent layer carried into every child layer, without fitting a map for every pair.

A ridge map sends a direction v to v W = v (XᵀX + a I)⁻¹ XᵀY = sum_i s_i y_i, s_i = (x_i - mean x) . u, with
u = (XᵀX + a I)⁻¹ v. So one number per row and parent layer is all that is needed of the parent:

1. one reading of the parent's rows gives XᵀX, and from it u, for every parent layer;
2. one reading of both models adds up s_i y_i for all pairs of layers.

This equals the fitted map exactly, for a strength that is given (it cannot be chosen here: take that of a map fitted
from the same parent layer). Memory is 8 (d_p² + L_p L_c d_c) bytes and a parent layer's sums at a time; 18 x 30 layers
take two readings of the corpus instead of 540 factorisations.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_paired
from interp_xfer.errors import ShapeError
from interp_xfer.maths.linear_solvers import ridge_weight
from interp_xfer.maths.paired_sums import PairedSums
from interp_xfer.maths.random_directions import rows_of_other_prompts
from interp_xfer.progress import Progress, no_progress
from interp_xfer.streams import stream
from interp_xfer.transfer.corpus import LayerPair, PairedCorpus

_SUMS_BYTES = 2 * 2**30  # XᵀX of the parent layers that are read together


class Carried(NamedTuple):
    """Directions of the parent in the child: float64, any length, signs not resolved."""

    every: Float[Tensor, "parent_layers *sets child_layers d_child"]
    """Of every parent layer in every child layer."""
    shuffled: Float[Tensor, "draws pairs d_child"]
    """Of some pairs of layers, by maps of rows that are paired with those of other texts; one row a pair."""


def carried_directions(
    corpus: PairedCorpus,
    directions: Float[Tensor, "parent_layers *sets d_parent"],
    alphas: Sequence[float],
    *,
    progress: Progress = no_progress,
) -> Float[Tensor, "parent_layers *sets child_layers d_child"]:
    """What the ridge map of each pair of layers makes of the parent's direction, v_p W_pc.

    Arguments:
        corpus: ordinary texts, disjoint from contrast pairs.
        directions: one per parent layer, or several (one more axis), which cost no further reading.
        alphas: ridge strength per parent layer, relative as in `fit_ridge`.
        progress: called with the number of texts done, `n_readings` times over the corpus.
    Returns: (parent_layers, ..., child_layers, d_child), float64, any length, signs not resolved.
    Raises: ShapeError on another number of layers, too few rows, or a constant layer.
    Source: house rule; equal to `fit_ridge(sums, [alpha]).map_direction(v)`.
    """
    sets = directions.shape[1:-1]
    stacked = directions.reshape(len(directions), -1, directions.shape[-1])
    every = _carry(corpus, stacked, alphas, (), 0, 0, progress).every
    return every.reshape(len(directions), *sets, *every.shape[2:])


def carried_with_shuffles(
    corpus: PairedCorpus,
    directions: Float[Tensor, "parent_layers d_parent"],
    alphas: Sequence[float],
    pairs: Sequence[LayerPair],
    n_draws: int,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Carried:
    """`carried_directions`, and beside them what maps fitted on wrongly paired rows make of the same directions.

    A shuffle moves the scores s_i against the rows y_i, so that a draw costs one more column of scores: no map is
    fitted and nothing is read again.

    Arguments:
        corpus: ordinary texts, disjoint from contrast pairs.
        directions: one per parent layer.
        alphas: ridge strength per parent layer.
        pairs: (parent layer, child layer) for which shuffles are wanted.
        n_draws: shuffles.
        seed: of the shuffles.
        progress: called with the number of texts done, `n_readings` times over the corpus.
    Returns: both.
    Raises: as `carried_directions`; ShapeError when one text holds more than half of the rows of its batch.
    """
    found = _carry(corpus, directions[:, None], alphas, pairs, n_draws, seed, progress)
    return Carried(found.every[:, 0], found.shuffled)


def n_readings(corpus: PairedCorpus) -> int:
    """How often `carried_directions` reads the corpus."""
    return 1 + len(_groups(corpus.parent.n_layers, corpus.parent.d_model))


def _carry(
    corpus: PairedCorpus,
    directions: Float[Tensor, "parent_layers sets d_parent"],
    alphas: Sequence[float],
    pairs: Sequence[LayerPair],
    n_draws: int,
    seed: int,
    progress: Progress,
) -> Carried:
    require_paired(len(directions), corpus.parent.n_layers, "layers", "the directions", "the parent")
    require_paired(len(alphas), corpus.parent.n_layers, "layers", "the strengths", "the parent")
    means, readers = _readers(corpus, directions.double(), alphas, progress)
    child_layers = range(corpus.child.n_layers)
    every = torch.zeros(*directions.shape[:2], len(child_layers), corpus.child.d_model, dtype=torch.float64)
    shuffled = torch.zeros(n_draws, len(pairs), corpus.child.d_model, dtype=torch.float64)
    shifts: Tensor | None = None
    for number, batch in enumerate(corpus.batches(range(len(directions)), child_layers, progress)):
        scores = torch.stack([(batch.x[p].double() - means[p]) @ readers[p].T for p in range(len(directions))])
        ys = torch.stack([batch.y[c] for c in child_layers]).double()  # (child_layers, rows, d_child)
        # Scores sum to zero over all rows, so that any shift of y cancels; one near the mean keeps the sums small.
        shifts = ys.mean(dim=1, keepdim=True) if shifts is None else shifts
        ys -= shifts
        every += einsum(scores, ys, "parents rows sets, children rows d_child -> parents sets children d_child")
        if n_draws:
            # s_i y_order(i) = s_inverse(j) y_j: the scores are moved, which are one column, and not the rows.
            orders = [
                rows_of_other_prompts(batch.texts, stream(seed, "shuffled-pairs", draw, number))
                for draw in range(n_draws)
            ]
            moved = scores[:, torch.stack(orders).argsort(dim=1), 0]  # (parents, draws, rows)
            for place, (p, c) in enumerate(pairs):
                shuffled[:, place] += moved[p] @ ys[c]
    return Carried(every, shuffled)


def _groups(n_layers: int, d_model: int) -> list[range]:
    size = max(1, _SUMS_BYTES // (8 * d_model**2))
    return [range(start, min(start + size, n_layers)) for start in range(0, n_layers, size)]


def _readers(
    corpus: PairedCorpus, directions: Tensor, alphas: Sequence[float], progress: Progress
) -> tuple[Float[Tensor, "parent_layers d_parent"], Float[Tensor, "parent_layers sets d_parent"]]:
    """Mean activation and u of every parent layer and direction."""
    d_model = corpus.parent.d_model
    means, readers = torch.empty_like(directions[:, 0]), torch.empty_like(directions)
    for layers in _groups(corpus.parent.n_layers, d_model):
        sums = {p: PairedSums(d_model, 0, 1) for p in layers}
        for batch in corpus.batches(layers, (), progress):
            for p in layers:
                sums[p].add(batch.x[p], batch.x[p][:, :0])
        for p in layers:
            moments = sums[p].moments()
            if not moments.xx.trace() > 0:
                raise ShapeError(f"parent layer {p} is constant over {moments.n} rows; leave it out.")
            # The solver of the maps, with the direction in the place of XᵀY.
            moments = replace(moments, mean_y=moments.mean_x[:1].expand(directions.shape[1]), xy=directions[p].T)
            means[p], readers[p] = moments.mean_x, ridge_weight(moments, alphas[p]).T
    return means, readers
