"""Files are whole or not there: full disk, Ctrl-C, damage, the wrong kind."""

import errno
import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from interp_xfer.errors import ArtifactError
from interp_xfer.files import artifacts, writing
from interp_xfer.files.artifacts import (
    load_artifact,
    read_json,
    save_artifact,
    write_json,
    write_text,
)
from interp_xfer.files.places import require_artifact_place

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}
DESCRIPTION = {"name": "Zoë", "values": [1, 2.5, None], "nested": {"x": True}}


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_round_trip(tmp_path):
    directory = save_artifact(tmp_path / "runs" / "x", "concept", DESCRIPTION, TENSORS)
    assert files(directory) == ["concept.json", "concept.safetensors"]
    description, tensors = load_artifact(directory, "concept")
    assert description == {"kind": "concept", **DESCRIPTION}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    assert files(tmp_path / "runs") == ["x", "x/concept.json", "x/concept.safetensors"]


def test_views_and_transposes_are_stored_as_they_look(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    save_artifact(tmp_path / "x", "concept", {}, {"t": base.T, "row": base[1].clone()})
    assert torch.equal(load_artifact(tmp_path / "x", "concept")[1]["t"], base.T)


def test_saving_again_replaces(tmp_path):
    save_artifact(tmp_path / "x", "concept", DESCRIPTION, TENSORS)
    save_artifact(tmp_path / "x", "concept", {"name": "new"}, {"c": torch.zeros(1)})
    assert files(tmp_path) == ["x", "x/concept.json", "x/concept.safetensors"]
    assert load_artifact(tmp_path / "x", "concept")[0]["name"] == "new"


def mine(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")


def with_a_file_more(folder):
    save_artifact(folder, "concept", DESCRIPTION, TENSORS)
    (folder / "notes.txt").write_text("mine")


def of_another_kind(folder):
    save_artifact(folder, "transfer", DESCRIPTION, TENSORS)


def with_its_names_only(folder):
    folder.mkdir()
    (folder / "concept.json").write_text('{"title": "my concept"}')
    (folder / "concept.safetensors").write_text("mine")


def of_links(folder):
    save_artifact(folder, "concept", DESCRIPTION, TENSORS)
    (folder / "concept.json").rename(folder.parent / "kept.json")
    (folder / "concept.json").symlink_to(folder.parent / "kept.json")


def a_link_to_mine(folder):
    mine(folder.parent / "far")
    folder.symlink_to(folder.parent / "far")


def a_file(folder):
    folder.write_text("mine")


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (mine, "holds thesis.tex, and not just what would be replaced"),
        (with_a_file_more, "holds concept.json, concept.safetensors, notes.txt, and not just"),
        (of_another_kind, "holds transfer.json, transfer.safetensors, and not just"),
        (with_its_names_only, "holds concept.json, concept.safetensors, and not just"),
        (of_links, "holds concept.json, concept.safetensors, and not just"),
        (a_link_to_mine, "holds thesis.tex, and not just"),
        (a_file, "is a file, not a folder"),
    ],
)
def test_what_is_not_ours_stays(tmp_path, make, found):
    make(tmp_path / "x")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    for attempt in (save_artifact, lambda *rest: require_artifact_place(*rest[:2])):
        with pytest.raises(ArtifactError, match=f"{found}.*; nothing was changed. Name a new or empty folder"):
            attempt(tmp_path / "x", "concept", {}, TENSORS)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (".", "the working directory or your home"),
        ("..", "holds .*, and not just"),
        ("../../..", "holds .*, and not just"),
        ("../home", "the working directory or your home"),
        ("/", "holds .*, and not just"),
    ],
)
def test_the_working_directory_and_its_parents_stay(tmp_path, monkeypatch, place, found):
    (tmp_path / "a" / "home").mkdir(parents=True)
    (tmp_path / "a" / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "empty")
    monkeypatch.setenv("HOME", str(tmp_path / "a" / "home"))
    with pytest.raises(ArtifactError, match=found):
        save_artifact(Path(place), "concept", {}, TENSORS)
    assert files(tmp_path) == ["a", "a/empty", "a/home"]


def test_an_artifact_in_the_working_directory_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(save_artifact(tmp_path / "x", "concept", DESCRIPTION, TENSORS))
    with pytest.raises(ArtifactError, match="the working directory"):
        save_artifact(Path("."), "concept", {}, TENSORS)
    assert load_artifact(tmp_path / "x", "concept")[0]["name"] == "Zoë"


def test_links_stay_links(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "x").symlink_to("large disk")
    (tmp_path / "a.json").symlink_to("large disk/b.json")
    for name in ("one", "two"):
        save_artifact(tmp_path / "x", "concept", {"name": name}, TENSORS)
        write_json(tmp_path / "a.json", {"name": name}) if name == "two" else None
    assert (tmp_path / "x").is_symlink() and (tmp_path / "a.json").is_symlink()
    assert load_artifact(tmp_path / "large disk", "concept")[0]["name"] == "two"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        folder = save_artifact(tmp_path / "x", "concept", {}, TENSORS)
        record = write_json(tmp_path / "cells" / "a.json", {})
    finally:
        os.umask(before)
    for path in (folder, record.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask
    for path in (record, *folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_two_writers_both_end_well(tmp_path):
    """Many times each, on one folder and one file: whole at the end, and nothing beside them."""

    def write(name):
        for _ in range(30):
            save_artifact(tmp_path / "x", "concept", {"name": name}, {"a": torch.full((3,), float(name))})
            write_json(tmp_path / "a.json", {"name": name, "again": name})

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, name) for name in "1234"]:
            done.result()
    description, tensors = load_artifact(tmp_path / "x", "concept")
    assert tensors["a"].tolist() == [float(description["name"])] * 3
    record = read_json(tmp_path / "a.json")
    assert record["name"] == record["again"]
    assert files(tmp_path) == ["a.json", "x", "x/concept.json", "x/concept.safetensors"]


@pytest.mark.parametrize("fails_in", ["save_file", "_dump"])
@pytest.mark.parametrize(("failure", "error"), [(full_disk, ArtifactError), (interrupted, KeyboardInterrupt)])
def test_nothing_half_written_is_left(tmp_path, monkeypatch, fails_in, failure, error):
    """An artifact that was there before stays as it was."""
    save_artifact(tmp_path / "old", "concept", DESCRIPTION, TENSORS)
    before = files(tmp_path)
    monkeypatch.setattr(artifacts, fails_in, failure)
    for name in ("old", "new"):
        with pytest.raises(error) as caught:
            save_artifact(tmp_path / name, "concept", {"name": "other"}, {"c": torch.zeros(1)})
        if error is ArtifactError:
            assert str(caught.value) == (
                f"cannot write {tmp_path / name}: the disk is full. Nothing was left behind; free space and retry."
            )
    assert files(tmp_path) == before
    assert load_artifact(tmp_path / "old", "concept")[0]["name"] == "Zoë"


def test_safetensors_reports_a_full_disk_in_its_own_words(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def fails(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(artifacts, "save_file", fails)
    with pytest.raises(ArtifactError, match="the disk is full. Nothing was left behind"):
        save_artifact(tmp_path / "x", "concept", {}, TENSORS)
    assert files(tmp_path) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (
        lambda: save_artifact(tmp_path / "file" / "x", "concept", {}, TENSORS),
        lambda: write_json(tmp_path / "file" / "x.json", {}),
    ):
        with pytest.raises(ArtifactError, match="cannot write .*file"):
            write()


@pytest.mark.parametrize("missing", ["concept.json", "concept.safetensors"])
def test_missing_files_are_named(tmp_path, missing):
    save_artifact(tmp_path / "x", "concept", {}, TENSORS)
    (tmp_path / "x" / missing).unlink()
    with pytest.raises(ArtifactError, match=rf"is no concept artifact: .*{missing} is missing. Make it again"):
        load_artifact(tmp_path / "x", "concept")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("concept.json", b'{"kind": "conc'),
        ("concept.json", b"\xff\xfe\x00"),
        ("concept.json", b"[1, 2]"),
        ("concept.json", b""),
        ("concept.json", b'{"kind": "concept", "x": NaN}'),
    ],
)
def test_damage_is_reported_with_the_remedy(tmp_path, name, content):
    save_artifact(tmp_path / "x", "concept", {}, TENSORS)
    (tmp_path / "x" / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="is damaged .*Delete it and make it again"):
        load_artifact(tmp_path / "x", "concept")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_tensors_that_do_not_parse(tmp_path, content):
    """Also where somebody mended the sha256."""
    folder = save_artifact(tmp_path / "x", "concept", {}, TENSORS)
    (folder / "concept.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match="concept.safetensors is not what .*concept.json was written for"):
        load_artifact(folder, "concept")
    description = json.loads((folder / "concept.json").read_text())
    description["tensors"] = {"concept.safetensors": hashlib.sha256(content).hexdigest()}
    (folder / "concept.json").write_text(json.dumps(description))
    if content.endswith(b"{}"):
        assert load_artifact(folder, "concept")[1] == {}  # a file without tensors
    else:
        with pytest.raises(ArtifactError, match="is damaged .*Delete it and make it again"):
            load_artifact(folder, "concept")


def test_tensors_of_another_artifact_or_with_one_bit_turned(tmp_path):
    """Same names and shapes: nothing but the sha256 tells."""
    one, other = (save_artifact(tmp_path / n, "concept", {}, {"a": torch.full((2,), float(n))}) for n in "12")
    taken = (other / "concept.safetensors").read_bytes()
    own = (one / "concept.safetensors").read_bytes()
    for content in (taken, own[:-1] + bytes([own[-1] ^ 1]), own[:-3]):
        (one / "concept.safetensors").write_bytes(content)
        with pytest.raises(ArtifactError) as caught:
            load_artifact(one, "concept")
        assert str(one / "concept.safetensors") in str(caught.value) and str(one / "concept.json") in str(caught.value)
    (one / "concept.safetensors").write_bytes(own)
    assert load_artifact(one, "concept")[1]["a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "tensors", [None, {}, {"concept.safetensors": None}, {"concept.safetensors": "0" * 64}, "x", 3]
)
def test_a_description_without_the_sha256_of_its_tensors(tmp_path, tensors):
    folder = save_artifact(tmp_path / "x", "concept", {}, TENSORS)
    description = json.loads((folder / "concept.json").read_text())
    (folder / "concept.json").write_text(json.dumps({**description, "tensors": tensors}))
    with pytest.raises(ArtifactError, match="is not what"):
        load_artifact(folder, "concept")


def test_another_kind(tmp_path):
    save_artifact(tmp_path / "x", "concept", {}, TENSORS)
    with pytest.raises(ArtifactError, match="is no transfer artifact: .*transfer.json is missing"):
        load_artifact(tmp_path / "x", "transfer")
    for suffix in ("json", "safetensors"):
        (tmp_path / "x" / f"concept.{suffix}").rename(tmp_path / "x" / f"transfer.{suffix}")
    with pytest.raises(ArtifactError, match="transfer.json is a 'concept' artifact, not 'transfer'"):
        load_artifact(tmp_path / "x", "transfer")


def test_records(tmp_path):
    path = write_json(tmp_path / "cells" / "a.json", DESCRIPTION)
    assert read_json(path) == DESCRIPTION and "Zoë" in path.read_text(encoding="utf-8")
    write_json(path, {"b": 1})
    assert read_json(path) == {"b": 1} and files(tmp_path / "cells") == ["a.json"]
    assert write_text(tmp_path / "t.txt", "é\n").read_bytes() == "é\n".encode()


def test_records_have_no_nan(tmp_path):
    """NaN is not JSON; other readers stop at it."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert files(tmp_path) == []


@pytest.mark.parametrize(("failure", "error"), [(full_disk, ArtifactError), (interrupted, KeyboardInterrupt)])
def test_a_record_is_whole_or_the_old_one(tmp_path, monkeypatch, failure, error):
    path = write_json(tmp_path / "a.json", {"old": 1})
    monkeypatch.setattr(writing.os, "replace", failure)
    for target in (path, tmp_path / "new.json"):
        with pytest.raises(error):
            write_json(target, {"new": 1})
    assert files(tmp_path) == ["a.json"] and json.loads(path.read_text()) == {"old": 1}


def test_reading_records_that_are_not_there_or_damaged(tmp_path):
    with pytest.raises(ArtifactError, match="a.json is not there; run the stage that writes it"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"x": ')
    with pytest.raises(ArtifactError, match="a.json is damaged .*Delete it and make it again"):
        read_json(tmp_path / "a.json")
