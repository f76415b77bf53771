"""Layer maps measured from activations, with the evidence that they are better than chance, or are not.

1. S = CKA of all layer pairs on contrast differences of the same prompts.
2. The map: best monotone path, argmax per child layer, or optimal transport.
3. Evidence, kept in the map:
   - margins over the runner-up (adjacent layers are nearly identical, so they are small);
   - how often each parent layer is chosen on random halves of the prompts. Half samples drawn without replacement
     spread as much as a bootstrap of all prompts does, (1/(n/2) - 1/n) = 1/n, and do not repeat a prompt, which would
     look like agreement between layers;
   - similarity on the half of the prompts that did not choose the map;
   - p of the largest similarity against jointly permuted prompts;
   - p of the placement: the rank of the mean held-out similarity among those of maps that the same method chose, and
     that were held out in the same way, after the layers of both models were relabelled (`relabelled_layers`). An
     optimised map beats maps that were not optimised without any correspondence, so those are no null for it.

Placement asks whether the order of layers matters. Methods that look at no order (argmax, transport) choose the same
layers under every relabelling: p is 1, and the verdict says why. `python benchmarks/verdict_size.py` measures size
and power; neighbouring layers are alike, which is why they are moved in blocks: relabelled one by one, the size at .05
reaches .2.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linprog
from scipy.sparse import coo_array
from torch import Tensor

from interp_xfer.checks import require_finite, require_rows
from interp_xfer.errors import ConfigError, LayerError
from interp_xfer.maths.cka import centre, cka_of_grams, paired_grams
from interp_xfer.maths.layer_maps import (
    ORDER_BLIND,
    LayerMap,
    best_monotone,
    cka_matched,
    proportional,
    random_monotone,
    with_scores,
)
from interp_xfer.maths.permutation import PermutationNull, permutation_null
from interp_xfer.stats.selection import rank_p_value
from interp_xfer.streams import random_order, stream

Method = Literal["monotone", "argmax", "transport"]

Relabelled = Callable[[Float[Tensor, "draws n_parent n_child"]], Int[Tensor, "draws n_child"]]
"""From similarities of relabelled layers, one matrix a draw, to the parent layer of each child layer."""

_N_BLOCKS = 4  # blocks of neighbouring layers that are moved together, each side


class LayerMatch(NamedTuple):
    """A layer map and the similarities that it rests on."""

    layer_map: LayerMap
    """With scores, margins, bootstrap, held-out scores and p values."""
    null: PermutationNull
    """Observed similarity of all layer pairs, and the null of their maximum."""


def match_layers(
    xs: Sequence[Float[Tensor, "parent_prompts d_parent"]] | Float[Tensor, "n_parent parent_prompts d_parent"],
    ys: Sequence[Float[Tensor, "child_prompts d_child"]] | Float[Tensor, "n_child child_prompts d_child"],
    method: Method = "monotone",
    penalty: float = 1.0,
    band: float = 0.25,
    normalize_rows: bool = True,
    n_bootstrap: int = 100,
    n_permutations: int = 199,
    n_random_maps: int = 999,
    seed: int = 0,
) -> LayerMatch:
    """The layer map that follows the unbiased CKA of the given rows, tested against chance.

    Steps 1 to 3 of the module docstring.

    Arguments:
        xs: one matrix per parent layer, rows are contrast differences of prompts.
        ys: one matrix per child layer, the same prompts.
        method: "monotone" and "argmax" as in `cka_matched`, "transport" as in `optimal_transport`.
        penalty: of `cka_matched`.
        band: of `cka_matched`.
        normalize_rows: scale rows to unit length first.
        n_bootstrap: half samples of the prompts.
        n_permutations: joint permutations, at least 19.
        n_random_maps: relabellings of the layers, each with a map of its own.
        seed: of all of them.
    Returns: the map and the similarities.
    Raises: ShapeError on fewer than 8 prompts, unpaired rows, NaN, or a constant layer; ConfigError on settings.
    """
    methods = {
        "monotone": partial(cka_matched, penalty=penalty, band=band),
        "argmax": partial(cka_matched, method="argmax"),
        "transport": optimal_transport,
    }
    if method not in methods:
        raise ConfigError(f"method {method!r} is not one of {', '.join(methods)}.")
    choose = methods[method]
    parent, child = paired_grams(xs, ys, "unbiased", normalize_rows)
    n = parent.shape[1]
    require_rows("prompts", n, 8, "a layer map tested on halves of the prompts")
    null = permutation_null(parent, child, n_permutations, seed=seed)
    chosen = choose(null.observed)
    halves = [random_order(stream(seed, "half-samples", i), n) for i in range(n_bootstrap)]
    order = random_order(stream(seed, "held-out-half"), n)
    seen = (_on(parent, child, order[: n // 2]), _on(parent, child, order[n // 2 :]))
    held_out = _held_out(seen, [torch.tensor([choose(part).parent_of]) for part in seen])[0]
    p_random_map = 1.0  # every relabelling does as well
    if chosen.strategy not in ORDER_BLIND:
        again = partial(best_monotone, penalty=penalty, band=band)
        p_random_map = placement_p_value(seen, again, n_random_maps, seed)
    return LayerMatch(
        replace(
            chosen,
            bootstrap=_shares([choose(_on(parent, child, order[: n // 2])) for order in halves]) if halves else None,
            held_out_scores=tuple(held_out.tolist()),
            p_permutation=null.p_value,
            p_random_map=p_random_map,
        ),
        null,
    )


def score_map(layer_map: LayerMap, null: PermutationNull, n_random_maps: int = 999, seed: int = 0) -> LayerMap:
    """A layer map that no similarity chose, with its scores, margins and p values read off one.

    p of the placement: rank of the mean score over mapped child layers among random monotone maps of the same layers.
    No prompts need to be held out, since none took part in the choice.

    Arguments:
        layer_map: greedy, proportional, or by hand.
        null: of `permutation_null` or `match_layers`.
        n_random_maps: random monotone maps.
        seed: of them.
    Returns: a new map.
    Raises: LayerError when the similarity is of other depths, or no child layer is mapped.
    """
    if not layer_map.pairs:
        raise LayerError(f"the {layer_map.strategy} map gives no child layer a parent layer; nothing can be scored.")
    scored = with_scores(layer_map, null.observed)
    n_parent, n_child = null.observed.shape
    parents, layers = (torch.tensor(column) for column in zip(*layer_map.pairs, strict=True))
    random_maps = torch.tensor([random_monotone(n_parent, n_child, seed, i).parent_of for i in range(n_random_maps)])
    chance = null.observed[random_maps.reshape(-1, n_child).long()[:, layers], layers].mean(dim=1)
    p_random_map = rank_p_value(float(null.observed[parents, layers].mean()), chance)
    return replace(scored, p_permutation=null.p_value, p_random_map=p_random_map)


def placement_p_value(
    halves: Sequence[Float[Tensor, "n_parent n_child"]],
    choose: Relabelled,
    n_relabellings: int,
    seed: int,
) -> float:
    """Rank p value of a chosen map's held-out similarity among those of maps chosen after layers were relabelled.

    T = mean over child layers of S_2[choose(S_1)(c), c], averaged over both directions of the halves; T* the same with
    rows and columns of both matrices moved by one relabelling; p = (1 + #{T* >= T}) / (R + 1).

    Arguments:
        halves: similarity on two disjoint halves of the prompts, rows are parent layers.
        choose: the method, for many matrices at once; depths of the matrix decide which layers are allowed.
        n_relabellings: R.
        seed: of the relabellings.
    Returns: p.
    Raises: what `choose` raises.
    Source: rank as in Phipson and Smyth 2010, arXiv 1603.05766; relabelling: house rule.
    """
    rows, columns = (
        relabelled_layers(n, n_relabellings, stream(seed, "relabelled-layers", side))
        for side, n in enumerate(halves[0].shape)
    )
    moved = [torch.cat([half[None], half[rows[:, :, None], columns[:, None]]]) for half in halves]
    scores = _held_out(moved, [choose(half) for half in moved]).mean(dim=1)
    return rank_p_value(float(scores[0]) - 1e-12, scores[1:])  # equal sums in another order count as equal


def relabelled_layers(n_layers: int, n_draws: int, numbers: np.random.Generator) -> Int[Tensor, "draws layers"]:
    """Orders of the layers in which neighbours mostly stay neighbours, and places are lost.

    Layers are cut into blocks of a quarter of the depth, the first cut at random; blocks are put in random order, each
    in either direction. Below eight layers a block is a single layer.

    Arguments:
        n_layers: depth.
        n_draws: orders.
        numbers: a `stream`, of which they are drawn.
    Returns: one permutation of the layers a draw.
    Source: house rule, after block permutation of series, Politis and Romano 1994, doi 10.1080/01621459.1994.10476870.
    """
    size = max(1, n_layers // _N_BLOCKS)
    draws = []
    for _ in range(n_draws):
        cut = int(numbers.integers(size))
        edges = [0, *range(cut, n_layers, size), n_layers]
        blocks = [range(start, stop) for start, stop in pairwise(edges) if start < stop]
        order = numbers.permutation(len(blocks)).tolist()
        turned = numbers.integers(2, size=len(blocks)).tolist()
        draws.append([layer for i in order for layer in (blocks[i][::-1] if turned[i] else blocks[i])])
    return torch.tensor(draws, dtype=torch.int64).reshape(n_draws, n_layers)


def optimal_transport(scores: Float[Tensor, "n_parent n_child"]) -> LayerMap:
    """The map of the cheapest plan that moves all parent layers onto all child layers, each weighing the same.

    P = argmin sum_pc P_pc (1 - S_pc), rows of P sum to 1 / n_parent and columns to 1 / n_child. A child layer takes the
    parent layer that sends it most (ties to the proportional layer); `weights` hold the shares P_pc / sum_p P_pc for
    a mixture, whose directions need their signs resolved first.

    Arguments:
        scores: similarity, rows are parent layers.
    Returns: the map with weights, scores and margins.
    Raises: ShapeError on NaN; LayerError where the solver finds no plan.
    Source: Kantorovich's linear programme, solved exactly; its use for layers is a house rule.
    """
    require_finite("layer similarities", scores)
    n_parent, n_child = scores.shape
    cells = np.arange(n_parent * n_child)
    sums = coo_array(  # one row per parent layer, then one per child layer
        (np.ones(2 * len(cells)), (np.r_[cells // n_child, n_parent + cells % n_child], np.r_[cells, cells]))
    )
    marginals = np.r_[np.full(n_parent, 1 / n_parent), np.full(n_child, 1 / n_child)]
    solution = linprog(1 - scores.double().numpy().ravel(), A_eq=sums.tocsr(), b_eq=marginals, method="highs")
    if not solution.success:
        raise LayerError(
            f"no transport plan was found for similarities of {n_parent} parent and {n_child} child layers: "
            f"{solution.message} Use another strategy, such as cka."
        )
    plan = np.maximum(solution.x.reshape(n_parent, n_child), 0)
    weights = (plan / plan.sum(axis=0)).T.round(12)  # (n_child, n_parent)
    home = proportional(n_parent, n_child).parent_of
    parent_of = tuple(
        max(range(n_parent), key=lambda p: (row[p], -abs(p - (h or 0)))) for row, h in zip(weights, home, strict=True)
    )
    shares = tuple(tuple(row) for row in weights.tolist())
    return with_scores(LayerMap(parent_of, n_parent, "optimal-transport", weights=shares), scores)


def _on(
    parent: Float[Tensor, "n_parent all all"], child: Float[Tensor, "n_child all all"], prompts: Tensor
) -> Float[Tensor, "n_parent n_child"]:
    """Similarity on some of the prompts; a subset of a centred matrix centres to the same as the original's subset."""
    part = (centre(grams[:, prompts][:, :, prompts], "unbiased") for grams in (parent, child))
    return cka_of_grams(*part)


def _shares(maps: list[LayerMap]) -> tuple[tuple[float, ...], ...]:
    """Row: child layer; entry: share of the maps that chose this parent layer."""
    first = maps[0]
    return tuple(
        tuple(sum(m.parent_of[c] == p for m in maps) / len(maps) for p in range(first.n_parent_layers))
        for c in range(first.n_child_layers)
    )


def _held_out(
    halves: Sequence[Float[Tensor, "n_parent n_child"]] | Sequence[Float[Tensor, "draws n_parent n_child"]],
    chosen: Sequence[Int[Tensor, "draws n_child"]],
) -> Float[Tensor, "draws n_child"]:
    """Similarity along maps chosen on one half of the prompts, read on the other; mean of both directions."""
    first, second = (half[None] if half.dim() == 2 else half for half in halves)
    read = [unseen.gather(1, parents[:, None])[:, 0] for unseen, parents in zip((second, first), chosen, strict=True)]
    return (read[0] + read[1]) / 2
