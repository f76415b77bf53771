"""A folder of the model cache is whole or not there."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interp_xfer.errors import ModelError
from interp_xfer.models.cache import cache_dir, cached_folder

ROOT = Path(__file__).parents[2]


def fill(folder):
    (folder / "config.json").write_text("{}")


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_filled_once(tmp_path):
    calls = []

    def counted(folder):
        calls.append(folder)
        fill(folder)

    target = tmp_path / "cache" / "model"
    assert cached_folder(target, counted) == cached_folder(target, counted) == target
    assert len(calls) == 1 and calls[0] != target
    assert files(tmp_path) == ["cache", "cache/model", "cache/model/config.json"]


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            ModelError,
            "the disk is full. Free space and retry, or point INTERP",
        ),
        (OSError(errno.EACCES, "Permission denied"), ModelError, "not permitted. Change the perm"),
        (ModelError("the bytes are wrong"), ModelError, "the bytes are wrong"),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
    ],
)
def test_nothing_is_left_of_a_failure(tmp_path, failure, error, message):
    def fails(folder):
        fill(folder)
        raise failure

    with pytest.raises(error, match=message):
        cached_folder(tmp_path / "model", fails)
    assert files(tmp_path) == []
    cached_folder(tmp_path / "model", fill)
    assert files(tmp_path) == ["model", "model/config.json"]


def test_what_a_killed_process_left_goes(tmp_path):
    """Gigabytes after a kill in the middle of a conversion or a download, even if the model is there by now."""
    killed = """
import os, sys, pathlib
from interp_xfer.models.cache import cached_folder
def fill(folder):
    (folder / "half").write_bytes(bytes(1000))
    (folder.with_name("download")).mkdir()
    os._exit(9)
cached_folder(pathlib.Path(sys.argv[1]) / "model", fill)
"""
    cache = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", killed, cache], check=False, cwd=ROOT)
    assert [name.endswith("/new/half") for name in files(cache)].count(True) == 1
    (cache / "model").mkdir()
    assert cached_folder(cache / "model", fill) == cache / "model" and files(cache) == ["model"]


def test_modes_follow_the_umask(tmp_path):
    def saved(folder):
        (folder / "config.json").touch(mode=0o600)  # as some libraries do

    before = os.umask(0o027)
    try:
        folder = cached_folder(tmp_path / "model", saved)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "config.json")] == [0o750, 0o640]


def test_another_process_was_first(tmp_path):
    """Its folder has the same content and stays."""

    def slow(folder):
        fill(folder)
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "theirs.json").write_text("{}")

    assert cached_folder(tmp_path / "model", slow) == tmp_path / "model"
    assert files(tmp_path) == ["model", "model/theirs.json"]


def test_a_cache_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write the model cache .*point INTERP_XFER_CACHE elsewhere"):
        cached_folder(tmp_path / "file" / "model", fill)


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("INTERP_XFER_CACHE", raising=False)
    assert cache_dir() == Path("/home/ada/.cache/interp-xfer")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert cache_dir() == Path("/fast/interp-xfer")
    monkeypatch.setenv("INTERP_XFER_CACHE", "~/models")
    assert cache_dir() == Path("/home/ada/models")
