"""Records that anybody may have changed: what passes can be written again, the rest is an ArtifactError in one line."""

import json
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import ArtifactError
from interp_xfer.files import reading
from interp_xfer.files.artifacts import load_artifact, read_json, save_artifact
from interp_xfer.files.reading import parse_json, require_file

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_we_write_is_read(value):
    for escaped in (True, False):
        text = json.dumps(value, ensure_ascii=escaped, allow_nan=False)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            continue  # hypothesis made half a surrogate pair, which no file can hold
        assert parse_json(text) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is no JSON"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' is there twice"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": "\xe9"}', "can't decode byte"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"\x7fELF\x02\x01", "Expecting value"),
        (b"[{}]", "a list, not an object"),
        (b"null", "a NoneType, not an object"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
    ],
)
def test_what_is_no_strict_json(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"a.json is damaged .*{message}.*Delete it and make it again") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_whole_surrogate_pair_is_a_character():
    assert parse_json('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def folder(path):
    path.mkdir()


def circle(path):
    path.symlink_to(path)


def pipe(path):
    os.mkfifo(path)  # reading it would wait for ever


def device(path):
    path.symlink_to("/dev/zero")  # reading it would fill the memory


def endless(path):
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: no bytes on the disk


def below_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (folder, "is a folder, not a file"),
        (circle, "links go in a circle"),
        (pipe, "is a device or pipe"),
        (device, "is a device or pipe"),
        (endless, "has 1099511627776 bytes; no record has more than"),
        (below_a_file, "a part of its path is a file"),
    ],
)
def test_what_is_no_file(tmp_path, make, message):
    (tmp_path / "x").mkdir()
    make(tmp_path / "x" / "a.json")
    with pytest.raises(ArtifactError, match=message):
        read_json(tmp_path / "x" / "a.json")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices")
@pytest.mark.parametrize("name", ["concept.json", "concept.safetensors"])
@pytest.mark.parametrize("make", [folder, circle, pipe, device])
def test_either_file_of_an_artifact(tmp_path, make, name):
    file = save_artifact(tmp_path / "x", "concept", {}, {}) / name
    file.unlink()
    make(file)
    with pytest.raises(ArtifactError, match=name):
        load_artifact(tmp_path / "x", "concept")


def test_names_that_no_file_has(tmp_path):
    with pytest.raises(ArtifactError, match="its name is too long"):
        read_json(tmp_path / ("a" * 300))
    with pytest.raises(ArtifactError, match="cannot be read: embedded null byte"):
        require_file(tmp_path / "a\0b")


def test_reading_is_not_permitted(tmp_path, monkeypatch):
    """A user's permissions; the tests may run as root, who has all."""
    (tmp_path / "a.json").write_text("{}")

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reading.Path, "read_bytes", forbidden)
    with pytest.raises(ArtifactError, match="a.json cannot be read: Permission denied"):
        read_json(tmp_path / "a.json")
    monkeypatch.setattr(reading.os, "stat", forbidden)
    with pytest.raises(ArtifactError, match="reading it is not permitted"):
        read_json(tmp_path / "a.json")
