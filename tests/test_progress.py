"""Progress: plain lines where nobody watches a terminal, a bar where somebody does."""

import io

import pytest

from interp_xfer import progress
from interp_xfer.progress import no_progress, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines(monkeypatch):
    """A line at the start, one every fifteen seconds, one at the end; no control characters."""
    now = iter([0.0, 1.0, 20.0, 21.0, 50.0, 60.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = io.StringIO()
    with progress_bar("reading", 10, "texts", stream) as report:
        for count in (1, 2, 3, 4):
            report(count)
    assert stream.getvalue().splitlines() == [
        "reading ...",
        "reading: 3/10 texts, 20 s",
        "reading: 10/10 texts, 60.0 s",
    ]


def test_standard_error_is_the_default(capsys):
    with progress_bar("reading", 1, "texts") as report:
        report(1)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("reading ...\nreading: 1/1 texts")


def test_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress_bar("reading", 4, "texts", stream) as report:
        report(4)
    assert "reading" in stream.getvalue() and "4/4" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_errors_pass_through(stream):
    with pytest.raises(KeyboardInterrupt), progress_bar("reading", 4, "texts", stream) as report:
        report(1)
        raise KeyboardInterrupt


class Broken(io.StringIO):
    """Standard error that was closed or whose disk is full; `terminal` for one that is gone."""

    def __init__(self, error, terminal):
        super().__init__()
        self.error, self.terminal = error, terminal

    def isatty(self):
        return self.terminal

    def write(self, text):
        raise self.error

    flush = write


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed")])
def test_a_stream_that_fails_does_not_end_the_work(error, terminal):
    with progress_bar("reading", 4, "texts", Broken(error, terminal)) as report:
        report(4)


def test_without_standard_error(monkeypatch):
    """`2>&-`: Python has no stream then."""
    monkeypatch.setattr(progress.sys, "stderr", None)
    with progress_bar("reading", 4, "texts") as report:
        report(4)


def test_no_progress_is_silent(capsys):
    no_progress(3)
    assert capsys.readouterr() == ("", "")
