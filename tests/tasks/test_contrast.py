import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.tasks import CONTRAST_KINDS, contrast_pairs, get_task, load_problems

SUMS = get_task("sums")
PROBLEMS = load_problems("sums", "train", limit=40)


def test_reasoning_against_the_bare_answer_is_the_default():
    pair = contrast_pairs(PROBLEMS)[3]
    assert pair.prompt == PROBLEMS[3].question and pair.negative_prompt is None
    assert pair.positive == f"{PROBLEMS[3].reasoning} The answer is {PROBLEMS[3].answer}."
    assert pair.negative == f"The answer is {PROBLEMS[3].answer}."
    assert pair.positive.endswith(pair.negative)  # the last token is the same, what comes before is not
    assert pair.problem_ids == (PROBLEMS[3].id,)


@given(st.integers(2, 40), st.integers(0, 20))
def test_the_other_reasoning_is_never_ones_own_and_each_is_used_once(n, seed):
    pairs = contrast_pairs(PROBLEMS[:n], "own-vs-other-reasoning", seed)
    assert [pair.problem_ids[0] for pair in pairs] == [problem.id for problem in PROBLEMS[:n]]
    assert all(pair.problem_ids[0] != pair.problem_ids[1] for pair in pairs)
    assert {pair.problem_ids[1] for pair in pairs} == {problem.id for problem in PROBLEMS[:n]}
    solutions = {problem.id: SUMS.format_solution(problem) for problem in PROBLEMS}
    assert all(pair.negative == solutions[pair.problem_ids[1]] for pair in pairs)


@pytest.mark.parametrize("name", ["sums", "gsm8k", "math", "arc_challenge"])
def test_the_incorrect_member_differs_in_the_final_answer_only(name, data_dir):
    task = get_task(name)
    problems = load_problems(task, limit=4, data_dir=data_dir)
    for problem, pair in zip(problems, contrast_pairs(problems, "correct-vs-incorrect"), strict=True):
        right, wrong = task.score(pair.positive, problem), task.score(pair.negative, problem)
        assert right.correct and not wrong.correct and wrong.parsed is not None
        if problem.reasoning:
            shared = task.format_solution(problem)[: -len(task.format_answer(problem))]
            assert pair.positive.startswith(shared) and pair.negative.startswith(shared)


def test_instructions_are_opposed_and_the_text_is_the_same():
    pair = contrast_pairs(PROBLEMS, "instruction")[0]
    assert pair.positive == pair.negative and pair.negative_prompt is not None
    assert pair.prompt != pair.negative_prompt
    assert pair.prompt.endswith(PROBLEMS[0].question) and pair.negative_prompt.endswith(PROBLEMS[0].question)


@pytest.mark.parametrize("kind", CONTRAST_KINDS)
def test_pairs_are_the_same_for_the_same_seed_and_named_by_kind(kind):
    pairs = contrast_pairs(PROBLEMS, kind, seed=3)
    assert pairs == contrast_pairs(PROBLEMS, kind, seed=3)
    assert len({pair.id for pair in pairs}) == len(PROBLEMS) and all(pair.kind == kind for pair in pairs)


def test_the_seed_matters_where_something_is_drawn():
    for kind in ("own-vs-other-reasoning", "correct-vs-incorrect"):
        assert contrast_pairs(PROBLEMS, kind, seed=0) != contrast_pairs(PROBLEMS, kind, seed=1)


@pytest.mark.parametrize("kind", ["reasoning-vs-answer", "own-vs-other-reasoning"])
def test_missing_reasoning_names_the_remedy(kind, data_dir):
    problems = load_problems("arc_challenge", data_dir=data_dir)
    with pytest.raises(
        DataError, match=r"6 of 6 problems have no reasoning.*interp-xfer rationales --dataset arc_chal"
    ):
        contrast_pairs(problems, kind)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(
        ConfigError, match="unknown kind of contrast pair 'good-vs-bad'; choose from reasoning-vs-answer"
    ):
        contrast_pairs(PROBLEMS, "good-vs-bad")
    with pytest.raises(DataError, match="no problems"):
        contrast_pairs([])
    with pytest.raises(DataError, match="at least 2"):
        contrast_pairs(PROBLEMS[:1], "own-vs-other-reasoning")
