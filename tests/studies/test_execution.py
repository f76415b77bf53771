"""Device and memory of a run: they are obeyed, and stand in no key."""

import pytest

from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.studies.comparison import make_comparison, plan_comparison
from interp_xfer.studies.config import Study, make_study
from interp_xfer.studies.execution import Execution
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_plan, run_study
from interp_xfer.studies.sensitivity import make_settings, measure_run

TOO_LITTLE = Execution(max_memory=1000)


@pytest.fixture(scope="module")
def settings(folders):
    return {
        "parent": str(folders / "parent"), "child": str(folders / "child"), "dataset": "sums", "n_pairs": 4,
        "n_fit_texts": 6, "n_calibration": 2, "n_aligned": 0, "n_validation": 1, "n_test": 1, "n_shots": 0,
        "max_new_tokens": 2, "strengths": [1.0], "with_its": False, "projection": "random-orthogonal",
    }  # fmt: skip


def test_memory_bounds_run_compare_and_sensitivity(settings, tmp_path):
    study, store = make_study(settings), RunStore(tmp_path / "run")
    too_little = "a memory budget of 0 MiB does not hold one row.*raise --max-memory"
    with pytest.raises(ConfigError, match=too_little):
        run_study(study, store, execution=TOO_LITTLE)
    record = run_study(study, store, execution=Execution("cpu", 2**26))
    assert run_study(study, store) == record
    assert [file.stem for file in (store.root / "cells").iterdir()] == [record.key]
    with pytest.raises(ConfigError, match=too_little):
        few = make_settings(n_questions=2, n_random=1, sweep=False)
        places = {name: settings[name] for name in ("parent", "child")}
        measure_run(store, few, places=places, execution=TOO_LITTLE)

    plan = plan_comparison(make_comparison({**settings, "native": False}))
    many = RunStore(tmp_path / "many")
    outcomes = run_plan(plan, many, execution=TOO_LITTLE)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert all("a memory budget of 0 MiB" in str(outcome.error) for outcome in outcomes)


@pytest.mark.parametrize("device", ["nowhere", "meta", "cuda:99"])
def test_a_device_that_is_not_there(settings, tmp_path, device):
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used: .*; use cpu"):
        run_study(make_study(settings), RunStore(tmp_path), execution=Execution(device))


def test_no_setting_of_a_study_or_key_says_where_it_runs(settings):
    assert not {"device", "max_memory"} & set(Study.model_fields)
    assert Execution(max_memory=5).generation(make_study(settings)) == GenerationSettings(
        n_shots=0, max_new_tokens=2, max_memory=5
    )
