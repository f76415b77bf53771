"""Files are whole or not there: full disk, Ctrl-C, damage, the wrong kind."""

import errno
import hashlib
import json
import stat

import pytest
import torch

from interp_xfer import artifacts
from interp_xfer.artifacts import load_artifact, read_json, save_artifact, write_json, write_text
from interp_xfer.errors import ArtifactError

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
    (tmp_path / "x" / "left-over.txt").write_text("old")
    save_artifact(tmp_path / "x", "concept", {"name": "new"}, {"c": torch.zeros(1)})
    assert files(tmp_path / "x") == ["concept.json", "concept.safetensors"]
    assert load_artifact(tmp_path / "x", "concept")[0]["name"] == "new"


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
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
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
    monkeypatch.setattr(artifacts.os, "replace", failure)
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
