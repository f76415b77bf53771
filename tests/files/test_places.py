"""Which places may be written; looking at them changes nothing."""

import sys
from pathlib import Path

import pytest

from interp_xfer.errors import ArtifactError, WriteError
from interp_xfer.files.artifacts import write_json, write_text
from interp_xfer.files.places import RUN_MARK, require_record_place, require_run_place, require_settings_place


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"kind": "search", "n": 3}', None),
        ("", None),
        ('{"kind": "map"}', "'map', not 'search'"),
        ("my notes", "no record of this kind, not 'search'"),
        ('{"my": "data"}', "no record of this kind, not 'search'"),
    ],
)
def test_which_files_a_record_may_replace(tmp_path, content, found):
    (tmp_path / "a.json").write_text(content)
    if found is None:
        require_record_place(tmp_path / "a.json", "search")
    else:
        with pytest.raises(ArtifactError, match=f"a.json is there and {found}; nothing was changed"):
            require_record_place(tmp_path / "a.json", "search")
    assert (tmp_path / "a.json").read_text() == content and files(tmp_path) == ["a.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="devices")
@pytest.mark.parametrize(
    ("place", "found"), [("/dev/null", "a device or pipe"), ("folder", "a folder"), (".", "a folder")]
)
def test_a_record_replaces_no_folder_and_no_device(tmp_path, monkeypatch, place, found):
    """As root, a rename onto /dev/null would remove the device."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for attempt in (lambda path: write_json(path, {}), lambda path: require_record_place(path, "search")):
        with pytest.raises(ArtifactError, match=f"is {found}, not a file; nothing was changed"):
            attempt(Path(place))
    assert files(tmp_path) == ["folder"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"study.yaml": f"{RUN_MARK}parent: a\n"},
        {"comparison.yaml": f"{RUN_MARK}parents: [a]\n", "notes.txt": "of the user"},
        {"layers/0123456789ab/layers.json": "{}", "notes.txt": ""},
        {"layers/.interp-xfer-00000000-00000000/lock": ""},
        {".interp-xfer-00000000-00000000/lock": ""},
    ],
)
def test_folders_of_runs(tmp_path, content):
    """New, empty, or known by the settings in it; workspaces of other processes do not count."""
    for name, text in content.items():
        write_text(tmp_path / "run" / name, text)
    before = files(tmp_path)
    require_run_place(tmp_path / "run")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"study.yaml": "parent: a\n"}, "holds study.yaml, and is no run"),
        ({"a": "", "b": "", "c": "", "d": ""}, "holds a, b, c and 1 more, and is no run"),
        ({"report.html": "mine"}, "holds report.html, and is no run"),
        ({"cells/a.json": "of biology", "layers/a.txt": "of onions"}, "holds cells, layers, and is no run"),
    ],
)
def test_folders_of_others(tmp_path, content, found):
    """Among them one with a study that the user wrote: `run study.yaml --out .` would replace it."""
    for name, text in content.items():
        write_text(tmp_path / name, text)
    with pytest.raises(ArtifactError, match=f"{found}; nothing was changed. Name a new or empty folder"):
        require_run_place(tmp_path)


def test_no_folder_at_all(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="file is a file, not a folder; nothing was changed"):
        require_run_place(tmp_path / "file")
    with pytest.raises(WriteError, match="a part of the path is a file"):
        require_run_place(tmp_path / "file" / "run")
    with pytest.raises(WriteError, match="the name is too long. Nothing was left behind; choose a shorter one"):
        require_run_place(tmp_path / ("a" * 300))


def test_settings_of_the_user_stay(tmp_path):
    """Also beside those of a run of the other kind."""
    require_settings_place(tmp_path / "study.yaml")
    write_text(tmp_path / "study.yaml", f"{RUN_MARK}parent: a\n")
    require_settings_place(tmp_path / "study.yaml")
    write_text(tmp_path / "comparison.yaml", "parents: [a]\n")
    with pytest.raises(ArtifactError, match="comparison.yaml was not written by a run; nothing was changed"):
        require_settings_place(tmp_path / "comparison.yaml")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="gone.yaml was not written by a run"):
        require_settings_place(tmp_path / "gone.yaml")
