"""Mappings compared: numbers equal the cells', controls of averaging, what is missing, and a figure that reads."""

import json
from itertools import product

import pytest

MAPS, KINDS = ("greedy", "cka"), ("ridge", "random-orthogonal")


def write(root, settings, **more):
    from fake_runs import make_study, write_cell

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(root)
    for number, changes in enumerate(settings):
        write_cell(store, make_study(n_test=20, n_validation=6, strengths=(0.1, 0.6), **changes, **more), seed=number)
    return store


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Two layer maps x two projections on two data sets, and a native cell."""
    cells = [
        {"dataset": dataset, "layer_map": layer_map, "projection": kind}
        for dataset, layer_map, kind in product(("sums", "gsm8k"), MAPS, KINDS)
    ]
    child = "bundled:smollm2-135m-instruct"
    cells.append({"parent": child, "child": child, "projection": "identity"})
    return write(tmp_path_factory.mktemp("mapping"), cells)


def accuracies(store):
    """(data set, layer map, projection) -> accuracy at lambda*, from the files alone."""
    out = {}
    for path in (store.root / "cells").glob("*.json"):
        cell = json.loads(path.read_text())
        study = cell["study"]
        if study["parent"] != study["child"]:
            out[study["dataset"], study["layer_map"], study["projection"]] = cell["test"]["lambda_star"]["accuracy"]
    return out


def test_differences_are_those_of_the_cell_files(grid):
    from interp_xfer_analyses.questions.mapping_comparison import compute, figure

    table, found = compute(grid), accuracies(grid)
    assert table.missing == ()
    expected = {}
    for dataset in ("gsm8k", "sums"):
        expected[dataset, "cka − greedy"] = (
            sum(found[dataset, "cka", k] - found[dataset, "greedy", k] for k in KINDS) / 2
        )
        expected[dataset, "ridge − random-orthogonal"] = (
            sum(found[dataset, m, "ridge"] - found[dataset, m, "random-orthogonal"] for m in MAPS) / 2
        )
    compared = {(row.dataset, row.label): row for row in table.rows if row.axis != "cell"}
    assert set(compared) == set(expected)
    for where, delta in expected.items():
        row = compared[where]
        assert row.delta == pytest.approx(delta) and row.n == 20 and row.n_contexts == 2
        assert row.low <= row.delta <= row.high and row.p_adjusted >= row.p_value
        assert (row.p_value < 0.05) == (not row.low <= 0 <= row.high)
        assert row.lowest <= row.delta <= row.highest
    drawn = [x for trace in figure(table).data for x in trace.x if x is not None]
    assert sorted(drawn) == pytest.approx(sorted(100 * row.delta for row in table.rows))


def test_cells_against_their_baseline_are_those_of_the_records(grid):
    from interp_xfer_analyses.questions.mapping_comparison import compute

    records = {cell.key: cell.test.lambda_star.difference for cell in grid.read_cells()}
    rows = [row for row in compute(grid).rows if row.axis == "cell"]
    assert {row.key for row in rows} == set(records)
    assert [row.label for row in rows if row.dataset == "sums"] == [
        "cka, ridge, relative",
        "cka, random-orthogonal, relative",
        "greedy, ridge, relative",
        "greedy, random-orthogonal, relative",
        "native, relative",
    ]
    for row in rows:
        known = records[row.key]
        assert (row.gained, row.lost, row.n) == (known.fixed, known.broken, known.n)
        for name in ("delta", "low", "high", "p_value"):
            assert getattr(row, name) == pytest.approx(getattr(known, name)), name


def test_one_setting_says_what_to_run(demo):
    from interp_xfer_analyses.questions.mapping_comparison import compute, describe, figure

    table = compute(demo)
    assert table.rows == () and "at least two settings: interp-xfer compare STUDY.yaml" in table.missing[0]
    assert describe(table) == "Nothing was compared."
    assert "at least two" in figure(table).layout.annotations[0].text.replace("<br>", " ")


def test_what_is_missing_is_said(tmp_path):
    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.questions.mapping_comparison import compute

    from interp_xfer.studies.cell_record import FailureRecord, PlanCell, PlanLeftOut, PlanRecord
    from interp_xfer.studies.identity import asked_key

    cells = [{"layer_map": "greedy"}, {"layer_map": "cka"}, {"layer_map": "greedy", "projection": "procrustes"}]
    store = write(tmp_path, cells)
    table = compute(store)
    assert [row.n_contexts for row in table.rows if row.axis == "layer_map"] == [1]
    assert any("cka, procrustes, relative: there is no such cell" in line for line in table.missing)
    from fake_runs import make_study

    lost = make_study(layer_map="cka", projection="procrustes")
    store.write_failure(
        FailureRecord(
            key=asked_key(lost),
            name="sums, cka, procrustes",
            error_type="ShapeError",
            message="too few rows",
            traceback="",
            cause="input",
        )
    )
    cells = [(asked_key(lost), "x"), ("0" * 12, "another"), (store.read_cells()[0].asked, "there")]
    plan = PlanRecord(
        cells=tuple(PlanCell(key=key, name=name, native=False) for key, name in cells),
        left_out=(PlanLeftOut(name="identity", reason="widths differ"),),
    )
    store.write_plan({}, plan)
    missing = compute(store).missing
    assert missing == (
        "sums, cka, procrustes: failed, ShapeError: too few rows",
        "another: not run yet",
        "identity: left out, widths differ",
    )
    page = write_report(store).read_text(encoding="utf-8")
    assert (
        "sums, cka, procrustes: failed, ShapeError: too few rows" in page
        and "interp-xfer compare comparison.yaml" in page
    )


def test_cells_that_differ_in_mapping_alone_are_told_apart(grid):
    from interp_xfer_analyses.cells import load_cells
    from interp_xfer_analyses.registry import ANALYSES

    labels = [cell.label for cell in load_cells(grid)]
    assert len(set(labels)) == len(labels) == 9
    for name in ("results-table", "flips", "lambda-robustness", "inference-scaling"):
        table = ANALYSES[name].compute(grid)
        assert len({row.label for row in table.rows}) == 9
        assert len(ANALYSES[name].figure(table).data) > 0


def test_rows_name_each_axis_and_zero_is_in_the_middle(grid):
    from interp_xfer_analyses.questions.mapping_comparison import compute, describe, draw

    table = compute(grid)
    layout = draw(table).layout
    assert layout["xaxis"]["range"][0] == -layout["xaxis"]["range"][1]
    assert "<b>Layer map</b>" in layout["yaxis"]["ticktext"] and "cka − greedy" in layout["yaxis"]["ticktext"]
    assert len(layout["yaxis"]["ticktext"]) == len(layout["yaxis"]["categoryarray"])
    assert "gsm8k: 2 comparisons of settings over 20 questions" in describe(table)
