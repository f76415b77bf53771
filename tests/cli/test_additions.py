"""One more of each kind, registered from outside the package, works from the command line without another change."""

import json
from dataclasses import replace

import plotly.graph_objects as go
import pytest
import torch
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.questions import flips
from interp_xfer_analyses.registry import ANALYSES

from interp_xfer.arms.controls import CONTROLS, ControlKind, ControlSources, make_control
from interp_xfer.concepts.methods import METHODS, FoundDirection, MethodKind
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS, LayerMapKind
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS, LinearMapKind, fitted_by
from interp_xfer.steering.operators import OPERATORS, OperatorKind
from interp_xfer.tasks import CONTRAST_KINDS, TASKS
from interp_xfer.tasks.contrast import ContrastKind

called = []


def upside_down(inputs):
    called.append("layer map")
    return [inputs.n_parent - 1 - min(c, inputs.n_parent - 1) for c in range(inputs.n_child)]


def least_squares(moments):
    called.append("linear map")
    return torch.linalg.lstsq(
        moments.xx + 1e-3 * moments.xx.diagonal().mean() * torch.eye(len(moments.xx)), moments.xy
    )[0]


def median_difference(differences, settings):
    called.append("method")
    return FoundDirection(differences.median(dim=0).values)


def half(h, v, c):
    called.append("operator")
    return h + 0.5 * c * v


def backwards(problems, task, seed):
    called.append("contrast kind")
    made = CONTRAST_KINDS["reasoning-vs-answer"].make(problems, task, seed)
    return [replace(pair, positive=pair.negative, negative=pair.positive) for pair in made]


def drawn(table):
    called.append("analysis")
    return go.Figure()


ADDITIONS = (
    (LAYER_MAPS, LayerMapKind("upside-down", "last first", upside_down)),
    (LINEAR_MAPS, LinearMapKind("least-squares", "nearly", fitted_by(least_squares, "least-squares"))),
    (METHODS, MethodKind("median", "median difference", median_difference)),
    (OPERATORS, OperatorKind("half", "half of it", half)),
    (TASKS, replace(TASKS["sums"], name="more-sums")),
    (CONTRAST_KINDS, ContrastKind("backwards", "the wrong way round", backwards)),
    (
        ANALYSES,
        Analysis(
            "nothing", "Is it empty?", flips.compute, drawn, lambda table: Draft(), lambda table: "Nothing.", "", ""
        ),
    ),
)  # fmt: skip


@pytest.fixture
def added():
    called.clear()
    for table, entry in ADDITIONS:
        table.add(entry)
    yield
    for table, entry in ADDITIONS:
        table.remove(entry.name)


def test_one_of_each_through_the_command_line(added, folders, run, tmp_path):
    settings = {
        "parent": folders / "parent", "child": folders / "child", "dataset": "more-sums", "pairs": "backwards",
        "method": "median", "layer_map": "upside-down", "projection": "least-squares", "operator": "half",
        "n_pairs": 8, "n_fit_texts": 20, "n_calibration": 4, "n_aligned": 0, "n_validation": 1, "n_test": 2,
        "n_shots": 0, "max_new_tokens": 3, "strengths": [0.5], "dtype": "float32",
    }  # fmt: skip
    file = tmp_path / "study.yaml"
    file.write_text("".join(f"{name}: {setting}\n" for name, setting in settings.items()))
    code, _, err = run("run", file, "--out", tmp_path / "run")
    assert code == 0, err
    (cell,) = (tmp_path / "run" / "cells").iterdir()
    record = json.loads(cell.read_text())
    assert record["layer_map"]["strategy"] == "upside-down" and record["layer_map"]["parent_of"] == [2, 1, 0]
    assert record["projection"]["kind"] == "least-squares" and record["concept"]["method"] == "median"
    assert all(fit["r2"] <= 1 for fit in record["projection"]["fits"].values())
    code, _, err = run("analyse", "nothing", tmp_path / "run")
    assert code == 0, err
    assert set(called) == {"layer map", "linear map", "method", "operator", "contrast kind", "analysis"}
    listed = run("presets")[1]
    assert all(entry.name in listed for _, entry in ADDITIONS)
    # Each of them from the verbs that take it one at a time, too.
    both = ("--parent", folders / "parent", "--child", folders / "child", "--dataset", "more-sums")
    code, _, err = run("map", *both, "--strategy", "upside-down", "--out", tmp_path / "map.json")
    assert code == 0, err
    fit = ("--map", tmp_path / "map.json", "--n-texts", 20, "--offset", 0, "--kind", "least-squares")
    code, _, err = run("project", *both, *fit, "--out", tmp_path / "projection")
    assert code == 0, err


def test_an_arm_from_outside(models):
    from tiny_models import random_steering

    from interp_xfer.transfer.carry import Calibration

    real = random_steering(models["llama"])
    calibration = Calibration(real.vectors, real.residual_norms, real.child, real.prompts, 1)
    CONTROLS.add(ControlKind("same", "the same again", lambda sources, seed, draw: sources.controlled))
    try:
        assert make_control("same", ControlSources(real, calibration)) is real
    finally:
        CONTROLS.remove("same")


def test_a_name_that_is_taken_is_refused():
    from interp_xfer.errors import ConfigError

    with pytest.raises(ConfigError, match="there is a layer map 'cka' already"):
        LAYER_MAPS.add(LayerMapKind("cka", "another", upside_down))


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        (("map", "--strategy"), "ckaa", "unknown layer map 'ckaa'; did you mean 'cka'?"),
        (("project", "--map", "x", "--kind"), "rigde", "unknown projection 'rigde'; did you mean 'ridge'?"),
        (("extract", "--method"), "pcaa", "unknown method 'pcaa'; did you mean 'pca'?"),
        (
            ("extract", "--pairs"),
            "instructions",
            "did you mean 'instruction'?",
        ),
    ],
)
def test_a_wrong_name_is_a_usage_error_with_the_nearest_one(run, folders, tmp_path, option, name, message):
    both = ("--parent", folders / "parent", "--out", tmp_path / "x")
    child = () if option[0] == "extract" else ("--child", folders / "child")
    code, _, err = run(option[0], *both, *child, *option[1:], name)
    assert code == 2 and message in " ".join(err.replace("│", " ").split())
