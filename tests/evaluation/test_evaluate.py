"""Algorithm 3: every number of an evaluation against an independent computation (statsmodels, counting by hand)."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from scipy.stats import chi2
from statsmodels.stats.proportion import proportion_confint
from tiny_models import random_steering, scripted_engine

from interp_xfer.errors import ConfigError, LeakError
from interp_xfer.evaluation.evaluate import evaluate, unsteered_in_vote
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.tasks import load_problems
from interp_xfer.tasks.prompt_hashes import PromptHashes

SETTINGS = GenerationSettings(n_shots=0, max_new_tokens=3)
GRID = (0.1, 0.2, 0.3)
# Per question, what is written at 0, .1, .2, .3: R is the reference answer, X and Y are wrong ones, - is none.
SCRIPT = ["RRRR", "RXXR", "XRRX", "XXYR", "-R--", "----", "RXYR", "XYRR", "RRXX", "XXRR"]


@pytest.fixture
def problems():
    return load_problems("sums", "test", len(SCRIPT))


@pytest.fixture
def engine(models, problems):
    index = {problem.id: i for i, problem in enumerate(problems)}

    def write(name, strength):
        mark = SCRIPT[index[name]][(0.0, *GRID).index(strength)]
        reference = int(problems[index[name]].answer)
        return "Nothing." if mark == "-" else f"The answer is {reference + 'RXY'.index(mark)}."

    return scripted_engine(models["llama"], write)


def majority(script):
    """Most frequent of the three steered marks, the first on a tie."""
    valid = [mark for mark in script[1:] if mark != "-"]
    return max(valid, key=Counter(valid).__getitem__, default="-")


def check_arm(arm, right, baseline):
    n, k = len(right), sum(right)
    assert (arm.summary.n, arm.summary.correct) == (n, k)
    low, high = proportion_confint(k, n, alpha=0.05, method="wilson")
    assert arm.summary.accuracy == pytest.approx((k / n, low, high), abs=1e-9)
    if baseline is None:
        assert arm.difference is None
        return
    broken = sum(b and not r for b, r in zip(baseline, right, strict=True))
    fixed = sum(r and not b for b, r in zip(baseline, right, strict=True))
    found = arm.difference
    assert (found.broken, found.fixed, found.n) == (broken, fixed, n)
    assert found.delta == pytest.approx((fixed - broken) / n)
    error = (broken + fixed - (fixed - broken) ** 2 / n) ** 0.5 / n
    assert found.standard_error == pytest.approx(error)
    p_value = chi2.sf((fixed - broken) ** 2 / (broken + fixed), 1) if broken + fixed else 1.0
    assert found.p_value == pytest.approx(p_value)
    assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)


def test_all_numbers(models, problems, engine):
    done = []
    result = evaluate(
        models["llama"], random_steering(models["llama"]), problems, 0.2, grid=GRID, settings=SETTINGS, engine=engine,
        progress=done.append,
    )  # fmt: skip
    baseline = [script[0] == "R" for script in SCRIPT]
    check_arm(result.baseline, baseline, None)
    check_arm(result.lambda_star, [script[2] == "R" for script in SCRIPT], baseline)
    check_arm(result.vote, [majority(script) == "R" for script in SCRIPT], baseline)
    assert [arm.name for arm in result.arms] == ["baseline", "lambda_star", "vote"]
    assert [arm.strength for arm in result.arms] == [0.0, 0.2, None]
    assert result.lambda_star.summary.invalid == 2 and result.vote.summary.invalid == 1
    assert result.vote.summary.mean_tokens == 3 * result.baseline.summary.mean_tokens
    assert engine.calls == [(0.0, 0.2, 0.1, 0.3)], "every strength once"
    same = [sum(mark == script[0] for mark in script[1:]) for script in SCRIPT]
    found = unsteered_in_vote(result.table, GRID)
    assert (found.n_questions, found.n_strengths) == (len(SCRIPT), 3)
    assert found.texts == sum(count >= 2 for count in same)
    assert done == [4 * len(SCRIPT)]
    json.dumps([arm.to_dict() for arm in result.arms], allow_nan=False)


def test_without_vote_only_two_strengths_are_run(models, problems, engine):
    model = models["llama"]
    result = evaluate(model, random_steering(model), problems, 0.3, with_its=False, settings=SETTINGS, engine=engine)
    assert engine.calls == [(0.0, 0.3)] and result.vote is None and len(result.arms) == 2
    check_arm(result.lambda_star, [s[3] == "R" for s in SCRIPT], [s[0] == "R" for s in SCRIPT])


def test_a_strength_outside_the_grid_does_not_vote(models, problems, engine):
    model = models["llama"]
    result = evaluate(model, random_steering(model), problems, 0.3, grid=(0.1, 0.2), settings=SETTINGS, engine=engine)
    votes = [majority(script[:3]) == "R" for script in SCRIPT]
    check_arm(result.vote, votes, [script[0] == "R" for script in SCRIPT])


def test_strength_zero_is_the_baseline(models, problems, engine):
    model = models["llama"]
    result = evaluate(model, random_steering(model), problems, 0.0, with_its=False, settings=SETTINGS, engine=engine)
    assert engine.calls == [(0.0,)]
    assert result.lambda_star.difference.delta == 0 and result.lambda_star.difference.p_value == 1


def test_real_evaluation(models):
    """The arms of a real run are rows of its own table."""
    model, problems = models["llama"], load_problems("sums", "test", 4)
    result = evaluate(model, random_steering(model), problems, 2.0, grid=(0.5, 2.0), settings=SETTINGS)
    assert result.table.strengths == (0.0, 2.0, 0.5)
    assert result.baseline.answers == result.table.at(0.0) and result.lambda_star.answers == result.table.at(2.0)
    assert [a.text for a in result.table.at(0.0)] != [a.text for a in result.table.at(2.0)]


def test_refusals(models, problems, engine):
    model = models["llama"]
    steering = replace(random_steering(model), prompts=PromptHashes.of(problems[3:5]))
    with pytest.raises(LeakError) as caught:
        evaluate(model, steering, problems, 0.1, grid=GRID, settings=SETTINGS, engine=engine)
    assert f"2 of {len(SCRIPT)} test items (first: {problems[3].id})" in str(caught.value)
    assert "Give the two other problems" in str(caught.value)
    with pytest.raises(ConfigError, match="names one twice"):
        evaluate(model, random_steering(model), problems, 0.1, grid=(0.1, 0.1), settings=SETTINGS, engine=engine)
    with pytest.raises(ConfigError, match="strength nan is not a finite number"):
        evaluate(model, random_steering(model), problems, float("nan"), grid=GRID, settings=SETTINGS)
    assert engine.calls == []
