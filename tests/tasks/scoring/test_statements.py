import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks.scoring.number_text import find_values
from interp_xfer.tasks.scoring.phrases import any_of
from interp_xfer.tasks.scoring.statements import (
    TAIL_CHARACTERS,
    boxed_answer_end,
    grouped,
    sentences,
    statements,
    tail,
    without_reasons,
    without_remarks,
)


@pytest.mark.parametrize(
    "text, lines",
    [
        ("The answer is 18.", ["18."]),
        ("Answer: 18", ["18"]),
        ("**Answer:** 18", ["18"]),
        ("**Final Answer**\n\n18\n19", ["18"]),
        ("the answer to the question of how many is 18", ["18"]),
        ("the answer is not 18", ["not 18"]),
        ("the answer isn't 18", ["not 18"]),
        ("the answer cannot be 18", ["not 18"]),
        ("the answer must be 18", ["18"]),
        ("the answer is\n18", ["18"]),
        ("18 is the answer", ["18 "]),
        ("the answer is 18. The answer is 20", ["18. The ", "20"]),
        ("the answer is 18. Wait, it is 20", ["18. ", "20"]),
        ("the answer is 18. Wait, let me think about that again", ["18. "]),
        ("<answer>18</answer>", ["18</answer>"]),
        ("Is that an answer? I answered before. Answers vary", []),
        ("wait, it is 20", []),
    ],
)
def test_statements(text, lines):
    found = statements(text)
    assert [each.text for each in found] == lines
    for each in found:
        assert each.text.removeprefix("not ") in text[each.start : each.end + 5]


@pytest.mark.parametrize(
    "line, parts",
    [
        ("It is 3.5 m. Then 4!", ["It is 3.5 m", " Then 4"]),
        ("Mr. Smith has 5. He eats 2", ["Mr. Smith has 5", " He eats 2"]),
        ("5! = 120", ["5! = 120"]),
        ("3; 4", ["3", " 4"]),
        (r"$(1,2);(3,4)$. Yes", [r"$(1,2);(3,4)$", " Yes"]),
        (r"\boxed{\text{B. grapes}}. So", [r"\boxed{\text{B. grapes}}", " So"]),
        ("8...", ["8"]),
        ("  . ", []),
    ],
)
def test_sentences(line, parts):
    assert [sentence.text.rstrip("$") for sentence in sentences(line)] == [part.rstrip("$") for part in parts]


def test_questions_are_told_from_statements():
    assert [sentence.is_question for sentence in sentences("Is it 5? It is 6. So 6, right?")] == [True, False, False]


@pytest.mark.parametrize(
    "sentence, denied",
    [
        ("5", [False]),
        ("not 5 but 6", [True, False]),
        ("not 5 or 6 but 7", [True, False]),
        ("5, not 6", [False, True]),
        ("5 rather than 6", [False, True]),
        ("5 instead of the 6", [False, True]),
        ("neither 5 nor 6", [True]),
        ("not only 5 but 6", [False, False]),
        ("not more than 5", [False]),
        ("5 is wrong and the rest is 6", [True, False]),
        ("5 is not it", [True]),
        ("it isn't 5", [True]),
        ("5 \u2260 6", [False, True]),
    ],
)
def test_denied_values(sentence, denied):
    assert [group.is_denied for group in grouped(sentence, find_values(sentence))] == denied


def test_values_are_joined_by_words_and_signs_alone():
    for joined in ("5 or 6", "5, 6", "5 and 6", "5 & 6", "5, and also 6", "5 or maybe 6"):
        assert [len(group.members) for group in grouped(joined, find_values(joined, calculate=False))] == [2], joined
    assert [len(group.members) for group in grouped("5 eggs and 6 hens", find_values("5 eggs and 6 hens"))] == [1, 1]


def test_reasons_and_remarks_are_left_out():
    assert without_reasons("5 because 6", 0) == "5 "
    assert without_reasons("because 6 is even, 5", 19) == "because 6 is even, 5"
    assert without_reasons("5, but since 6 is even, 7", 0) == "5, but since 6 is even, 7"
    assert without_remarks("5 (2 + 3) and 3 * (4)", 0) == "5         and 3 * (4)"
    assert without_remarks("the sum (5)", 9) == "the sum (5)"


def test_the_tail_begins_between_words():
    assert tail("short") == "short"
    assert tail("a" * 5 + " " + "b" * (TAIL_CHARACTERS - 1)) == "b" * (TAIL_CHARACTERS - 1)
    assert tail("9" * (TAIL_CHARACTERS + 1)) == ""  # a word that is longer is not read


@given(st.text("the final answer is \\boxed{5}. \nnot$", max_size=60))
def test_the_end_of_a_boxed_answer_is_the_same_for_longer_texts(text):
    text = "The final answer is \\boxed{" + text
    end = boxed_answer_end(text, bool)
    for length in range(len(text)):
        shorter = boxed_answer_end(text[:length], bool)
        assert shorter is None or shorter == end


def test_phrases():
    assert any_of("a b, c", "d+") == r"(?:a\s+b|c|d+)"
