"""Generations become scored answers: order, counts, and what a vote keeps."""

import json
import math

import pytest
from tiny_models import random_steering, scripted_engine, tiny

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.evaluation.answers import Answer, AnswerTable, answer_problems, make_engine, summarise, voted
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.evaluation.vote import vote
from interp_xfer.generation import Generation
from interp_xfer.tasks import get_task, load_problems

SETTINGS = GenerationSettings(n_shots=1)


@pytest.fixture
def problems():
    return load_problems("sums", "test", 3)


def test_answers_stand_where_they_belong(models, problems):
    """Strength by strength and problem by problem, scored against their own reference."""
    right = {problem.id: problem.answer for problem in problems}
    wanted = {(problems[0].id, 0.0), (problems[2].id, 0.5), (problems[1].id, 0.5)}

    def write(name, strength):
        return f"So it is {right[name]}. The answer is {right[name]}." if (name, strength) in wanted else "None."

    done = []
    table = answer_problems(
        scripted_engine(models["llama"], write), problems, [0.0, 0.5], SETTINGS, progress=done.append
    )
    assert [[a.correct for a in row] for row in table.answers] == [[True, False, False], [False, True, True]]
    assert [[a.problem_id for a in row] for row in table.answers] == [[p.id for p in problems]] * 2
    assert [[a.strength for a in row] for row in table.answers] == [[0.0] * 3, [0.5] * 3]
    assert table.correct(0.5).tolist() == [False, True, True] and done == [6]
    first = table.at(0.0)[0]
    assert first.parsed == problems[0].answer and first.rule == "answer_is" and first.n_tokens == 2
    assert table.at(0.0)[1].parsed is None
    assert table.first_prompt.count("<|im_start|>user") == 2 and problems[0].question in table.first_prompt
    assert table.problems == tuple(problems)
    json.dumps(first.to_dict(), allow_nan=False)


def test_real_engine(models, problems):
    """The same through a model: texts are those of the engine, limits those of the settings."""
    model = models["llama"]
    steering = random_steering(model)
    settings = GenerationSettings(n_shots=0, max_new_tokens=4, tokens="generated", unit="raw", operator="clamp")
    engine = make_engine(model, steering, settings)
    assert (engine.tokens, engine.unit, engine.operator) == ("generated", "raw", "clamp")
    table = answer_problems(engine, problems, [0.0, 3.0], settings)
    for row in table.answers:
        assert all(1 <= answer.n_tokens <= 4 for answer in row)
    assert [a.text for a in table.at(0.0)] != [a.text for a in table.at(3.0)]
    assert table.first_prompt.count("<|im_start|>user") == 1
    assert get_task("sums").max_new_tokens > 4


def test_summary_counts(models, problems):
    texts = {
        problems[0].id: Generation(f"The answer is {problems[0].answer}.", (1, 2, 3), "complete"),
        problems[1].id: Generation("I do not know", (1, 2, 3, 4, 5), "length"),
        problems[2].id: Generation("The answer is -1.", (1,), "eos"),
    }
    table = answer_problems(scripted_engine(models["llama"], lambda name, _: texts[name]), problems, [0.0], SETTINGS)
    summary = table.summary(0.0)
    assert (summary.n, summary.correct, summary.invalid, summary.truncated) == (3, 1, 1, 1)
    assert summary.mean_tokens == 3.0 and summary.accuracy.estimate == pytest.approx(1 / 3)
    values = summary.to_dict()
    assert values["accuracy"] == pytest.approx(1 / 3) and 0 < values["low"] < 1 / 3 < values["high"] < 1


def test_vote_keeps_text_at_the_smallest_agreeing_strength_and_the_cost_of_all(models, problems):
    answers = {0.3: "The answer is 5.", 0.1: "First, the answer is 5.", 0.2: "The answer is 6."}

    def write(name, strength):
        return "Nothing." if name == problems[1].id else answers[strength]

    grid = [0.3, 0.1, 0.2]
    table = answer_problems(scripted_engine(models["llama"], write), problems, [0.0, *grid][1:], SETTINGS)
    found = voted(table, grid, vote)
    assert [answer.problem_id for answer in found] == [problem.id for problem in problems]
    assert found[0].text == "First, the answer is 5." and found[0].parsed == "5" and found[0].strength == 0.1
    assert found[1].parsed is None and not found[1].correct and math.isnan(found[1].strength)
    assert [answer.n_tokens for answer in found] == [6, 6, 6]


def test_shares_of_the_extraction_rules(models, problems):
    texts = {
        problems[0].id: "The answer is 5.",
        problems[1].id: "It may be 5.",
        problems[2].id: "I do not know.",
    }
    table = answer_problems(scripted_engine(models["llama"], lambda name, _: texts[name]), problems, [0.0], SETTINGS)
    found = table.summary(0.0)
    assert (found.rules, found.invalid, found.n) == ({"answer_is": 1, "last_number": 1}, 1, 3)
    assert set(found.rules) <= set(get_task("sums").rules)


def test_comparisons_that_were_given_up_are_counted():
    answers = [Answer("p", 0.0, "x", "y", False, "boxed", "eos", 1, timed_out=flag) for flag in (True, False, True)]
    assert summarise(answers).timed_out == 2 and summarise(answers).to_dict()["timed_out"] == 2
    assert Answer.from_dict(answers[0].to_dict()) == answers[0]
    stored = answers[1].to_dict()
    del stored["timed_out"]  # written before comparisons could be marked
    assert Answer.from_dict(stored) == answers[1]


def test_reasoning_that_the_template_begins_is_not_read(problems):
    """A template ends the prompt with an opening tag: the text is private from its first token to the closing one."""
    model = tiny("llama")
    model.tokenizer.chat_template = model.tokenizer.chat_template.replace(
        "assistant\n{% endif", "assistant\n<think>\n{% endif"
    )
    right = problems[0].answer
    texts = {
        problems[0].id: f"The answer is 99.\n</think>\nThe answer is {right}.",
        problems[1].id: f"The answer is {problems[1].answer}.\n",
        problems[2].id: f"<think>99</think> The answer is {problems[2].answer}.",
    }
    stopped = []

    def watch(engine):
        generate = engine.generate

        def with_completeness(prompts, strengths, **options):
            stopped.extend(options["is_complete"](text) for text in texts.values())
            return generate(prompts, strengths, **options)

        engine.generate = with_completeness
        return engine

    engine = watch(scripted_engine(model, lambda name, _: texts[name]))
    answers = answer_problems(engine, problems, [0.0], SETTINGS).at(0.0)
    assert answers[0].text == texts[problems[0].id] and answers[0].parsed == right and answers[0].correct
    assert answers[1].parsed is None  # it never closes
    assert answers[2].correct and stopped == [False, False, False]


def test_refusals(models, problems):
    engine = scripted_engine(models["llama"], lambda *_: "1")
    with pytest.raises(DataError, match="no problems to answer; the split is empty"):
        answer_problems(engine, [], [0.0], SETTINGS)
    with pytest.raises(DataError, match="no answers to summarise"):
        summarise([])
    table = answer_problems(engine, problems, [0.0, 0.1], SETTINGS)
    assert isinstance(table, AnswerTable)
    with pytest.raises(ConfigError, match="strength 0.2 was not run; there are 0.0, 0.1"):
        table.at(0.2)
