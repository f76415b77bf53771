"""Files of search and evaluation: what they are for, what they refuse, and numbers that must agree with each other."""

import json
from dataclasses import replace

import pytest
from tiny_models import random_steering, scripted_engine

from interp_xfer.errors import ArtifactError, ConfigError, LeakError
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.record import (
    EvaluationRecord,
    SearchRecord,
    conditions,
    evaluation_record,
    search_record,
)
from interp_xfer.evaluation.search import search_lambda
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.files.records import checksum
from interp_xfer.tasks import get_task, load_problems

SETTINGS = GenerationSettings(n_shots=0, max_new_tokens=3)
SUMS = get_task("sums")
GRID = (0.1, 0.2)


@pytest.fixture(scope="module")
def made(models):
    """Records of a search and an evaluation: right at 0 on question 0, at .1 on 0 and 1, at .2 on 1 and 2."""
    model, right = models["llama"], {0.0: {0}, 0.1: {0, 1}, 0.2: {1, 2}}
    steering = random_steering(model)
    out = []
    for split in ("validation", "test"):
        problems = load_problems(SUMS, split, 3)
        index = {problem.id: i for i, problem in enumerate(problems)}

        def write(name, strength, problems=problems, index=index):
            i = index[name]
            return f"The answer is {problems[i].answer}." if i in right[strength] else "The answer is -1."

        engine = scripted_engine(model, write)
        options = {"grid": GRID, "settings": SETTINGS, "engine": engine}
        found = (
            search_lambda(model, steering, problems, **options)
            if split == "validation"
            else evaluate(model, steering, problems, 0.1, **options)
        )
        out.append(found)
    asked = conditions(model.fingerprint, steering, SETTINGS, SUMS)
    return asked, search_record(asked, out[0]), evaluation_record(asked, out[1])


def test_what_a_search_says(models, made, tmp_path):
    asked, record, _ = made
    steering = random_steering(models["llama"])
    values = json.loads(record.write(tmp_path / "s.json").read_text())
    assert values["kind"] == "search" and values["lambda_star"] == 0.1 and values["n"] == 3
    assert values["child"] == models["llama"].fingerprint.to_dict() and values["steering"] == steering.digest
    assert values["parent"]["reference"] == "tiny/parent"
    said = {name: values[name] for name in ("operator", "tokens", "unit", "scoring", "n_shots", "max_new_tokens")}
    assert said == {
        "operator": "add",
        "tokens": "all",
        "unit": "relative",
        "scoring": "generate",
        "n_shots": 0,
        "max_new_tokens": 3,
    }
    assert (values["dataset"], values["split"]) == ("sums", "validation") and len(values["asked"]) == 6
    assert [(row["strength"], row["correct"]) for row in values["strengths"]] == [(0.0, 1), (0.1, 2), (0.2, 2)]
    assert SearchRecord.read(tmp_path / "s.json") == record
    record.require(asked, "s.json")


def test_what_an_evaluation_says(made, tmp_path):
    _, _, record = made
    assert EvaluationRecord.read(record.write(tmp_path / "e.json")) == record
    assert record.lambda_star.difference is not None and record.vote is not None
    assert (record.lambda_star.difference.fixed, record.lambda_star.difference.broken) == (1, 0)
    assert record.split == "test" and record.kind == "evaluation"


def test_a_search_for_something_else_is_refused(models, made):
    """Each difference is named, all of them at once."""
    asked, record, _ = made
    model, steering = models["llama"], random_steering(models["llama"])

    def other(fingerprint=model.fingerprint, vectors=steering, task=SUMS, **changes):
        return conditions(fingerprint, vectors, replace(SETTINGS, **changes), task)

    cases = [
        (other(replace(model.fingerprint, weights="0" * 16)), r"child tiny/llama-0 \[.* / tiny/llama-0 \["),
        (other(vectors=random_steering(model, 1)), rf"steering {steering.digest} / \w{{16}}\."),
        (other(operator="clamp"), "operator add / clamp"),
        (other(tokens="generated"), "tokens all / generated"),
        (other(unit="raw"), "unit relative / raw"),
        (other(scoring="likelihood"), "scoring generate / likelihood"),
        (other(n_shots=2), "n_shots 0 / 2; asking"),
        (other(max_new_tokens=None), f"max_new_tokens 3 / {SUMS.max_new_tokens}"),
        (other(system_prompt="Be brief."), r"asking \w+ / \w+"),
        (other(task=replace(SUMS, name="gsm8k")), "dataset sums / gsm8k"),
        (other(unit="raw", operator="clamp"), "operator add / clamp; unit relative / raw"),
    ]
    for asks, words in cases:
        with pytest.raises(ConfigError, match=f"s.json was searched for something else .*: {words}.*--strength"):
            record.require(asks, "s.json")
    # A copy of the model in another place is the same model.
    record.require(other(replace(model.fingerprint, reference="elsewhere")), "s.json")


def test_questions_that_chose_the_strength_are_no_test(made):
    _, record, _ = made
    with pytest.raises(LeakError, match="2 of 2 test items .* are also in the questions that chose lambda. in s.json"):
        record.require_unseen(load_problems(SUMS, "validation", 2), "s.json")
    record.require_unseen(load_problems(SUMS, "test", 2), "s.json")


def row(**changes):
    def change(values):
        values["strengths"][1] |= changes

    return change


def arm(name, **changes):
    def change(values):
        values[name] |= changes

    return change


@pytest.mark.parametrize(
    ("which", "change", "words"),
    [
        (1, lambda v: v.update(lambda_star=0.2), "lambda_star 0.2 is not the smallest of the best"),
        (1, lambda v: v.update(lambda_star=0.3), "lambda_star 0.3 is not the smallest of the best"),
        (1, lambda v: v.update(n=4), "not every strength has the 4 answers"),
        (1, lambda v: v["strengths"].pop(0), "the strengths are not a baseline at 0 and a grid"),
        (1, row(correct=1), "accuracy 0.666.* of 1 in 3"),
        (1, row(correct=4), "4 right, 0 invalid and 0 cut off of 3"),
        (1, row(invalid=2), "2 right, 2 invalid"),
        (1, row(low=0.9), r"in \[0.9, 0.93.*\] of 2 in 3"),
        (1, row(accuracy=1.5), "strengths.1.accuracy: Input should be less than or equal to 1"),
        (1, row(mean_tokens=-1.0), "strengths.1.mean_tokens: Input should be greater"),
        (2, arm("baseline", strength=0.1), "the baseline is steered"),
        (2, arm("lambda_star", strength=0.3), "the arm at strength 0.3 is not that of the strengths"),
        (2, arm("vote", difference=None), "the difference of the arm at strength None"),
        (2, lambda v: v["vote"]["difference"].update(delta=0.5), "a difference of 0.5 from"),
        (2, lambda v: v["vote"]["difference"].update(p_value=2.0), "vote.difference.p_value: Input should be less"),
    ],
)
def test_numbers_that_cannot_be(made, tmp_path, which, change, words):
    """Even with a checksum of their own."""
    path = made[which].write(tmp_path / "r.json")
    values = json.loads(path.read_text())
    change(values)
    del values["checksum"]
    path.write_text(json.dumps({**values, "checksum": checksum(values)}))
    with pytest.raises(ArtifactError, match=f"r.json is damaged .*{words}"):
        type(made[which]).read(path)


def test_one_is_not_taken_for_the_other(made, tmp_path):
    path = made[2].write(tmp_path / "e.json")
    with pytest.raises(ArtifactError, match="e.json is a 'evaluation' record, not 'search'; give another file"):
        SearchRecord.read(path)
