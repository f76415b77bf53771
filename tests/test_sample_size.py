"""Sample sizes: known answers of the handbook (section 12), inverse functions, simulated power, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError
from interp_xfer.sample_size import minimum_detectable_effect, required_n, required_n_sampled
from interp_xfer.statistics import mcnemar_exact


@pytest.mark.parametrize(
    ("discordance", "expected"),
    [(0.06, [4707, 1175, 521]), (0.10, [7847, 1960, 870]), (0.20, [15696, 3923, 1742])],
)
def test_required_n_table(discordance, expected):
    """Handbook, section 12, table (alpha .05, power .8) for effects of 1, 2, 3 points."""
    assert [required_n(effect, discordance) for effect in (0.01, 0.02, 0.03)] == expected


@pytest.mark.parametrize(
    ("n", "expected"), [(1319, (2.4, 3.5)), (1172, (2.6, 3.7)), (500, (4.0, 5.6)), (5000, (1.3, 1.8))]
)
def test_minimum_detectable_effect_table(n, expected):
    """Handbook, section 12, in points at discordance .1 and .2; Bonferroni over 19 multiplies by about 1.37."""
    found = [minimum_detectable_effect(n, psi) for psi in (0.1, 0.2)]
    assert [100 * effect for effect in found] == pytest.approx(expected, abs=0.055)
    assert minimum_detectable_effect(n, 0.1, alpha=0.05 / 19) / found[0] == pytest.approx(1.37, abs=0.005)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(100, 10_000), discordance=st.floats(0.05, 1.0))
def test_effect_and_sample_size_are_inverse(n, discordance):
    effect = minimum_detectable_effect(n, discordance)
    if effect < discordance:
        assert required_n(effect * (1 + 1e-9), discordance) <= n <= required_n(effect * (1 - 1e-6), discordance)


def test_required_n_has_its_power():
    """Simulated McNemar at n = required_n(5 points, 20%): power near .8 (sd .013; the exact test is conservative)."""
    n = required_n(0.05, 0.2)
    draws = np.random.default_rng(0).multinomial(n, [0.075, 0.125, 0.8], size=1000)
    found = [mcnemar_exact(int(b), int(c)) <= 0.05 for b, c, _ in draws]
    assert 0.74 < sum(found) / 1000 < 0.84


def test_sampled_sample_size():
    """Handbook, section 12: omega²=1/9, d=.03 gives 968 with z rounded to 1.96 + .84; exact quantiles give 969."""
    assert math.ceil(2.8**2 / 9 / 0.03**2) == 968
    assert required_n_sampled(0.03, 1 / 9) == 969
    assert required_n_sampled(0.03, 1 / 9, 0.2, 0.2, 4, 4) == required_n_sampled(0.03, 1 / 9 + 0.1)


REFUSALS = [
    ("points", lambda: required_n(2.0, 10.0), "one point is 0.01"),
    ("effect", lambda: required_n(0.2, 0.1), "discordance between its size and 1, got 0.1"),
    ("mde", lambda: minimum_detectable_effect(0, 0.1), "n must be at least 1"),
    ("samples", lambda: required_n_sampled(0.0, 0.1), "an effect other than 0"),
]


@pytest.mark.parametrize(("call", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
