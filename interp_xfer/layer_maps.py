"""Layer maps: which parent layer feeds each child layer.

The loop is always over child layers; each gets one parent layer, or None, which is recorded and never silently zero.
Layers are 0-based block outputs. The relative depth of layer l of L is l / (L - 1), and 0 when L = 1.

- `greedy`: n -> n, as in arXiv 2512.19069; child layers beyond the parent's depth get None.
- `proportional`: equal relative depth, rounded half up.
- `cka_matched`: by a similarity matrix, monotone (default) or one argmax per child layer.
- `random_monotone`: control, uniform over all non-decreasing maps.
- `manual`: given by hand.

Why monotone: language models share neighbour relations at corresponding depths, stretched and squeezed (arXiv
2504.08775), and the argmax is flat because adjacent layers are nearly identical. `layer_matching` measures the
similarity from activations and says whether the map is better than chance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer._checks import require_finite
from interp_xfer.errors import ConfigError, LayerError
from interp_xfer.records import STRICT, Fraction, Layer, Layers, checked

# Scores become integers of this resolution, so that equal totals are ties and not a matter of rounding order.
_RESOLUTION = 10**12


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
    """Rank p value of the mean held-out score against random monotone maps."""

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
        tests = (
            (self.p_permutation, "similarity", "unrelated prompts"),
            (self.p_random_map, "placement", "random monotone maps"),
        )
        parts = [
            f"{what} {'is' if p <= 0.05 else 'is NOT'} better than chance ({chance}, p={p:.3g})"
            for p, what, chance in tests
            if p is not None
        ]
        return "; ".join(parts) or "not tested against chance"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: lists, numbers, strings and None."""
        return {key: _as_lists(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "a layer map") -> "LayerMap":
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


def random_monotone(n_parent: int, n_child: int, seed: int = 0) -> LayerMap:
    """A control: one of all non-decreasing maps, each with equal probability.

    Stars and bars: n_child of n_parent + n_child - 1 places drawn without replacement and sorted, minus 0, 1, 2, ...

    Arguments:
        n_parent: depth of the parent.
        n_child: depth of the child.
        seed: of the draw.
    Returns: the map.
    Raises: LayerError when a depth is below 1.
    Source: house rule.
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.randperm(max(n_parent + n_child - 1, 0), generator=generator)[:n_child].sort().values
    return LayerMap(tuple((places - torch.arange(len(places))).tolist()), n_parent, "random-monotone")


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


STRATEGIES: dict[str, Callable[[int, int], LayerMap]] = {
    "greedy": greedy,
    "proportional": proportional,
    "random-monotone": random_monotone,
}
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
    Raises: ShapeError on NaN (a constant layer has no similarity); ConfigError on a negative penalty or band.
    Source: house rule, after arXiv 2504.08775; per-layer argmax criticised in arXiv 2510.01706.
    """
    require_finite("layer similarities", scores)
    if penalty < 0 or band < 0:
        raise ConfigError(f"penalty and band must not be negative, got {penalty} and {band}; use 0 to switch one off.")
    n_parent, n_child = scores.shape
    if method == "argmax":
        columns = _integer_scores(scores, penalty=0.0, band=1.0)
        chosen = [max(column, key=column.__getitem__) for column in columns]
    else:
        chosen = _best_monotone(_integer_scores(scores, penalty, band), n_parent)
    return with_scores(LayerMap(tuple(chosen), n_parent, "cka" if method == "monotone" else "cka-argmax"), scores)


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


def _proportional(n_parent: int, n_child: int) -> list[int]:
    steps = max(n_child - 1, 1)
    return [(2 * c * (n_parent - 1) + steps) // (2 * steps) for c in range(n_child)]


def _integer_scores(scores: Tensor, penalty: float, band: float) -> list[dict[int, int]]:
    """For each child layer, allowed parent layer -> penalised score; nearness to the proportional layer breaks ties.

    The low digits count layers away from the proportional map; a whole map stays below one unit of the score.
    """
    n_parent, n_child = scores.shape
    table = scores.double().tolist()
    columns = []
    for child, home in enumerate(_proportional(n_parent, n_child)):
        column = {}
        for parent in range(n_parent):
            gap = relative_depth(parent, n_parent) - relative_depth(child, n_child)
            if abs(gap) <= band + 1e-12 or parent == home:
                score = round((table[parent][child] - penalty * gap**2) * _RESOLUTION)
                column[parent] = score * (n_parent * n_child + 1) - abs(parent - home)
        columns.append(column)
    return columns


def _best_monotone(columns: list[dict[int, int]], n_parent: int) -> list[int]:
    """The non-decreasing path of the largest total, O(parent layers x child layers)."""
    best: dict[int, int] = {0: 0}  # last parent layer -> best total so far
    came_from: list[dict[int, int]] = []
    for column in columns:
        totals, sources = {}, {}
        source = None
        for parent in range(n_parent):
            if parent in best and (source is None or best[parent] > best[source]):
                source = parent
            if source is not None and parent in column:
                totals[parent], sources[parent] = best[source] + column[parent], source
        best = totals
        came_from.append(sources)
    path = [max(best, key=best.__getitem__)]
    for sources in reversed(came_from[1:]):
        path.append(sources[path[-1]])
    return path[::-1]


def _as_lists(value: Any) -> Any:
    return [_as_lists(entry) for entry in value] if isinstance(value, tuple) else value
