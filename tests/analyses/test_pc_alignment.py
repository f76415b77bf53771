"""The alignment of components in a run: values of the artifact, nulls, what is absent, figure."""

from dataclasses import replace

import numpy as np
import pytest
import torch


def change_alignment(store, **changes):
    """Rewrite the only comparison of a run."""
    from interp_xfer.measures.component_alignment import ComponentAlignment

    (path,) = (store.root / "alignments").iterdir()
    changed = replace(ComponentAlignment.load(path), **changes)
    _, _, k, n = changed.parent_scores.shape
    changed = replace(changed, settings=changed.settings.model_copy(update={"n_components": k, "n_held_out": n}))
    changed.save(path)
    return changed


def test_values_are_those_of_the_artifact(demo):
    from interp_xfer_analyses.questions.pc_alignment import MEASURES, compute, describe

    from interp_xfer.measures.component_alignment import ComponentAlignment

    (path,) = (demo.root / "alignments").iterdir()
    found, table = ComponentAlignment.load(path), compute(demo)
    assert len(table.rows) == 6 * 10 and [row.measure for row in table.measures] == list(MEASURES)
    parent, child = (scores[:, 0, 0] - scores[:, 1, 0] for scores in (found.parent_scores, found.child_scores))
    expected = np.corrcoef(parent.numpy(), child.numpy())[:6, 6:]
    by_place = {(row.parent_layer, row.child_layer): row for row in table.rows}
    for (p, c), row in by_place.items():
        assert row.differences == pytest.approx(expected[p, c], abs=1e-5)
        assert row.carried == pytest.approx(float(found.carried.cosines[p, c]))
        assert row.raw == pytest.approx(float(found.raw.cosines[p, c]))
        assert row.carried_overlap == pytest.approx(float(found.carried.angles[p, c].square().mean()), abs=1e-6)
    measures = {row.measure: row for row in table.measures}
    # Deep layers share what a pair has; everything separates the classes.
    assert 10 < measures["differences"].n_beyond <= 15 and measures["differences"].p_value == pytest.approx(1 / 200)
    assert measures["all-members"].n_beyond < 15 and measures["all-members"].search_threshold > 0.8
    assert measures["differences"].entry_analytic == pytest.approx(0.576, abs=1e-3)  # r of 12 pairs at 5 %
    assert measures["within-class"].entry_analytic is None
    assert table.comparisons[0].parent_of == demo.read_cells()[0].layer_map.parent_of
    text = describe(table)
    assert "12 held-out pairs: correlation of score differences" in text and "of 60 pairs of layers beyond it" in text


def test_what_is_absent_is_said_in_its_panel(demo):
    from interp_xfer_analyses.questions.pc_alignment import compute, describe, figure

    change_alignment(demo, raw=None, carried=None)
    table = compute(demo)
    assert table.missing == () and {row.raw for row in table.rows} == {row.carried for row in table.rows} == {None}
    assert dict(table.comparisons[0].absent)["carried"] == "nothing was fitted (ridge projection)"
    texts = " ".join(note.text.replace("<br>", " ") for note in figure(table).layout.annotations)
    assert "The parent is 8 wide and the child 8, so their coordinates cannot be compared." in texts
    assert "Nothing was fitted" in texts and "cannot be compared" in describe(table)
    assert len([trace for trace in figure(table).data if trace.type == "heatmap"]) == 4


def test_layers_without_spread_and_few_pairs(demo):
    from interp_xfer_analyses.questions.pc_alignment import compute, figure

    scores = change_alignment(demo).parent_scores
    flat = scores[..., :4].clone()
    flat[1] = 3.0
    change_alignment(demo, parent_scores=flat, child_scores=change_alignment(demo).child_scores[..., :4])
    table = compute(demo)
    assert all((row.differences is None) == (row.parent_layer == 1) for row in table.rows)
    assert "overlap" not in dict(table.comparisons[0].absent)
    figure(table)
    three = torch.cat([flat, flat[:, :, :1]], dim=2)
    change_alignment(
        demo,
        parent_scores=three,
        child_scores=torch.randn(10, 2, 3, 4),
        child_components=torch.randn(10, 3, 8),
        carried=None,
        raw=None,
    )
    reason = dict(compute(demo).comparisons[0].absent)["overlap"]
    assert reason == "4 held-out pairs are too few for spans of 3 components"


def test_a_run_without_comparison_says_why(demo):
    import shutil

    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.questions.pc_alignment import compute, describe, figure

    from interp_xfer.studies.run_store import RunStore

    shutil.rmtree(demo.root / "alignments")
    (gap,) = compute(demo).missing
    assert gap.endswith("the comparison failed, or was removed from the run)")
    assert figure(compute(demo)).layout.annotations[0].text.startswith("No components to compare")
    for changes, reason in (
        ({"n_aligned": 0}, "the child reads 0 of the contrast pairs, and at least 2 are needed (n_aligned)"),
        ({"n_aligned": 9, "n_calibration": 3}, "there are 3 calibration pairs, and at least 4 are needed"),
    ):
        store = RunStore(demo.root.parent / str(changes["n_aligned"]))
        write_cell(store, make_study(**changes))
        shutil.rmtree(store.root / "alignments")
        assert reason in compute(store).missing[0] and reason in describe(compute(store))


def test_one_cell_without_comparison_among_many(small_grid, tmp_path):
    import shutil

    from interp_xfer_analyses.questions.pc_alignment import compute

    from interp_xfer.studies.run_store import RunStore

    shutil.copytree(small_grid.root, tmp_path / "run")
    store = RunStore(tmp_path / "run")
    shutil.rmtree(next(iter((store.root / "alignments").iterdir())))
    table = compute(store)
    assert len(table.comparisons) == 7 and len(table.missing) == 1
