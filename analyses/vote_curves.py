"""Accuracy of a vote over k strengths, for every k, from the single answers of a cell.

For each k, many sets of k strengths are drawn without replacement (seeded) and each set votes as Algorithm 3 does: the
most frequent valid answer, ties to the answer that occurs at the smallest strength. The mean over sets is the expected
accuracy of spending k generations; the share of questions that at least one of the k answers gets right bounds what any
way of choosing could reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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


def vote_curve(items: Sequence[dict[str, Any]], grid: Sequence[float], seed: int = 0) -> tuple[VotePoint, ...]:
    """Accuracy against k = 1 .. number of strengths.

    Arguments:
        items: the single answers of one cell.
        grid: strengths that vote; those that were not run for every test question are left out.
        seed: of the sets.
    Returns: one point per k; empty without at least two strengths.
    Source: `interp_xfer.voting.vote`; arXiv 2512.19069, algorithm 3.
    """
    codes, right = _answers(items, sorted(grid, key=abs))
    n_strengths = codes.shape[1]
    if n_strengths < 2:
        return ()
    generator = np.random.default_rng(seed)
    n_answers = int(codes.max()) + 1
    one_hot = codes[:, :, None] == np.arange(n_answers)  # (questions, strengths, answers); code -1 is invalid
    answer_right = (one_hot & right[:, :, None]).any(axis=1)
    # A tie goes to the answer at the smallest strength: halving fractions order answers by their first occurrence,
    # and add up to less than one vote.
    weights = 1 + 0.5 ** (np.arange(n_strengths) + 1.0)
    return tuple(
        _point(k, _sets(k, n_strengths, generator), one_hot, answer_right, weights, right)
        for k in range(1, n_strengths + 1)
    )


def _answers(items: Sequence[dict[str, Any]], grid: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(questions, strengths): code of each answer, -1 for invalid ones, and whether it is right."""
    found: dict[float, dict[str, dict[str, Any]]] = {strength: {} for strength in grid}
    for item in items:
        if item["split"] == "test" and item["arm"] == "sweep" and item["strength"] in found:
            found[item["strength"]][item["problem_id"]] = item
    n_questions = max((len(answers) for answers in found.values()), default=0)
    complete = [answers for answers in found.values() if answers and len(answers) == n_questions]
    questions = list(complete[0]) if complete else []
    codes = np.full((n_questions, len(complete)), -1)
    right = np.zeros((n_questions, len(complete)), dtype=bool)
    for row, question in enumerate(questions):
        known: dict[str, int] = {}
        for column, answers in enumerate(complete):
            item = answers[question]
            right[row, column] = item["correct"]
            if item["parsed"] is not None:
                codes[row, column] = known.setdefault(item["parsed"], len(known))
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


def _point(
    k: int, sets: np.ndarray, one_hot: np.ndarray, answer_right: np.ndarray, weights: np.ndarray, right: np.ndarray
) -> VotePoint:
    shares, reached = [], []
    for chosen in sets:
        scores = np.tensordot(one_hot[:, chosen], weights[chosen], axes=([1], [0]))  # (questions, answers)
        winner = scores.argmax(axis=1)
        valid = scores.max(axis=1) > 0
        shares.append(float((answer_right[np.arange(len(winner)), winner] & valid).mean()))
        reached.append(float(right[:, chosen].any(axis=1).mean()))
    return VotePoint(
        k, float(np.mean(shares)), float(min(shares)), float(max(shares)), float(np.mean(reached)), len(sets)
    )
