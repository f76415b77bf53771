"""Layer maps from activations: self-comparison, stretched depth, evidence, chance, transport (handbook, section 4)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.cka import cka_matrix
from interp_xfer.maths.layer_maps import best_monotone, cka_matched, proportional, random_monotone
from interp_xfer.maths.layer_matching import match_layers, optimal_transport, placement_p_value, relabelled_layers
from interp_xfer.maths.linear_maps import random_orthogonal
from interp_xfer.stats.selection import rank_p_value
from interp_xfer.streams import stream

FEW = {"n_bootstrap": 10, "n_permutations": 19, "n_random_maps": 99}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drifting_layers(n_layers: int, positions: torch.Tensor, d: int = 12, seed: int = 0) -> torch.Tensor:
    """Layers of a model of n_layers, read at (fractional) positions: every layer mixes in something new."""
    steps = normal(n_layers, 64, d, seed=seed)
    walk = torch.stack([sum(0.7 ** (layer - k) * steps[k] for k in range(layer + 1)) for layer in range(n_layers)])
    below = positions.floor().long().clamp(max=n_layers - 2)
    share = (positions - below)[:, None, None]
    return (1 - share) * walk[below] + share * walk[below + 1]


@pytest.mark.parametrize("method", ["monotone", "argmax", "transport"])
def test_a_model_with_itself_gives_the_identity_map(method):
    """Handbook, section 4: a model with itself -> identity."""
    layers = drifting_layers(6, torch.arange(6.0))
    rotated = random_orthogonal(12, 12).map_direction(layers)
    found = match_layers(layers, rotated, method=method, **FEW).layer_map
    assert found.parent_of == tuple(range(6))
    assert found.scores == pytest.approx((1.0,) * 6)
    assert found.margins is not None and min(m for m in found.margins if m is not None) > 0
    assert found.p_permutation == 0.05
    if method == "monotone":
        assert found.p_random_map == pytest.approx(1 / 100)
        assert found.verdict.count("is better than chance") == 2
    else:
        assert found.p_random_map == 1 and "placement cannot be tested" in found.verdict


def test_a_stretched_model_is_followed_where_proportional_is_wrong():
    """The child runs slowly through the first parent layers: the map bends, stays monotone, holds on new prompts."""
    positions = torch.tensor([0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 5.0, 7.0])
    parent = drifting_layers(8, torch.arange(8.0))
    child = random_orthogonal(12, 16).map_direction(drifting_layers(8, positions)) + 0.05 * normal(8, 64, 16, seed=5)
    found = match_layers(parent, child, band=0.5, **FEW).layer_map
    assert found.parent_of == (0, 0, 1, 1, 2, 3, 5, 7) != proportional(8, 8).parent_of
    assert found.strategy == "cka"
    assert found.held_out_scores is not None
    assert min(s for s in found.held_out_scores if s is not None) > 0.8
    shares = torch.tensor(found.bootstrap)
    assert shares.shape == (8, 8)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(8))
    assert shares[torch.arange(8), torch.tensor(found.parent_of)].min() > 0.5


def test_unrelated_models_are_said_to_be_no_better_than_chance():
    found = match_layers(drifting_layers(5, torch.arange(5.0)), drifting_layers(5, torch.arange(5.0), seed=9), **FEW)
    assert found.null.p_value > 0.05
    assert "similarity is NOT better than chance" in found.layer_map.verdict
    assert found.layer_map.p_random_map is not None and found.layer_map.p_random_map > 0.05


def test_layers_that_are_all_alike_are_similar_but_not_placed():
    """Every layer carries the same thing: similarity is real, the choice among layers is not."""
    shared = normal(40, 10)
    xs = torch.stack([shared + 0.8 * normal(40, 10, seed=s) for s in range(1, 6)])
    ys = torch.stack([shared + 0.8 * normal(40, 10, seed=s) for s in range(11, 16)])
    found = match_layers(xs, ys, **FEW).layer_map
    assert found.p_permutation == 0.05
    assert found.p_random_map is not None and found.p_random_map > 0.05
    assert found.verdict.startswith("similarity is better") and "placement is NOT better" in found.verdict


@pytest.mark.parametrize(("n_parent", "n_child"), [(18, 30), (40, 28), (6, 6), (5, 3)])
def test_transport_by_depth_alone_is_nearly_proportional(n_parent, n_child):
    """Handbook, section 4: cost (i/(L_p-1) - j/(L_c-1))² has monotone barycentres within 0.6 layer of proportional."""
    depth = torch.linspace(0, 1, n_parent)[:, None] - torch.linspace(0, 1, n_child)
    found = optimal_transport(1 - depth.square())
    weights = np.array(found.weights)
    barycentres = weights @ np.arange(n_parent)
    exact = np.arange(n_child) * (n_parent - 1) / (n_child - 1)
    assert np.abs(barycentres - exact).max() <= 0.6
    assert (np.diff(barycentres) >= -1e-9).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=0), n_child / n_parent)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 8), seed=st.integers(0, 99))
def test_transport_between_equal_depths_is_an_assignment(n, seed):
    scores = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = optimal_transport(scores)
    _, parents = linear_sum_assignment(-scores.numpy().T)
    assert found.parent_of == tuple(parents)
    assert found.strategy == "optimal-transport"


def test_refusals():
    with pytest.raises(ShapeError, match="tested on halves of the prompts needs at least 8 prompts, got 6"):
        match_layers(normal(2, 6, 3), normal(2, 6, 3, seed=1), **FEW)
    with pytest.raises(ConfigError, match="5 permutations cannot give a threshold"):
        match_layers(normal(2, 9, 3), normal(2, 9, 3, seed=1), n_permutations=5)
    with pytest.raises(ShapeError, match="layer similarities .* NaN"):
        optimal_transport(torch.full((2, 2), float("nan")))


def test_fixed_maps_are_scored_and_judged():
    """Proportional is right by construction, its reverse is not; greedy is judged on the layers it has."""
    from interp_xfer.maths.cka import paired_grams
    from interp_xfer.maths.layer_maps import greedy, manual, proportional
    from interp_xfer.maths.layer_matching import score_map
    from interp_xfer.maths.permutation import permutation_null

    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(12, 80, 40, generator=generator, dtype=torch.float64).cumsum(dim=0)
    null = permutation_null(*paired_grams(steps[::2], steps))
    good = score_map(proportional(6, 12), null)
    assert good.p_permutation == null.p_value <= 0.05
    assert good.scores == tuple(float(null.observed[p, c]) for p, c in good.pairs)
    bad = score_map(manual([5 - c // 2 for c in range(12)], 6), null)
    assert good.p_random_map is not None and bad.p_random_map is not None
    assert good.p_random_map < 0.1 < 0.9 < bad.p_random_map
    assert "placement is NOT better than chance" in bad.verdict
    assert score_map(greedy(6, 12), null).scores[6:] == (None,) * 6


def models(strengths: tuple[torch.Tensor, torch.Tensor], seed: int, carried: float = 0.0) -> list[torch.Tensor]:
    """Layers that carry one shared signal at different strengths, and nothing else in common; 32 prompts, width 24.

    With `carried`, the noise of a layer keeps a share of that of the layer below.
    """
    signal, out = normal(32, 4, seed=seed), []
    for number, of_model in enumerate(strengths):
        noise = normal(len(of_model), 32, 24, seed=1000 * (number + 1) + seed)
        for layer in range(1, len(noise)):
            noise[layer] = carried * noise[layer - 1] + (1 - carried**2) ** 0.5 * noise[layer]
        out.append(of_model[:, None, None] * (signal @ normal(4, 24, seed=5000 * (number + 1) + seed)) + noise)
    return out


@pytest.mark.parametrize("carried", [0.0, 0.9])
def test_strength_alone_is_no_correspondence(carried):
    """Nominal .05; in 60 runs more than 8 have a probability of .01. Ranked among random maps, 40 or more fire."""
    depths, fired, fired_before = (18, 12), 0, 0
    random_maps = torch.tensor([random_monotone(*depths, draw=draw).parent_of for draw in range(99)])
    for seed in range(60):
        strengths = tuple((0.7 * normal(n, seed=7000 * n + seed)).exp() for n in depths)
        xs, ys = models(strengths, seed, carried)
        halves = cka_matrix(xs[:, :16], ys[:, :16]), cka_matrix(xs[:, 16:], ys[:, 16:])
        fired += placement_p_value(halves, best_monotone, 99, seed) <= 0.05
        held_out = halves[1][best_monotone(halves[0][None])[0], torch.arange(12)].mean()
        fired_before += rank_p_value(float(held_out), halves[1][random_maps, torch.arange(12)].mean(dim=1)) <= 0.05
    assert fired <= 8 and fired_before >= 40


def test_the_verdict_on_strength_alone_is_the_same_as_that_of_its_parts():
    """`match_layers` end to end: similar beyond chance, not placed."""
    strengths = tuple(torch.tensor([0.3, 2.0, 0.8, 1.5, 0.4, 1.0]) * scale for scale in (1.0, 1.5))
    found = match_layers(*models(strengths, seed=1), **FEW).layer_map
    assert (
        "similarity is better than chance" in found.verdict and "placement is NOT better than chance" in found.verdict
    )


@settings(max_examples=40, deadline=None)
@given(n_layers=st.integers(1, 60), seed=st.integers(0, 99))
def test_relabelled_layers_keep_most_neighbours_together(n_layers, seed):
    """Every draw is a permutation; of a deep model at most six pairs of neighbours are parted."""
    draws = relabelled_layers(n_layers, 5, stream(seed, "a test"))
    assert draws.sort(dim=1).values.equal(torch.arange(n_layers).expand(5, -1))
    parted = (draws.diff(dim=1).abs() != 1).sum(dim=1)
    assert n_layers < 8 or int(parted.max()) <= 8
    assert n_layers < 4 or len(torch.unique(draws, dim=0)) > 1


def test_relabelled_scores_by_a_loop():
    """Moved matrices, chosen and held out one at a time."""
    halves = (
        torch.rand(7, 9, generator=torch.Generator().manual_seed(1)).double(),
        torch.rand(7, 9, generator=torch.Generator().manual_seed(2)).double(),
    )
    p_value = placement_p_value(halves, best_monotone, 50, 3)
    rows, columns = (relabelled_layers(n, 50, stream(3, "relabelled-layers", i)) for i, n in enumerate((7, 9)))

    def held_out(first, second):
        pairs = ((first, second), (second, first))
        return sum(float(b[list(cka_matched(a).parent_of), range(9)].mean()) for a, b in pairs) / 2

    observed = held_out(*halves)
    null = [held_out(*(half[r][:, c] for half in halves)) for r, c in zip(rows, columns, strict=True)]
    assert p_value == pytest.approx((1 + sum(x >= observed - 1e-12 for x in null)) / 51)
