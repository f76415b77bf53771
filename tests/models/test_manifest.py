"""A folder in the cache that is not what was written is noticed."""

import pytest

from interp_xfer.models.manifest import NAME, damage, write_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "config.json").write_text("{}")
    write_manifest(tmp_path)
    return tmp_path


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_whole(folder):
    assert damage(folder) is None


@pytest.mark.parametrize("at", [0, 5000, -1])
def test_one_flipped_bit(folder, at):
    flip(folder / "model.safetensors", at)
    assert damage(folder) == "model.safetensors has other content than was written"


def test_cut_off_missing_added(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert damage(folder) == "model.safetensors has 100 bytes, not 10240"
    path.unlink()
    assert damage(folder) == "model.safetensors is missing"
    path.mkdir()
    assert damage(folder) == "model.safetensors is missing"


def test_a_file_that_was_added(folder):
    (folder / "adapter_config.json").write_text("{}")
    assert damage(folder) == "adapter_config.json was added"


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 3}', b'{"config.json": [2]}', b"[" * 10**5, b"\xff", None])
def test_a_manifest_that_cannot_be_read(folder, content):
    (folder / NAME).unlink() if content is None else (folder / NAME).write_bytes(content)
    assert f"{NAME} cannot be read" in damage(folder)


def test_names_stay_in_the_folder(folder, tmp_path_factory):
    (folder / NAME).write_text('{"../../../etc/passwd": [1, "a"]}')
    assert damage(folder) == "../../../etc/passwd is missing"
