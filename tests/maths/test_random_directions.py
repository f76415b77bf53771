"""Controls: distribution, independence, seeds, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ShapeError
from interp_xfer.maths.directions import mean_difference, pca_directions
from interp_xfer.maths.random_directions import (
    random_covariance_matched,
    random_isotropic,
    rows_of_other_prompts,
    shuffled_label_differences,
)
from interp_xfer.streams import stream


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_isotropic_draws_are_unit_distinct_and_extend_each_other():
    few, more = random_isotropic(3, 4, 50, seed=7), random_isotropic(5, 4, 50, seed=7)
    torch.testing.assert_close(few.norm(dim=-1), torch.ones(3, 4).double())
    assert torch.equal(few, more[:3])
    flat = more.flatten(0, 1)
    assert (flat @ flat.T - torch.eye(20).double()).abs().max() < 0.6  # 190 cosines of sd .14


def test_isotropic_cosines_have_the_expected_spread():
    """Handbook, section 5: sd 1/sqrt(d)."""
    cosines = random_isotropic(400, 1, 256)[:, 0, 0]
    assert float(cosines.std()) == pytest.approx(1 / 16, rel=0.15)


def test_covariance_matched_draws_follow_the_covariance():
    """Axis variances 9 : 1 : 0 give mean squared coordinates of about E[9a²/(9a²+b²)] = .75, .25 and exactly 0."""
    layers = torch.stack([normal(500, 3) * torch.tensor([3.0, 1.0, 0.0]) + 100, normal(500, 3, seed=1)])
    draws = random_covariance_matched(layers, 600)
    assert draws.shape == (600, 2, 3)
    torch.testing.assert_close(draws.norm(dim=-1), torch.ones(600, 2).double())
    squares = draws.square().mean(dim=0)
    assert float(squares[0, 0]) == pytest.approx(0.75, abs=0.05)
    assert float(squares[0, 2]) == pytest.approx(0, abs=1e-20)
    torch.testing.assert_close(squares[1], torch.full((3,), 1 / 3).double(), atol=0.06, rtol=0)
    torch.testing.assert_close(draws[:5], random_covariance_matched(layers, 5))


def test_shuffled_labels_lose_the_concept_in_the_mean_and_in_pca():
    concept = torch.zeros(40).double()
    concept[0] = 4
    negative = normal(200, 40)
    positive = normal(200, 40, seed=1) + concept
    shuffled = shuffled_label_differences(positive, negative)
    real = positive - negative
    assert mean_difference(real)[0] > 0.95 and abs(pca_directions(real).directions[0, 0]) > 0.95
    assert float(shuffled.mean(dim=0)[0]) == pytest.approx(0, abs=0.8)  # sd of the mean .2 on each member's side
    assert float(shuffled.mean(dim=0).norm()) < float(real.mean(dim=0).norm()) / 2


def test_shuffled_labels_are_the_same_in_every_layer():
    positive, negative = normal(2, 6, 3), normal(2, 6, 3, seed=1)
    both = shuffled_label_differences(positive, negative, seed=5)
    assert torch.equal(both[1], shuffled_label_differences(positive[1], negative[1], seed=5))
    assert not torch.equal(both, shuffled_label_differences(positive, negative, seed=6))


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_every_row_gets_a_partner_of_another_prompt(lengths, seed):
    prompts = torch.cat([torch.full((length,), 10 * i) for i, length in enumerate(lengths)])
    prompts = prompts[torch.randperm(len(prompts), generator=torch.Generator().manual_seed(seed))]
    if 2 * max(lengths) > len(prompts):
        with pytest.raises(ShapeError, match=f"one prompt holds {max(lengths)} of {len(prompts)} rows"):
            rows_of_other_prompts(prompts, stream(seed, "a test"))
        return
    partner = rows_of_other_prompts(prompts, stream(seed, "a test"))
    assert sorted(partner.tolist()) == list(range(len(prompts)))
    assert not (prompts[partner] == prompts).any()


def test_refusals():
    with pytest.raises(ShapeError, match=r"layers \[1\] are constant over 4 rows"):
        random_covariance_matched(torch.stack([normal(4, 3), torch.ones(4, 3).double()]), 2)
    with pytest.raises(ShapeError, match="a covariance needs at least 2 rows, got 1"):
        random_covariance_matched(normal(2, 1, 3), 2)
    with pytest.raises(ShapeError, match="positive side has 4 members and the negative side 5"):
        shuffled_label_differences(normal(4, 3), normal(5, 3))
