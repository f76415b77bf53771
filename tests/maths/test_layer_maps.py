"""Layer maps: known answers of the handbook (section 4), brute force, random maps, JSON, refusals."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ArtifactError, ConfigError, LayerError, ShapeError
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS, LayerMapInputs
from interp_xfer.maths.layer_maps import (
    LayerMap,
    best_monotone,
    cka_matched,
    greedy,
    manual,
    other_layers,
    proportional,
    random_monotone,
    relative_depth,
    with_scores,
)

FORTY_TO_28 = [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 14, 16, 17, 19, 20, 22, 23, 25, 26, 27, 29, 30, 32, 33, 35, 36, 38, 39]
EIGHTEEN_TO_30 = [0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8, 9, 9, 10, 11, 11, 12, 12, 13, 13, 14, 15, 15, 16, 16, 17]


def random_scores(n_parent: int, n_child: int, seed: int = 0, levels: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if levels:  # few distinct values, so that ties are common
        return torch.randint(levels, (n_parent, n_child), generator=generator).double() / 10
    return torch.rand(n_parent, n_child, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("n_parent", "n_child", "expected"),
    [(40, 28, FORTY_TO_28), (3, 5, [0, 1, 1, 2, 2]), (18, 30, EIGHTEEN_TO_30), (7, 1, [0]), (1, 3, [0, 0, 0])],
)
def test_proportional_known_answers(n_parent, n_child, expected):
    """Handbook, section 4: 40->28 exact; 3->5 where `round` would give [0,0,1,2,2]; one child layer -> 0."""
    assert list(proportional(n_parent, n_child).parent_of) == expected


@settings(deadline=None)
@given(n_parent=st.integers(1, 80), n_child=st.integers(2, 80))
def test_proportional_is_monotone_and_maps_ends_to_ends(n_parent, n_child):
    """Handbook, section 4: equal depth -> identity; ends map to ends."""
    parents = list(proportional(n_parent, n_child).parent_of)
    assert parents == sorted(parents)
    assert (parents[0], parents[-1]) == (0, n_parent - 1)
    assert list(proportional(n_child, n_child).parent_of) == list(range(n_child))


def test_greedy_leaves_deeper_child_layers_without_a_parent():
    assert greedy(2, 4).parent_of == (0, 1, None, None)
    assert greedy(4, 2).parent_of == (0, 1)
    assert greedy(2, 4).pairs == ((0, 0), (1, 1))


def test_three_by_three_by_hand():
    """Handbook, section 4: argmax [1,0,2], monotone [1,2,2] (total 1.9)."""
    scores = torch.tensor([[0.2, 0.9, 0.1], [0.8, 0.3, 0.2], [0.1, 0.4, 0.7]], dtype=torch.float64)
    assert cka_matched(scores, method="argmax").parent_of == (1, 0, 2)
    monotone = cka_matched(scores, penalty=0.0, band=1.0)
    assert monotone.parent_of == (1, 2, 2)
    assert monotone.scores == (0.8, 0.4, 0.7)
    assert monotone.margins is not None
    assert monotone.margins == pytest.approx((0.6, -0.5, 0.5))


def brute_force(scores, penalty, band):
    """The best non-decreasing map by trying them all; the nearest to proportional among equals."""
    n_parent, n_child = scores.shape
    home = proportional(n_parent, n_child).parent_of
    best = None
    for path in itertools.combinations_with_replacement(range(n_parent), n_child):
        gaps = [relative_depth(p, n_parent) - relative_depth(c, n_child) for c, p in enumerate(path)]
        if any(abs(gap) > band and p != h for gap, p, h in zip(gaps, path, home, strict=True)):
            continue
        total = sum(float(scores[p, c]) - penalty * gap**2 for (c, p), gap in zip(enumerate(path), gaps, strict=True))
        distance = sum(abs(p - h) for p, h in zip(path, home, strict=True))
        key = (round(total, 9), -distance)
        if best is None or key > best:
            best = key
    assert best is not None
    return best


@pytest.mark.parametrize("shape", list(itertools.product(range(1, 6), repeat=2)))
@pytest.mark.parametrize(("penalty", "band"), [(0.0, 1.0), (1.0, 0.25)])
def test_dynamic_programme_equals_brute_force(shape, penalty, band):
    """Handbook, section 4: DP = brute force on all shapes up to 5x5 (value, and nearness among ties)."""
    for seed, levels in ((0, None), (1, None), (2, 2), (3, 3)):
        scores = random_scores(*shape, seed=seed, levels=levels)
        found = cka_matched(scores, penalty=penalty, band=band)
        parents = [p for p in found.parent_of if p is not None]
        gaps = [relative_depth(p, shape[0]) - relative_depth(c, shape[1]) for c, p in enumerate(parents)]
        total = sum(float(scores[p, c]) - penalty * g**2 for (c, p), g in zip(enumerate(parents), gaps, strict=True))
        home = proportional(*shape).parent_of
        distance = sum(abs(p - h) for p, h in zip(parents, home, strict=True) if h is not None)
        assert (round(total, 9), -distance) == brute_force(scores, penalty, band)


@settings(max_examples=40, deadline=None)
@given(n_parent=st.integers(1, 40), n_child=st.integers(1, 40), seed=st.integers(0, 99))
def test_monotone_maps_are_monotone_and_stay_in_the_band(n_parent, n_child, seed):
    parents = [p for p in cka_matched(random_scores(n_parent, n_child, seed)).parent_of if p is not None]
    home = proportional(n_parent, n_child).parent_of
    assert parents == sorted(parents)
    for child, parent in enumerate(parents):
        gap = relative_depth(parent, n_parent) - relative_depth(child, n_child)
        assert abs(gap) <= 0.25 + 1e-9 or parent == home[child]


@pytest.mark.parametrize(("penalty", "band"), [(0.0, 1.0), (1.0, 0.25), (1e7, 0.5)])
def test_many_matrices_at_once_are_chosen_one_by_one(penalty, band):
    scores = torch.stack([random_scores(9, 14, seed=seed, levels=levels) for seed in range(6) for levels in (None, 2)])
    found = best_monotone(scores, penalty, band)
    for matrix, parents in zip(scores, found, strict=True):
        assert cka_matched(matrix, penalty=penalty, band=band).parent_of == tuple(parents.tolist())


@pytest.mark.parametrize("method", ["monotone", "argmax"])
def test_identity_similarity_gives_the_identity_map(method):
    """Handbook, section 4: identity S -> identity."""
    assert cka_matched(torch.eye(12), method=method).parent_of == tuple(range(12))


@pytest.mark.parametrize("method", ["monotone", "argmax"])
@pytest.mark.parametrize("shape", [(18, 30), (40, 28), (5, 5)])
def test_ties_go_to_the_proportional_layer(method, shape):
    flat = torch.full(shape, 0.3)
    assert cka_matched(flat, method=method, penalty=0.0).parent_of == proportional(*shape).parent_of


def test_random_monotone_maps_are_uniform_and_repeat_with_the_seed():
    """All C(3+2-1, 2) = 6 maps of 3 -> 2 come equally often; chance of a false alarm here below 1e-6."""
    counts: dict[tuple[int | None, ...], int] = {}
    for seed in range(1200):
        parents = random_monotone(3, 2, seed).parent_of
        counts[parents] = counts.get(parents, 0) + 1
    assert set(counts) == set(itertools.combinations_with_replacement(range(3), 2))
    assert all(130 < count < 270 for count in counts.values())
    assert random_monotone(18, 30, seed=4) == random_monotone(18, 30, seed=4)


@settings(max_examples=40, deadline=None)
@given(n_parent=st.integers(2, 40), n_child=st.integers(1, 40), draw=st.integers(0, 99))
def test_other_layers_move_every_layer(n_parent, n_child, draw):
    """Child layers that shared a parent layer still do; none keeps its own; draws differ and repeat."""
    real = proportional(n_parent, n_child)
    found = other_layers(real, seed=3, draw=draw)
    pairs = list(zip(real.parent_of, found.parent_of, strict=True))
    assert all(a != b for a, b in pairs) and len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(set(pairs))
    assert found == other_layers(real, seed=3, draw=draw) and found.strategy == "proportional-other-layers"
    assert other_layers(manual([None, 0], 2)).parent_of == (None, 1)


def test_json_round_trip_keeps_everything():
    full = LayerMap((0, None), 2, "manual", (0.5, None), (0.1, None), (0.4, None), ((1.0, 0.0), (0.5, 0.5)), None, 0.01)
    assert LayerMap.from_dict(json.loads(json.dumps(full.to_dict()))) == full
    for name in ("greedy", "proportional", "random-monotone"):
        made = LAYER_MAPS[name].layer_map(LayerMapInputs(18, 30))
        assert made.strategy == name and LayerMap.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_verdict_says_when_a_map_is_not_better_than_chance():
    assert proportional(2, 2).verdict == "not tested against chance"
    tested = LayerMap((0,), 1, "cka", p_permutation=0.01, p_random_map=0.4)
    assert tested.verdict == (
        "similarity is better than chance (unrelated prompts, p = .010); "
        "placement is NOT better than chance (random monotone maps, p = .400)"
    )
    chosen = replace(tested, held_out_scores=(0.2,), p_random_map=0.0004)
    assert chosen.verdict.endswith("; placement is better than chance (relabelled layers, p < .001)")
    blind = replace(chosen, strategy="cka-argmax", p_random_map=1.0).verdict
    assert "placement cannot be tested (the method looks at no order" in blind and "p = 1" not in blind


def test_layers_without_parent_or_rival_have_no_margin():
    assert with_scores(greedy(1, 2), torch.tensor([[0.5, 0.25]])).scores == (0.5, None)
    assert with_scores(greedy(1, 2), torch.tensor([[0.5, 0.25]])).margins == (None, None)


def read(layer_map, **changes):
    return LayerMap.from_dict({**layer_map.to_dict(), **changes}, "f")


REFUSALS = [
    ("out of range", lambda: manual([0, 5], 5), LayerError, "child layer 1 is mapped to parent layer 5.*layers 0 to 4"),
    ("negative", lambda: manual([-1], 5), LayerError, "parent layer -1"),
    ("no layers", lambda: greedy(0, 3), LayerError, "at least one layer on both sides, got 0 parent and 3 child"),
    ("no child", lambda: proportional(3, 0), LayerError, "got 3 parent and 0 child"),
    ("one layer", lambda: other_layers(proportional(1, 3)), LayerError, "a parent of one layer has no other layers"),
    ("random, none", lambda: random_monotone(0, 2), LayerError, "got 0 parent"),
    ("NaN", lambda: cka_matched(torch.full((2, 2), float("nan"))), ShapeError, "layer similarities .* 4 NaN"),
    ("penalty", lambda: cka_matched(torch.eye(2), penalty=-1.0), ConfigError, "must not be negative, got -1.0"),
    ("depths", lambda: with_scores(greedy(2, 2), torch.eye(3)), LayerError, r"\(3, 3\) .* does not fit .*\(2, 2\)"),
    ("unknown", lambda: read(LayerMap((0,), 1, "x"), parents=[0]), ArtifactError, "f is damaged .parents: Unexpected"),
    ("missing", lambda: LayerMap.from_dict({"parent_of": [0]}, "f"), ArtifactError, "n_parent_layers: Field required"),
    ("no such layer", lambda: read(greedy(2, 2), parent_of=[0, 2]), ArtifactError, "mapped to parent layer 2"),
    (
        "text",
        lambda: read(greedy(2, 2), parent_of=["0", 1]),
        ArtifactError,
        r"parent_of\.0: Input should be a valid int",
    ),
    ("chance", lambda: read(greedy(2, 2), p_permutation=1.5), ArtifactError, "p_permutation: Input should be less"),
    ("few scores", lambda: LayerMap((0, 0), 1, "x", (0.5,)), LayerError, "scores .* have 1 entries for 2 child"),
    ("few shares", lambda: LayerMap((0,), 2, "x", bootstrap=((1.0,),)), LayerError, "rows of 1 entries for 2 parent"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
