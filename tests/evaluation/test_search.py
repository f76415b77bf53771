"""Algorithm 2: the grid of the paper, the tie rule, and what may not be searched on. Handbook, section 10."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import random_steering, scripted_engine, tiny

from interp_xfer.errors import ConfigError, FingerprintError, LeakError, SteeringError
from interp_xfer.evaluation.answers import answer_problems
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.search import PAPER_GRID, check_grid, search_lambda
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.generation import SweepEngine
from interp_xfer.tasks import Problem, load_problems
from interp_xfer.tasks.prompt_hashes import PromptHashes

SETTINGS = GenerationSettings(n_shots=0, max_new_tokens=3)


def test_the_grid_of_the_paper():
    assert len(PAPER_GRID) == len(set(PAPER_GRID)) == 19
    assert min(PAPER_GRID) == 0.01 and max(PAPER_GRID) == 1.0 and 0 not in PAPER_GRID
    assert PAPER_GRID == tuple(sorted(PAPER_GRID))
    expected = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert list(PAPER_GRID) == expected


def scripted_search(models, correct, grid):
    """A search in which `correct[strength]` of four validation questions are right."""
    model, problems = models["llama"], load_problems("sums", "validation", 4)
    rank = {problem.id: i for i, problem in enumerate(problems)}
    right = {problem.id: problem.answer for problem in problems}

    def write(name, strength):
        return f"The answer is {right[name]}." if rank[name] < correct[strength] else "No."

    engine = scripted_engine(model, write)
    return search_lambda(model, random_steering(model), problems, grid=grid, settings=SETTINGS, engine=engine)


@pytest.mark.parametrize(
    ("correct", "best"),
    [
        ({0.0: 1, 0.1: 1, 0.2: 3, 0.5: 2}, 0.2),
        ({0.0: 4, 0.1: 1, 0.2: 3, 0.5: 3}, 0.2),  # below the baseline, and that is a result; tie -> smaller
        ({0.0: 0, 0.1: 2, 0.2: 2, 0.5: 2}, 0.1),
        ({0.0: 0, 0.1: 0, 0.2: 0, 0.5: 0}, 0.1),
    ],
)
def test_lambda_star_is_the_smallest_of_the_best(models, correct, best):
    for grid in ([0.1, 0.2, 0.5], [0.5, 0.2, 0.1]):
        result = scripted_search(models, correct, grid)
        assert result.best == best and result.grid == tuple(grid)
        assert result.table.strengths == (0.0, *grid)
        assert {s: result.table.summary(s).correct for s in correct} == correct


@settings(max_examples=30, deadline=None, derandomize=True)
@given(counts=st.lists(st.integers(0, 4), min_size=19, max_size=19))
def test_argmax_over_the_whole_grid(models, counts):
    result = scripted_search(models, dict(zip(PAPER_GRID, counts, strict=True)) | {0.0: 4}, PAPER_GRID)
    assert result.best == PAPER_GRID[counts.index(max(counts))]


def test_real_search_runs_the_baseline_once(models):
    """The unsteered row of the search is the unsteered model."""
    model, problems = models["llama"], load_problems("sums", "validation", 3)
    done = []
    found = search_lambda(
        model, random_steering(model), problems, grid=(0.5, 2.0), settings=SETTINGS, progress=done.append
    )
    again = search_lambda(model, random_steering(model, seed=1), problems, grid=(0.5,), settings=SETTINGS)
    assert sum(done) == 9
    assert [a.text for a in found.table.at(0.0)] == [a.text for a in again.table.at(0.0)]
    assert [a.text for a in found.table.at(0.5)] != [a.text for a in found.table.at(2.0)]


def test_problems_that_made_the_vectors_are_refused(models):
    """By id, and by text under another id; before anything is generated."""
    model, problems = models["llama"], load_problems("sums", "validation", 3)
    by_text = [Problem("other/1", problems[1].question.upper() + "  ", None, "1")]
    engine = scripted_engine(model, lambda *_: pytest.fail("something was generated"))
    for items in ([replace(problems[1], question="Else?")], by_text):
        steering = replace(random_steering(model), prompts=PromptHashes.of(items))
        with pytest.raises(LeakError) as caught:
            search_lambda(model, steering, problems, settings=SETTINGS, engine=engine)
        assert f"1 of 3 validation items (first: {problems[1].id}) are also in the material of the steering" in str(
            caught.value
        )


def test_problems_that_made_the_vectors_of_the_engine_are_refused(models):
    """The same vectors, so the engine is accepted, but with more known of where they come from."""
    model, problems = models["llama"], load_problems("sums", "validation", 3)
    steering = random_steering(model)
    engine = SweepEngine(model, replace(steering, prompts=PromptHashes.of(problems)))
    with pytest.raises(LeakError, match="3 of 3 validation items"):
        search_lambda(model, steering, problems, grid=(0.1,), settings=SETTINGS, engine=engine)


OTHER_ENGINES = [
    ("vectors", lambda model: SweepEngine(model, random_steering(model, 1)), r"steering vectors \w{16} / \w{16}\."),
    ("none", lambda model: SweepEngine(model), r"steering vectors None / \w{16}\."),
    (
        "model",
        lambda model: SweepEngine(other := tiny("qwen2"), random_steering(other)),
        "model tiny/qwen2-0 .* / tiny",
    ),
    ("unit", lambda model: SweepEngine(model, random_steering(model), unit="raw"), "unit raw / relative"),
    ("operator", lambda model: SweepEngine(model, random_steering(model), operator="clamp"), "operator clamp / add"),
    ("scope", lambda model: SweepEngine(model, random_steering(model), tokens="prompt"), "tokens prompt / all"),
]


@pytest.mark.parametrize(("make", "words"), [e[1:] for e in OTHER_ENGINES], ids=[e[0] for e in OTHER_ENGINES])
def test_an_engine_for_something_else_is_refused(models, make, words):
    """It would answer for its own model, vectors and settings, whatever was asked."""
    model, problems = models["llama"], load_problems("sums", "validation", 2)
    options = {"settings": SETTINGS, "engine": make(model)}
    with pytest.raises(SteeringError, match=f"the engine answers for something else than is asked: .*{words}"):
        search_lambda(model, random_steering(model), problems, grid=(0.1,), **options)
    with pytest.raises(SteeringError, match=words):
        evaluate(model, random_steering(model), problems, 0.1, grid=(0.1,), **options)


def test_an_engine_that_steers_otherwise_than_the_settings_say(models):
    engine = SweepEngine(models["llama"], random_steering(models["llama"]), unit="raw")
    with pytest.raises(SteeringError, match="unit raw / relative. Make an engine for it, or leave"):
        answer_problems(engine, load_problems("sums", "validation", 2), (0.1,), SETTINGS)


@pytest.mark.parametrize(
    ("grid", "message"), [([], "is empty"), ([0.1, 0.2, 0.1], "names one twice"), ([0.0, 0.1], "0 is the baseline")]
)
def test_bad_grids(models, grid, message):
    with pytest.raises(ConfigError, match=message):
        check_grid(grid)
    with pytest.raises(ConfigError, match=message):
        search_lambda(models["llama"], random_steering(models["llama"]), load_problems("sums", "test", 1), grid=grid)


def test_vectors_of_another_model(models):
    other = models["llama"].fingerprint
    other = replace(other, weights="0" * 16)
    steering = replace(random_steering(models["llama"]), child=other)
    with pytest.raises(FingerprintError):
        search_lambda(models["llama"], steering, load_problems("sums", "test", 1), grid=(0.1,), settings=SETTINGS)
    assert torch.equal(steering.vectors, random_steering(models["llama"]).vectors)
