"""Moments of the analytic nulls against draws, and the p value of the largest layer against its definition."""

import math

import pytest
import torch
from scipy.stats import kstest, norm

from interp_xfer.errors import ShapeError
from interp_xfer.maths.gradient_nulls import (
    covariance_deviation,
    isotropic_deviation,
    largest_z,
    mean_intervals,
)
from interp_xfer.maths.random_directions import random_covariance_matched, random_isotropic

LAYERS, D = 4, 256


def gradient(seed=0):
    return torch.randn(LAYERS, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_random_directions_are_standard_normal():
    """2000 draws: Kolmogorov-Smirnov p > 1e-4 in each layer, and |z| < 3 for all but about .3 %."""
    z = (random_isotropic(2000, LAYERS, D, seed=1) * gradient()).sum(dim=-1) / isotropic_deviation(gradient())
    assert z.shape == (2000, LAYERS)
    assert all(kstest(z[:, layer].numpy(), "norm").pvalue > 1e-4 for layer in range(LAYERS))
    assert float((z.abs() > 3).double().mean()) < 0.006


def test_isotropic_deviation_is_that_of_the_draws():
    """4000 draws give a standard deviation to 1.1 % of itself; 6 of these are allowed."""
    draws = random_isotropic(4000, LAYERS, D, seed=3)
    slopes = torch.einsum("nld,ld->nl", draws, gradient())
    torch.testing.assert_close(isotropic_deviation(gradient()), slopes.std(dim=0), rtol=0.07, atol=0)
    with pytest.raises(ShapeError, match=r"log p does not depend on layers \[1\]"):
        isotropic_deviation(gradient() * torch.tensor([1.0, 0.0, 1.0, 1.0])[:, None])


def test_covariance_deviation_is_that_of_the_draws():
    """Anisotropic activations: within 8 % of 1000 draws; the isotropic null would be off by a sixth or more."""
    generator = torch.Generator().manual_seed(2)
    scales = torch.linspace(3, 0.1, D).double()
    rows = torch.randn(LAYERS, 600, D, generator=generator, dtype=torch.float64) * scales + 5
    g = gradient() * scales
    drawn = (random_covariance_matched(rows, 1000, seed=3) * g).sum(dim=-1)
    found = covariance_deviation(g, rows)
    torch.testing.assert_close(drawn.std(dim=0), found, rtol=0.08, atol=0)
    assert float((g.norm(dim=1) / math.sqrt(D) / found).max()) < 0.86


def test_largest_of_many_layers():
    z = torch.tensor([0.3, float("nan"), -2.5, 1.0]).double()
    found = largest_z(z)
    assert (found.layer, found.z) == (2, -2.5)
    assert found.p_value == pytest.approx(1 - (1 - 2 * norm.sf(2.5)) ** 3)
    assert largest_z(torch.tensor([12.0, 0.0]).double()).p_value == pytest.approx(4 * norm.sf(12.0), rel=1e-6)
    assert largest_z(torch.tensor([0.0]).double()).p_value == 1.0


def test_mean_intervals():
    """Student: 1, 2, 3, 4 has mean 2.5 and half width 3.182446 * 1.290994 / 2."""
    values = torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    found = mean_intervals(values)
    assert found.estimate.tolist() == [2.5, 5.0] and float(found.high[1]) == float(found.low[1]) == 5.0
    assert float(found.high[0]) == pytest.approx(2.5 + 3.182446 * 1.290994 / 2, rel=1e-5)


def test_refusals():
    zero = gradient()
    zero[1] = 0
    with pytest.raises(ShapeError, match=r"does not depend on layers \[1\] at the steered positions"):
        isotropic_deviation(zero)
    with pytest.raises(ShapeError, match="no layer has a z value"):
        largest_z(torch.tensor([float("nan")]))
    with pytest.raises(ShapeError, match=r"layers \[0\] are constant"):
        covariance_deviation(gradient()[:1], torch.ones(1, 3, D))
    with pytest.raises(ShapeError, match="an interval over questions needs at least 2 questions, got 1"):
        mean_intervals(torch.ones(1, 3))
