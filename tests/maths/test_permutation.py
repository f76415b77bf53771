"""Permutation nulls: joint permutations, error rate of the maximum, calibration, refusals."""

import pytest
import torch

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.cka import cka_matrix, paired_grams
from interp_xfer.maths.permutation import null_threshold, permutation_null
from interp_xfer.streams import random_order, stream


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_each_draw_is_the_matrix_of_jointly_permuted_prompts(estimator):
    xs, ys = normal(3, 12, 5), normal(2, 12, 4, seed=1)
    found = permutation_null(*paired_grams(xs, ys, estimator), n_permutations=19, seed=7)
    torch.testing.assert_close(found.observed, cka_matrix(xs, ys, estimator))
    for number, draw in enumerate(found.null_max):
        order = random_order(stream(7, "permuted-prompts", number), 12)
        assert float(draw) == pytest.approx(float(cka_matrix(xs, ys[:, order], estimator).max()), abs=1e-12)


def test_paired_layers_beat_the_null_and_unrelated_ones_do_not():
    shared = normal(40, 10)
    xs = torch.stack([shared + 0.5 * normal(40, 10, seed=s) for s in (1, 2)])
    ys = torch.stack([shared + 0.5 * normal(40, 10, seed=s) for s in (3, 4)])
    related = permutation_null(*paired_grams(xs, ys), n_permutations=99)
    assert related.p_value == 0.01
    assert bool((related.observed > related.threshold).all())
    unrelated = permutation_null(*paired_grams(xs, normal(2, 40, 10, seed=9)), n_permutations=99)
    assert unrelated.p_value > 0.05
    assert bool((unrelated.observed <= unrelated.threshold).all())


def test_the_biased_estimator_is_calibrated_too():
    """Wide unrelated layers have biased CKA near .9, and no more p value than they deserve."""
    xs, ys = normal(2, 30, 400), normal(2, 30, 300, seed=1)
    found = permutation_null(*paired_grams(xs, ys, "biased"), n_permutations=99)
    assert float(found.observed.min()) > 0.85
    assert found.p_value > 0.05


def test_maximum_over_layers_keeps_its_level():
    """200 runs without any relation, 6 layer pairs: rejections at .05 within two standard errors (.03) and a bit."""
    rejected = sum(
        permutation_null(
            *paired_grams(normal(3, 10, 4, seed=run), normal(2, 10, 3, seed=1000 + run)), n_permutations=19, seed=run
        ).p_value
        <= 0.05
        for run in range(200)
    )
    assert 0.01 <= rejected / 200 <= 0.09


def test_threshold_by_hand():
    null = torch.arange(1.0, 20.0)  # 19 draws: the order statistic ceil(.95 * 20) = 19
    assert null_threshold(null) == 19.0
    assert null_threshold(null, alpha=0.1) == 18.0


def test_refusals():
    grams = paired_grams(normal(1, 6, 3), normal(1, 6, 3, seed=1))
    with pytest.raises(ConfigError, match="9 permutations cannot give a threshold at level 0.05; use at least 19"):
        permutation_null(*grams, n_permutations=9)
    with pytest.raises(ShapeError, match="layer similarities .* 1 NaN"):
        permutation_null(torch.zeros(1, 6, 6).double(), grams[1])
