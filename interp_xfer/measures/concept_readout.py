"""Which directions read a concept in the child: AUROC over held-out contrast pairs, at every child layer.

1. Directions are fixed beforehand, signs included: nothing here may be chosen on the held-out pairs.
2. Held-out pairs run through the child a chunk at a time; of each last-token activation only its scores on the
   directions are kept, so memory does not grow with the width.
3. Per layer and source of directions: AUROC of positive against negative members with its interval, and the share of
   pairs whose positive member scores higher. Averages over layers, and paired differences between sources, have
   intervals over pairs (`interp_xfer.maths.auroc`).
4. A control is many draws of the same kind. Its mean has an interval over pairs and draws: the variance over pairs of
   what the draws have in common, plus that between draws divided by their number.

This costs forward passes alone and says where a concept is readable, not that steering along it does anything. Easy
pairs are told apart by random directions whose sign was resolved on labelled pairs, so those stand beside every number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp_xfer.concepts.extract import contrast_members
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.auroc import (
    Readout,
    auroc_difference,
    auroc_interval,
    difference_interval,
    mean_auroc,
    pair_values,
    pairwise_wins,
    score_readout,
)
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, no_progress
from interp_xfer.stats.intervals import Interval
from interp_xfer.stats.selection import rank_p_value
from interp_xfer.tasks import ContrastPair

_PAIRS_PER_CHUNK = 64


@dataclass(frozen=True, eq=False)
class MemberScores:
    """Scores of held-out members on directions; NaN where a source has no direction at a layer."""

    positive: dict[str, Float[Tensor, "child_layers pairs"]]
    """Source -> scores of the positive members."""
    negative: dict[str, Float[Tensor, "child_layers pairs"]]
    """Source -> scores of the negative members."""

    def layers(self, source: str) -> list[int]:
        """Child layers at which the source has a direction.

        Raises: ConfigError for an unknown source.
        """
        if source not in self.positive:
            raise ConfigError(f"no scores of {source!r}; there are those of {', '.join(self.positive)}.")
        return self.positive[source].isfinite().all(dim=1).nonzero()[:, 0].tolist()

    def wins(self, source: str, layers: Sequence[int]) -> Float[Tensor, "layers pairs pairs"]:
        """`pairwise_wins` of a source at some layers.

        Raises: ConfigError for an unknown source.
        """
        self.layers(source)
        return torch.stack([pairwise_wins(self.positive[source][c], self.negative[source][c]) for c in layers])

    def values(self, sources: Sequence[str], layers: Sequence[int]) -> Float[Tensor, "sources layers pairs"]:
        """`pair_values` of some sources at some layers."""
        chosen = list(layers)
        positive, negative = (
            torch.stack([side[s][chosen] for s in sources]) for side in (self.positive, self.negative)
        )
        return pair_values(positive, negative)


class SourceSummary(NamedTuple):
    """A source of directions averaged over the layers it has in common with random ones."""

    auroc: Interval
    """Mean over layers; interval over pairs."""
    random_mean: float
    """Mean over layers and draws."""
    random_best: float
    """Largest mean over layers of any draw."""
    rank_p: float
    """Of the mean among the draws; at best 1 / (draws + 1)."""
    n_layers: int


class DrawsSummary(NamedTuple):
    """A control of several draws, at one layer or averaged over layers."""

    auroc: Interval
    """Mean over draws; interval over pairs and draws."""
    lowest: float
    """Of any draw."""
    highest: float
    n_draws: int


def score_members(
    child: LoadedModel,
    pairs: Sequence[ContrastPair],
    directions: Mapping[str, Float[Tensor, "child_layers d_child"]],
    progress: Progress = no_progress,
) -> MemberScores:
    """Scores of the last-token activations of held-out pairs on unit directions, read in chunks.

    Arguments:
        child: the model that reads the pairs.
        pairs: held out: they took part in no direction and no sign.
        directions: source -> one row per layer, of any length; a zero row means no direction at that layer.
        progress: called with the number of texts done.
    Returns: scores by source.
    Raises: DataError without pairs; ConfigError without directions; ShapeError for directions of another shape.
    """
    if not directions:
        raise ConfigError("there are no directions to score held-out pairs on; give at least one.")
    shape = (child.n_layers, child.d_model)
    for name, rows in directions.items():
        if tuple(rows.shape) != shape:
            raise ShapeError(
                f"directions {name!r} have shape {tuple(rows.shape)}, but {child.name} has {shape[0]} layers of width "
                f"{shape[1]}; carry them into the child first."
            )
    stack = torch.stack(list(directions.values())).double()
    stack = stack / stack.norm(dim=-1, keepdim=True)  # NaN where there is no direction
    chunks: tuple[list[Tensor], list[Tensor]] = ([], [])
    for start in range(0, max(len(pairs), 1), _PAIRS_PER_CHUNK):
        members = contrast_members(child, pairs[start : start + _PAIRS_PER_CHUNK], progress)
        for side, rows in zip(chunks, members, strict=True):
            side.append(einsum(stack, rows.double(), "source layer d_child, layer pair d_child -> source layer pair"))
    positive, negative = (dict(zip(directions, torch.cat(side, dim=2), strict=True)) for side in chunks)
    return MemberScores(positive, negative)


def layer_readouts(scores: MemberScores, source: str) -> list[Readout | None]:
    """AUROC and pair accuracy of a source at every child layer; None where it has no direction.

    Raises: ConfigError for an unknown source; ShapeError on fewer than two pairs.
    """
    layers = scores.layers(source)
    out: list[Readout | None] = [None] * len(scores.positive[source])
    for c in layers:
        out[c] = score_readout(scores.positive[source][c], scores.negative[source][c])
    return out


def summarise_source(scores: MemberScores, source: str, random: Sequence[str]) -> SourceSummary:
    """Mean AUROC of a source over its layers beside random directions at the same layers.

    Arguments:
        scores: held-out scores.
        source: which.
        random: sources that are draws of one random control, at least one.
    Raises: ConfigError for an unknown source, or without draws; ShapeError where a source has no layer.
    """
    layers = scores.layers(source)
    if not random:
        raise ConfigError(f"there is no random direction to compare {source!r} with; draw at least one.")
    if not layers:
        raise ShapeError(f"{source!r} has no direction at any layer; nothing can be summarised.")
    draws = scores.values(random, layers).mean(dim=(1, 2))
    auroc = mean_auroc(scores.wins(source, layers))
    return SourceSummary(
        auroc, float(draws.mean()), float(draws.max()), rank_p_value(auroc.estimate, draws), len(layers)
    )


def summarise_draws(scores: MemberScores, draws: Sequence[str], layers: Sequence[int] | None = None) -> DrawsSummary:
    """Mean AUROC of a control over its draws and layers.

    Arguments:
        scores: held-out scores.
        draws: sources that are draws of one control, with directions at the same layers.
        layers: which child layers; None for all that the first draw has.
    Raises: ConfigError for an unknown source; ShapeError without draws or layers.
    """
    values = _of_draws(scores, draws, layers)
    means = values.mean(dim=(1, 2))
    interval = auroc_interval(values.flatten(0, 1), between=_between(values))
    return DrawsSummary(interval, float(means.min()), float(means.max()), len(draws))


def compare_sources(scores: MemberScores, source: str, other: str) -> Interval:
    """Mean AUROC of one source minus that of another over the layers that both have, paired by held-out pairs.

    Raises: ConfigError for an unknown source; ShapeError where they have no layer in common.
    """
    layers = sorted(set(scores.layers(source)) & set(scores.layers(other)))
    if not layers:
        raise ShapeError(f"{source!r} and {other!r} have no layer in common; compare other sources.")
    return auroc_difference(scores.wins(source, layers), scores.wins(other, layers))


def compare_with_draws(scores: MemberScores, source: str, draws: Sequence[str]) -> Interval:
    """Mean AUROC of a source minus that of a control over its draws, paired by held-out pairs; over pairs and draws.

    Raises: as `summarise_draws`.
    """
    layers = [c for c in scores.layers(source) if all(c in scores.layers(draw) for draw in draws)]
    values = _of_draws(scores, draws, layers)
    return difference_interval(scores.values([source], layers)[0], values.flatten(0, 1), between=_between(values))


def _of_draws(
    scores: MemberScores, draws: Sequence[str], layers: Sequence[int] | None
) -> Float[Tensor, "draws layers pairs"]:
    chosen = scores.layers(draws[0]) if layers is None and draws else layers
    if not draws or not chosen:
        raise ShapeError(f"{len(draws)} draws at {len(chosen or ())} layers say nothing; give at least one of both.")
    return scores.values(draws, chosen)


def _between(values: Float[Tensor, "draws layers pairs"]) -> float:
    """Variance of the mean over draws; a single draw says nothing of it."""
    means = values.mean(dim=(1, 2))
    return float(means.var()) / len(means) if len(means) > 1 else 0.0
