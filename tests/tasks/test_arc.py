import random

import pytest

from interp_xfer.errors import DataError
from interp_xfer.tasks import get_task, likelihood_prompt
from interp_xfer.tasks.arc import parse_row

ARC = get_task("arc_challenge")


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
