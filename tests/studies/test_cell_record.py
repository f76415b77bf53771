"""The best strength of a grid, adjusted, where the test has nothing to work with."""

from interp_xfer.evaluation.answers import Answer, AnswerTable
from interp_xfer.studies.cell_record import best_of_grid
from interp_xfer.tasks import Problem


def table(*right):
    """Rows of 0 and 1 for strengths 0, 0.1, 0.2, ..."""
    problems = tuple(Problem(f"q{i}", "How many?", None, "1") for i in range(len(right[0])))
    strengths = tuple(k / 10 for k in range(len(right)))
    answers = tuple(
        tuple(
            Answer(problem.id, strength, "", str(value), bool(value), "hash", "eos", 1)
            for problem, value in zip(problems, row, strict=True)
        )
        for strength, row in zip(strengths, right, strict=True)
    )
    return AnswerTable(strengths, problems, answers, "prompt")


def test_no_change_is_no_winner():
    found = best_of_grid(table([1, 0, 1], [1, 0, 1], [1, 0, 1]), (0.1, 0.2))
    assert (found.strength, found.p_adjusted, found.note) == (None, 1.0, "no answer changed at any strength")


def test_one_question_cannot_be_tested():
    found = best_of_grid(table([0], [1], [0]), (0.1, 0.2))
    assert (found.strength, found.p_adjusted, found.note) == (None, None, "one question cannot be tested")


def test_no_strength_is_best_where_none_beats_the_baseline():
    """Two strengths lose or equal the baseline: the first of the equal ones used to be called the best."""
    found = best_of_grid(table([1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 1, 0]), (0.1, 0.2))
    assert found.strength is None and found.p_adjusted is not None and found.p_adjusted > 0.5
    assert found.note == "no strength answers more questions than the baseline"


def test_the_best_strength_is_named_with_its_adjusted_p():
    found = best_of_grid(table([0] * 12, [0] * 11 + [1], [1] * 12), (0.1, 0.2))
    assert found.strength == 0.2 and found.p_adjusted is not None and found.p_adjusted < 0.01
