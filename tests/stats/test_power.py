"""Power: known answers of the handbook (section 12), exact power of the reported test, refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial, norm

from interp_xfer.errors import ConfigError
from interp_xfer.stats.paired import mcnemar_score
from interp_xfer.stats.power import minimum_detectable_effect, paired_power


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
        # The normal approximation of Connor 1987 asks for more where few answers change, and agrees elsewhere.
        spread = norm.isf(0.025) * discordance**0.5 + norm.isf(0.2) * (discordance - effect**2) ** 0.5
        assert spread**2 / effect**2 > 0.98 * n
        assert n * discordance < 100 or spread**2 / effect**2 < 1.05 * n


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


REFUSALS = [
    ("mde", lambda: minimum_detectable_effect(0, 0.1), "n must be at least 1"),
    ("power", lambda: paired_power(10, 0.2, 0.1), "effect within a discordance"),
]


@pytest.mark.parametrize(("call", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
