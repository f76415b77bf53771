"""The mode of answers over strengths. Handbook, section 10."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.search import PAPER_GRID
from interp_xfer.evaluation.vote import UnsteeredVotes, unsteered_votes, vote

TABLE = [
    (["5", "7", "7", "5"], [0.01, 0.02, 0.03, 0.04], "5"),  # handbook: tie -> the answer at the smallest strength
    (["7", "5", "5", "7", "7"], [0.01, 0.02, 0.03, 0.04, 0.05], "7"),
    ([None] * 18 + ["3"], list(PAPER_GRID), "3"),  # invalid answers do not vote
    (["9"], [0.4], "9"),
    ([None, None], [0.1, 0.2], None),
    ([], [], None),
    (["5", "7"], [-0.3, 0.2], "7"),  # smallest absolute strength
    (["7", "5"], [-0.2, 0.2], "5"),  # nothing left but the answer itself
]


@pytest.mark.parametrize(("answers", "strengths", "winner"), TABLE)
def test_known_votes(answers, strengths, winner):
    for order in itertools.islice(itertools.permutations(range(len(answers))), 120):
        assert vote([answers[i] for i in order], [strengths[i] for i in order]) == winner


@settings(max_examples=100, deadline=None, derandomize=True)
@given(answers=st.lists(st.sampled_from([None, "1", "2", "3"]), min_size=1, max_size=19), seed=st.integers(0, 999))
def test_vote_by_brute_force_in_any_order(answers, seed):
    ballots = list(zip(answers, PAPER_GRID, strict=False))
    valid = {answer for answer in answers if answer is not None}
    most = max((answers.count(answer) for answer in valid), default=0)
    expected = next((a for a, _ in ballots if a is not None and answers.count(a) == most), None)
    random.Random(seed).shuffle(ballots)
    assert vote([a for a, _ in ballots], [s for _, s in ballots]) == expected


def test_lengths_must_agree():
    with pytest.raises(ConfigError, match="2 answers for 1 strengths"):
        vote(["1", "2"], [0.1])


def test_the_unsteered_answer_may_hold_the_majority_before_anyone_votes():
    """Three strengths, four questions: what is the same letter by letter, as an answer, and never."""
    baseline = [("it is 5", "5"), ("so 7", "7"), ("none", None), ("9", "9")]
    steered = [
        baseline,  # does nothing
        [("it is 5", "5"), ("thus 7", "7"), ("none", None), ("8", "8")],
        [("I say 5", "5"), ("hence 7", "7"), ("nil", None), ("8", "8")],
    ]
    found = unsteered_votes(baseline, steered)
    assert found == UnsteeredVotes(4, 3, 2, 2, 1)  # texts: the first and the invalid one; answers: 5 and 7
    assert unsteered_votes(baseline, [baseline, steered[2]]).texts == 0  # a half is no majority
    assert vote([row[3][1] for row in steered], [0.1, 0.2, 0.3]) == "8"


def test_unsteered_votes_need_the_same_questions():
    with pytest.raises(ConfigError, match=r"strengths answer \[1\] questions and the baseline 2"):
        unsteered_votes([("a", None), ("b", None)], [[("a", None)]])
    with pytest.raises(ConfigError, match="at least one strength"):
        unsteered_votes([("a", None)], [])
