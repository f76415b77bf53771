"""What a user may write to name a model."""

import re

import pytest

from interp_xfer.errors import ModelError
from interp_xfer.models import ModelReference, parse_reference

TABLE = [
    ("microsoft/phi-4", ("hub", "microsoft/phi-4", None)),
    ("gpt2", ("hub", "gpt2", None)),
    ("Qwen/Qwen3-0.6B@main", ("hub", "Qwen/Qwen3-0.6B", "main")),
    ("org/na.me_x-1@0a1b2c", ("hub", "org/na.me_x-1", "0a1b2c")),
    ("org/name@", ("hub", "org/name", None)),
    ("bundled:smollm2-135m-instruct", ("bundled", "smollm2-135m-instruct", None)),
    ("bundled:unheard-of", ("bundled", "unheard-of", None)),
]


@pytest.mark.parametrize(("text", "expected"), TABLE)
def test_forms(text, expected):
    found = parse_reference(text)
    assert found == ModelReference(*expected)
    assert str(found) == text.rstrip("@")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that looks like a model, and a GGUF file, in the working directory."""
    (tmp_path / "org" / "model").mkdir(parents=True)
    (tmp_path / "org" / "model" / "config.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("text", ["org/model", "./org/model", "~/org/model"])
def test_a_folder_wins_over_a_hub_id(folder, text):
    found = parse_reference(text)
    assert found.kind == "folder" and (folder / found.name / "config.json").is_file()


def test_absolute_folder_and_gguf(folder):
    assert parse_reference(str(folder / "org" / "model")).kind == "folder"
    for path in ("weights.gguf", "~/weights.gguf", str(folder / "weights.gguf")):
        found = parse_reference(f"gguf:{path}")
        assert found.kind == "gguf" and str(found) == f"gguf:{found.name}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gguf:nowhere.gguf", "there is no file nowhere.gguf. Give the path of a .gguf file"),
        ("gguf:empty", "there is no file empty"),
        ("./empty", "the folder has no config.json. Give a folder written by save_pretrained, or a GGUF file"),
        ("./nowhere", "model './nowhere': there is no such folder"),
        ("/nowhere/at/all", "there is no such folder"),
        ("a/b/c", "is not a reference. Write org/name[@revision], a folder, gguf:PATH or bundled:NAME"),
        ("with space/name", "is not a reference"),
        ("", "is not a reference"),
        ("hf:org/name", "is not a reference"),
    ],
)
def test_refusals(folder, text, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        parse_reference(text)
