"""Streams of random numbers: equal by name, independent otherwise, and never moved by their neighbours."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.maths.layer_maps import random_monotone
from interp_xfer.maths.linear_maps import random_orthogonal
from interp_xfer.maths.random_directions import random_covariance_matched, random_isotropic, shuffled_label_differences
from interp_xfer.streams import normals, random_order, stream, word_stream
from interp_xfer.tasks import contrast_pairs, load_problems

keys = st.tuples(
    st.integers(-(2**70), 2**70),
    st.text(max_size=4),
    st.lists(st.integers(-9, 2**40) | st.text(max_size=3), max_size=3).map(tuple),
)


@settings(max_examples=80, deadline=None)
@given(one=keys, other=keys)
def test_equal_parts_give_equal_numbers_and_others_do_not(one, other):
    numbers = [stream(seed, name, *counters).integers(2**63, size=2).tolist() for seed, name, counters in (one, other)]
    words = [word_stream(seed, name, *counters).random() for seed, name, counters in (one, other)]
    assert (one == other) == (numbers[0] == numbers[1]) == (words[0] == words[1])


def test_parts_do_not_run_into_each_other():
    """A seed has no neighbour: seed 0, draw 1 is not seed 1, draw 0; nor are 1, 23 and 12, 3."""
    parts = [(0, "a", 1), (1, "a", 0), (1, "a", 23), (12, "a", 3), (0, "a1"), (0, "a", "1"), (2**32, "a", 1)]
    assert len({int(stream(*part).integers(2**63)) for part in parts}) == len(parts)


def test_no_two_of_many_streams_are_the_same():
    """As many as a study of 40 layers and 500 draws has; of 32 bits, the expected number of pairs would be .05."""
    first = {int(stream(0, "x", layer, draw).integers(2**63)) for layer in range(40) for draw in range(500)}
    assert len(first) == 40 * 500


def test_neighbouring_streams_are_independent():
    """Correlations of 4950 pairs of 2000 normals: sd .0224, the largest of so many about 4 sd."""
    rows = torch.stack([normals(stream(0, "x", i // 10, i % 10), 2000) for i in range(100)])
    off_diagonal = torch.corrcoef(rows).triu(1)
    off_diagonal = off_diagonal[off_diagonal != 0]
    assert float(off_diagonal.abs().max()) < 0.12
    assert float(off_diagonal.std()) == pytest.approx(2000**-0.5, rel=0.05)
    assert float(rows.mean()) == pytest.approx(0, abs=0.01) and float(rows.std()) == pytest.approx(1, abs=0.01)


def test_orders_are_uniform():
    counts = np.unique([random_order(stream(0, "order", i), 3).tolist() for i in range(1200)], axis=0, return_counts=1)
    assert len(counts[0]) == 6 and counts[1].min() > 140  # of 200, sd 13


def test_known_answers():
    """The same in every process and on every machine; Python's own hash of a text is not."""
    assert stream(3, "x", 1).bit_generator.random_raw() == 16075001522846626299
    assert word_stream(3, "x", 1).random() == 0.6620757275973724


def rows(layers: int, n: int = 6, d: int = 5) -> torch.Tensor:
    return normals(stream(9, "rows of a test"), layers, n, d)


DRAWN = {
    "isotropic": lambda seed, layer, draw: random_isotropic(1, 4, 9, seed, first=draw)[0, layer],
    "covariance": lambda seed, layer, draw: random_covariance_matched(rows(4), 1, seed, first=draw)[0, layer],
    "other covariance": lambda seed, layer, draw: random_covariance_matched(rows(4), 1, seed, draw, "other")[0, layer],
    "orthogonal": lambda seed, layer, draw: random_orthogonal(6, 9, seed, (draw, layer)).weight,
}


@pytest.mark.parametrize("name", DRAWN)
def test_each_seed_layer_and_draw_has_its_own(name):
    made = [DRAWN[name](seed, layer, draw) for seed in (0, 1) for layer in range(3) for draw in range(3)]
    for i, one in enumerate(made):
        assert torch.equal(one, DRAWN[name](i // 9, i // 3 % 3, i % 3))
        assert not any(torch.allclose(one, other) for other in made[:i])


def test_the_same_seed_under_another_name_is_another_draw():
    assert not torch.allclose(DRAWN["covariance"](0, 0, 0), DRAWN["other covariance"](0, 0, 0))


def test_a_layers_draw_does_not_depend_on_other_layers_or_draws():
    few, more = random_isotropic(2, 3, 9, seed=5), random_isotropic(4, 7, 9, seed=5)
    assert torch.equal(few, more[:2, :3])
    activations = rows(7)
    few, more = (random_covariance_matched(activations[:n], k, 5) for n, k in ((3, 2), (7, 4)))
    assert torch.equal(few, more[:2, :3])
    assert torch.equal(random_isotropic(1, 7, 9, 5, first=3), more_draws := random_isotropic(4, 7, 9, 5)[3:]), (
        more_draws
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed, number: random_monotone(9, 9, seed, number).parent_of,
        lambda seed, number: shuffled_label_differences(*rows(2, 12), seed, number).tolist(),
    ],
    ids=["random maps", "shuffled labels"],
)
def test_draws_of_one_seed_are_no_draws_of_the_next(draw):
    """With seed + draw as a seed, draw 1 of seed 0 was draw 0 of seed 1."""
    drawn = [draw(seed, number) for seed in range(3) for number in range(3)]
    assert all(one not in drawn[:i] for i, one in enumerate(drawn))


@pytest.mark.parametrize("dataset", ["sums"])
def test_a_wrong_answer_does_not_depend_on_the_pairs_before(dataset):
    problems = load_problems(dataset, "train", 12)
    pairs = contrast_pairs(problems, "correct-vs-incorrect", 3)
    assert contrast_pairs(problems[::-1], "correct-vs-incorrect", 3) == pairs[::-1]
    assert contrast_pairs(problems[5:], "correct-vs-incorrect", 3) == pairs[5:]
    assert contrast_pairs(problems, "correct-vs-incorrect", 4) != pairs
