from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import LeakError
from interp_xfer.tasks import (
    FitText,
    check_disjoint,
    contrast_pairs,
    get_task,
    load_problems,
    normalise_text,
    projection_texts,
)

SUMS = get_task("sums")


@pytest.fixture
def sets():
    train = load_problems(SUMS, "train", limit=40)
    return {
        "contrast": contrast_pairs(train[:20]),
        "projection": projection_texts(SUMS, train[20:]),
        "validation": load_problems(SUMS, "validation", limit=10),
        "test": load_problems(SUMS, "test", limit=10),
        "few-shot": list(SUMS.few_shot),
    }


def test_disjoint_sets_pass(sets):
    check_disjoint(sets)


def spelled_differently(text):
    return "  " + text.upper().replace(" ", "\n ").replace("?", " ?!")


# science.md, section 7: overlap is an error. A leak is planted in every pair of sets, by id and by text.
@pytest.mark.parametrize(
    "receiver, giver",
    [
        (receiver, giver)
        for receiver in ("contrast", "projection", "validation", "test", "few-shot")
        for giver in ("validation", "test", "few-shot")
        if receiver != giver
    ],
)
@pytest.mark.parametrize("by", ["id", "text"])
def test_a_planted_leak_raises(sets, receiver, giver, by):
    leak = sets[giver][3]
    if by == "id":
        leak = replace(leak, question="an unrelated question?", reasoning="None.")
    else:
        leak = replace(leak, id="new/1", question=spelled_differently(leak.question))
    sets[receiver] = [
        *sets[receiver],
        *{"contrast": contrast_pairs, "projection": lambda p: projection_texts(SUMS, p)}.get(receiver, list)([leak]),
    ]
    with pytest.raises(LeakError) as caught:
        check_disjoint(sets)
    message = str(caught.value)
    assert f" {receiver} " in message and giver in message and message.startswith("1 of ")
    assert "by id or by text" in message and "different splits" in message


def test_contrast_and_projection_may_not_share_a_problem(sets):
    sets["projection"] = projection_texts(SUMS, load_problems(SUMS, "train", limit=40)[18:])
    with pytest.raises(LeakError, match=r"2 of 20 contrast items are also in projection \(sums/\w+#reasoning"):
        check_disjoint(sets)


def test_the_other_question_of_a_pair_counts(sets):
    problems = load_problems(SUMS, "train", limit=30)
    pairs = contrast_pairs(problems, "own-vs-other-reasoning")
    alone = [pair for pair in pairs if pair.problem_ids[1] == problems[0].id]
    with pytest.raises(LeakError):
        check_disjoint({"contrast": alone, "test": [problems[0]]})


def test_only_the_first_ids_are_listed():
    problems = load_problems(SUMS, "train", limit=10)
    with pytest.raises(LeakError, match=r"10 of 10 a items are also in b \((sums/\w+, ){3}\.\.\.\)"):
        check_disjoint({"a": problems, "b": problems})


def test_texts_without_a_question_are_compared_whole():
    with pytest.raises(LeakError):
        check_disjoint({"projection": [FitText("a", "Some text.")], "test": [FitText("b", "some  TEXT")]})


def test_multiple_choice_items_with_the_same_stem_and_other_options_differ(data_dir):
    problem = load_problems("arc_challenge", "test", data_dir=data_dir)[0]
    other = replace(problem, id="x", choices=tuple(replace(c, text=c.text + " more") for c in problem.choices))
    check_disjoint({"train": [other], "test": [problem]})
    with pytest.raises(LeakError):
        check_disjoint({"train": [replace(problem, id="x")], "test": [problem]})


@given(st.text(max_size=40))
def test_normalising_is_idempotent_and_ignores_case_and_space(text):
    normal = normalise_text(text)
    assert normalise_text(normal) == normal
    assert normalise_text(f" {text}\n.") == normal


def test_signs_of_calculation_are_kept():
    assert normalise_text("What is $x + 1$?") != normalise_text("What is $x - 1$?")
    assert normalise_text("What is  $x + 1$?") == normalise_text("what is x + 1")


def test_projection_texts_hold_question_and_reasoning():
    problem = load_problems(SUMS, limit=1)[0]
    assert projection_texts(SUMS, [problem]) == [
        FitText(problem.id, f"{problem.question}\n{problem.reasoning}", problem.question)
    ]
