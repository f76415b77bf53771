"""Sample sizes: known answers of the handbook (section 12), exact power of the reported test, refusals."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from interp_xfer.errors import ConfigError
from interp_xfer.stats.paired import mcnemar_score
from interp_xfer.stats.power import minimum_detectable_effect, paired_power, required_n, required_n_sampled


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
    """Handbook, section 12, in points at discordance .1 and .2; Bonferroni over 19 multiplies by about 1.37.

    The handbook's are normal approximations, up to a tenth of a point larger than what the exact power gives.
    """
    found = [100 * minimum_detectable_effect(n, psi) for psi in (0.1, 0.2)]
    assert all(-0.11 < x - handbook < 0.05 for x, handbook in zip(found, expected, strict=True))
    assert 100 * minimum_detectable_effect(n, 0.1, alpha=0.05 / 19) / found[0] == pytest.approx(1.37, abs=0.02)


@settings(max_examples=8, deadline=None)
@given(n=st.integers(20, 3000), discordance=st.floats(0.05, 1.0))
def test_the_test_that_is_reported_finds_the_detectable_effect_four_times_in_five(n, discordance):
    effect = minimum_detectable_effect(n, discordance)
    if effect < discordance:
        assert paired_power(n, effect, discordance) == pytest.approx(0.8, abs=1e-3)
        # The normal approximation of `required_n` asks for more where few answers change, and agrees elsewhere.
        assert required_n(effect, discordance) > 0.98 * n
        assert n * discordance < 100 or required_n(effect, discordance) < 1.05 * n


def test_power_by_brute_force_over_all_tables():
    """Every (b, c) of 30 questions, weighted by the trinomial, rejected where the reported p is below .05."""
    n, effect, psi = 30, 0.15, 0.3
    lost, gained = (psi - effect) / 2, (psi + effect) / 2
    expected = sum(
        float(multinomial.pmf([b, c, n - b - c], n, [lost, gained, 1 - psi]))
        for b in range(n + 1)
        for c in range(n + 1 - b)
        if mcnemar_score(b, c) < 0.05
    )
    assert paired_power(n, effect, psi) == pytest.approx(expected, abs=1e-9)
    assert paired_power(n, -effect, psi) == pytest.approx(expected, abs=1e-9)
    assert paired_power(n, 0.0, psi) < 0.055


def test_detectable_effect_grows_with_discordance_and_may_be_none_at_all():
    """48 questions: 16.5 points where a fifth of the answers change, 20.9 where three tenths do, none at a tenth."""
    found = [100 * minimum_detectable_effect(48, psi) for psi in (0.2, 0.3)]
    assert found == pytest.approx([16.5, 20.9], abs=0.05)
    assert minimum_detectable_effect(48, 0.1) == 0.1
    assert paired_power(48, 0.1, 0.1) < 0.8


def test_required_n_has_its_power():
    """Exact power at n = required_n(5 points, 20 %), by the test that is reported."""
    assert paired_power(required_n(0.05, 0.2), 0.05, 0.2) == pytest.approx(0.8, abs=0.005)


def test_sampled_sample_size():
    """Handbook, section 12: omega²=1/9, d=.03 gives 968 with z rounded to 1.96 + .84; exact quantiles give 969."""
    assert math.ceil(2.8**2 / 9 / 0.03**2) == 968
    assert required_n_sampled(0.03, 1 / 9) == 969
    assert required_n_sampled(0.03, 1 / 9, 0.2, 0.2, 4, 4) == required_n_sampled(0.03, 1 / 9 + 0.1)


REFUSALS = [
    ("points", lambda: required_n(2.0, 10.0), "one point is 0.01"),
    ("effect", lambda: required_n(0.2, 0.1), "discordance between its size and 1, got 0.1"),
    ("mde", lambda: minimum_detectable_effect(0, 0.1), "n must be at least 1"),
    ("power", lambda: paired_power(10, 0.2, 0.1), "effect within a discordance"),
    ("samples", lambda: required_n_sampled(0.0, 0.1), "an effect other than 0"),
]


@pytest.mark.parametrize(("call", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
