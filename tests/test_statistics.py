"""Statistics: known answers of the handbook (section 12), statsmodels and scipy as oracles, error rates, refusals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.statistics import (
    averaged_difference,
    clustered_standard_error,
    cross_fitted_selection,
    max_t_sign_flip,
    mcnemar_exact,
    paired_bootstrap,
    paired_difference,
    rank_p_value,
    wilson_interval,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arms(n: int, b: int, c: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Baseline and steered correctness with b broken and c fixed questions among n."""
    baseline, steered = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
    baseline[:b] = True
    steered[b : b + c] = True
    return baseline, steered


def test_wilson_known_answers():
    """Handbook, section 12: 5/10 = (.23659, .76341); 0/10 upper .27753."""
    assert wilson_interval(5, 10) == pytest.approx((0.5, 0.23659, 0.76341), abs=5e-6)
    assert wilson_interval(0, 10) == pytest.approx((0, 0, 0.27753), abs=5e-6)


@settings(deadline=None)
@given(n=st.integers(1, 2000), share=st.floats(0, 1), confidence=st.sampled_from((0.9, 0.95, 0.99)))
def test_wilson_equals_statsmodels(n, share, confidence):
    k = round(share * n)
    found = wilson_interval(k, n, confidence)
    assert found[1:] == pytest.approx(proportion_confint(k, n, 1 - confidence, method="wilson"), abs=1e-12)
    assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize(
    ("b", "c", "expected"), [(5, 15, 0.04138946533203125), (15, 25, 0.15386), (0, 0, 1.0), (2, 6, 0.2890625)]
)
def test_mcnemar_known_answers(b, c, expected):
    """Handbook, section 12."""
    assert mcnemar_exact(b, c) == pytest.approx(expected, abs=5e-6)


@settings(deadline=None)
@given(b=st.integers(0, 300), c=st.integers(0, 300))
def test_mcnemar_equals_statsmodels(b, c):
    assert mcnemar_exact(b, c) == pytest.approx(float(mcnemar([[0, b], [c, 0]], exact=True).pvalue), abs=1e-12)


def test_paired_difference_known_answer():
    """Handbook, section 12: n=100, b=5, c=15: delta=.1, SE=.0435890."""
    found = paired_difference(*arms(100, 5, 15))
    assert (found.delta, found.broken, found.fixed, found.n) == (0.1, 5, 15, 100)
    assert found.standard_error == pytest.approx(0.0435890, abs=5e-8)
    assert found.p_value == mcnemar_exact(5, 15)
    # The error is that of the mean of the -1, 0, +1 differences.
    baseline, steered = arms(100, 5, 15)
    assert found.standard_error == pytest.approx(float((steered.double() - baseline.double()).std(correction=0)) / 10)


def test_paired_interval_has_width_when_nothing_changed_and_turns_with_its_arms():
    still = paired_difference(*arms(50, 0, 0))
    assert (still.delta, still.standard_error, still.p_value) == (0, 0, 1)
    assert still.low < -0.02 and still.high > 0.02
    there, back = paired_difference(*arms(50, 3, 9)), paired_difference(*arms(50, 9, 3))
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


@pytest.mark.parametrize(("p_broken", "p_fixed"), [(0.02, 0.02), (0.05, 0.15), (0.1, 0.1), (0.01, 0.08)])
def test_paired_interval_covers(p_broken, p_fixed):
    """Exact coverage at n=40 by summing the trinomial over all (b, c); nominal 95%."""
    n, covered = 40, 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            weight = stats.multinomial.pmf([b, c, n - b - c], n, [p_broken, p_fixed, 1 - p_broken - p_fixed])
            if weight > 1e-6:
                found = paired_difference(*arms(n, b, c))
                covered += float(weight) * (found.low <= p_fixed - p_broken <= found.high)
    assert covered > 0.93


def test_bootstrap_agrees_with_the_normal_interval_and_repeats_with_its_seed():
    values = normal(400) + 0.3
    found = paired_bootstrap(values, n_resamples=3000)
    error = float(values.std()) / 20
    assert found.estimate == pytest.approx(float(values.mean()))
    assert found.low == pytest.approx(found.estimate - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.estimate + 1.96 * error, abs=0.15 * error)
    assert paired_bootstrap(values, n_resamples=3000) == found
    assert paired_bootstrap(torch.zeros(9)) == (0, 0, 0)


@pytest.mark.parametrize(("b", "c"), [(2, 6), (0, 5), (4, 4), (7, 3)])
def test_full_enumeration_of_one_column_is_mcnemar(b, c):
    """Handbook, section 12: full sign-flip enumeration, one column, two-sided = McNemar exact (2, 6: .2890625)."""
    baseline, steered = arms(30, b, c)
    differences = (steered.double() - baseline.double())[:, None]
    found = max_t_sign_flip(differences, n_flips=None, alternative="two-sided")
    assert found.p_value == pytest.approx(mcnemar_exact(b, c), abs=1e-12)


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


def test_clustered_error_counts_copies_once():
    values = normal(50)
    alone = clustered_standard_error(values, torch.arange(50))
    assert alone == pytest.approx(float(values.std(correction=0)) / math.sqrt(50))
    copies = clustered_standard_error(values.repeat(4), torch.arange(50).repeat(4) * 7)
    assert copies == pytest.approx(alone)


REFUSALS = [
    ("wilson", lambda: wilson_interval(11, 10), ConfigError, "k=11 of n=10"),
    ("mcnemar", lambda: mcnemar_exact(-1, 2), ConfigError, "cannot be negative, got b=-1"),
    (
        "unpaired",
        lambda: paired_difference(arms(3, 1, 1)[0], arms(4, 1, 1)[0]),
        ShapeError,
        "the baseline has 3 questions and the steered run 4",
    ),
    ("empty", lambda: paired_difference(arms(0, 0, 0)[0], arms(0, 0, 0)[0]), ShapeError, "at least 1 questions, got 0"),
    ("NaN", lambda: paired_bootstrap(torch.tensor([math.nan])), ShapeError, "differences .* 1 NaN"),
    ("flips", lambda: max_t_sign_flip(normal(30, 2), n_flips=None), ConfigError, "all flips of 30 questions"),
    ("one row", lambda: max_t_sign_flip(normal(1, 2)), ShapeError, "at least 2 questions, got 1"),
    ("folds", lambda: cross_fitted_selection(torch.ones(3, 2, dtype=torch.bool), 5), ShapeError, "in 5 folds needs"),
    ("one fold", lambda: cross_fitted_selection(torch.ones(3, 2, dtype=torch.bool), 1), ConfigError, "got 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(st.lists(st.sampled_from([(True, True), (True, False), (False, True), (False, False)]), min_size=1, max_size=40))
def test_averaged_difference_of_one_setting_is_the_paired_difference(answers):
    before, after = (torch.tensor(column) for column in zip(*answers, strict=True))
    expected = paired_difference(before, after)
    found = averaged_difference(after.double() - before.double())
    assert found == pytest.approx((expected.delta, expected.low, expected.high), abs=1e-12)


def test_averaging_over_settings_narrows_and_refuses_points():
    """Averages vary less than single answers, so their interval is no wider."""
    single = torch.tensor([1.0, -1.0, 0.0, 1.0] * 10, dtype=torch.float64)
    other = single[torch.arange(39, -1, -1)]
    alone, both = averaged_difference(single), averaged_difference((single + other) / 2)
    assert both.estimate == pytest.approx(alone.estimate) and both.high - both.low < alone.high - alone.low
    with pytest.raises(ConfigError, match="lie between -1 and 1"):
        averaged_difference(torch.tensor([5.0]))
