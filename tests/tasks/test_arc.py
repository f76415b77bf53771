import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import DataError
from interp_xfer.tasks import Choice, get_task, likelihood_prompt
from interp_xfer.tasks.arc import parse_row
from interp_xfer.tasks.choice_answer import extract_choice

ARC = get_task("arc_challenge")
TEXTS = ("a feather", "4 grapes", "loaded truck", "gas", "A leaf")


def options(labels):
    return [Choice(label, text) for label, text in zip(labels, TEXTS, strict=False)]


# labels, text, label, rule
HARD = [
    ("ABCD", "The answer is (C).", "C", "answer_is"),
    ("ABCD", "The answer is C", "C", "answer_is"),
    ("ABCD", "The answer is (c)", "C", "answer_is"),
    ("ABCD", "The answer is **B**.", "B", "answer_is"),
    ("ABCD", "Answer: D) gas", "D", "answer_is"),
    ("ABCD", "The correct answer is option B, since", "B", "answer_is"),
    ("ABCD", "The answer is a gas", "D", "option_text"),
    ("ABCD", "The answer is gas.", "D", "answer_is"),
    ("ABCD", "The answer is A feather.", "A", "answer_is"),
    ("ABCD", "The answer is A.", "A", "answer_is"),
    ("ABCD", "The answer is A because it is light", "A", "answer_is"),
    ("ABCD", "The answer is A heavy one", None, None),
    ("ABCD", "The answer is 4 grapes", "B", "answer_is"),
    ("ABCD", "The answer is 2", "B", "answer_is"),
    ("ABCD", "First the answer is A. No, the answer is (D).", "D", "answer_is"),
    ("ABCD", r"The final answer is \boxed{C}.", "C", "boxed"),
    ("ABCD", r"The final answer is $\boxed{\text{(C)}}$.", "C", "boxed"),
    ("ABCD", r"\boxed{\text{B. 4 grapes}}", "B", "boxed"),
    ("ABCD", r"\boxed{loaded truck}", "C", "boxed"),
    ("ABCD", r"\boxed{E}", None, None),
    ("ABCD", r"\boxed{", None, None),
    ("ABCD", "B", "B", "leading"),
    ("ABCD", "B. 4 grapes", "B", "leading"),
    ("ABCD", "(B) because of them", "B", "leading"),
    ("ABCD", "**C**", "C", "leading"),
    ("ABCD", "A. light\nB. heavy\nC. heavier", None, None),
    ("ABCD", "I would choose C here", "C", "single"),
    ("ABCD", "A truck can be heavy, so C it must be", "C", "single"),
    ("ABCD", "either B or C", None, None),
    ("ABCD", "it must be the loaded truck", "C", "option_text"),
    ("ABCD", "not a feather\nbut the loaded truck", "C", "option_text"),
    ("ABCD", "a feather or a loaded truck", None, None),
    ("ABCD", "", None, None),
    ("ABCD", "I do not know", None, None),
    ("ABCD", "The answer is E", None, None),
    ("1234", "The answer is (3).", "3", "answer_is"),
    ("1234", "The answer is 3", "3", "answer_is"),
    ("1234", "The answer is C", "3", "answer_is"),
    ("1234", r"\boxed{2}", "2", "boxed"),
    ("1234", "4", "4", "leading"),
    ("1234", "The answer is 4 grapes", "2", "answer_is"),
    ("1234", "The answer is 5", None, None),
    ("123", "The answer is D", None, None),
    ("ABC", "The answer is C", "C", "answer_is"),
    ("ABC", "The answer is D", None, None),
    ("ABCDE", "The answer is (E)", "E", "answer_is"),
    ("ABCDE", "The answer is 5", "E", "answer_is"),
    ("ABCDE", r"\boxed{e}", None, None),
    ("ABCD", "The answer is \uff23", None, None),
    ("1234", "The answer is \uff13", "3", "answer_is"),
]


@pytest.mark.parametrize("labels, text, label, rule", HARD)
def test_hard_answers(labels, text, label, rule):
    assert extract_choice(text, options(labels)) == (label, rule)


@pytest.mark.parametrize(
    "texts, text, label",
    [
        (("WW", "Ww", "WW or Ww"), r"\boxed{Ww}", "B"),
        (("WW", "Ww", "WW or Ww"), r"\boxed{WW or Ww}", "C"),
        (("3", "-3", "5"), r"\boxed{-3}", "B"),
        (("3", "-3", "5"), "The answer is 3.", "A"),
        (("a rock", "a rock on a hill", "sand"), "The answer is a rock on a hill, because", "B"),
        (("same", "same.", "other"), "The answer is SAME", None),
    ],
)
def test_options_that_look_alike(texts, text, label):
    choices = [Choice(own, option) for own, option in zip("ABC", texts, strict=True)]
    assert extract_choice(text, choices)[0] == label


@given(st.sampled_from(["ABC", "ABCD", "ABCDE", "123", "1234"]), st.data())
def test_every_format_of_every_label_is_read(labels, data):
    label = data.draw(st.sampled_from(labels))
    for text in (f"The answer is ({label}).", rf"\boxed{{{label}}}", f"{label}.", f"({label})", f"Answer: {label}"):
        assert extract_choice(text, options(labels))[0] == label


@given(st.text("ABCDE12345(). \n\\boxed{}answeri:", max_size=60))
def test_any_text_gets_one_of_the_labels_or_none(text):
    label, rule = extract_choice(text, options("1234"))
    assert (label is None) == (rule is None) and label in (None, *"1234")


def row(**changes):
    choices = {"text": ["one", "two", "three"], "label": ["A", "B", "C"]}
    return {"id": "Item_1", "question": "Which?", "choices": choices, "answerKey": "B"} | changes


def test_rows_keep_their_own_labels():
    problem = parse_row(row(choices={"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, answerKey="3"), "")
    assert (problem.id, problem.answer, problem.reasoning) == ("arc_challenge/Item_1", "3", None)
    assert ARC.format_question(problem) == "Which?\n1. x\n2. y\n3. z"
    assert ARC.score(ARC.format_solution(problem), problem).correct


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"answerKey": "D"}, r"answerKey 'D' is not among the labels \['A', 'B', 'C'\]"),
        ({"answerKey": None}, "'answerKey' is null"),
        ({"choices": None}, "no field 'choices'"),
        ({"choices": {"text": ["one"], "label": ["A", "B"]}}, "of one length"),
        ({"choices": {"text": ["one", ""], "label": ["A", "B"]}}, "empty"),
        ({"choices": {"text": ["one", "two"], "label": ["B", "B"]}}, "repeat"),
        ({"question": " "}, "'question' is empty"),
    ],
)
def test_malformed_rows_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        parse_row(row(**changes), "")


def test_wrong_answers_are_other_labels():
    problem = parse_row(row(), "")
    assert {ARC.wrong_answer(problem, random.Random(seed)) for seed in range(20)} == {"A", "C"}


def test_likelihood_prompt_follows_lm_eval():
    problem = parse_row(row(), "")
    prompt = likelihood_prompt(problem)
    assert prompt == ("Question: Which?\nAnswer:", (" one", " two", " three"), ("A", "B", "C"))
    assert (
        likelihood_prompt(problem, (problem,)).context == "Question: Which?\nAnswer: two\n\nQuestion: Which?\nAnswer:"
    )
    with pytest.raises(DataError, match="no options"):
        likelihood_prompt(get_task("sums").few_shot[0])


def test_few_shot_examples_reason_and_score_as_correct():
    for example in ARC.few_shot:
        assert example.reasoning and ARC.score(ARC.format_solution(example), example).correct
        assert ARC.is_complete(ARC.format_solution(example)) and not ARC.is_complete(example.reasoning)
