"""No secret in a message, no path of this machine in a file that is passed on."""

import pytest

from interp_xfer.errors import InterpXferError, ModelError
from interp_xfer.redaction import shareable, without_secrets


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "db_password"]
)
def test_values_of_secret_variables_are_masked(monkeypatch, name):
    monkeypatch.setenv(name, "planted-4711")
    assert without_secrets("401 for planted-4711 at hub") == "401 for *** at hub"
    assert str(ModelError("401 for planted-4711")) == "401 for ***"
    assert InterpXferError("planted-4711").args == ("***",)


def test_ordinary_variables_and_short_values_stay(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("EDITOR_OF_CHOICE", "something-long")
    assert without_secrets("false something-long") == "false something-long"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("token hf_AbCdEfGhIjKlMnOpQrSt is invalid", "token *** is invalid"),
        ("proxy http://me:pass%40word@host:3128/x", "proxy http://***@host:3128/x"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***"),
        (
            "model hf_internal/tiny at https://huggingface.co/a/b",
            "model hf_internal/tiny at https://huggingface.co/a/b",
        ),
    ],
)
def test_tokens_and_passwords_are_masked_by_their_form(text, clean):
    assert without_secrets(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('  File "/home/me/lib/x.py", line 3, in f', '  File "x.py", line 3, in f'),
        ("/data/gsm8k/train.jsonl, line 2: no field", "train.jsonl, line 2: no field"),
        ("model 'gguf:/home/me/m.gguf'; see ~/notes/a.txt.", "model 'gguf:m.gguf'; see a.txt."),
        ("cannot read /a/b/: denied", "cannot read b: denied"),
        ("org/name at https://huggingface.co/org/name", "org/name at https://huggingface.co/org/name"),
        (r"1/2, /2, $\frac{1}{2}/\sqrt{3}$, and/or, 3 /4/", r"1/2, /2, $\frac{1}{2}/\sqrt{3}$, and/or, 3 /4/"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_paths_are_cut_to_their_last_part(text, clean):
    assert shareable(text) == clean
    shareable(text).encode("utf-8")
