"""Spearman's rho against scipy; its tests against full enumeration; neighbours that resemble each other."""

import math

import pytest
import torch
from scipy.stats import spearmanr

from interp_xfer.errors import ShapeError
from interp_xfer.stats.rank_correlation import rank_correlation, spearman


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rho_is_that_of_scipy_ties_included():
    x, y = draw(5, 12), draw(5, 12, seed=1).round()
    expected = [spearmanr(a, b).statistic for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    torch.testing.assert_close(spearman(x, y), torch.tensor(expected).double())
    assert math.isnan(float(spearman(x[0], torch.ones(12).double())))


def test_exact_p_of_a_perfect_order():
    """Four layers: 2 of 24 orders are as extreme. Seven: 2 of 5040."""
    for n, expected in ((4, 2 / 24), (7, 2 / 5040)):
        x = torch.arange(n).double().expand(3, -1) + 0.01 * draw(3, n)
        found = rank_correlation(x, 2 * x)
        assert (found.rho, found.n) == (1.0, n)
        assert found.p_permutation == pytest.approx(expected) and found.p_rotation == pytest.approx(1 / n)
        assert found.low <= found.rho <= found.high


def test_random_orders_bound_p_from_below():
    x = torch.arange(30).double().expand(4, -1)
    found = rank_correlation(x, -x, n_permutations=99)
    assert found.rho == -1.0 and found.p_permutation == pytest.approx(1 / 100)


def test_rotation_is_honest_about_smooth_profiles():
    """Two unrelated smooth profiles of 30 layers: shuffling calls a third significant, rotating few (100 draws)."""
    layers = torch.arange(30).double()
    rejected = {"permutation": 0, "rotation": 0}
    for seed in range(100):
        phase = 2 * math.pi * torch.rand(2, 1, generator=torch.Generator().manual_seed(seed)).double()
        profiles = torch.sin(2 * math.pi * layers / 30 + phase)
        found = rank_correlation(
            profiles[:1].expand(2, -1), profiles[1:].expand(2, -1), n_permutations=199, n_bootstrap=2
        )
        rejected["permutation"] += found.p_permutation < 0.05
        rejected["rotation"] += found.p_rotation < 0.05
    assert rejected["permutation"] > 30 and rejected["rotation"] <= 12


def test_interval_narrows_with_questions():
    truth = torch.arange(12).double()

    def width(n):
        found = rank_correlation(truth + 6 * draw(n, 12), truth + 6 * draw(n, 12, seed=1))
        assert found.low <= found.rho <= found.high
        return found.high - found.low

    assert width(64) < 0.6 * width(6)


def test_constant_measures_and_refusals():
    flat = rank_correlation(torch.ones(3, 5), draw(3, 5))
    assert math.isnan(flat.rho) and flat.p_permutation == flat.p_rotation == 1.0
    for x, y, message in (
        (draw(3, 5), draw(2, 5), "one measure has 3 questions and the other 2"),
        (draw(3, 5), draw(3, 4), "one measure has 5 layers and the other 4"),
        (draw(3, 2), draw(3, 2), "a rank correlation needs at least 3 layers"),
        (draw(1, 5), draw(1, 5), "an interval over questions needs at least 2 questions"),
    ):
        from tiny_models import unchecked

        with unchecked(), pytest.raises(ShapeError, match=message):
            rank_correlation(x, y)
