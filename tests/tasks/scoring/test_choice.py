import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks import Choice
from interp_xfer.tasks.scoring.choice import CHOICE_RULES, extract_choice

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
    ("ABCD", "The answer is a gas", "D", "answer_is"),
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
    ("ABCD", "I would choose C here", "C", "chosen"),
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
    ("ABCDE", r"\boxed{e}", "E", "boxed"),
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
    assert (label is None) == (rule is None) and label in (None, *"1234") and rule in (None, *CHOICE_RULES)


def test_a_number_is_the_option_that_begins_with_it_before_it_is_a_position():
    choices = [Choice(label, f"{2 * n} N") for n, label in enumerate("ABCD", start=1)]
    assert extract_choice("The answer is 4.", choices).answer == "B"
    assert extract_choice("The answer is 3.", choices).answer == "C"  # no option has it
