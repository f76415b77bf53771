"""Shares of a first component without a concept: simulation, known answer, what a concept adds, refusals."""

import pytest
import torch

from interp_xfer.directions import pca_directions
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.explained_variance import noise_share, unrelated_share


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_known_answer():
    """Handbook, section 17: isotropic noise of 64 x 640 explains .026, not 1/640."""
    assert noise_share(64, 640) == pytest.approx(0.026, abs=5e-4)


@pytest.mark.parametrize(("n", "d"), [(64, 640), (16, 32), (100, 40), (300, 300)])
def test_noise_share_is_that_of_simulated_noise(n, d):
    """Mean of 20 draws; its error is below 1 % of the share."""
    shares = [float(pca_directions(normal(n, d, seed=seed)).explained_variance[0]) for seed in range(20)]
    assert noise_share(n, d) == pytest.approx(sum(shares) / 20, rel=0.03)


def test_share_is_the_same_under_swapped_labels():
    """Why the share alone is no evidence."""
    differences = normal(40, 30) + 1.0
    swapped = differences * torch.where(normal(40, 1, seed=1) > 0, 1.0, -1.0)
    one, other = (pca_directions(rows).explained_variance[0] for rows in (differences, swapped))
    assert float(one) == pytest.approx(float(other), abs=1e-12)


def test_unrelated_texts_know_a_nuisance_and_not_the_concept():
    """Texts vary along one axis, the concept along another: unrelated differences see the first alone."""
    nuisance, concept = 3 * normal(2, 60, 1) * torch.eye(20)[0].double(), 4 * torch.eye(20)[1].double()
    negative = nuisance + normal(2, 60, 20, seed=1)
    positive = nuisance + concept + normal(2, 60, 20, seed=2)
    real = torch.stack([pca_directions(layer).explained_variance[0] for layer in positive - negative])
    null = unrelated_share(positive, negative, 5)
    assert null.shape == (5, 2) and bool((null > 0.2).all())  # the questions differ
    without = unrelated_share(positive - concept, negative, 5)
    torch.testing.assert_close(null, without)  # the concept is in none of them
    assert bool((real > 0.25).all())
    assert torch.equal(
        unrelated_share(positive, negative, 3, seed=4), unrelated_share(positive, negative, 5, seed=4)[:3]
    )


def test_refusals():
    with pytest.raises(ConfigError, match="got 1 x 5"):
        noise_share(1, 5)
    with pytest.raises(ShapeError, match="at least 4 pairs, got 3"):
        unrelated_share(normal(1, 3, 5), normal(1, 3, 5))
    with pytest.raises(ShapeError, match="5 members and the negative side 4"):
        unrelated_share(normal(1, 5, 5), normal(1, 4, 5))
