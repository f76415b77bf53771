"""The command line as a user types it: stages in order on tiny models from disk, and one clear line on bad input."""

import errno
import json
from pathlib import Path

import pytest


def test_stages_in_order(folders, run, tmp_path):
    parent, child = folders / "parent", folders / "child"
    data = ("--dataset", "sums")
    few = ("--n-shots", 0, "--max-new-tokens", 4, "--grid", "0.1,1.0")

    assert run("extract", "--parent", parent, *data, "--n-pairs", 12, "--out", tmp_path / "concept")[0] == 0
    code, out, _ = run("map", "--parent", parent, "--child", child, "--strategy", "greedy", "--out", tmp_path / "map")
    assert code == 0 and "[0, 1, 2]" in out
    project = ("project", "--parent", parent, "--child", child, "--map", tmp_path / "map", *data)
    assert run(*project, "--n-texts", 12, "--offset", 20, "--out", tmp_path / "projection")[0] == 0
    transfer = ("transfer", "--concept", tmp_path / "concept", "--map", tmp_path / "map", "--child", child, *data)
    code, out, _ = run(
        *transfer, "--projection", tmp_path / "projection", "--n-calibration", 4, "--offset", 12,
        "--out", tmp_path / "steering",
    )  # fmt: skip
    assert code == 0 and "3 of 3 child layers steered" in out
    steered = ("--child", child, "--steering", tmp_path / "steering", *data, *few)
    assert run("search", *steered, "--n", 3, "--out", tmp_path / "search.json")[0] == 0
    found = json.loads((tmp_path / "search.json").read_text())
    assert [row["strength"] for row in found["strengths"]] == [0.0, 0.1, 1.0]
    code, out, _ = run(
        "evaluate", *steered, "--n", 4, "--search", tmp_path / "search.json", "--out", tmp_path / "evaluation.json"
    )
    assert code == 0
    result = json.loads((tmp_path / "evaluation.json").read_text())
    assert result["baseline"]["n"] == result["lambda_star"]["n"] == result["vote"]["n"] == 4
    assert result["lambda_star"]["strength"] == found["lambda_star"]


def test_artifacts_of_other_models_maps_and_searches_are_refused(folders, run, tmp_path):
    """Every reader looks at what a file is for; nothing is written then."""
    parent, child = folders / "parent", folders / "child"
    data = ("--dataset", "sums")

    def made(*arguments):
        code, _, err = run(*arguments)
        assert code == 0, err

    def refused(*arguments):
        code, _, err = run(*arguments, "--out", tmp_path / "refused")
        assert code == 1 and err.startswith("error: ") and not (tmp_path / "refused").exists()
        return err

    for name, ends in (("map", (parent, child)), ("turned", (child, parent))):
        made("map", "--parent", ends[0], "--child", ends[1], "--strategy", "greedy", "--out", tmp_path / name)
    made("map", "--parent", parent, "--child", child, "--strategy", "random-monotone", "--out", tmp_path / "random")
    project = ("project", "--parent", parent, "--child", child, *data, "--kind", "identity", "--n-texts", 2)
    assert "the layer map" in refused(*project, "--map", tmp_path / "turned")
    made(*project, "--map", tmp_path / "map", "--out", tmp_path / "projection")
    made("extract", "--parent", parent, *data, "--n-pairs", 4, "--out", tmp_path / "concept")
    transfer = ("transfer", "--concept", tmp_path / "concept", "--child", child, *data, "--offset", 12)
    transfer += ("--n-calibration", 4, "--projection", tmp_path / "projection", "--map")
    assert "the layer map" in refused(*transfer, tmp_path / "turned")
    assert "was fitted for a greedy layer map, not for this random-monotone" in refused(*transfer, tmp_path / "random")
    made(*transfer, tmp_path / "map", "--out", tmp_path / "steering")
    from tiny_models import random_steering

    from interp_xfer import load_model

    random_steering(load_model(str(child))).save(tmp_path / "other")
    asked = ("--child", child, *data, "--n-shots", 0, "--max-new-tokens", 2, "--n", 2, "--grid", "0.5")
    made("search", *asked, "--steering", tmp_path / "steering", "--out", tmp_path / "search.json")
    evaluate = ("evaluate", *asked, "--search", tmp_path / "search.json", "--steering")
    assert "steering " in refused(*evaluate, tmp_path / "other")
    err = refused(*evaluate, tmp_path / "steering", "--unit", "raw", "--tokens", "prompt")
    assert "tokens all / prompt; unit relative / raw" in err
    err = refused("evaluate", *asked, "--steering", tmp_path / "steering", "--search", tmp_path / "map")
    assert "is a 'map' record, not 'search'" in err


def test_leaking_projection_is_refused(folders, run, tmp_path):
    parent, child = folders / "parent", folders / "child"
    run("extract", "--parent", parent, "--dataset", "sums", "--n-pairs", 12, "--out", tmp_path / "concept")
    run("map", "--parent", parent, "--child", child, "--strategy", "greedy", "--out", tmp_path / "map")
    run(
        "project", "--parent", parent, "--child", child, "--map", tmp_path / "map", "--dataset", "sums",
        "--n-texts", 12, "--offset", 6, "--out", tmp_path / "projection",
    )  # fmt: skip
    code, _, err = run(
        "transfer", "--concept", tmp_path / "concept", "--map", tmp_path / "map", "--projection",
        tmp_path / "projection", "--child", child, "--dataset", "sums", "--n-calibration", 4, "--offset", 30,
        "--out", tmp_path / "steering",
    )  # fmt: skip
    assert code == 1 and "also contrast pairs" in err
    assert not (tmp_path / "steering").exists()


def test_run_writes_report_and_resumes(folders, run, tmp_path, monkeypatch):
    study = tmp_path / "small.yaml"
    study.write_text(
        f"parent: {folders / 'parent'}\nchild: {folders / 'child'}\ndataset: sums\nn_pairs: 8\nn_fit_texts: 10\n"
        "n_calibration: 3\nn_validation: 3\nn_test: 4\nn_shots: 0\nmax_new_tokens: 4\nstrengths: [0.1, 0.5]\n"
    )
    code, out, err = run("run", study, "--out", tmp_path / "run", "--set", "n_validation=2")
    assert code == 0, err
    cell = json.loads(next((tmp_path / "run" / "cells").glob("*.json")).read_text())
    assert cell["validation"]["n"] == 2 and cell["test"]["n"] == 4
    page = (tmp_path / "run" / "report.html").read_bytes()
    assert "report" in out
    from interp_xfer.studies import study_models

    def no_model(*_: object, **__: object) -> None:
        raise AssertionError("a finished run must not load a model")

    monkeypatch.setattr(study_models, "load_model", no_model)
    assert run("run", study, "--out", tmp_path / "run", "--set", "n_validation=2")[0] == 0
    assert (tmp_path / "run" / "report.html").read_bytes() == page
    assert run("report", tmp_path / "run")[0] == 0
    assert run("analyse", "lambda-robustness", tmp_path / "run")[0] == 0

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)  # before every write
    code, out, _ = run("run", study, "--out", tmp_path / "run", "--set", "n_validation=2")
    assert code == 0 and "baseline" in out and "report" in out
    (tmp_path / "run" / "report.html").write_text("of an earlier version")
    code, out, err = run("run", study, "--out", tmp_path / "run", "--set", "n_validation=2")
    assert code == 1 and "baseline" in out and "results" in out
    assert err.endswith("report.html: the file system is read-only. Nothing was left behind; name another place.\n")


def test_dry_run_prints_the_plan_only(folders, run, tmp_path):
    study = tmp_path / "small.yaml"
    study.write_text(f"parent: {folders / 'parent'}\nchild: {folders / 'child'}\ndataset: sums\n")
    code, out, _ = run("run", study, "--out", tmp_path / "run", "--dry-run")
    assert code == 0 and "n_pairs" in out and not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["models", "datasets", "presets"])
def test_listings(run, verb):
    code, out, _ = run(verb)
    assert code == 0 and len(out.splitlines()) > 4


BAD = [
    pytest.param(("--parent", "bundled:nothing"), "unknown bundled model 'nothing'", id="unknown bundled model"),
    pytest.param(("--parent", "./nowhere"), "no such folder", id="missing folder"),
    pytest.param(("--parent", "not a model!"), "is not a reference", id="no reference"),
    pytest.param(("--parent", "gguf:nowhere.gguf"), "there is no file", id="missing gguf"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_line_and_no_file(run, tmp_path, arguments, message):
    code, out, err = run("extract", *arguments, "--dataset", "sums", "--n-pairs", 4, "--out", tmp_path / "concept")
    assert code == 1
    assert message in err and err.startswith("error: ") and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_bad_rows_name_file_and_line(folders, run, tmp_path):
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    file = tmp_path / "data" / "gsm8k" / "train.jsonl"
    good = json.dumps({"question": "How many legs have two cats?", "answer": "2 * 4 = 8\n#### 8"})
    file.write_text(f"{good}\n{{broken\n")
    code, _, err = run(
        "extract", "--parent", folders / "parent", "--data-dir", tmp_path / "data", "--out", tmp_path / "concept"
    )
    assert code == 1 and str(file) in err and "2" in err and not (tmp_path / "concept").exists()
    file.write_text("")
    code, _, err = run(
        "extract", "--parent", folders / "parent", "--data-dir", tmp_path / "data", "--out", tmp_path / "concept"
    )
    assert code == 1 and "empty" in err


@pytest.mark.parametrize("strengths", ["nan", "0.1,inf", "0.1,0.1", "0", "a,b"])
def test_bad_strengths(folders, run, tmp_path, strengths):
    from tiny_models import random_steering

    from interp_xfer import load_model

    random_steering(load_model(str(folders / "child"))).save(tmp_path / "steering")
    code, _, err = run(
        "search", "--child", folders / "child", "--steering", tmp_path / "steering", "--dataset", "sums", "--n", 2,
        "--n-shots", 0, "--grid", strengths, "--out", tmp_path / "search.json",
    )  # fmt: skip
    assert code == 1 and err.splitlines()[-1].startswith("error: ") and not (tmp_path / "search.json").exists()


def test_vectors_of_another_model_name_both(folders, run, tmp_path):
    from tiny_models import random_steering

    from interp_xfer import load_model

    random_steering(load_model(str(folders / "parent"))).save(tmp_path / "steering")
    code, _, err = run(
        "search", "--child", folders / "child", "--steering", tmp_path / "steering", "--dataset", "sums", "--n", 2,
        "--out", tmp_path / "search.json",
    )  # fmt: skip
    assert code == 1 and "made for parent [" in err and "used with child [" in err


def test_interrupt_is_no_traceback(folders, run, tmp_path, monkeypatch):
    import interp_xfer.concepts.extract as concepts

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(concepts, "contrast_differences", interrupt)
    code, _, err = run(
        "extract", "--parent", folders / "parent", "--dataset", "sums", "--n-pairs", 4, "--out", tmp_path / "concept"
    )
    assert code == 130 and "interrupted" in err and "Traceback" not in err and not (tmp_path / "concept").exists()
