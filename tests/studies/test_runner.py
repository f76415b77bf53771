"""Cells of a plan on two tiny models: shared work once, equal to single runs, resumed, one failure among others."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from interp_xfer.errors import ShapeError
from interp_xfer.generation import SweepEngine
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies import runner, study_models, transfers
from interp_xfer.studies.comparison import make_comparison, plan_comparison
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import known_widths, run_plan, run_study

STRENGTHS = [0.5, 2.0]
LISTS = {
    "layer_maps": ["greedy", "cka"], "projections": ["ridge", "shuffled-pairs", "random-orthogonal"],
    "units": ["relative", "raw"],
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(folders):
    return {
        "parent": str(folders / "parent"), "child": str(folders / "child"), "dataset": "sums", "n_pairs": 12,
        "n_fit_texts": 10, "n_calibration": 3, "n_validation": 2, "n_test": 3, "n_shots": 0, "max_new_tokens": 3,
        "strengths": STRENGTHS, "dtype": "float32", "with_its": False, "seed": 5,
    }  # fmt: skip


@pytest.fixture
def counts(monkeypatch):
    return count_work(monkeypatch)


def count_work(monkeypatch):
    """How often each expensive piece is computed, and how many answers are generated steered and unsteered."""
    found = Counter()

    def count(module, name, label=None):
        real = getattr(module, name)

        def counted(*args, **options):
            found[label or name] += 1
            return real(*args, **options)

        monkeypatch.setattr(module, name, counted)

    count(study_models, "load_model")
    for name in ("contrast_differences", "concept_from_differences", "calibrate", "fit_each", "PairedCorpus"):
        count(transfers, name)
    count(runner, "make_baseline")
    generate = SweepEngine.generate

    def counted(self, prompts, strengths, **options):
        for strength in strengths:
            found["steered" if strength else "unsteered"] += len(prompts)
        return generate(self, prompts, strengths, **options)

    monkeypatch.setattr(SweepEngine, "generate", counted)
    return found


def run(plan, store):
    seen = []
    outcomes = run_plan(plan, store, on_cell=seen.append)
    assert sorted(o.number for o in seen) == [o.number for o in outcomes] == list(range(1, len(plan.cells) + 1))
    return outcomes


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    """A whole plan: 12 transfers, and one native cell for each unit."""
    plan = plan_comparison(make_comparison({**settings, **LISTS}))
    store = RunStore(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        found = count_work(patch)
        outcomes = run(plan, store)
    return plan, store, outcomes, found


def test_shared_work_is_done_once(finished):
    plan, store, outcomes, found = finished
    assert len(plan.cells) == 14 and {o.status for o in outcomes} == {"made"}
    assert found["load_model"] == 2
    assert found["concept_from_differences"] == 2  # of the parent, and of the child for the native cells
    assert found["contrast_differences"] == 3  # both models for the pair, the child once more for its own concept
    assert found["fit_each"] == found["PairedCorpus"] == 1
    assert found["calibrate"] == 2
    assert found["make_baseline"] == 1 and found["unsteered"] == 2 + 3
    searched = 14 * 2 * len(STRENGTHS)
    assert found["steered"] == searched + 14 * 3
    assert len(list((store.root / "transfers").iterdir())) == 7 and len(list((store.root / "baselines").iterdir())) == 1
    assert all(o.record.test.baseline == outcomes[0].record.test.baseline for o in outcomes)


def test_a_second_run_does_nothing(finished, counts):
    plan, store, outcomes, _ = finished
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    again = run(plan, store)
    assert {o.status for o in again} == {"there"} and [o.record for o in again] == [o.record for o in outcomes]
    assert counts == {}
    assert before == {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mapping", [("greedy", "ridge"), ("cka", "shuffled-pairs"), ("cka", "random-orthogonal")])
def test_a_cell_equals_the_same_study_run_alone(finished, tmp_path, mapping):
    plan, store, outcomes, _ = finished
    (cell,) = (
        c for c in plan.cells
        if (c.study.layer_map, c.study.projection) == mapping and c.study.unit == "relative" and not c.native
    )  # fmt: skip
    alone = RunStore(tmp_path / "alone")
    expected = run_study(cell.study, alone)
    found = next(o.record for o in outcomes if o.cell is cell)
    ours, theirs = (SteeringVectors.load(s.transfer(expected.keys.transfer)) for s in (store, alone))
    torch.testing.assert_close(ours.vectors, theirs.vectors)
    assert (ours.layer_map, ours.flipped) == (theirs.layer_map, theirs.flipped)
    assert ours.projection.corpus == theirs.projection.corpus
    for layer, fit in theirs.projection.fits.items():
        assert ours.projection.fits[layer] == pytest.approx(fit)
    for name in ("key", "study", "validation", "test", "first_prompt"):
        assert getattr(found, name) == getattr(expected, name), name


def test_a_failing_cell_leaves_its_error_and_the_others_finish(settings, tmp_path, monkeypatch, counts):
    lists = {
        "layer_maps": ["greedy", "cka"],
        "projections": ["random-orthogonal"],
        "units": ["relative"],
        "native": False,
    }
    plan, store = plan_comparison(make_comparison({**settings, **lists})), RunStore(tmp_path)

    def broken(*_, **__):
        raise ShapeError("layer 3 is constant")

    with monkeypatch.context() as patch:
        patch.setitem(LAYER_MAPS._entries, "cka", replace(LAYER_MAPS["cka"], choose=broken))
        outcomes = run(plan, store)
    assert [o.status for o in outcomes] == ["made", "failed"]
    assert outcomes[1].error == "ShapeError: layer 3 is constant"
    (failure,) = store.read_failures()
    assert (failure.status, failure.key, failure.name) == ("failed", plan.cells[1].key, plan.cells[1].name)
    assert (failure.cause, failure.error_type, failure.message) == ("input", "ShapeError", "layer 3 is constant")
    assert "in broken" in failure.traceback
    # The next call tries it again, and only it; the unsteered answers are read.
    counts.clear()
    assert [o.status for o in run(plan, store)] == ["there", "made"]
    assert store.read_failures() == [] and counts["make_baseline"] == 0 and counts["unsteered"] == 0


def test_a_mistake_of_the_program_is_not_taken_for_the_data(settings, tmp_path, monkeypatch):
    lists = {"layer_maps": ["greedy"], "projections": ["random-orthogonal"], "units": ["relative"], "native": False}
    plan, store = plan_comparison(make_comparison({**settings, **lists})), RunStore(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "planted-4711")

    def broken(*_, **__):
        return {"a": 1}["planted-4711"]

    monkeypatch.setattr(runner, "run_cell", broken)
    (outcome,) = run(plan, store)
    assert outcome.error is not None
    assert outcome.error.startswith(
        "internal error, please report it with the traceback in the run's folder failures: "
    )
    (failure,) = store.read_failures()
    assert (failure.cause, failure.error_type) == ("internal", "KeyError")
    trace = failure.traceback
    assert 'File "runner.py", line' in trace and 'File "test_runner.py", line' in trace
    assert "in broken" in trace and str(tmp_path.parent) not in trace and "planted" not in failure.model_dump_json()


def test_an_interrupt_keeps_what_is_finished(settings, tmp_path, monkeypatch, counts):
    lists = {
        "layer_maps": ["greedy"],
        "projections": ["random-orthogonal"],
        "units": ["relative", "raw"],
        "native": False,
    }
    plan, store = plan_comparison(make_comparison({**settings, **lists})), RunStore(tmp_path)
    real = runner.run_cell

    def interrupted(study, *args, **options):
        if study.unit == "raw":
            raise KeyboardInterrupt
        return real(study, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_cell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_plan(plan, store)
    counts.clear()
    assert [o.status for o in run(plan, store)] == ["there", "made"]
    assert counts["load_model"] == 1 and counts["make_baseline"] == counts["calibrate"] == 0
    assert store.read_failures() == []


def test_widths_known_before_loading(folders):
    found = known_widths([str(folders / "parent"), str(folders / "child"), "bundled:gemma-3-270m", "org/hub"])
    assert found == {str(folders / "parent"): 32, str(folders / "child"): 24, "bundled:gemma-3-270m": 640}
