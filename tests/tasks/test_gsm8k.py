import random

import pytest

from interp_xfer.errors import DataError
from interp_xfer.tasks import get_task
from interp_xfer.tasks.gsm8k import parse_row, wrong_number

GSM8K = get_task("gsm8k")
ROW = {
    "question": "Six boxes hold 12 pens each. How many pens are there?",
    "answer": "There are 6*12=<<6*12=72>>72 pens.\n#### 1,072",
}


def test_calculator_marks_and_the_answer_line_leave_the_reasoning():
    problem = parse_row(ROW, "gsm8k/train/0")
    assert (problem.reasoning, problem.answer) == ("There are 6*12=72 pens.", "1,072")
    assert GSM8K.format_solution(problem) == (
        "#### Step-by-step derivation:\n1. There are 6*12=72 pens.\n#### The final answer is: 1072"
    )
    assert GSM8K.format_answer(problem) == "#### The final answer is: 1072"


@pytest.mark.parametrize("closing", ["The answer is 72.", "So the answer is 72.", "The final answer is 72"])
def test_few_shot_rows_with_a_target_are_read(closing):
    problem = parse_row({"question": "q", "target": f"6 * 12 = 72. {closing}", "answer": "72"}, "x")
    assert (problem.reasoning, problem.answer) == ("6 * 12 = 72.", "72")


@pytest.mark.parametrize(
    "row, message",
    [
        ({"question": "q"}, "no field 'answer'; it has 'question'"),
        ({"question": "q", "answer": None}, "field 'answer' is null"),
        ({"question": "", "answer": "#### 1"}, "field 'question' is empty"),
        ({"question": "q", "answer": "1"}, "no line '#### N'"),
        ({"question": "q", "answer": "#### many"}, "'many' is not a number"),
        ({"question": 3, "answer": "#### 1"}, "field 'question' is int"),
    ],
)
def test_malformed_rows_are_named(row, message):
    with pytest.raises(DataError, match=message):
        parse_row(row, "x")


@pytest.mark.parametrize(
    "text, complete",
    [
        ("#### Step-by-step derivation:\n", False),
        ("#### Step-by-step derivation:\n1. 2 + 3 = 5\n", False),
        ("1. a\n#### The final answer is: 5", False),  # the number may go on
        ("1. a\n#### The final answer is: 5\n", True),
        ("1. a\n#### The final answer is: $1,200.50\n", True),
        ("#### 18\n", True),
        ("it is 5\n\nQuestion: another", True),
        ("#### The final answer is:\n", False),
    ],
)
def test_generation_stops_once_the_answer_line_has_ended(text, complete):
    assert GSM8K.is_complete(text) is complete


def test_few_shot_examples_score_as_correct_and_are_enough():
    assert len(GSM8K.few_shot) >= 5
    for example in GSM8K.few_shot:
        score = GSM8K.score(GSM8K.format_solution(example), example)
        assert score.correct and score.rule == "hash" and example.reasoning
        assert GSM8K.is_complete(GSM8K.format_solution(example) + "\n")


@pytest.mark.parametrize("answer", ["72", "0", "-5", "1,000", "0.5", "2/3", "1", "9" * 400])
def test_wrong_numbers_are_wrong(answer):
    problem = parse_row({"question": "q", "answer": f"x\n#### {answer}"}, "x")
    for seed in range(30):
        wrong = wrong_number(problem, random.Random(seed))
        assert not GSM8K.score(f"#### {wrong}", problem).correct


def test_the_system_prompt_asks_for_the_format_that_is_scored():
    assert "#### Step-by-step derivation:" in GSM8K.system_prompt
    assert "#### The final answer is:" in GSM8K.system_prompt
