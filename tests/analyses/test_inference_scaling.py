"""Arms and the vote against k: equal to the cells, and to the vote of the method itself."""

import itertools

import numpy as np
import pytest


def items(answers, truth, strengths):
    """answers[question][strength]: parsed answer or None."""
    from interp_xfer.studies.item_record import ItemRecord

    rest = {"question": "", "reference": "", "text": "", "rule": None, "stop_reason": "eos", "n_tokens": 1, "extra": {}}
    swept = {"split": "test", "arm": "sweep", "timed_out": False, **rest}
    return [
        ItemRecord(
            problem_id=str(question), strength=strength, parsed=parsed, correct=parsed == truth[question], **swept
        )
        for question, row in enumerate(answers)
        for strength, parsed in zip(strengths, row, strict=True)
    ]


def test_bars_and_differences_equal_the_cell(demo):
    from interp_xfer_analyses.questions.inference_scaling import compute, figure

    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    table = compute(demo)
    assert [row.arm for row in table.rows] == ["baseline", "lambda_star", "vote"]
    for row in table.rows:
        arm = cell["test"][row.arm]
        assert (row.n, row.correct, row.accuracy) == (arm["n"], arm["correct"], arm["accuracy"])
        if row.arm != "baseline":
            found = arm["difference"]
            values = (row.delta, row.delta_low, row.delta_high, row.broken, row.fixed, row.p_value)
            assert values == tuple(found[name] for name in ("delta", "low", "high", "broken", "fixed", "p_value"))
    out = figure(table)
    assert [trace.y[0] for trace in out.data if trace.type == "bar"] == [row.accuracy for row in table.rows]
    dots = [trace for trace in out.data if trace.type == "scatter" and trace.mode == "markers+text"]
    assert [dot.x[0] for dot in dots] == [100 * row.delta for row in table.rows[1:]]
    for dot, row in zip(dots, table.rows[1:], strict=True):
        assert dot.x[0] + dot.error_x.array[0] == pytest.approx(100 * row.delta_high)
        assert dot.x[0] - dot.error_x.arrayminus[0] == pytest.approx(100 * row.delta_low)


def test_vote_over_all_strengths_is_the_vote_arm(demo):
    from interp_xfer_analyses.questions.inference_scaling import compute

    table = compute(demo)
    points = table.curves[0].points
    strengths = [
        row for row in demo.read_cells()[0].model_dump(mode="json")["test"]["strengths"] if row["strength"] != 0
    ]
    assert [point.k for point in points] == list(range(1, 20))
    assert points[-1].accuracy == pytest.approx(table.rows[-1].accuracy)
    assert points[0].accuracy == pytest.approx(np.mean([row["accuracy"] for row in strengths]))
    assert points[0].any_right == pytest.approx(points[0].accuracy)
    assert all(point.lowest <= point.accuracy <= point.highest <= 1 for point in points)


@pytest.mark.parametrize("seed", range(5))
def test_vote_equals_the_method_for_every_set(seed):
    """4 strengths: all 15 sets, against `interp_xfer.evaluation.vote.vote`, with ties and invalid answers."""
    from interp_xfer_analyses.questions import vote_curves

    from interp_xfer.evaluation.vote import vote

    rng = np.random.default_rng(seed)
    strengths = (0.1, 0.2, 0.5, 1.0)
    answers = rng.choice(np.array(["7", "8", "9", None], dtype=object), size=(30, 4)).tolist()
    truth = [str(value) for value in rng.choice(["7", "8"], size=30)]
    codes, right = vote_curves._answers(items(answers, truth, strengths), strengths)
    one_hot = codes[:, :, None] == np.arange(codes.max() + 1)
    votes = np.moveaxis(one_hot * (1 + 0.5 ** (np.arange(4) + 1.0))[:, None], 1, 0)
    answer_right = (one_hot & right[:, :, None]).any(axis=1)
    for k in range(1, 5):
        for chosen in itertools.combinations(range(4), k):
            mask = np.isin(np.arange(4), chosen)[None]
            point = vote_curves._point(mask, votes, answer_right, right)
            expected = [
                vote([row[i] for i in chosen], [strengths[i] for i in chosen]) == value
                for row, value in zip(answers, truth, strict=True)
            ]
            assert point.accuracy == pytest.approx(np.mean(expected))
            any_right = [value in [row[i] for i in chosen] for row, value in zip(answers, truth, strict=True)]
            assert point.any_right == pytest.approx(np.mean(any_right))


def test_tie_goes_to_the_smallest_strength():
    """Handbook, section 10: votes .01:5 .02:7 .03:7 .04:5 -> 5."""
    from interp_xfer_analyses.questions.vote_curves import vote_curve

    strengths = (0.01, 0.02, 0.03, 0.04)
    for truth, accuracy in (("5", 1.0), ("7", 0.0)):
        points = vote_curve(items([["5", "7", "7", "5"]], [truth], strengths), strengths)
        assert points[-1].accuracy == accuracy


def test_no_curve_without_answers_or_choice():
    from interp_xfer_analyses.questions.vote_curves import vote_curve

    assert vote_curve([], (0.1, 0.2)) == ()
    assert vote_curve(items([["5"]], ["5"], (0.1,)), (0.1,)) == ()
    assert vote_curve(items([[None, None]], ["5"], (0.1, 0.2)), (0.1, 0.2)) == ()


def test_many_cells_draw_their_differences(small_grid):
    from interp_xfer_analyses.questions.inference_scaling import compute, figure

    table = compute(small_grid)
    bars = [trace for trace in figure(table).data if trace.type == "bar"]
    drawn = sorted(value for bar in bars for value in bar.x)
    assert drawn == sorted(100 * row.delta for row in table.rows if row.delta is not None)
    assert len(bars) == 2 * 4  # two arms in each of four panels
