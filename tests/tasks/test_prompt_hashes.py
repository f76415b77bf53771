"""Hashes of questions travel with artifacts. Handbook, section 7."""

import pytest

from interp_xfer.errors import LeakError
from interp_xfer.tasks import Problem, contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.tasks.prompt_hashes import PromptHashes


@pytest.fixture
def problems():
    return load_problems("sums", "train", 6)


def test_the_same_question_is_recognised_in_every_form(problems):
    """As a problem, a contrast pair of two problems, and a fit text."""
    task = get_task("sums")
    for kind in ("reasoning-vs-answer", "own-vs-other-reasoning"):
        hashes = PromptHashes.of(contrast_pairs(problems[:3], kind))
        assert hashes == PromptHashes.of(problems[:3]) == PromptHashes.of(projection_texts(task, problems[:3]))
    hashes.require_disjoint(problems[3:], "vectors", "test")
    for items in (problems[2:], projection_texts(task, problems[2:]), contrast_pairs(problems[2:])):
        with pytest.raises(LeakError, match="1 of 4 test items .* are also in the vectors"):
            hashes.require_disjoint(items, "vectors", "test")


def test_id_or_text_alone_is_enough(problems):
    hashes = PromptHashes.of(problems)
    same_id = Problem(problems[0].id, "Something else entirely?", None, "1")
    same_text = Problem("elsewhere/9", f"  {problems[0].question.upper()}\n", None, "1")
    fresh = Problem("elsewhere/9", "Something else entirely?", None, "1")
    for item in (same_id, same_text):
        with pytest.raises(LeakError, match=f"first: {item.id}"):
            hashes.require_disjoint([fresh, item], "projection corpus", "validation")
    hashes.require_disjoint([fresh], "projection corpus", "validation")


def test_union_and_round_trip(problems):
    first, second = PromptHashes.of(problems[:2]), PromptHashes.of(problems[2:])
    both = first | second
    assert both == PromptHashes.of(problems) and len(both.values) == 12
    assert PromptHashes.from_list(both.to_list()) == both
    assert both.to_list() == sorted(both.values) and all(len(value) == 16 for value in both.values)
    assert PromptHashes().values == frozenset()


def test_an_id_is_not_mistaken_for_a_text():
    hashes = PromptHashes.of([Problem("apple", "pear", None, "1")])
    hashes.require_disjoint([Problem("pear", "apple", None, "1")], "a", "b")
