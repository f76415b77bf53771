"""Every step of every verb counts up to what it announced: fresh, resumed, interrupted, with little memory for sums."""

from contextlib import contextmanager

import pytest

from interp_xfer.generation import SweepEngine
from interp_xfer.studies.comparison import make_comparison, plan_comparison
from interp_xfer.studies.config import make_study
from interp_xfer.studies.layer_study import make_layer_study, run_layer_study
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_plan, run_study
from interp_xfer.studies.sensitivity import make_settings, measure_run
from interp_xfer.transfer import fit as model_maps


class Steps:
    """Counts; a step that ends without an error has done what it announced."""

    def __init__(self):
        self.names = []

    @contextmanager
    def __call__(self, description, total, unit=""):
        done = []
        yield done.append
        assert sum(done) == total and all(n >= 0 for n in done), (description, sum(done), total)
        self.names.append(description)


@pytest.fixture
def step():
    return Steps()


@pytest.fixture(scope="module")
def settings(folders):
    return {
        "parent": str(folders / "parent"), "child": str(folders / "child"), "dataset": "sums", "n_pairs": 12,
        "n_fit_texts": 10, "n_calibration": 4, "n_aligned": 6, "n_validation": 3, "n_test": 4, "n_shots": 0,
        "max_new_tokens": 3, "strengths": [0.5, 2.0], "dtype": "float32",
    }  # fmt: skip


@pytest.fixture(params=["in one reading", "in many readings"], autouse=True)
def readings(request, monkeypatch):
    """Sums of all layers at once, or of one pair of layers at a time."""
    if request.param == "in many readings":
        monkeypatch.setattr(model_maps, "_SUMS_BYTES", 1)


@pytest.mark.parametrize("projection", ["ridge", "random-orthogonal"])
def test_run(settings, tmp_path, step, monkeypatch, projection):
    study = make_study({**settings, "projection": projection, "layer_map": "cka"})
    store = RunStore(tmp_path)
    generate, calls = SweepEngine.generate, []

    def interrupted(self, prompts, strengths, **options):
        calls.append(len(strengths))
        kept = options["keep"]
        made = generate(self, prompts, strengths[:1], **options)
        if len(calls) == 1:
            assert len(kept) == len(prompts)
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patch:
        patch.setattr(SweepEngine, "generate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, store, step)
    assert any("fitting" in name for name in step.names) == (projection == "ridge")
    before = len(step.names)
    run_study(study, store, step)  # goes on from the answers that are there
    assert {"searching lambda", "evaluating"} == set(step.names[before:]) - {f"loading {study.child}"}


def test_compare(settings, tmp_path, step, monkeypatch):
    lists = {
        "layer_maps": ["greedy", "cka"],
        "projections": ["ridge", "shuffled-pairs", "identity", "random-orthogonal"],
        "units": ["relative"],
    }
    plan, store = plan_comparison(make_comparison({**settings, **lists})), RunStore(tmp_path)
    outcomes = run_plan(plan, store, step)
    assert [o.status for o in outcomes].count("failed") == 2  # identity between widths
    before = len(step.names)
    assert [o.status for o in run_plan(plan, store, step)].count("there") == len(plan.cells) - 2
    assert not any("fitting" in name or "answering" in name for name in step.names[before:])


def test_layers(settings, folders, tmp_path, step):
    sizes = {"n_pairs": 8, "n_calibration": 3, "n_fit_texts": 10, "n_held_out": 4, "n_random": 1}
    names = {name: settings[name] for name in ("parent", "child", "dataset", "dtype")}
    study = make_layer_study({**names, **sizes, "n_permutations": 19, "n_bootstrap": 1})
    run_layer_study(study, tmp_path, step)
    assert "fitting ridge maps" in step.names and "carrying every layer" in step.names


def test_sensitivity(settings, tmp_path, step):
    store = RunStore(tmp_path)
    run_study(make_study({**settings, "projection": "random-orthogonal", "with_its": False}), store)
    places = {name: settings[name] for name in ("parent", "child")}
    measured = {"n_questions": 3, "n_random": 1, "strengths": (0.5, 1.0), "window": 2, "n_generated": 2}
    measure_run(store, make_settings(**measured), None, step, places)
    assert "sweeping layers" in step.names and "checking by generation" in step.names
    before = len(step.names)
    measure_run(store, make_settings(**measured), None, step, places)
    assert step.names[before:] == []
