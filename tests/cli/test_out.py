"""`--out` of every verb is looked at before anything is loaded: the models of these command lines do not exist."""

import json

import pytest
import torch

from interp_xfer.files.artifacts import save_artifact

PARENT, CHILD, SUMS = ("--parent", "./nowhere"), ("--child", "./nowhere"), ("--dataset", "sums")
STEERED = (*CHILD, "--steering", "nowhere", *SUMS)
FOLDERS = {
    "extract": (*PARENT, *SUMS),
    "project": (*PARENT, *CHILD, "--map", "nowhere", *SUMS),
    "transfer": ("--concept", "nowhere", "--map", "nowhere", "--projection", "nowhere", *CHILD, *SUMS),
}
FILES = {
    "map": (*PARENT, *CHILD, *SUMS),
    "search": STEERED,
    "evaluate": (*STEERED, "--strength", 0.1),
    "crosscheck": STEERED,
    "rationales": (*PARENT, *SUMS),
}
RUNS = {
    "demo": ("--set", "parent=./nowhere"),
    "run": ("STUDY",),
    "compare": ("STUDY",),
    "layers": (*PARENT, *CHILD, *SUMS),
}


def command(verb, tmp_path):
    arguments = {**FOLDERS, **FILES, **RUNS}[verb]
    if "STUDY" in arguments:
        study = tmp_path / "study.yaml"
        study.write_text("parent: ./nowhere\nchild: ./neither\ndataset: sums\n")
        return verb, study
    return verb, *arguments


@pytest.fixture
def refused(run, tmp_path):
    """Calls a verb that must end in one line about the place, and change nothing."""

    def call(verb, place):
        line = command(verb, tmp_path)
        before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
        code, _, err = run(*line, "--out", place)
        assert code == 1 and err.startswith("error: ") and len(err.splitlines()) == 1
        assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
        return err

    return call


@pytest.mark.parametrize("verb", [*FOLDERS, *RUNS])
def test_folders_of_the_user(refused, tmp_path, monkeypatch, verb):
    mine = tmp_path / "mine"
    (mine / "inner").mkdir(parents=True)
    (mine / "thesis.tex").write_text("years of work")
    assert "holds inner, thesis.tex, and " in refused(verb, mine)
    assert "is a file, not a folder; nothing was changed" in refused(verb, mine / "thesis.tex")
    assert "a part of the path is a file" in refused(verb, mine / "thesis.tex" / "x")
    assert "the name is too long. Nothing was left behind; choose a shorter one" in refused(verb, mine / ("x" * 300))
    monkeypatch.chdir(mine / "inner")
    assert "holds inner, thesis.tex, and " in refused(verb, "..")
    if verb in FOLDERS:
        assert ". is the working directory or your home" in refused(verb, ".")


@pytest.mark.parametrize("verb", FOLDERS)
def test_artifacts_of_another_kind(refused, tmp_path, verb):
    save_artifact(tmp_path / "x", "alignment", {}, {"a": torch.zeros(1)})
    assert "holds alignment.json, alignment.safetensors, and not just what would be replaced" in refused(
        verb, tmp_path / "x"
    )


@pytest.mark.parametrize("verb", FILES)
def test_files_of_the_user(refused, tmp_path, verb):
    (tmp_path / "folder").mkdir()
    assert "is a folder, not a file; nothing was changed. Name a file" in refused(verb, tmp_path / "folder")
    assert "is a device or pipe, not a file" in refused(verb, "/dev/null")
    assert "the name is too long" in refused(verb, tmp_path / ("x" * 300))
    for content in ("my notes", '{"my": "data"}\n', json.dumps({"kind": "other"}) + "\n"):
        (tmp_path / "mine").write_text(content)
        refused(verb, tmp_path / "mine")


def test_a_study_of_the_user_is_not_replaced_by_its_resolved_form(refused, tmp_path):
    """`run study.yaml --out .`, with the study in this folder."""
    assert "holds study.yaml, and is no run" in refused("run", tmp_path)
