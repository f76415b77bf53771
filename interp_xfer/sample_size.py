"""How many questions a paired comparison needs, before it is run.

psi, the discordance, is the share of questions whose correctness changes; effects are differences of accuracies. Both
are fractions: one point is 0.01. A gain of one point is not detectable on the usual test sets without pooling.
"""

import math

from scipy.stats import norm

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


def minimum_detectable_effect(n: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest paired effect that n questions find, the inverse of `required_n`.

    Arguments:
        n: questions.
        discordance: psi, share of questions whose correctness changes.
        alpha: two-sided level.
        power: chance to find the effect.
    Returns: delta, fraction; equal to psi when even an effect in one direction only is too small to be found.
    Raises: ConfigError unless n >= 1 and 0 < discordance <= 1.
    Source: Connor 1987, doi 10.2307/2531961.
    """
    if n < 1 or not 0 < discordance <= 1:
        raise ConfigError(f"n must be at least 1 and discordance in (0, 1], got n={n}, discordance={discordance}.")
    if _exact_n(discordance, discordance, alpha, power) >= n:
        return discordance
    low, high = 0.0, discordance
    while high - low > 1e-15:  # the size needed falls as the effect grows
        middle = (low + high) / 2
        low, high = (middle, high) if _exact_n(middle, discordance, alpha, power) > n else (low, middle)
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
