"""Held-out pairs read along fixed directions: streaming, averages over layers, differences between sources."""

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS

from interp_xfer.concepts.extract import contrast_members
from interp_xfer.errors import ConfigError, DataError, ShapeError
from interp_xfer.maths.auroc import (
    auroc_difference,
    auroc_interval,
    mean_auroc,
    paired_auroc,
    pairwise_wins,
    score_readout,
)
from interp_xfer.measures import concept_readout
from interp_xfer.measures.concept_readout import (
    MemberScores,
    compare_sources,
    compare_with_draws,
    layer_readouts,
    score_members,
    summarise_draws,
    summarise_source,
)
from interp_xfer.tasks import contrast_pairs, load_problems


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def pairs():
    return contrast_pairs(load_problems("sums", "train", 10))


def test_scores_equal_readouts_of_whole_activations(models, pairs, monkeypatch):
    """In chunks of 3 pairs or at once; the length of a direction has no meaning; a zero row is no direction."""
    child = models["llama"]
    members = contrast_members(child, pairs)
    directions = {"a": 5 * normal(N_LAYERS, D_MODEL), "b": normal(N_LAYERS, D_MODEL, seed=1)}
    directions["b"][1] = 0
    monkeypatch.setattr(concept_readout, "_PAIRS_PER_CHUNK", 3)
    done: list[int] = []
    scores = score_members(child, pairs, directions, done.append)
    assert sum(done) == 2 * len(pairs)
    assert scores.layers("a") == [0, 1, 2] and scores.layers("b") == [0, 2]
    for name, rows in directions.items():
        found = layer_readouts(scores, name)
        for layer in range(N_LAYERS):
            if name == "b" and layer == 1:
                assert found[layer] is None
                continue
            sides = (members.positive[layer], members.negative[layer])
            expected = score_readout(*(side.double() @ rows[layer] for side in sides))
            assert found[layer].auroc == pytest.approx(expected.auroc, abs=1e-6)
            assert found[layer].pair_accuracy == pytest.approx(expected.pair_accuracy)


def made_scores(n: int = 60, shift: float = 1.0) -> MemberScores:
    """A source that reads, one that reads half of it, and 19 that read nothing; three layers, the first one missing."""
    noise = normal(3, n)
    positive = {"real": noise + shift, "half": noise + shift / 2}
    negative = {"real": normal(3, n, seed=1), "half": normal(3, n, seed=1)}
    for i in range(19):
        positive[f"random-{i}"], negative[f"random-{i}"] = normal(3, n, seed=10 + i), normal(3, n, seed=50 + i)
    positive["half"] = torch.cat([torch.full((1, n), torch.nan).double(), positive["half"][1:]])
    return MemberScores(positive, negative)


def test_summary_beside_random_directions():
    scores = made_scores()
    random = [f"random-{i}" for i in range(19)]
    found = summarise_source(scores, "real", random)
    assert found.n_layers == 3 and found.rank_p == pytest.approx(1 / 20)
    assert found.auroc.low < found.auroc.estimate < found.auroc.high
    assert found.auroc.estimate > found.random_best > found.random_mean == pytest.approx(0.5, abs=0.05)
    assert summarise_source(scores, "half", random).n_layers == 2


def test_differences_are_paired():
    """The sources share their noise: the paired interval is narrower than the two intervals would say."""
    scores = made_scores()
    difference = compare_sources(scores, "real", "half")
    assert difference.low > 0
    single = mean_auroc(scores.wins("real", [1, 2]))
    assert difference.high - difference.low < single.high - single.low
    assert compare_sources(scores, "half", "real").estimate == pytest.approx(-difference.estimate)
    same = compare_sources(scores, "real", "real")
    assert same.estimate == 0 and same.high == pytest.approx(-same.low) and same.high < 0.01


def test_one_layer_agrees_with_the_plain_auroc():
    """One rule for both."""
    positive, negative = normal(300) + 0.5, normal(300, seed=1)
    wins = pairwise_wins(positive, negative)[None]
    assert mean_auroc(wins) == pytest.approx(paired_auroc(positive, negative))
    assert auroc_difference(wins, 1 - wins).estimate == pytest.approx(2 * float(wins.mean()) - 1)


def test_interval_of_the_mean_covers():
    """Three layers of the same pairs: 95% intervals hold the truth in 89 to 99 of 100 draws (binomial, 99%)."""
    truth = float(torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(1 / 2**0.5)))
    hits = 0
    for seed in range(100):
        shared = normal(80, seed=1000 + seed)
        layers = [(shared + 1, normal(80, seed=5000 + 3 * seed + layer)) for layer in range(3)]
        found = mean_auroc(torch.stack([pairwise_wins(p, n) for p, n in layers]))
        hits += found.low <= truth <= found.high
    assert 89 <= hits <= 100


def of_draws(n_draws: int, n: int, spread: float, generator: torch.Generator) -> MemberScores:
    """Draws whose AUROC differs by more than pairs do, over the same noise; a source that reads better."""
    noise, other = (torch.randn(2, n, generator=generator, dtype=torch.float64) for _ in range(2))
    shifts = 0.6 + spread * torch.randn(n_draws, generator=generator).double()
    positive = {f"draw-{i}": noise + shift for i, shift in enumerate(shifts)}
    return MemberScores({**positive, "real": noise + 1.5}, dict.fromkeys([*positive, "real"], other))


def test_the_mean_of_a_control_is_uncertain_by_draws_and_by_pairs():
    """200 runs of 20 draws and 40 pairs, 95 %: .91 or less has a probability of .01; pairs alone cover less."""
    generator, held, pairs_alone, differences = torch.Generator().manual_seed(0), 0, 0, 0
    normal_cdf = torch.distributions.Normal(0.0, 1.0).cdf
    truth = float(normal_cdf(torch.tensor(0.6 / (2 + 0.8**2) ** 0.5)))
    real = float(normal_cdf(torch.tensor(1.5 / 2**0.5)))
    names = [f"draw-{i}" for i in range(20)]
    for _ in range(200):
        scores = of_draws(20, 40, 0.8, generator)
        found = summarise_draws(scores, names)
        held += found.auroc.low <= truth <= found.auroc.high
        alone = auroc_interval(scores.values(names, [0, 1]).flatten(0, 1))
        pairs_alone += alone.low <= truth <= alone.high
        difference = compare_with_draws(scores, "real", names)
        differences += difference.low <= real - truth <= difference.high
    assert held / 200 > 0.91 and differences / 200 > 0.91
    assert pairs_alone < held


def test_draws_have_a_range_and_a_layer_of_their_own():
    scores = of_draws(5, 30, 0.5, torch.Generator().manual_seed(1))
    names = [f"draw-{i}" for i in range(5)]
    whole, first = summarise_draws(scores, names), summarise_draws(scores, names, [0])
    means = [float(scores.wins(name, [0, 1]).mean()) for name in names]
    assert (whole.lowest, whole.highest) == pytest.approx((min(means), max(means))) and whole.n_draws == 5
    assert whole.auroc.estimate == pytest.approx(sum(means) / 5)
    assert first.auroc.estimate == pytest.approx(sum(float(scores.wins(n, [0]).mean()) for n in names) / 5)
    with pytest.raises(ShapeError, match="0 draws at 0 layers say nothing"):
        summarise_draws(scores, [])


def test_refusals(models, pairs):
    child = models["llama"]
    with pytest.raises(ShapeError, match=r"directions 'a' have shape \(3, 7\), but .* has 3 layers of width 32"):
        score_members(child, pairs, {"a": normal(3, 7)})
    with pytest.raises(DataError, match="no contrast pairs"):
        score_members(child, [], {"a": normal(3, D_MODEL)})
    with pytest.raises(ConfigError, match="no scores of 'other'; there are those of real, half"):
        made_scores().layers("other")
