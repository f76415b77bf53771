"""Intervals: known answers of the handbook (section 12), statsmodels as oracle, refusals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.stats.intervals import paired_bootstrap, wilson_interval


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


def test_bootstrap_agrees_with_the_normal_interval_and_repeats_with_its_seed():
    values = normal(400) + 0.3
    found = paired_bootstrap(values, n_resamples=3000)
    error = float(values.std()) / 20
    assert found.estimate == pytest.approx(float(values.mean()))
    assert found.low == pytest.approx(found.estimate - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.estimate + 1.96 * error, abs=0.15 * error)
    assert paired_bootstrap(values, n_resamples=3000) == found
    assert paired_bootstrap(torch.zeros(9)) == (0, 0, 0)


REFUSALS = [
    ("wilson", lambda: wilson_interval(11, 10), ConfigError, "k=11 of n=10"),
    ("NaN", lambda: paired_bootstrap(torch.tensor([math.nan])), ShapeError, "differences .* 1 NaN"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
