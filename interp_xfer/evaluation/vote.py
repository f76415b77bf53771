"""Inference-time scaling: one answer per question from its answers at many strengths (arXiv 2512.19069, algorithm 3).

The mode of the canonical answers. Invalid answers do not vote; a tie goes to the tied answer that occurs at the
smallest absolute strength; without any valid answer there is no answer, which is scored wrong.

Where most strengths do nothing, the unsteered answer has the majority before anyone votes: `unsteered_votes` counts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from interp_xfer.errors import ConfigError
from interp_xfer.fields import STRICT, Count, Positive


@dataclass(frozen=True)
class UnsteeredVotes:
    """How much of a vote over strengths is the unsteered model's own answer."""

    __pydantic_config__ = STRICT

    n_questions: Positive
    n_strengths: Positive
    texts: Count
    """Questions in which more than half of the strengths wrote the unsteered text, letter by letter."""
    answers: Count
    """Questions in which more than half of the strengths gave the unsteered answer, whatever the text."""
    idle: Count
    """Strengths that changed no text at all."""


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


def unsteered_votes(
    baseline: Sequence[tuple[str, str | None]], steered: Sequence[Sequence[tuple[str, str | None]]]
) -> UnsteeredVotes:
    """In how many questions the unsteered answer holds the majority of the grid, and how many strengths do nothing.

    Arguments:
        baseline: text and canonical answer (None: invalid, which votes for nothing) of each question, unsteered.
        steered: the same for every strength of the grid.
    Returns: counts.
    Raises: ConfigError without strengths, or where a strength answers another number of questions.
    Source: house rule; over the grid of arXiv 2512.19069 in relative units 10 of 19 strengths are at most .1.
    """
    if not steered or any(len(row) != len(baseline) for row in steered):
        raise ConfigError(
            f"strengths answer {sorted({len(row) for row in steered})} questions and the baseline {len(baseline)}; "
            "give the answers of at least one strength to the same questions."
        )
    same_text = [sum(row[i][0] == text for row in steered) for i, (text, _) in enumerate(baseline)]
    same_answer = [
        sum(answer is not None and row[i][1] == answer for row in steered) for i, (_, answer) in enumerate(baseline)
    ]
    texts, answers = (sum(2 * count > len(steered) for count in counts) for counts in (same_text, same_answer))
    idle = sum(all(mine[0] == text for mine, (text, _) in zip(row, baseline, strict=True)) for row in steered)
    return UnsteeredVotes(len(baseline), len(steered), texts, answers, idle)
