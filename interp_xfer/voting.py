"""Inference-time scaling: one answer per question from its answers at many strengths (arXiv 2512.19069, algorithm 3).

The mode of the canonical answers. Invalid answers do not vote; a tie goes to the tied answer that occurs at the
smallest absolute strength; without any valid answer there is no answer, which is scored wrong.
"""

from collections.abc import Sequence

from interp_xfer.errors import ConfigError


def vote(answers: Sequence[str | None], strengths: Sequence[float]) -> str | None:
    """The most frequent valid answer.

    Arguments:
        answers: canonical answers of one question, None where no answer was found.
        strengths: the strength of each.
    Returns: the winning answer, or None.
    Raises: ConfigError if there are not as many strengths as answers.
    Source: arXiv 2512.19069, algorithm 3, line 20; the tie rule is ours.
    """
    if len(answers) != len(strengths):
        raise ConfigError(f"{len(answers)} answers for {len(strengths)} strengths; give one strength per answer.")
    counts: dict[str, int] = {}
    smallest: dict[str, float] = {}
    for answer, strength in zip(answers, strengths, strict=True):
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
            smallest[answer] = min(smallest.get(answer, abs(strength)), abs(strength))
    # The answer itself settles what strengths cannot (equal |strength| of opposite sign), so that order never matters.
    return min(counts, key=lambda answer: (-counts[answer], smallest[answer], answer), default=None)
