"""What a paired comparison of so many questions can find, before it is run.

psi, the discordance, is the share of questions whose correctness changes; effects are differences of accuracies. Both
are fractions: one point is 0.01. A gain of one point is not detectable on the usual test sets without pooling. The same
effect is harder to find where more answers change: always say psi beside it.

`paired_power` and `minimum_detectable_effect` are those of the test that is reported (`paired.mcnemar_score`), summed
over all tables.
"""

import numpy as np
from scipy.stats import binom, norm

from interp_xfer.errors import ConfigError


def paired_power(n: int, effect: float, discordance: float, alpha: float = 0.05) -> float:
    """Chance that n questions show a paired effect, by the score test of McNemar.

    sum over m ~ Bin(n, psi) and c ~ Bin(m, (psi + delta) / (2 psi)) of [(2c - m)² > z² m]; with delta = 0 it is the
    size of the test.

    Arguments:
        n: questions.
        effect: delta, fraction, between -psi and psi.
        discordance: psi, share of questions whose correctness changes.
        alpha: two-sided level.
    Returns: a probability, exact up to 1e-12.
    Raises: ConfigError unless n >= 1 and |effect| <= discordance, 0 < discordance <= 1.
    Source: exact sums; the test is that of Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91.
    """
    if n < 1 or not 0 < discordance <= 1 or abs(effect) > discordance:
        raise ConfigError(
            f"power needs n of at least 1 and an effect within a discordance in (0, 1], got n={n}, effect={effect}, "
            f"discordance={discordance}."
        )
    reach = range(int(binom.ppf(1e-13, n, discordance)), int(binom.isf(1e-13, n, discordance)) + 1)
    changed = np.array([m for m in reach if m > 0])
    z = float(norm.ppf(1 - alpha / 2))
    fewest = np.floor((changed + z * np.sqrt(changed)) / 2) + 1  # fixed questions of the changed ones that reject
    share = (discordance + effect) / (2 * discordance)
    rejected = binom.sf(fewest - 1, changed, share) + binom.cdf(changed - fewest, changed, share)
    return float(binom.pmf(changed, n, discordance) @ rejected)


def minimum_detectable_effect(n: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest paired effect that n questions find by the test that is reported, by its exact power.

    Arguments:
        n: questions.
        discordance: psi, share of questions whose correctness changes.
        alpha: two-sided level.
        power: chance to find the effect.
    Returns: delta, fraction, to 1e-6; equal to psi when even an effect in one direction only is too small to be found.
    Raises: ConfigError unless n >= 1 and 0 < discordance <= 1.
    Source: `paired_power`.
    """
    if n < 1 or not 0 < discordance <= 1:
        raise ConfigError(f"n must be at least 1 and discordance in (0, 1], got n={n}, discordance={discordance}.")
    if paired_power(n, discordance, discordance, alpha) < power:
        return discordance
    low, high = 0.0, discordance
    while high - low > 1e-6:  # power grows with the effect
        middle = (low + high) / 2
        low, high = (middle, high) if paired_power(n, middle, discordance, alpha) < power else (low, middle)
    return high
