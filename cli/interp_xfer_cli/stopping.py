"""Ctrl-C, SIGTERM and SIGHUP take one path: the work is left by a KeyboardInterrupt, which removes what is half made.

Further signals are left out while that goes on, and end the process at once if it takes longer than a few seconds; the
next run removes what is left then (`files.workspaces`). What the parent process ignores (nohup) stays ignored.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 5.0  # seconds

_first: tuple[int, float] | None = None
"""The signal that stops the process, and when it came."""
_told = False


def listen() -> None:
    """From now on, the first signal raises KeyboardInterrupt in the main thread."""
    global _first, _told
    _first, _told = None, False
    _handle(_stop)


def received() -> int | None:
    """The signal that stops the process; None if there was none."""
    return None if _first is None else _first[0]


def finish() -> None:
    """From now on, nothing is half made any more: a signal ends the process at once."""
    _handle(_leave)


def tell(number: int) -> int:
    """Say once that a signal stopped the process; the exit code."""
    global _told
    if not _told:
        _told = True
        word = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        say(f"{word}; finished artifacts are kept, the same command goes on from there")
    return 128 + number


def say(line: str) -> None:
    """One line on standard error, if there is one."""
    with suppress(OSError, ValueError, AttributeError):
        # After the ^C that a terminal shows.
        sys.stderr.write(f"\n{line}\n" if _first is not None and sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()


def _handle(handler: "signal._HANDLER") -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            with suppress(ValueError):  # not the main thread, which alone handles signals
                signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    global _first
    now = time.monotonic()
    if _first is None:
        _first = number, now
        raise KeyboardInterrupt
    if now - _first[1] > _PATIENCE:
        _leave(_first[0], frame)


def _leave(number: int, _: FrameType | None) -> None:
    with suppress(RuntimeError):  # in the middle of a write
        tell(number)
    os._exit(128 + number)
