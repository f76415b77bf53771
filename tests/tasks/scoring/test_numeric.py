import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks import Problem, get_task
from interp_xfer.tasks.scoring.numeric import NUMERIC_RULES, extract_number, judge_numbers

LONG = "9" * 10_000

# text, answer, rule
HARD = [
    ("#### 18", "18", "hash"),
    ("#### 1,000", "1000", "hash"),
    ("#### $18.00", "18", "hash"),
    ("#### 42 because 3 steps", "42", "hash"),
    ("#### The final answer is: 18", "18", "hash"),
    ("#### The final answer is: **$1,234.50**", "1234.5", "hash"),
    ("#### The final answer is: -3", "-3", "hash"),
    ("#### The final answer is: $-5$", "-5", "hash"),
    ("#### The final answer is: 1{,}000", "1000", "hash"),
    ("#### The final answer is: \\boxed{12}", "12", "hash"),
    ("#### The final answer is: 10%", "10", "hash"),
    ("#### The final answer is:\n7", "7", "hash"),
    ("#### Final Answer: 30 dollars", "30", "hash"),
    ("#### Answer: 18 apples", "18", "hash"),
    ("####\n7", "7", "hash"),
    ("#### x = 9", "9", "hash"),
    ("#### 3\n#### 4", "4", "hash"),
    ("#### **16**", "16", "hash"),
    ("#### 2/3", "2/3", "hash"),
    ("#### Step-by-step derivation:\n1. 2 + 2 = 4\n2. 4 * 3 = 12\n#### The final answer is: 12", "12", "hash"),
    ("#### Step 1: add\n3 + 4 = 7", "7", "last_number"),
    ("#### Step-by-step derivation:\n1. There are 5 hens\n2. They lay 20", "20", "last_number"),
    ("####", None, None),
    ("#### none", None, None),
    ("The answer is 12.", "12", "answer_is"),
    ("The answer is\n18", "18", "answer_is"),
    ("The answer is: $1,450,000.", "1450000", "answer_is"),
    ("The answer is 36*2 = 72.", "72", "answer_is"),
    ("The answer is 36 x 2 + 1 = 73 eggs", "73", "answer_is"),
    ("The answer is 42 because x = 3.", "42", "answer_is"),
    ("The answer is $\\boxed{\\frac{2}{3}}$", "2/3", "answer_is"),
    ("The answer is 5. No, the answer is 6.", "6", "answer_is"),
    ("The answer is about 40 km", "40", "answer_is"),
    ("**Answer:** 12", "12", "answer_is"),
    ("**Answer: 12**", "12", "answer_is"),
    ("Answer: 8 ...", "8", "answer_is"),
    ("ANSWER IS 5", "5", "answer_is"),
    ("The answer is seven, that is 7", "7", "answer_is"),
    ("The answer is unclear.\nPerhaps 9", "9", "last_number"),
    ("so \\boxed{18}", "18", "boxed"),
    ("so \\boxed{18 \\text{ dollars}} and 3 more words", "18", "boxed"),
    ("\\boxed{3} then \\boxed{\\frac{1}{2}}", "0.5", "boxed"),
    ("\\boxed{12} and later \\boxed{13", "12", "boxed"),
    ("\\boxed{unbalanced 5", "5", "last_number"),
    ("so 5 + 3 = 8... done", "8", "last_number"),
    ("$18.00", "18", "last_number"),
    ("72 (since 36*2)", "2", "last_number"),
    ("2/3", "2/3", "last_number"),
    ("1,000", "1000", "last_number"),
    ("-4... wait, it is 4", "4", "last_number"),
    ("-$18", "-18", "last_number"),
    ("10%", "10", "last_number"),
    ("5-3", "3", "last_number"),
    ("from 3\u20135 days", "5", "last_number"),
    ("it is \u22127", "-7", "last_number"),
    ("\u0661\u0668", "18", "last_number"),
    ("\uff11\uff18", "18", "last_number"),
    ("\u096a\u0968 \u0938\u0947\u092c", "42", "last_number"),
    ("1\u00bd", "1.5", "last_number"),
    ("1 1/2 cups", "1.5", "last_number"),
    ("5\u00b2", "25", "last_number"),
    ("50 m^2", "50", "last_number"),
    ("1e5", "100000", "last_number"),
    ("1/0", None, None),
    ("0.333", "0.333", "last_number"),
    ("100.", "100", "last_number"),
    (".5", "0.5", "last_number"),
    ("007", "7", "last_number"),
    ("1\u202f000", "1000", "last_number"),
    ("3:30", "30", "last_number"),
    ("He has 3 apples, 4 pears.", "4", "last_number"),
    (LONG, LONG, "last_number"),
    (f"#### {LONG}.0", LONG, "hash"),
    ("", None, None),
    ("   \n ", None, None),
    ("no number at all", None, None),
    ("{{{{}}}", None, None),
]


@pytest.mark.parametrize("text, answer, rule", HARD, ids=[repr(row[0][:30]) for row in HARD])
def test_hard_answers(text, answer, rule):
    assert extract_number(text) == (answer, rule)


def test_numbers_in_words_count_in_statements_only():
    assert extract_number("The answer is two hundred and five dollars.").answer == "205"
    assert extract_number("There are three cats and one dog.").answer is None
    assert extract_number("The answer is one of these: 18").answer == "18"


def judged(text, gold):
    [reading] = judge_numbers([text], [Problem("p", "?", None, gold, task="gsm8k")])
    return reading


def test_readings_carry_the_patterns_of_lm_eval_under_names_of_their_own():
    """They are read from our text, which lm-eval's harness would not have generated."""
    ours = judged("#### The final answer is: 1080.00", "1,080")
    assert ours == ("1080", True, "hash", False, {"strict_pattern": False, "flexible_pattern": False})
    assert judged("#### 1,080", "1,080").extra == {"strict_pattern": True, "flexible_pattern": True}
    assert not any("lm_eval" in name for name in ours.extra)


def test_text_after_a_stop_sequence_does_not_count():
    task = get_task("gsm8k")
    score = task.score("It is 3.\n\nQuestion: and 4?", Problem("p", "?", None, "3", task="gsm8k"))
    assert score.correct


def test_without_an_answer_nothing_is_correct():
    reading = judged("", "3")
    assert reading.parsed is None and reading.rule is None and not reading.correct


@given(st.text("#answer is:\\boxed{}0123456789 .\n$*=-", max_size=80))
def test_any_text_gets_an_answer_exactly_with_a_rule(text):
    answer, rule = extract_number(text)
    assert (answer is None) == (rule is None) and rule in (None, *NUMERIC_RULES)


@given(st.integers(-(10**9), 10**9))
def test_every_format_of_an_integer_is_read(number):
    for text in (
        f"#### {number}",
        f"#### The final answer is: {number:,}",
        f"The answer is {number}.",
        f"it is {number}",
        rf"\boxed{{{number}}}",
    ):
        assert extract_number(text)[0] == str(number)
