"""The command line in this process, and models on disk for it."""

import signal
import sys

import pytest


@pytest.fixture(autouse=True)
def signals():
    """The command line handles signals until its process ends; this process goes on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two tiny models in Hugging Face folders: parent (Qwen2) and child (Llama)."""
    from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer

    root = tmp_path_factory.mktemp("models")
    for name, architecture, tokenizer in (
        ("parent", "qwen2", make_tokenizer(corpus=OTHER_CORPUS)),
        ("child", "llama", make_tokenizer()),
    ):
        hf_model(architecture).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    """Calls the command line; returns (exit code, standard output, standard error)."""
    from interp_xfer_cli.main import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["interp-xfer", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call
