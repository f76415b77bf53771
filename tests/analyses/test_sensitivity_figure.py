"""Layer sensitivity drawn: every number from the record by another route, gaps, the page with it."""

import numpy as np
import pytest
import torch
from scipy import stats

LAYERS, QUESTIONS, DRAWS = 10, 12, 19
STRENGTHS = (0.1, 1.0)


def add_record(store, seed=0, **changes):
    """A measurement of the first cell: slopes rise with depth, the sweep follows them."""
    from interp_xfer.studies.sensitivity_record import (
        GeneratedArm,
        Sensitivity,
        SensitivitySettings,
        Sweep,
        write_sensitivity,
    )

    rng = np.random.default_rng(seed)
    cell = store.read_cells()[0]

    def rows(values):
        return tuple(tuple(row) for row in np.asarray(values).tolist())

    slopes = np.linspace(-2, 6, LAYERS) + rng.normal(size=(QUESTIONS, LAYERS))
    windows = (*((layer,) for layer in range(LAYERS)), (0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
    means = [slopes[:, list(window)].mean(axis=1) for window in windows]
    change = tuple(rows([k * mean + rng.normal(size=QUESTIONS) * k for k in STRENGTHS]) for mean in means)
    arms = (GeneratedArm(window=(), strength=0.0, correct=(True, False, True, False), invalid=0, mean_tokens=9.0),)
    for window in windows[LAYERS:]:
        for strength in STRENGTHS:
            correct = (True, True, window[0] > 0, False)
            arms += (GeneratedArm(window=window, strength=strength, correct=correct, invalid=1, mean_tokens=9.0),)
    settings = SensitivitySettings(n_questions=QUESTIONS, strengths=STRENGTHS, window=5, n_random=DRAWS, n_generated=4)
    values = {
        "settings": settings,
        "key": cell.key, "child": cell.child, "steering": "0" * 16, "unit": "relative", "tokens": "all",
        "problem_ids": tuple(f"validation-{i}" for i in range(QUESTIONS)), "n_answer_tokens": (7,) * QUESTIONS,
        "log_p": tuple((-rng.gamma(9, size=QUESTIONS)).tolist()), "layers": tuple(range(LAYERS)),
        "scales": tuple(np.linspace(40, 800, LAYERS).tolist()),
        "slopes": {"transferred": rows(slopes), "native": rows(2 * slopes + 1)},
        "random_slopes": {kind: rows(rng.normal(size=(DRAWS, LAYERS))) for kind in KINDS},
        "deviations": {KINDS[0]: (1.0,) * LAYERS, KINDS[1]: tuple(np.linspace(0.5, 2, LAYERS).tolist())},
        "sweep": Sweep(windows=windows, strengths=STRENGTHS, change=change), "generation": arms, "left_out": (),
        "wall_s": {"gradient": 1.0}, "versions": {},
    }  # fmt: skip
    record = Sensitivity(**(values | changes))
    write_sensitivity(store, record)
    return record


KINDS = ("random-isotropic", "random-covariance")


def test_numbers_are_those_of_the_record(demo):
    """Means, t intervals, z, Sidak, ranks, Spearman: by numpy and scipy from the file."""
    from interp_xfer_analyses.questions.layer_sensitivity import compute, describe

    record = add_record(demo)
    table = compute(demo)
    slopes = np.array(record.slopes["transferred"])
    for row in table.rows:
        column = slopes[:, row.layer]
        half = stats.t.ppf(0.975, QUESTIONS - 1) * column.std(ddof=1) / np.sqrt(QUESTIONS)
        expected = (column.mean(), column.mean() - half, column.mean() + half)
        assert (row.slope, row.low, row.high) == pytest.approx(expected)
        assert row.native_slope == pytest.approx(2 * column.mean() + 1)
        assert row.z_isotropic == pytest.approx(column.mean())
        assert row.z_covariance == pytest.approx(column.mean() / record.deviations[KINDS[1]][row.layer])
    assert [row.layer for row in table.rows] == list(range(LAYERS))
    peak = next(p for p in table.peaks if (p.direction, p.null) == ("transferred", "isotropic"))
    assert peak.layer == slopes.mean(axis=0).argmax() and peak.z == pytest.approx(slopes.mean(axis=0).max())
    assert peak.p_layers == pytest.approx(1 - (1 - 2 * stats.norm.sf(peak.z)) ** LAYERS)
    assert peak.p_draws == pytest.approx(1 / (DRAWS + 1))  # z of about 6 against standard normal draws
    assert table.measured[0].z_search == pytest.approx(stats.norm.isf((1 - 0.95 ** (1 / LAYERS)) / 2))
    for row in table.agreement:
        k = STRENGTHS.index(row.strength)
        single = np.array([record.sweep.change[layer][k] for layer in range(LAYERS)]).mean(axis=1)
        assert row.rho == pytest.approx(stats.spearmanr(slopes.mean(axis=0), single).statistic)
        assert row.low <= row.rho <= row.high and row.rho > 0.8
    for row in table.answers:
        assert (row.unsteered, row.n, row.correct) == (2, 4, 3 if row.first else 2)
        assert row.delta == pytest.approx(0.25 if row.first else 0.0)
    assert "stands out most at layer 9" in describe(table) and "rank correlation +" in describe(table)


def test_figure_shows_the_table(demo):
    from interp_xfer_analyses.questions.layer_sensitivity import compute, figure

    record = add_record(demo)
    table = compute(demo)
    drawn = figure(table)
    by_name = {trace.name: trace for trace in drawn.data if trace.name and trace.showlegend is not False}
    assert list(by_name["transferred direction"].y) == [row.slope for row in table.rows]
    assert list(by_name["the child's own direction"].y) == [row.native_slope for row in table.rows]
    band = by_name["95 %, covariance-matched random"].y
    assert list(band[:LAYERS]) == pytest.approx([1.959964 * d for d in record.deviations[KINDS[1]]])
    line = by_name["the same, largest of all layers"].y
    assert list(line) == pytest.approx([table.measured[0].z_search * d for d in record.deviations[KINDS[1]]])
    for k, strength in enumerate(STRENGTHS):
        trace = by_name[f"strength {strength:g}"]
        shown = [sum(record.sweep.change[layer][k]) / QUESTIONS for layer in range(LAYERS)]
        assert list(trace.customdata) == pytest.approx(shown)
        assert list(trace.y) == pytest.approx([change / strength for change in shown])
    bars = [trace for trace in drawn.data if trace.mode == "lines" and trace.xaxis == "x3"]
    assert {tuple(bar.x) for bar in bars} == {(-0.35, 4.35), (4.65, 9.35)} and len(bars) == 4
    points = [y for trace in drawn.data if trace.xaxis == "x4" for y in trace.y]
    assert sorted(points) == pytest.approx([0, 0, 25, 25])


def test_a_run_without_measurement_names_the_command(demo):
    from interp_xfer_analyses.questions.layer_sensitivity import compute, describe, figure

    table = compute(demo)
    assert table.rows == ()
    assert [line.partition(": ")[2] for line in table.missing] == ["not measured; run interp-xfer sensitivity RUN"]
    assert "interp-xfer sensitivity RUN" in figure(table).layout.annotations[0].text.replace("<br>", " ")
    assert "not measured" in describe(table)


def test_gradient_alone_of_a_child_steered_by_itself(demo):
    from interp_xfer_analyses.questions.layer_sensitivity import compute, describe, figure

    full = add_record(demo)
    alone = {"transferred": full.slopes["transferred"]}
    add_record(demo, sweep=None, generation=(), slopes=alone, left_out=("there is no sweep",))
    table = compute(demo)
    assert {row.native_slope for row in table.rows} == {None} and table.sweep == table.answers == table.agreement == ()
    assert table.missing[0].endswith("there is no sweep")
    texts = [note.text for note in figure(table).layout.annotations]
    assert "No sweep was run." in texts and "Nothing was generated." in texts
    assert "child's own" not in str([trace.name for trace in figure(table).data])
    assert describe(table).endswith(".")


def test_two_layers_have_no_rank_correlation(demo):
    from interp_xfer_analyses.questions.layer_sensitivity import compute, figure

    full = add_record(demo)
    two = {"layers": (3, 7), "scales": (1.0, 1.0), "sweep": None}
    for name in ("slopes", "random_slopes"):
        two[name] = {kind: tuple(row[:2] for row in rows) for kind, rows in getattr(full, name).items()}
    two["deviations"] = {kind: values[:2] for kind, values in full.deviations.items()}
    windows = ((3,), (7,), (3, 7))
    two["sweep"] = full.sweep.model_copy(update={"windows": windows, "change": full.sweep.change[:3]})
    two["generation"] = full.generation[:1]
    add_record(demo, **two)
    table = compute(demo)
    assert table.agreement == () and [row.layer for row in table.rows] == [3, 7]
    figure(table)


def test_equal_slopes_have_no_order(demo):
    from interp_xfer_analyses.questions.layer_sensitivity import compute, describe

    add_record(demo, slopes={"transferred": tuple((1.0,) * LAYERS for _ in range(QUESTIONS))})
    table = compute(demo)
    assert {row.rho for row in table.agreement} == {None}
    assert "cannot be compared" in describe(table)


def test_negative_strengths_keep_the_sign_of_the_agreement(demo):
    """A sweep downwards that follows the slope changes log p the other way; it still agrees."""
    from interp_xfer_analyses.questions.layer_sensitivity import compute

    full = add_record(demo)
    change = torch.tensor(full.sweep.change) * torch.tensor([-1.0, 1.0])[:, None]
    turned = {
        "strengths": (-0.1, 1.0),
        "change": tuple(tuple(map(tuple, window)) for window in change.double().tolist()),
    }
    before = compute(demo).agreement
    add_record(demo, sweep=full.sweep.model_copy(update=turned))
    after = compute(demo).agreement
    assert [row.rho for row in after] == pytest.approx([row.rho for row in before])
    assert [row.strength for row in after] == [-0.1, 1.0]


def test_one_measured_cell_among_many_and_the_page(small_grid, tmp_path):
    import shutil
    from dataclasses import replace

    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.questions.layer_sensitivity import compute, figure

    from interp_xfer.studies.run_store import RunStore

    shutil.copytree(small_grid.root, tmp_path / "run")
    store = RunStore(tmp_path / "run")
    record = add_record(store, child=replace(store.read_cells()[0].child, n_layers=LAYERS))
    table = compute(store)
    assert {row.key for row in table.rows} == {record.key} and len(table.missing) == 7
    figure(table)
    page = write_report(store)
    assert "Which child layers respond?" in page.read_text(encoding="utf-8") and page.stat().st_size < 12e6
