"""How many questions a paired comparison needs, before it is run.

psi, the discordance, is the share of questions whose correctness changes; effects are differences of accuracies. Both
are fractions: one point is 0.01. A gain of one point is not detectable on the usual test sets without pooling. The same
effect is harder to find where more answers change: always say psi beside it.

`paired_power` and `minimum_detectable_effect` are those of the test that is reported (`paired.mcnemar_score`), summed
over all tables; `required_n` is the usual normal approximation to them.
"""

import math

import numpy as np
from scipy.stats import binom, norm

from interp_xfer.errors import ConfigError


def required_n(effect: float, discordance: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Questions needed to find a paired effect.

    (z_{alpha/2} sqrt(psi) + z_beta sqrt(psi - delta²))² / delta², rounded up.

    Arguments:
        effect: delta, difference of accuracies, fraction.
        discordance: psi, share of questions whose correctness changes, at least |delta|.
        alpha: two-sided level; divide it by the number of strengths for Bonferroni.
        power: chance to find the effect.
    Returns: n.
    Raises: ConfigError unless 0 < |effect| <= discordance <= 1.
    Source: Connor 1987, doi 10.2307/2531961.
    """
    if not 0 < abs(effect) <= discordance <= 1:
        raise ConfigError(
            f"an effect of {effect} needs a discordance between its size and 1, got {discordance}; "
            "both are fractions: one point is 0.01."
        )
    return math.ceil(_exact_n(effect, discordance, alpha, power))


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


def required_n_sampled(
    effect: float,
    between_questions: float,
    within_a: float = 0.0,
    within_b: float = 0.0,
    samples_a: int = 1,
    samples_b: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Questions needed for a paired effect when each arm answers each question several times.

    (z_{alpha/2} + z_beta)² (omega² + sigma_A²/K_A + sigma_B²/K_B) / delta², rounded up.

    Arguments:
        effect: delta, fraction.
        between_questions: omega², variance over questions of the difference of expected scores.
        within_a: sigma_A², mean variance over repeated answers of arm A.
        within_b: sigma_B², the same of arm B.
        samples_a: K_A, answers per question.
        samples_b: K_B.
        alpha: two-sided level.
        power: chance to find the effect.
    Returns: n.
    Raises: ConfigError on an effect of zero or fewer than one sample.
    Source: arXiv 2411.00640.
    """
    if effect == 0 or min(samples_a, samples_b) < 1:
        raise ConfigError(f"need an effect other than 0 and a sample per arm, got {effect}, {samples_a}, {samples_b}.")
    z = float(norm.ppf(1 - alpha / 2) + norm.ppf(power))
    return math.ceil(z**2 * (between_questions + within_a / samples_a + within_b / samples_b) / effect**2)


def _exact_n(effect: float, discordance: float, alpha: float, power: float) -> float:
    z_alpha, z_beta = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    numerator = z_alpha * math.sqrt(discordance) + z_beta * math.sqrt(max(discordance - effect**2, 0.0))
    return numerator**2 / effect**2
