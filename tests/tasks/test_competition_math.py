import random

import pytest

from interp_xfer.tasks import Problem, get_task
from interp_xfer.tasks.competition_math import parse_row, wrong_answer
from interp_xfer.tasks.scoring.latex import is_equiv
from interp_xfer.tasks.scoring.math_pool import MathPool

MATH = get_task("math")


def problem(answer, reasoning=None):
    return Problem("math/x", "What is it?", reasoning, answer, task="math")


def test_both_schemas_are_read():
    row = {"problem": "p", "solution": r"it is $\boxed{\frac{1}{2}}$", "level": "Level 2", "type": "Algebra"}
    assert parse_row(row, "math/train/3").answer == r"\frac{1}{2}"
    assert parse_row(row, "math/train/3").id == "math/train/3"
    row |= {"answer": "0.5", "subject": "Algebra", "level": 2, "unique_id": "test/algebra/1.json"}
    assert (parse_row(row, "x").answer, parse_row(row, "x").id) == ("0.5", "math/test/algebra/1.json")


def test_solution_ends_in_a_boxed_answer_once():
    solved = problem("3", r"First $1+2$. So $\boxed{3}$ it is.")
    assert MATH.format_solution(solved) == "First $1+2$. So $3$ it is.\nThe final answer is $\\boxed{3}$."
    assert MATH.is_complete(MATH.format_solution(solved)) and not MATH.is_complete(r"The answer is $\boxed{3")
    assert MATH.is_complete("3\n\nQuestion: next")


def test_the_four_shot_form_of_every_answer_is_right():
    for answer in (
        r"\$18",
        r"\$1,\!657",
        "[2,5)",
        "(-4, 27);(2, 15)",
        r"\frac{1}{2}",
        r"5\text{ hours}.",
        "x=5",
        r"11_2",
    ):
        text = f"Final Answer: The final answer is ${answer}$. I hope it is correct."
        assert MATH.score(text, problem(answer)).correct and MATH.is_complete(text), answer


def test_readings_say_what_the_published_string_comparison_says():
    score = MATH.score(r"\boxed{\sqrt{12}}", problem(r"2\sqrt{3}"))
    assert score.correct and score.extra == {"same_string": False}
    assert MATH.score(r"\boxed{x=5}", problem("5")).extra == {"same_string": True}
    assert MATH.score("", problem("")).extra == {"same_string": False}


def test_a_comparison_that_is_given_up_is_marked(monkeypatch):
    with MathPool(n_workers=1, limit_s=0.5) as pool:
        monkeypatch.setattr("interp_xfer.tasks.competition_math.shared_pool", lambda: pool)
        given_up = MATH.score(r"\boxed{9^{9^{9^{9}}}}", problem("5"))
        assert given_up.timed_out and not given_up.correct and given_up.rule == "boxed"
        assert not MATH.score(r"\boxed{9^{9}}", problem("5")).timed_out
        assert MATH.score(r"\boxed{9^{9^{9^{9}}}}", problem(r"9^{9^{9^{9}}}")).correct  # the same string


@pytest.mark.parametrize("text", ["", " ", r"\boxed{}", r"\boxed{ }", "no mathematics here, none"])
def test_nothing_is_never_correct(text):
    for gold in ("", "5", "no"):
        score = MATH.score(text, problem(gold))
        assert not score.correct and score.parsed is None and score.rule is None


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "5",
            r"\frac{3}{4}",
            "(2,5)",
            r"\text{(C)}",
            r"\text{Evelyn}",
            "x+y",
            "1",
            "",
            "0.5",
            "12_5",
            r"1323_{4}",
            "12,9",
        ),
        *(r"0.56 = 56\%", r"\$\dfrac23 \approx \$0.67", r"2400 \mbox{ cm}^2", "2^{2008} -2", r"5\text{ hours}", "x=5"),
    ],
)
def test_wrong_answers_are_wrong(answer):
    rng = random.Random(0)
    for _ in range(20):
        wrong = wrong_answer(problem(answer), rng)
        assert wrong and not is_equiv(wrong, answer)
        assert not MATH.score(rf"\boxed{{{wrong}}}", problem(answer)).correct


def test_few_shot_examples_score_as_correct():
    for example in MATH.few_shot:
        score = MATH.score(MATH.format_solution(example), example)
        assert score.correct and score.rule == "boxed" and example.reasoning
