import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.tasks import LEVELS, SumsKnobs, check_disjoint, get_task, load_problems, sums_task
from interp_xfer.tasks.sums import DEFAULT_LEVEL, generate

SUMS = get_task("sums")

# Settings, not SumsKnobs: the type checker of the tests samples at random, which hypothesis forbids while it draws.
settings_of_knobs = st.fixed_dictionaries(
    {
        "smallest": st.integers(2, 9),
        "largest": st.integers(20, 80),
        "largest_factor": st.integers(2, 9),
        "largest_answer": st.integers(100, 900),
        "two_step_share": st.floats(0, 1),
    }
)


@settings(max_examples=10)
@given(settings_of_knobs, settings_of_knobs, st.integers(0, 5), st.integers(0, 5))
def test_splits_are_disjoint_for_any_seeds_and_difficulties(first, second, seed, other_seed):
    first, second = SumsKnobs(**first), SumsKnobs(**second)
    check_disjoint(
        {
            "train": generate("train", first, seed, 0, 60),
            "validation": generate("validation", second, other_seed, 0, 60),
            "test": generate("test", first, other_seed, 0, 60),
            "few-shot": sums_task(knobs=second).few_shot,
        }
    )


@settings(max_examples=10)
@given(settings_of_knobs, st.integers(0, 3))
def test_solutions_are_right_and_score_as_correct(chosen, seed):
    chosen = SumsKnobs(**chosen)
    task = sums_task(knobs=chosen)
    for problem in generate("test", chosen, seed, 0, 40):
        for left, right in _equations(problem.reasoning):
            assert eval(left) == int(right)  # the reasoning is generated here
        score = task.score(task.format_solution(problem), problem)
        assert score.correct and score.rule == "answer_is"
        assert int(problem.answer) <= chosen.largest_answer


def _equations(reasoning):
    import re

    return re.findall(r"(\d+ [-+*] \d+) = (\d+)", reasoning)


def test_a_longer_list_begins_with_the_shorter_one():
    assert load_problems("sums", "test", limit=20)[5:10] == load_problems("sums", "test", limit=5, offset=5)
    assert load_problems("sums", "test", limit=5, seed=1) != load_problems("sums", "test", limit=5, seed=2)


def test_default_sizes():
    assert len(load_problems("sums", "validation")) == SUMS.split_sizes["validation"]
    assert len({problem.id for problem in load_problems("sums", "train")}) == SUMS.split_sizes["train"]


def test_levels_get_harder():
    def steps(level):
        return sum(len(_equations(p.reasoning)) for p in load_problems(sums_task(level), "test", limit=100))

    assert steps(1) == 100 < steps(2) < steps(3)
    assert SUMS.few_shot == sums_task(knobs=LEVELS[DEFAULT_LEVEL]).few_shot


def test_few_shot_examples_are_of_different_kinds():
    assert len({example.question.split()[2] for example in SUMS.few_shot[:5]}) >= 3
    assert len(SUMS.few_shot) == 8


@pytest.mark.parametrize(
    "text, complete",
    [
        ("Mia has 3 + 4 = 7", False),
        ("The answer is 1", False),
        ("The answer is 12.", False),  # 12.5 may follow
        ("The answer is 12. ", True),
        ("The answer is 12.\n", True),
        ("The answer is 12\n", True),
        ("The answer is 12 apples", False),  # "minus 3 = 9" may follow
        ("The answer is 12 - 3 = 9.\n", True),
        ("The answer is -3.\n", True),
        ("The answer is **12**.\n", True),
        ("The answer is not 12. ", False),
        ("The answer is 12 or 13. ", False),
        ("It is 3.\n\n", False),  # "The answer is" may follow
        ("Question:", True),
    ],
)
def test_generation_stops_at_the_answer(text, complete):
    assert SUMS.is_complete(text) is complete


def test_what_follows_a_paragraph_is_read():
    problem = SUMS.few_shot[0]
    text = f"First we add the numbers.\n\nThe answer is {problem.answer}.\n\nMia has 99 apples."
    assert SUMS.score(text, problem).correct and SUMS.is_complete(text)


@pytest.mark.parametrize(
    "settings_, message",
    [
        ({"smallest": 1}, "smallest=1 and largest=12"),
        ({"smallest": 9, "largest": 9}, "smallest < largest"),
        ({"largest_factor": 1}, "largest_factor=1"),
        ({"two_step_share": 1.5}, "two_step_share=1.5"),
        ({"two_step_share": float("nan")}, "two_step_share=nan"),
        ({"operations": ()}, "operations is empty"),
    ],
)
def test_impossible_knobs_are_refused(settings_, message):
    with pytest.raises(ConfigError, match=message):
        SumsKnobs(**settings_)


def test_knobs_without_a_template_are_refused():
    with pytest.raises(ConfigError, match="no template"):
        generate("train", SumsKnobs(operations=("multiply",)), 0, 0, 5)


def test_too_narrow_knobs_are_refused():
    narrow = SumsKnobs(largest_answer=3, two_step_share=0.0, operations=("multiply",))
    with pytest.raises(DataError, match="largest_answer=3.* allow only 0 different test problems, 1 are needed"):
        generate("test", narrow, 0, 0, 1)


def test_unknown_levels_are_refused():
    with pytest.raises(ConfigError, match="level 4 of sums does not exist; choose from 1, 2, 3"):
        sums_task(4)
    with pytest.raises(ConfigError, match="not both"):
        sums_task(1, SumsKnobs())
