"""Paired tests: interval and p value agree; published answers, statsmodels and scipy as oracles, exact size."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar
from statsmodels.stats.contingency_tables import mcnemar

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.stats.paired import (
    averaged_difference,
    mcnemar_score,
    paired_difference,
    tango_interval,
)

TABLES = [(b, c, n) for n in (*range(1, 13), 25) for b, c in product(range(n + 1), repeat=2) if b + c <= n]


def arms(n: int, b: int, c: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Baseline and steered correctness with b broken and c fixed questions among n."""
    baseline, steered = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
    baseline[:b] = True
    steered[b : b + c] = True
    return baseline, steered


@settings(deadline=None)
@given(b=st.integers(0, 300), c=st.integers(0, 300))
def test_mcnemar_equals_statsmodels(b, c):
    if b + c:
        oracle = mcnemar([[0, b], [c, 0]], exact=False, correction=False)
        assert mcnemar_score(b, c) == pytest.approx(float(oracle.pvalue), abs=1e-12)


def test_p_is_below_05_exactly_where_the_interval_leaves_out_0():
    """Every table of 1 to 12 and of 25 questions, at two levels."""
    for (b, c, n), confidence in product(TABLES, (0.95, 0.99)):
        low, high = tango_interval(b, c, n, confidence)
        assert (mcnemar_score(b, c) < 1 - confidence) == (not low <= 0 <= high), (b, c, n, confidence)
        assert -1 <= low <= (c - b) / n <= high <= 1


def test_five_fixed_and_none_broken():
    """Interval and p value used to contradict each other here: 0 left out, p = .0625."""
    found = paired_difference(*arms(40, 0, 5))
    assert found.low > 0 and found.p_value == pytest.approx(0.0253, abs=5e-5)
    assert mcnemar([[0, 0], [5, 0]], exact=True).pvalue == 0.0625


def test_published_interval():
    """Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness of 21 children (b=7, c=1): -.517 to -.026."""
    assert tango_interval(7, 1, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 60), share=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_ends_of_the_interval_are_where_the_score_test_rejects(n, share):
    """Oracle: the restricted likelihood maximised numerically, T from it."""
    b = round(share[0] * n)
    c = round(share[1] * (n - b))
    for delta, sign in zip(tango_interval(b, c, n), (1, -1), strict=True):
        if abs(delta) == 1:
            continue

        def loss(q, delta=delta):
            cells = ((b, q), (c, q + delta), (n - b - c, 1 - 2 * q - delta))
            return -sum(k * math.log(max(p, 1e-300)) for k, p in cells if k)

        found = minimize_scalar(
            loss, bounds=(max(0.0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-12}
        )
        error = math.sqrt(max(n * (2 * float(found.x) + delta * (1 - delta)), 1e-300))
        assert (c - b - n * delta) / error == pytest.approx(sign * 1.959964, abs=2e-3)


def test_paired_difference_known_answer():
    """Handbook, section 12: n=100, b=5, c=15: delta=.1, SE=.0435890."""
    found = paired_difference(*arms(100, 5, 15))
    assert (found.delta, found.broken, found.fixed, found.n) == (0.1, 5, 15, 100)
    assert found.standard_error == pytest.approx(0.0435890, abs=5e-8)
    assert found.p_value == mcnemar_score(5, 15)
    assert found[2:4] == tango_interval(5, 15, 100)
    # The error is that of the mean of the -1, 0, +1 differences.
    baseline, steered = arms(100, 5, 15)
    assert found.standard_error == pytest.approx(float((steered.double() - baseline.double()).std(correction=0)) / 10)


def test_paired_interval_has_width_when_nothing_changed_and_turns_with_its_arms():
    still = paired_difference(*arms(50, 0, 0))
    assert (still.delta, still.standard_error, still.p_value) == (0, 0, 1)
    assert still.low < -0.02 and still.high > 0.02
    there, back = paired_difference(*arms(50, 3, 9)), paired_difference(*arms(50, 9, 3))
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_size_and_coverage_by_exact_sums():
    """40 questions: size at most .055 where up to half change, coverage at least .93; the exact test is idle."""
    n = 40
    changed = list(range(n + 1))
    score = [sum(stats.binom.pmf(c, m, 0.5) for c in range(m + 1) if mcnemar_score(m - c, c) < 0.05) for m in changed]
    fair = [[stats.binomtest(c, m).pvalue if m else 1.0 for c in range(m + 1)] for m in changed]
    exact = [sum(stats.binom.pmf(c, m, 0.5) for c in range(m + 1) if fair[m][c] < 0.05) for m in changed]
    sizes = np.array(
        [[stats.binom.pmf(changed, n, psi) @ r for r in (score, exact)] for psi in np.arange(0.05, 0.51, 0.05)]
    )
    assert sizes[:, 0].max() < 0.055 and sizes[:, 1].max() < 0.035
    assert sizes[-1, 0] > 0.04 > 0.03 > sizes[-1, 1]
    tables = [(b, c) for b, c in product(range(n + 1), repeat=2) if b + c <= n]
    ends = np.array([tango_interval(b, c, n) for b, c in tables])
    for p_broken, p_fixed in ((0.02, 0.02), (0.05, 0.15), (0.1, 0.1), (0.001, 0.1), (0.01, 0.08)):
        weights = stats.multinomial.pmf(
            [(b, c, n - b - c) for b, c in tables], n, [p_broken, p_fixed, 1 - p_broken - p_fixed]
        )
        covered = (ends[:, 0] <= p_fixed - p_broken) & (p_fixed - p_broken <= ends[:, 1])
        assert 0.93 < weights @ covered < 0.995


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-6, 6).map(lambda k: k / 6), min_size=1, max_size=60),
    confidence=st.sampled_from((0.9, 0.95)),
)
def test_averages_have_one_test_too(values, confidence):
    found = averaged_difference(torch.tensor(values, dtype=torch.float64), confidence)
    assert (found.p_value < 1 - confidence) == (not found.low <= 0 <= found.high)
    assert -1 <= found.low <= found.estimate <= found.high <= 1
    turned = averaged_difference(-torch.tensor(values, dtype=torch.float64), confidence)
    assert (turned.low, turned.high, turned.p_value) == pytest.approx((-found.high, -found.low, found.p_value))


def test_averages_of_one_setting_are_a_little_wider_than_the_paired_interval():
    for b, c in ((0, 0), (3, 9), (9, 3), (0, 5), (10, 12)):
        before, after = arms(60, b, c)
        single, averaged = paired_difference(before, after), averaged_difference(after.double() - before.double())
        assert averaged.estimate == pytest.approx(single.delta)
        assert (averaged.low, averaged.high) == pytest.approx((single.low, single.high), abs=0.03)
        assert averaged.p_value >= single.p_value


def test_averages_over_settings_cover():
    """40 questions, six settings that agree in part; 400 draws, 95 %: .92 or less has a probability of .003."""
    generator, covered = torch.Generator().manual_seed(0), 0
    for _ in range(400):
        lean = torch.rand(40, 1, generator=generator) * 0.4
        draws = torch.rand(40, 6, generator=generator)
        differences = (draws < lean).double() - (draws > 1 - 0.5 * lean).double()
        found = averaged_difference(differences.mean(dim=1))
        covered += found.low <= 0.1 <= found.high  # E lean = .2, gained lean, lost lean / 2
    assert 0.92 < covered / 400 <= 0.99


def test_averaging_over_settings_narrows_and_refuses_points():
    """Averages vary less than single answers, so their interval is no wider."""
    single = torch.tensor([1.0, -1.0, 0.0, 1.0] * 10, dtype=torch.float64)
    other = single[torch.arange(39, -1, -1)]
    alone, both = averaged_difference(single), averaged_difference((single + other) / 2)
    assert both.estimate == pytest.approx(alone.estimate) and both.high - both.low < alone.high - alone.low
    with pytest.raises(ConfigError, match="lie between -1 and 1"):
        averaged_difference(torch.tensor([5.0]))


REFUSALS = [
    ("mcnemar", lambda: mcnemar_score(-1, 2), ConfigError, "cannot be negative, got b=-1"),
    ("score", lambda: mcnemar_score(1, -2), ConfigError, "cannot be negative, got b=1, c=-2"),
    ("too many", lambda: tango_interval(3, 2, 4), ConfigError, "3 broken and 2 fixed questions do not fit into 4"),
    (
        "unpaired",
        lambda: paired_difference(arms(3, 1, 1)[0], arms(4, 1, 1)[0]),
        ShapeError,
        "the baseline has 3 questions and the steered run 4",
    ),
    ("empty", lambda: paired_difference(arms(0, 0, 0)[0], arms(0, 0, 0)[0]), ShapeError, "at least 1 questions, got 0"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
