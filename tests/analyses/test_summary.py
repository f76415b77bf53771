"""Words follow the numbers: verdicts, detectable effects, tallies."""

from dataclasses import replace

import pytest


def difference(delta, low, high, p_value, broken=5, fixed=5, n=100):
    from interp_xfer.evaluation.record import Difference

    return Difference.model_construct(delta=delta, low=low, high=high, broken=broken, fixed=fixed, p_value=p_value, n=n)


@pytest.mark.parametrize(
    ("delta", "low", "high", "p_value", "words"),
    [
        (0.05, -0.02, 0.12, 0.3, "no detectable effect"),
        (-0.12, -0.25, 0.01, 0.1, "no detectable effect"),
        (0.0, -0.02, 0.02, 1.0, "no detectable effect"),
        (0.1, 0.03, 0.17, 0.01, "a gain"),
        (-0.1, -0.17, -0.03, 0.01, "a loss"),
        (0.16, 0.01, 0.28, 0.062, "no detectable effect"),  # a record of an older version: two tests, both must agree
        (0.08, -0.001, 0.16, 0.049, "no detectable effect"),
    ],
)
def test_verdict(delta, low, high, p_value, words):
    from interp_xfer_analyses.page.summary import verdict

    assert verdict(difference(delta, low, high, p_value)) == words


def test_smallest_detectable_effect_is_that_of_the_design():
    """Handbook, section 12: GSM8K, n = 1319, discordance .1: 2.4 points."""
    from interp_xfer_analyses.page.summary import detectable

    text = detectable(difference(0.0, -0.02, 0.02, 1.0, broken=66, fixed=66, n=1319))
    assert "with 1319 questions and 10.0\u00a0% of the answers changing" in text
    assert "about ±2.4 points is the smallest that is found four times in five" in text


def test_small_runs_say_that_nothing_could_be_found():
    from interp_xfer_analyses.page.summary import detectable

    assert "no effect can be found reliably" in detectable(difference(0.0, -0.1, 0.1, 1.0, broken=1, fixed=1, n=16))
    assert "(assumed, as none did)" in detectable(difference(0.0, -0.1, 0.1, 1.0, broken=0, fixed=0, n=500))


def test_many_cells_are_counted(small_grid):
    from interp_xfer_analyses.cells import load_cells
    from interp_xfer_analyses.page.summary import summary

    cells = load_cells(small_grid)
    deltas = [cell.test.lambda_star.difference.delta for cell in small_grid.read_cells()]
    text = " ".join(summary(cells))
    above, below = sum(d > 0 for d in deltas), sum(d < 0 for d in deltas)
    assert "8 cells: 2 parents, 2 children, 2 data sets." in text
    assert f"{above} of 8 cells lie above their baseline, {8 - above - below} equal it, {below} lie below" in text


def test_numbers_read_well():
    from interp_xfer_analyses.drawing import style

    assert style.points(0.0125) == "+1.2" and style.points(-0.031) == "−3.1"
    assert style.points(-0.0001) == "0.0" and style.points(0.0) == "0.0"
    assert style.p_text(0.0414) == "p\u00a0=\u00a0.041" and style.p_text(1.0) == "p\u00a0=\u00a01"
    assert style.p_text(0.0004) == "p\u00a0<\u00a0.001"
    assert style.plain("a<b>&c") == "a&lt;b&gt;&amp;c"


@pytest.mark.parametrize(
    ("best", "words"),
    [
        (None, []),
        (
            {"strength": None, "p_adjusted": None, "note": "one question cannot be tested"},
            ["Looking at every strength on the test questions: one question cannot be tested."],
        ),
        (
            {"strength": 0.3, "p_adjusted": 0.0004, "note": ""},
            [
                "Looking at every strength on the test questions, the best is 0.3, with p\u00a0<\u00a0.001 after "
                "adjusting for the search (max-T, one-sided)."
            ],
        ),
    ],
)
def test_best_of_grid_says_what_was_tested(demo, best, words):
    from dataclasses import replace

    from interp_xfer_analyses.cells import load_cells
    from interp_xfer_analyses.page.summary import _best_of_grid

    from interp_xfer.studies.cell_record import BestOfGrid

    cell = load_cells(demo)[0]
    test = cell.record.test.model_copy(update={"best_of_grid": best and BestOfGrid(**best)})
    assert _best_of_grid(replace(cell, record=cell.record.model_copy(update={"test": test}))) == words


@pytest.mark.parametrize(
    ("idle", "words"),
    [
        (0, "every strength changes some text. "),
        (1, "1 strength changes no"),
        (3, "3 strengths change no text at all. "),
    ],
)
def test_strengths_without_effect_are_counted_in_words(demo, idle, words):
    from interp_xfer_analyses.cells import load_cells
    from interp_xfer_analyses.page.summary import _unsteered

    (cell,) = load_cells(demo)
    votes = replace(cell.record.test.unsteered_votes, idle=idle)
    test = cell.record.test.model_copy(update={"unsteered_votes": votes})
    record = cell.record.model_copy(update={"test": test})
    assert words in _unsteered(replace(cell, record=record))


def test_the_page_names_the_test_behind_its_p(demo):
    from interp_xfer_analyses.page.report import write_report

    assert "McNemar's score test" in write_report(demo).read_text(encoding="utf-8").replace("&#39;", "'")
