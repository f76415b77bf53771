"""What a run writes can be given away: no path of the machine in any file, also of a run that fails."""

import json
from pathlib import Path

import pytest

from interp_xfer.studies.comparison import make_comparison, plan_comparison
from interp_xfer.studies.config import make_study
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_plan, run_study


@pytest.fixture
def settings(folders, tmp_path):
    rows = [{"question": f"What is {i} + 1?", "answer": f"{i} + 1 is {i + 1}\n#### {i + 1}"} for i in range(60)]
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    for split, part in (("train", rows[:50]), ("test", rows[50:])):
        path = tmp_path / "data" / "gsm8k" / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in part))
    (tmp_path / "prompt.txt").write_text("Solve it.")
    return {
        "parent": str(folders / "parent"), "child": str(folders / "child"), "dataset": "gsm8k",
        "data_dir": str(tmp_path / "data"), "system_prompt": str(tmp_path / "prompt.txt"), "n_pairs": 6,
        "n_fit_texts": 10, "n_calibration": 4, "n_aligned": 3, "n_validation": 2, "n_test": 2, "n_shots": 0,
        "max_new_tokens": 3, "strengths": [0.5], "dtype": "float32",
    }  # fmt: skip


def local_words(root, *words):
    """(file, word) of everything below a folder that says where it was made."""
    return [
        (str(path.relative_to(root)), word)
        for path in sorted(root.rglob("*"))
        if path.is_file()
        for word in words
        if word.encode() in path.read_bytes()
    ]


def test_a_run_and_its_report_say_nothing_of_the_machine(settings, folders, tmp_path):
    from interp_xfer_analyses.export_images import export_analysis
    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.registry import ANALYSES

    store = RunStore(tmp_path / "run")
    run_study(make_study(settings), store)
    write_report(store)
    for name in (name for name, analysis in ANALYSES.items() if analysis.reads == "cells"):
        export_analysis(store, name)
    words = [str(tmp_path), str(folders), str(Path.home()) + "/"]
    assert (store.root / "report.html").exists() and list((store.root / "figures").iterdir())
    assert local_words(store.root, *words) == []


def test_nor_does_a_comparison_with_a_failure(settings, folders, tmp_path):
    (tmp_path / "data" / "gsm8k" / "test.jsonl").unlink()
    comparison = make_comparison({**settings, "layer_maps": ["greedy"], "projections": ["ridge"], "units": ["raw"]})
    store, plan = RunStore(tmp_path / "run"), plan_comparison(comparison)
    store.write_plan(comparison.shown_settings(), plan.record())
    assert {outcome.status for outcome in run_plan(plan, store)} == {"failed"}
    assert len(store.read_failures()) == len(plan.cells)
    words = [str(tmp_path), str(folders), str(Path.home()) + "/"]
    assert local_words(store.root, *words) == []
