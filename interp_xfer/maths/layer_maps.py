"""Layer maps: which parent layer feeds each child layer.

The loop is always over child layers; each gets one parent layer, or None, which is recorded and never silently zero.
Layers are 0-based block outputs. The relative depth of layer l of L is l / (L - 1), and 0 when L = 1.

- `greedy`: n -> n, as in arXiv 2512.19069; child layers beyond the parent's depth get None.
- `proportional`: equal relative depth, rounded half up.
- `cka_matched`: by a similarity matrix, monotone (default) or one argmax per child layer.
- `random_monotone`: control, uniform over all non-decreasing maps; `other_layers`: control, another parent layer for
  every child layer.
- `manual`: given by hand.

Why monotone: language models share neighbour relations at corresponding depths, stretched and squeezed (arXiv
2504.08775), and the argmax is flat because adjacent layers are nearly identical. `layer_matching` measures the
similarity from activations and says whether the map is better than chance.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pandas import DataFrame
from torch import Tensor

from interp_xfer.checks import require_finite
from interp_xfer.errors import ConfigError, LayerError
from interp_xfer.fields import STRICT, Fraction, Json, Layer, Layers, checked
from interp_xfer.stats.p_values import p_text
from interp_xfer.streams import random_order, stream

# Scores become integers of this resolution, so that equal totals are ties and not a matter of rounding order.
_RESOLUTION = 10**12
_LARGEST = 2**61  # the sum over a whole map stays below it
_FORBIDDEN = -(2**62)  # below every map of allowed layers, and two of them fit into 64 bits

ORDER_BLIND = ("cka-argmax", "optimal-transport")
"""Strategies that choose the same layers, and score the same, however layers are numbered."""


@dataclass(frozen=True)
class LayerMap:
    """One parent layer, or None, for each child layer, with the evidence for the choice where there is any."""

    __pydantic_config__ = STRICT

    parent_of: tuple[Layer | None, ...]
    """Index: child layer."""

    n_parent_layers: Layers
    """Depth of the parent model."""

    strategy: str
    """Name of the rule that chose: "greedy", "proportional", "cka", ..."""

    scores: tuple[float | None, ...] | None = None
    """Similarity of each child layer with its parent layer."""

    margins: tuple[float | None, ...] | None = None
    """Score minus the best score of another parent layer; negative where monotonicity or band overruled the best."""

    held_out_scores: tuple[float | None, ...] | None = None
    """Similarity on prompts that did not choose the map."""

    bootstrap: tuple[tuple[Fraction, ...], ...] | None = None
    """Row: child layer; entry: share of resamples of the prompts that chose this parent layer."""

    weights: tuple[tuple[Fraction, ...], ...] | None = None
    """Row: child layer; entry: weight of this parent layer in a mixture (transport only); each row sums to 1."""

    p_permutation: Fraction | None = None
    """P value of the largest similarity against prompts permuted jointly in all layers."""

    p_random_map: Fraction | None = None
    """Rank p value of the placement. Chosen from similarities: mean held-out score against that of maps chosen by the
    same method after layers were relabelled at random; else mean score against random monotone maps."""

    def __post_init__(self) -> None:
        if self.n_parent_layers < 1 or not self.parent_of:
            raise LayerError(
                f"a layer map needs at least one layer on both sides, got {self.n_parent_layers} parent and "
                f"{len(self.parent_of)} child layers; check the depths of the two models."
            )
        for child, parent in enumerate(self.parent_of):
            if parent is not None and not 0 <= parent < self.n_parent_layers:
                raise LayerError(
                    f"child layer {child} is mapped to parent layer {parent}, but the parent has layers 0 to "
                    f"{self.n_parent_layers - 1}; choose one of them, or None for no transfer."
                )
        for name in ("scores", "margins", "held_out_scores", "bootstrap", "weights"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.parent_of):
                raise LayerError(
                    f"{name} of a layer map have {len(rows)} entries for {len(self.parent_of)} child layers; give one "
                    "for each."
                )
        for name in ("bootstrap", "weights"):
            if wrong := {len(row) for row in getattr(self, name) or ()} - {self.n_parent_layers}:
                raise LayerError(
                    f"{name} of a layer map have rows of {wrong.pop()} entries for {self.n_parent_layers} parent "
                    "layers; give one for each."
                )

    def __repr__(self) -> str:
        scores = [score for score in self.scores or () if score is not None]
        mean = f", mean score {sum(scores) / len(scores):.2f}" if scores else ""
        layers = f"{len(self.pairs)} of {self.n_child_layers} child layers from {self.n_parent_layers} parent layers"
        return f"LayerMap({self.strategy}: {layers}{mean})"

    @property
    def n_child_layers(self) -> int:
        """Depth of the child model."""
        return len(self.parent_of)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(parent layer, child layer) for every child layer that has a parent: the projections to fit."""
        return tuple((parent, child) for child, parent in enumerate(self.parent_of) if parent is not None)

    @property
    def verdict(self) -> str:
        """One line that says whether the map is better than chance, as far as it was tested at the 5% level."""
        parts = []
        if self.p_permutation is not None:
            parts.append(_judged("similarity", self.p_permutation, "unrelated prompts"))
        if self.p_random_map is not None and self.strategy in ORDER_BLIND:
            parts.append("placement cannot be tested (the method looks at no order: relabelled layers do as well)")
        elif self.p_random_map is not None:
            chosen = self.held_out_scores is not None
            chance = "relabelled layers" if chosen else "random monotone maps"
            parts.append(_judged("placement", self.p_random_map, chance))
        return "; ".join(parts) or "not tested against chance"

    def to_dict(self) -> Json:
        """Plain JSON: lists, numbers, strings and None."""
        return {key: _as_lists(value) for key, value in asdict(self).items()}

    def to_pandas(self) -> DataFrame:
        """One row a child layer; columns of what was measured alone."""
        columns = ("scores", "margins", "held_out_scores")
        measured = {name: values for name in columns if (values := getattr(self, name)) is not None}
        return DataFrame(
            {"child_layer": c, "parent_layer": p, **{name.rstrip("s"): values[c] for name, values in measured.items()}}
            for c, p in enumerate(self.parent_of)
        )

    @classmethod
    def from_dict(cls, values: Json, source: str = "a layer map") -> "LayerMap":
        """The map that `to_dict` wrote.

        Raises: ArtifactError naming `source` for values that are missing, unknown or not allowed, such as a layer that
            the parent does not have.
        """
        return checked(cls, values, source)


def greedy(n_parent: int, n_child: int) -> LayerMap:
    """Child layer n from parent layer n; None below the depth of a shallower parent.

    Arguments:
        n_parent: depth of the parent.
        n_child: depth of the child.
    Returns: the map.
    Raises: LayerError when a depth is below 1.
    Source: arXiv 2512.19069.
    """
    return LayerMap(tuple(c if c < n_parent else None for c in range(n_child)), n_parent, "greedy")


def proportional(n_parent: int, n_child: int) -> LayerMap:
    """Child layer at the same relative depth in the parent.

    parent(c) = floor(c (n_parent - 1) / (n_child - 1) + 1/2) in integers (Python's `round` sends halves to the even
    neighbour); a child of one layer takes parent layer 0.

    Arguments:
        n_parent: depth of the parent.
        n_child: depth of the child.
    Returns: the map.
    Raises: LayerError when a depth is below 1.
    Source: house rule.
    """
    return LayerMap(tuple(_proportional(n_parent, n_child)), n_parent, "proportional")


def random_monotone(n_parent: int, n_child: int, seed: int = 0, draw: int = 0) -> LayerMap:
    """A control: one of all non-decreasing maps, each with equal probability.

    Stars and bars: n_child of n_parent + n_child - 1 places drawn without replacement and sorted, minus 0, 1, 2, ...

    Arguments:
        n_parent: depth of the parent.
        n_child: depth of the child.
        seed: of the draws.
        draw: which of many.
    Returns: the map.
    Raises: LayerError when a depth is below 1.
    Source: house rule.
    """
    order = random_order(stream(seed, "random-monotone", draw), max(n_parent + n_child - 1, 0))
    places = order[:n_child].sort().values
    return LayerMap(tuple((places - torch.arange(len(places))).tolist()), n_parent, "random-monotone")


def other_layers(layer_map: LayerMap, seed: int = 0, draw: int = 0) -> LayerMap:
    """A control: the parent layers of a map exchanged for one another at random, so that none stays where it was.

    parent(c) becomes s(parent(c)), s a random permutation of the parent layers that moves every one of them.

    Arguments:
        layer_map: any map.
        seed: of the draws.
        draw: which of many.
    Returns: the map, strategy "NAME-other-layers".
    Raises: LayerError where the parent has a single layer.
    Source: house rule.
    """
    n = layer_map.n_parent_layers
    if n < 2:
        raise LayerError("a parent of one layer has no other layers to be exchanged for; leave this control out.")
    numbers = stream(seed, "other-layers", draw)
    order = random_order(numbers, n)
    while bool((order == torch.arange(n)).any()):  # about one permutation in e moves everything
        order = random_order(numbers, n)
    moved = tuple(None if p is None else int(order[p]) for p in layer_map.parent_of)
    return LayerMap(moved, n, f"{layer_map.strategy}-other-layers")


def manual(parent_of: Sequence[int | None], n_parent: int) -> LayerMap:
    """A map given by hand.

    Arguments:
        parent_of: index is the child layer, entry a parent layer or None.
        n_parent: depth of the parent.
    Returns: the map.
    Raises: LayerError when a layer is out of range.
    Source: house rule.
    """
    return LayerMap(tuple(parent_of), n_parent, "manual")


"""The strategies that need nothing but the two depths."""


def cka_matched(
    scores: Float[Tensor, "n_parent n_child"],
    method: Literal["monotone", "argmax"] = "monotone",
    penalty: float = 1.0,
    band: float = 0.25,
) -> LayerMap:
    """The map that follows a similarity matrix.

    "argmax": parent(c) = argmax_p S[p, c] for each child layer alone, penalty and band unused. "monotone": maximises
    sum_c S'[parent(c), c] over non-decreasing maps, S'[p, c] = S[p, c] - penalty (p / (n_parent - 1) - c / (n_child -
    1))^2, where the gap of relative depth is at most `band`, by D[c, p] = max_{q <= p} D[c - 1, q] + S'[p, c]. The
    proportional layer is always allowed, so that a map exists at any depth. Ties go to the proportional layer.

    Arguments:
        scores: similarity, rows are parent layers.
        method: see above.
        penalty: weight of the squared gap. 1.0 costs .01 at a gap of a tenth of the depth: enough to settle flat rows,
            too little to overrule a clear peak.
        band: largest gap of relative depth; 1.0 allows every layer.
    Returns: the map with scores and margins.
    Raises: ShapeError on NaN (a constant layer has no similarity); ConfigError on a negative penalty or band,
        or an unknown method.
    Source: house rule, after arXiv 2504.08775; per-layer argmax criticised in arXiv 2510.01706.
    """
    if method not in ("monotone", "argmax"):
        raise ConfigError(f"method {method!r} is not one of monotone, argmax.")
    if penalty < 0 or band < 0:
        raise ConfigError(f"penalty and band must not be negative, got {penalty} and {band}; use 0 to switch one off.")
    if method == "argmax":
        require_finite("layer similarities", scores)
        chosen = _integer_scores(scores[None], penalty=0.0, band=1.0).argmax(dim=1)
    else:
        chosen = best_monotone(scores[None], penalty, band)
    strategy = "cka" if method == "monotone" else "cka-argmax"
    return with_scores(LayerMap(tuple(chosen[0].tolist()), len(scores), strategy), scores)


def best_monotone(
    scores: Float[Tensor, "draws n_parent n_child"], penalty: float = 1.0, band: float = 0.25
) -> Int[Tensor, "draws n_child"]:
    """The parent layers that `cka_matched(method="monotone")` chooses for each of many similarity matrices.

    D[c, p] = max_{q <= p} D[c - 1, q] + S'[p, c] for all matrices at once, O(child layers) steps.

    Arguments:
        scores: one matrix a draw, rows are parent layers.
        penalty: as in `cka_matched`.
        band: as in `cka_matched`.
    Returns: one parent layer per child layer, non-decreasing along each row.
    Raises: ShapeError on NaN.
    Source: as `cka_matched`.
    """
    require_finite("layer similarities", scores)
    steps = _integer_scores(scores, penalty, band)
    layers = torch.arange(steps.shape[1])
    best = steps[:, :, 0]
    sources = []
    for child in range(1, steps.shape[2]):
        reached = best.cummax(dim=1).values
        # The first parent layer that reaches the maximum: `cummax` itself names the last of equal ones.
        new = torch.cat([torch.ones_like(best[:, :1], dtype=torch.bool), best[:, 1:] > reached[:, :-1]], dim=1)
        sources.append(torch.where(new, layers, 0).cummax(dim=1).values)
        best = (reached + steps[:, :, child]).clamp(min=_FORBIDDEN)
    path = [best.argmax(dim=1)]
    for source in reversed(sources):
        path.append(source.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], dim=1)


def with_scores(layer_map: LayerMap, scores: Float[Tensor, "n_parent n_child"]) -> LayerMap:
    """The same map with its scores and margins read off a similarity matrix.

    score(c) = S[parent(c), c]; margin(c) = score(c) - max over p != parent(c) of S[p, c], None for one parent layer.

    Arguments:
        layer_map: any map of these depths.
        scores: similarity, rows are parent layers.
    Returns: a new map; child layers without a parent have None.
    Raises: LayerError when the matrix is of other depths.
    Source: house rule.
    """
    if scores.shape != (layer_map.n_parent_layers, layer_map.n_child_layers):
        raise LayerError(
            f"a similarity matrix of {tuple(scores.shape)} (parent, child) layers does not fit a map of "
            f"({layer_map.n_parent_layers}, {layer_map.n_child_layers}); compute it for these two models."
        )
    table = scores.double().tolist()
    found: list[float | None] = []
    margins: list[float | None] = []
    for child, parent in enumerate(layer_map.parent_of):
        others = [row[child] for p, row in enumerate(table) if p != parent]
        found.append(None if parent is None else table[parent][child])
        margins.append(None if parent is None or not others else table[parent][child] - max(others))
    return replace(layer_map, scores=tuple(found), margins=tuple(margins))


def relative_depth(layer: int, n_layers: int) -> float:
    """Position of a layer between the first (0.0) and the last (1.0); 0.0 in a model of one layer.

    Source: house rule.
    """
    return layer / (n_layers - 1) if n_layers > 1 else 0.0


def _judged(what: str, p_value: float, chance: str) -> str:
    return f"{what} {'is' if p_value <= 0.05 else 'is NOT'} better than chance ({chance}, {p_text(p_value)})"


def _proportional(n_parent: int, n_child: int) -> list[int]:
    steps = max(n_child - 1, 1)
    return [(2 * c * (n_parent - 1) + steps) // (2 * steps) for c in range(n_child)]


def _integer_scores(
    scores: Float[Tensor, "draws n_parent n_child"], penalty: float, band: float
) -> Int[Tensor, "draws n_parent n_child"]:
    """Penalised scores; nearness to the proportional layer breaks ties; far below every total where not allowed.

    The low digits count layers away from the proportional map; a whole map stays below one unit of the score.
    """
    _, n_parent, n_child = scores.shape
    home = torch.tensor(_proportional(n_parent, n_child))
    layers = torch.arange(n_parent)[:, None]
    gap = torch.tensor(
        [[relative_depth(p, n_parent) - relative_depth(c, n_child) for c in range(n_child)] for p in range(n_parent)]
    ).double()
    values = scores.double() - penalty * gap.square()
    allowed = (gap.abs() <= band + 1e-12) | (layers == home)
    largest = float(torch.where(allowed, values.abs(), 0.0).max())
    cells = n_parent * n_child + 1
    resolution = min(_RESOLUTION, _LARGEST // (math.ceil(largest + 1) * cells * n_child))
    integers = (values * resolution).round().long() * cells - (layers - home).abs()
    return torch.where(allowed, integers, _FORBIDDEN)


def _as_lists(value: Any) -> Any:
    return [_as_lists(entry) for entry in value] if isinstance(value, tuple) else value
