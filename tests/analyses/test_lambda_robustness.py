"""Strength curves: numbers recomputed from the single answers, conversions by hand, units kept apart."""

import statistics
import zlib

import pytest


def panel(trace):
    return int((trace.xaxis or "x").removeprefix("x") or 1) - 1


def test_rows_equal_the_single_answers(demo):
    from interp_xfer_analyses.questions.lambda_robustness import compute

    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    items = demo.read_items(cell["key"])
    rows = compute(demo).rows
    assert len(rows) == 2 * 20
    for row in rows:
        chosen = [item for item in items if (item.split, item.strength, item.arm) == (row.split, row.strength, "sweep")]
        assert row.n == len(chosen) == (32 if row.split == "test" else 24)
        assert row.correct == sum(item.correct for item in chosen)
        assert row.accuracy == row.correct / row.n
        assert row.invalid == sum(item.parsed is None for item in chosen)
        assert row.truncated == sum(item.stop_reason == "length" for item in chosen)
        assert row.mean_tokens == pytest.approx(statistics.fmean(item.n_tokens for item in chosen))
        assert row.is_lambda_star == (row.strength == cell["validation"]["lambda_star"])
        texts = [item.text.encode() for item in chosen]
        ratio = statistics.fmean(len(zlib.compress(text, 6)) / len(text) for text in texts)
        assert row.compression == (pytest.approx(ratio) if row.split == "test" else None)


def test_figure_shows_the_rows(demo):
    from interp_xfer_analyses.questions.lambda_robustness import compute, figure

    table = compute(demo)
    test = [row for row in table.rows if row.split == "test" and row.strength != 0]
    baseline = next(row for row in table.rows if row.split == "test" and row.strength == 0)
    traces = figure(table).data
    curves = {panel(t): t for t in traces if t.legendgroup == "test" and t.mode == "lines+markers"}
    assert list(curves[0].x) == [row.strength for row in test]
    assert list(curves[0].y) == [row.accuracy for row in test]
    assert list(curves[1].x) == [row.shift_length for row in test]
    assert list(curves[1].y) == [row.accuracy for row in test]
    assert list(curves[2].y) == [row.invalid / row.n for row in test]
    assert list(curves[3].y) == [row.truncated / row.n for row in test]
    assert list(curves[4].y) == [row.mean_tokens for row in test]
    band = next(t for t in traces if t.legendgroup == "test" and t.fill == "toself" and panel(t) == 0)
    assert list(band.y) == [row.high for row in test] + [row.low for row in reversed(test)]
    line = next(t for t in traces if t.legendgroup == "test" and t.mode == "lines" and panel(t) == 0)
    assert set(line.y) == {baseline.accuracy}
    star = next(t for t in traces if t.legendgroup == "test" and t.marker.symbol == "star")
    assert list(star.x) == [table_star(demo)]


def table_star(store):
    return store.read_cells()[0].validation.lambda_star


@pytest.mark.parametrize("unit", ["relative", "raw"])
def test_shift_lengths(unit, tmp_path):
    """Handbook, section 8: raw, the shift is lambda; relative, lambda m_l / N."""
    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.cells import load_cells

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(tmp_path)
    write_cell(store, make_study(unit=unit))
    (cell,) = load_cells(store)
    norms = [40 + 760 * layer / 9 for layer in range(10)]
    assert [c for _, c in cell.record.layer_map.pairs] == list(range(10))
    if unit == "raw":
        assert cell.shift_length(0.3) == 0.3
        assert cell.shift_share(0.3) == pytest.approx(0.3 * 10 * statistics.median(1 / norm for norm in norms))
    else:
        assert cell.shift_length(0.3) == pytest.approx(0.3 * statistics.median(norms) / 10)
        assert cell.shift_share(0.3) == pytest.approx(0.3)


def test_unsteered_layers_do_not_count(tmp_path):
    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.cells import load_cells

    from interp_xfer.maths.layer_maps import greedy
    from interp_xfer.studies.run_store import RunStore

    store = RunStore(tmp_path)
    write_cell(store, make_study(layer_map="greedy"), strategy=greedy)
    (cell,) = load_cells(store)
    norms = [40 + 760 * layer / 9 for layer in range(6)]
    assert [c for _, c in cell.record.layer_map.pairs] == list(range(6))
    assert cell.shift_length(1.0) == pytest.approx(statistics.median(norms) / 6)


def test_an_operator_without_a_shift_has_no_length(tmp_path):
    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.questions.lambda_robustness import compute, figure

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(tmp_path)
    write_cell(store, make_study(operator="project_out"))
    table = compute(store)
    assert all(row.shift_length is None for row in table.rows)
    texts = " ".join(annotation.text for annotation in figure(table).layout.annotations)
    assert "does not add a shift" in texts.replace("<br>", " ")


def test_units_never_share_an_axis(tmp_path):
    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.questions.lambda_robustness import compute, figure

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(tmp_path)
    for seed, unit in enumerate(("raw", "relative")):
        write_cell(store, make_study(unit=unit, n_validation=8, n_test=8), seed=seed)
    out = figure(compute(store))
    titles = [out.layout[f"xaxis{index}"].title.text for index in ("", 3)]
    assert titles == ["strength λ (raw)", "strength λ (relative)"]
    by_panel = {panel(t): t.name for t in out.data if t.mode == "lines+markers"}
    assert by_panel == {
        0: "smollm2-135m-instruct, unit raw",
        1: "smollm2-135m-instruct, unit raw",
        2: "smollm2-135m-instruct, unit relative",
        3: "smollm2-135m-instruct, unit relative",
    }


def test_negative_strengths_get_one_step_each():
    from interp_xfer_analyses.drawing.style import strength_axis, strength_values

    axis = strength_axis([0.1, -0.1, 0.2])
    assert axis == {"type": "category", "categoryarray": ["-0.1", "0.1", "0.2"]}
    assert strength_values([0.1, -0.1], axis) == ["0.1", "-0.1"]


def test_paper_grid_ticks_are_readable():
    from interp_xfer_analyses.drawing.style import strength_axis

    from interp_xfer.evaluation.search import PAPER_GRID

    axis = strength_axis(PAPER_GRID)
    assert axis["type"] == "log"
    assert axis["ticktext"] == ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]
