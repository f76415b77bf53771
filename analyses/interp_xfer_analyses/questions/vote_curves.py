"""Accuracy of a vote over k strengths, for every k, from the single answers of a cell.

For each k, many sets of k strengths are drawn without replacement (seeded) and each set votes as Algorithm 3 does: the
most frequent valid answer, ties to the answer that occurs at the smallest strength. The mean over sets is the expected
accuracy of spending k generations; the share of questions that at least one of the k answers gets right bounds what any
way of choosing could reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interp_xfer.streams import stream
from interp_xfer.studies.item_record import ItemRecord

_DRAWS = 40


@dataclass(frozen=True)
class VotePoint:
    """A vote over k strengths."""

    k: int
    accuracy: float
    """Mean over the drawn sets of strengths."""
    lowest: float
    """Of the drawn sets."""
    highest: float
    any_right: float
    """Share of questions that one of the k answers gets right, mean over the sets."""
    n_sets: int


def vote_curve(items: Sequence[ItemRecord], grid: Sequence[float], seed: int = 0) -> tuple[VotePoint, ...]:
    """Accuracy against k = 1 .. number of strengths.

    Arguments:
        items: the single answers of one cell.
        grid: strengths that vote; those that were not run for every test question are left out.
        seed: of the sets.
    Returns: one point per k; empty without at least two strengths.
    Source: `interp_xfer.evaluation.vote.vote`; arXiv 2512.19069, algorithm 3.
    """
    codes, right = _answers(items, sorted(grid, key=abs))
    n_strengths = codes.shape[1]
    if n_strengths < 2 or codes.max() < 0:
        return ()
    one_hot = codes[:, :, None] == np.arange(int(codes.max()) + 1)  # (questions, strengths, answers); -1 is invalid
    answer_right = (one_hot & right[:, :, None]).any(axis=1)
    # A tie goes to the answer at the smallest strength: halving fractions order answers by their first occurrence,
    # and add up to less than one vote.
    weights = 1 + 0.5 ** (np.arange(n_strengths) + 1.0)
    votes = np.moveaxis(one_hot * weights[:, None], 1, 0)  # (strengths, questions, answers)
    return tuple(
        _point(_sets(k, n_strengths, stream(seed, "vote-curve", k)), votes, answer_right, right)
        for k in range(1, n_strengths + 1)
    )


def _answers(items: Sequence[ItemRecord], grid: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(questions, strengths): code of each answer, -1 for invalid ones, and whether it is right."""
    found: dict[float, dict[str, ItemRecord]] = {strength: {} for strength in grid}
    for item in items:
        if item.swept and item.strength in found:
            found[item.strength][item.problem_id] = item
    n_questions = max((len(answers) for answers in found.values()), default=0)
    complete = [answers for answers in found.values() if answers and len(answers) == n_questions]
    questions = list(complete[0]) if complete else []
    codes = np.full((n_questions, len(complete)), -1)
    right = np.zeros((n_questions, len(complete)), dtype=bool)
    for row, question in enumerate(questions):
        known: dict[str, int] = {}
        for column, answers in enumerate(complete):
            item = answers[question]
            right[row, column] = item.correct
            if item.parsed is not None:
                codes[row, column] = known.setdefault(item.parsed, len(known))
    return codes, right


def _sets(k: int, n: int, generator: np.random.Generator) -> np.ndarray:
    """(sets, strengths), True where a strength is in the set; the only set where k is all of them."""
    n_sets = 1 if k == n else (n if k in (1, n - 1) else _DRAWS)
    out = np.zeros((n_sets, n), dtype=bool)
    for number in range(n_sets):
        if k == 1 or k == n - 1:
            out[number] = (np.arange(n) == number) == (k == 1)
        else:
            out[number, generator.permutation(n)[:k]] = True
    return out


def _point(sets: np.ndarray, votes: np.ndarray, answer_right: np.ndarray, right: np.ndarray) -> VotePoint:
    n_questions, n_answers = answer_right.shape
    scores = (sets.astype(float) @ votes.reshape(len(votes), -1)).reshape(len(sets), n_questions, n_answers)
    winner = scores.argmax(axis=2)  # (sets, questions)
    won = answer_right[np.arange(n_questions), winner] & (scores.max(axis=2) > 0)
    shares = won.mean(axis=1)
    reached = (sets.astype(int) @ right.T.astype(int) > 0).mean()
    k = int(sets[0].sum())
    return VotePoint(k, float(shares.mean()), float(shares.min()), float(shares.max()), float(reached), len(sets))
