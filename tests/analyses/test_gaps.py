"""Runs with gaps: every analysis and the report still work, and say what is missing."""

import json

import pytest
from test_registry import NAMES


def without_vote(root):
    from fake_runs import make_study, write_cell

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(root)
    write_cell(store, make_study(with_its=False))
    return store


def one_strength(root):
    from fake_runs import make_study, write_cell

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(root)
    write_cell(store, make_study(strengths=(0.3,)))
    return store


def no_valid_answer(root):
    from fake_runs import make_study, write_cell

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(root)
    write_cell(store, make_study(), invalid=2.0)
    return store


def no_items(root):
    from fake_runs import demo_run

    store = demo_run(root)
    for path in (root / "items").iterdir():
        path.unlink()
    return store


def two_questions(root):
    from fake_runs import make_study, write_cell

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(root)
    write_cell(store, make_study(n_validation=1, n_test=2))
    return store


GAPS = {
    without_vote: "there is no vote",
    one_strength: "only one strength was run",
    no_valid_answer: "no test answer could be read at any strength",
    no_items: "the single answers are missing",
    two_questions: "no effect can be found reliably",
}


@pytest.mark.parametrize("make", GAPS, ids=lambda make: make.__name__)
def test_every_analysis_and_the_report(make, tmp_path):
    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.registry import ANALYSES

    store = make(tmp_path)
    for name in NAMES:
        analysis = ANALYSES[name]
        table = analysis.compute(store)
        figure = analysis.figure(table)
        assert len(figure.data) > 0 or len(figure.layout.annotations) > 0
        assert analysis.describe(table)
    assert GAPS[make] in write_report(store).read_text(encoding="utf-8")


@pytest.mark.parametrize("part", ["concept", "validation", "test", "residual_norms", "layer_map", "child", "keys"])
def test_a_record_without_a_part_is_refused(part, demo):
    from interp_xfer_analyses.page.report import write_report

    from interp_xfer.errors import ArtifactError

    (path,) = (demo.root / "cells").iterdir()
    cell = json.loads(path.read_text(encoding="utf-8"))
    del cell[part]
    path.write_text(json.dumps(cell), encoding="utf-8")
    with pytest.raises(ArtifactError, match="is damaged"):
        write_report(demo)


def test_one_cell_among_many_without_a_vote(tmp_path):
    """The gap names its cell, and the other cells are drawn."""
    from fake_runs import CHILDREN, PARENTS, grid_run, make_study, write_cell
    from interp_xfer_analyses.questions.inference_scaling import compute, figure

    store = grid_run(tmp_path, PARENTS[:1], CHILDREN[:2], ("gsm8k",), n=8)
    write_cell(
        store,
        make_study(parent=PARENTS[0], child=CHILDREN[2], dataset="gsm8k", with_its=False, n_validation=8, n_test=8),
    )
    table = compute(store)
    assert [gap.split(":")[0] for gap in table.missing] == ["phi-4 → Llama-3.1-8B-Instruct, gsm8k"]
    votes = [bar for bar in figure(table).data if bar.name == "vote"]
    assert [len(bar.x) for bar in votes] == [2]


@pytest.mark.parametrize("name", ["lambda-robustness", "inference-scaling", "flips"])
def test_damaged_answers_are_no_gap(demo, name):
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.errors import ArtifactError

    (items,) = (demo.root / "items").iterdir()
    items.write_text(items.read_text(encoding="utf-8") + "{torn\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match=f"{items.name} does not hold the answers of its cell"):
        ANALYSES[name].compute(demo)


def test_a_run_without_cells_is_refused(tmp_path):
    from interp_xfer_analyses.page.report import write_report

    from interp_xfer.errors import ArtifactError
    from interp_xfer.studies.run_store import RunStore

    with pytest.raises(ArtifactError, match="has no finished cell; run the study first"):
        write_report(RunStore(tmp_path))


def test_many_gaps_are_said_once():
    from interp_xfer_analyses.cells import count_gaps

    gaps = tuple(f"a → b{number}, sums: no R² (projection: identity)" for number in range(12))
    gaps += ("a → b3, sums: residual norms are missing",)
    assert count_gaps(gaps) == ("12 cells: no R² (projection: identity)", "a → b3, sums: residual norms are missing")
    assert count_gaps(gaps[:3]) == gaps[:3]
