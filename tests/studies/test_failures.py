"""Whose matter a failure is, and what is kept of it."""

import pytest
import torch

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.studies.failures import error_line, failure_cause, failure_line, failure_record


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ShapeError("too few rows"), "input"),
        (ConfigError("no"), "input"),
        (FileNotFoundError("x"), "machine"),
        (ConnectionError("x"), "machine"),
        (MemoryError(), "machine"),
        (torch.OutOfMemoryError("CUDA out of memory"), "machine"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "machine"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "internal"),
        (NotImplementedError("out of memory"), "internal"),
        (TypeError("x"), "internal"),
        (AssertionError("x"), "internal"),
        (KeyError("x"), "internal"),
    ],
)
def test_kinds(error, kind):
    assert failure_cause(error) == kind
    assert error_line(error).startswith("internal error, please report it") == (kind == "internal")


def test_everything_of_the_trace_is_kept_but_paths_and_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "planted-4711")

    def inner():
        raise OSError("401 for planted-4711 at https://me:word@host/x: /home/me/models/a is \ud800 gone")

    try:
        try:
            inner()
        except OSError as error:
            raise ValueError("while loading /home/me/models/a") from error
    except ValueError as error:
        found = failure_record("0" * 12, "a cell", error)
    assert failure_line(found).endswith("in the run's folder failures: ValueError: while loading a")
    assert "in inner" in found.traceback and "direct cause" in found.traceback
    assert "401 for *** at https://***@host/x: a is " in found.traceback
    for text in ("planted", "word@", "/home", __file__):
        assert text not in found.model_dump_json()
    found.model_dump_json().encode("utf-8")


def test_an_endless_trace_keeps_its_end():
    def deep(n):
        return deep(n + 1) if n < 10 else int("x" * 100_000)

    try:
        deep(0)
    except ValueError as error:
        assert len(failure_record("0" * 12, "a cell", error).traceback) <= 20_000


def test_messages_become_one_line():
    assert error_line(ShapeError("two\nlines")) == "ShapeError: two lines"
