"""Choosing among strengths: scipy as oracle, error rates, ties, refusals (handbook, section 12)."""

import math

import pytest
import torch
from scipy import stats

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.stats.selection import cross_fitted_selection, max_t_sign_flip, rank_p_value


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arms(n: int, b: int, c: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Baseline and steered correctness with b broken and c fixed questions among n."""
    baseline, steered = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
    baseline[:b] = True
    steered[b : b + c] = True
    return baseline, steered


@pytest.mark.parametrize(("b", "c"), [(2, 6), (0, 5), (4, 4), (7, 3)])
def test_full_enumeration_of_one_column_is_mcnemar(b, c):
    """Handbook, section 12: full sign-flip enumeration, one column, two-sided = McNemar exact (2, 6: .2890625)."""
    baseline, steered = arms(30, b, c)
    differences = (steered.double() - baseline.double())[:, None]
    found = max_t_sign_flip(differences, n_flips=None, alternative="two-sided")
    assert found.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue, abs=1e-12)


def test_t_is_that_of_scipy_and_one_sided_p_close_to_it():
    values = normal(60, 1) + 0.2
    found = max_t_sign_flip(values, n_flips=4000)
    oracle = stats.ttest_1samp(values[:, 0].numpy(), 0, alternative="greater")
    assert found.t == pytest.approx(float(oracle.statistic))
    assert found.p_value == pytest.approx(float(oracle.pvalue), abs=0.02)  # sd of the estimate .004


def test_columns_without_differences_take_no_part():
    differences = torch.cat([torch.zeros(20, 1), normal(20, 1) + 1.0, torch.zeros(20, 1)], dim=1)
    found = max_t_sign_flip(differences, n_flips=500)
    assert found.best == 1
    assert found.adjusted[0] == found.adjusted[2] == 1.0
    assert found.adjusted[1] == found.p_value < 0.05
    assert max_t_sign_flip(torch.zeros(20, 3)) == (0, 0.0, 1.0, (1.0, 1.0, 1.0))
    always = max_t_sign_flip(torch.ones(8, 1), n_flips=None)
    assert always.p_value == 2**-8 and always.t > 1e6


def test_max_t_keeps_the_error_rate_where_the_naive_best_of_18_does_not():
    """Handbook, section 12: FWER under the null, 18 strengths: max-T in [.03, .07], naive best-of-18 .435.

    500 runs: two standard errors are .02, the seed is fixed.
    """
    rejected = naive = 0
    for run in range(500):
        noise = normal(40, 19, seed=run)
        strengths = noise[:, :18] + 0.5 * noise[:, 18:]  # neighbouring strengths agree in part
        rejected += max_t_sign_flip(strengths, n_flips=199, seed=run).p_value <= 0.05
        t = strengths.mean(0) / (strengths.std(0) / math.sqrt(40))
        naive += float(t.max()) > 1.685  # one-sided 5% point of t with 39 degrees of freedom
    assert 0.03 <= rejected / 500 <= 0.07
    assert naive / 500 > 0.3


def test_cross_fitting_shrinks_the_winners_gain_and_keeps_a_real_one():
    """Without effect the best of 18 gains in-sample; across folds it does not (sd of the mean .002)."""
    in_sample, honest = [], []
    for run in range(30):
        correct = torch.rand(300, 18, generator=torch.Generator().manual_seed(run)) < 0.5
        in_sample.append(float(correct.double().mean(0).max()) - 0.5)
        honest.append(float(cross_fitted_selection(correct, seed=run).double().mean()) - 0.5)
    assert sum(in_sample) / 30 > 0.03
    assert abs(sum(honest) / 30) < 0.02
    real = torch.zeros(40, 5, dtype=torch.bool)
    real[:, 3] = True
    assert bool(cross_fitted_selection(real).all())


def test_ties_between_strengths_go_to_the_first():
    correct = torch.tensor([[True, False], [False, True], [True, False], [False, True]])
    halves = torch.cat([correct, correct])
    both = cross_fitted_selection(torch.ones(6, 2, dtype=torch.bool), n_folds=2)
    assert bool(both.all()) and len(cross_fitted_selection(halves, n_folds=2)) == 8


def test_rank_p_value_of_twenty_controls_cannot_fall_below_one_in_21():
    """Handbook, section 12: rank p=(1+#)/(R+1), at best 1/21 = .048."""
    assert rank_p_value(99.0, torch.arange(20.0)) == pytest.approx(1 / 21)
    assert rank_p_value(18.0, torch.arange(20.0)) == pytest.approx(3 / 21)


REFUSALS = [
    ("flips", lambda: max_t_sign_flip(normal(30, 2), n_flips=None), ConfigError, "all flips of 30 questions"),
    ("one row", lambda: max_t_sign_flip(normal(1, 2)), ShapeError, "at least 2 questions, got 1"),
    ("folds", lambda: cross_fitted_selection(torch.ones(3, 2, dtype=torch.bool), 5), ShapeError, "in 5 folds needs"),
    ("one fold", lambda: cross_fitted_selection(torch.ones(3, 2, dtype=torch.bool), 1), ConfigError, "got 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
