"""How the command line ends: one line and an exit code for what a user can cause, a traceback for our own faults."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interp_xfer_cli import ending, stopping

from interp_xfer.errors import ConfigError

ROOT = Path(__file__).parents[2]
KEPT = "finished artifacts are kept, the same command goes on from there"


class OutOfMemoryError(RuntimeError):
    """As torch calls it on CUDA devices."""


def broken_pipe():
    """How Typer and rich leave when nobody reads any more."""
    try:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    except BrokenPipeError:
        sys.exit(1)


def raises(error):
    def fails():
        raise error

    return fails


@pytest.mark.parametrize(
    ("fails", "code", "line"),
    [
        (raises(ConfigError("no such thing.")), 1, "error: no such thing."),
        (raises(OSError(errno.ENOSPC, "No space", "/a/b")), 1, "error: /a/b: the disk is full; free space and retry."),
        (raises(OSError(errno.ENOSPC, "No space")), 1, "error: standard output or a file: the disk is full"),
        (raises(PermissionError(errno.EACCES, "Permission denied", "/a")), 1, "error: /a: Permission denied."),
        (
            raises(OSError("a long\n  story of\nmany lines")),
            1,
            "error: a long story of many lines",
        ),
        (raises(MemoryError()), 1, "error: the memory is full (no details). Take a smaller model"),
        (
            raises(OutOfMemoryError("CUDA out of memory.\nTried")),
            1,
            "error: the memory is full (CUDA out of memory. Tried)",
        ),
        (raises(RuntimeError("DefaultCPUAllocator: can't allocate memory")), 1, "error: the memory is full (Default"),
        (broken_pipe, 1, "error: standard output was closed before everything was printed"),
        (raises(SystemExit("in words")), 1, "error: in words"),
        (raises(SystemExit(2)), 2, ""),
        (raises(SystemExit(0)), 0, ""),
        (raises(SystemExit(130)), 130, f"interrupted; {KEPT}"),
        (raises(KeyboardInterrupt()), 130, f"interrupted; {KEPT}"),
    ],
)
def test_one_line(run, monkeypatch, fails, code, line):
    monkeypatch.setattr("interp_xfer_cli.app.app", fails)
    found, out, err = run("models")
    assert found == code and out == ""
    assert err.startswith(line) and len(err.splitlines()) == bool(line)


def test_faults_of_the_program_keep_their_traceback(run, monkeypatch):
    monkeypatch.setattr("interp_xfer_cli.app.app", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run("models")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImportError("initialization failed"), SystemExit(130)])
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_signals(run, monkeypatch, error, number, code, word):
    """Whatever a library makes of the interrupt; a second signal changes nothing."""

    def stopped():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            raise error from None

    monkeypatch.setattr("interp_xfer_cli.app.app", stopped)
    monkeypatch.setattr(ending.os, "_exit", sys.exit)
    found, _, err = run("models")
    assert found == code and err == f"{word}; {KEPT}\n"


def test_a_signal_that_is_ignored_stays_so():
    """As with nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopping.listen()
    signal.raise_signal(signal.SIGHUP)
    assert stopping.received() is None


def test_patience_has_an_end(monkeypatch, capsys):
    """When tidying up hangs, the next signal ends the process, with the line if there was none."""
    monkeypatch.setattr(stopping.os, "_exit", sys.exit)
    now = 0.0
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    stopping.listen()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    now = 4.0
    signal.raise_signal(signal.SIGINT)
    now = 6.0
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGINT)
    assert ended.value.code == 143 and capsys.readouterr().err == f"ended by SIGTERM; {KEPT}\n"


def test_a_signal_after_the_work_ends_at_once(monkeypatch, capsys):
    monkeypatch.setattr(stopping.os, "_exit", sys.exit)
    stopping.listen()
    stopping.finish()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGHUP)
    assert ended.value.code == 129 and capsys.readouterr().err == f"ended by SIGHUP; {KEPT}\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux")
@pytest.mark.parametrize(
    ("shell", "code", "line"),
    [
        ("> /dev/full", 1, "error: standard output or a file: the disk is full"),
        (">&-", 1, "error: standard output is closed, nothing could be printed"),
        ("| true", 1, "error: standard output was closed before everything was printed"),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 1, ""),
    ],
)
def test_standard_streams_that_are_full_or_closed(shell, code, line):
    program = f'"{sys.executable}" -c "from interp_xfer_cli.main import main; main()" --help'
    command = f"{program} {shell}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(line) and len(done.stderr.splitlines()) == bool(line)


@pytest.mark.skipif(sys.platform == "win32", reason="file numbers")
def test_files_do_not_get_the_number_of_a_closed_stream():
    """What is printed would go into them."""
    program = "import os; from interp_xfer_cli.ending import _prepare_streams; _prepare_streams(); "
    program += "print(os.open('/dev/null', os.O_RDONLY))"
    command = f'"{sys.executable}" -c "{program}" <&- 2>&-'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert int(done.stdout) > 2
