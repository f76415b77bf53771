"""Comparing mathematical answers with math-verify, safe in threads, with a time limit for each answer.

A few worker processes (`math_worker`) answer one request at a time. A request that exceeds the limit costs its worker,
which is killed and replaced; the others go on. Workers start on first use and end with the interpreter.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from interp_xfer.errors import DataError

DEFAULT_LIMIT_S = 5.0
_START_LIMIT_S = 60.0
_MAX_CHARACTERS = 4000
_WORKER = Path(__file__).with_name("math_worker.py")


class Comparison(NamedTuple):
    """What is compared."""

    gold: str | None
    """Reference answer as LaTeX; None to read the answer only."""
    answer: str
    whole_text: bool = False
    """`answer` is running text from which math-verify extracts an expression, not one expression."""


class Verdict(NamedTuple):
    """What math-verify says."""

    equal: bool
    canonical: str | None
    """The answer in one spelling for equal values, or None where it cannot be read."""
    failure: Literal["timeout", "crash", "too_long"] | None = None


@dataclass
class MathPool:
    """Worker processes that compare answers; close it, or use it as a context."""

    n_workers: int = 2
    limit_s: float = DEFAULT_LIMIT_S
    """Longest time for one comparison, in seconds."""
    _idle: "queue.SimpleQueue[_Worker]" = field(default_factory=queue.SimpleQueue, init=False, repr=False)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("math_verify") is None:
            raise DataError("scoring MATH needs math-verify; install it: pip install 'math-verify>=0.9,<0.10'.")
        for _ in range(self.n_workers):
            self._idle.put(_Worker())

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, in order; may be called from any number of threads at once.

        Arguments:
            comparisons: what is compared.
        Returns: verdicts. A comparison beyond the time limit, or that ends its process, is not equal and says so.
        """
        if len(comparisons) <= 1 or self.n_workers == 1:
            return [self._one(comparison) for comparison in comparisons]
        with ThreadPoolExecutor(self.n_workers) as threads:
            return list(threads.map(self._one, comparisons))

    def _one(self, comparison: Comparison) -> Verdict:
        if len(comparison.answer) > _MAX_CHARACTERS and not comparison.whole_text:
            return Verdict(False, None, "too_long")
        worker = self._idle.get()
        try:
            return worker.ask(comparison, self.limit_s)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Ends all workers."""
        for _ in range(self.n_workers):
            self._idle.get().stop()

    def __enter__(self) -> "MathPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, comparison: Comparison, limit_s: float) -> Verdict:
        if self._process is None:
            # The first request pays for the imports; they do not count towards its limit.
            self._process = self._start()
            if self._exchange({"gold": "1", "answer": "1", "whole_text": False}, _START_LIMIT_S)[0] is None:
                raise DataError(
                    "math-verify does not start; see why with: python -c 'import math_verify', then "
                    "install it again: pip install 'math-verify>=0.9,<0.10'."
                )
        text = comparison.answer[-_MAX_CHARACTERS:]
        request = {"gold": comparison.gold, "answer": text, "whole_text": comparison.whole_text}
        reply, timed_out = self._exchange(request, limit_s)
        if reply is None:
            return Verdict(False, None, "timeout" if timed_out else "crash")
        return Verdict(reply["equal"], reply["canonical"])

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            # -P: the worker's folder, with its math.py and numbers.py, must not shadow the standard library.
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
        )

    def _exchange(self, request: dict[str, Any], limit_s: float) -> tuple[dict[str, Any] | None, bool]:
        """The reply, or None when the process ended, and whether the time limit ended it."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(limit_s, expire)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line.endswith("\n") or expired.is_set():
            self.stop()
        return (json.loads(line) if line.endswith("\n") else None), expired.is_set()


_shared: dict[int, MathPool] = {}
_shared_lock = threading.Lock()


def shared_pool() -> MathPool:
    """The pool of this process, started on first use and closed when the interpreter ends."""
    with _shared_lock:
        pool = _shared.get(os.getpid())
        if pool is None:
            _shared.clear()  # after a fork, the parent's workers are not ours
            pool = _shared[os.getpid()] = MathPool(n_workers=min(os.cpu_count() or 1, 4))
            atexit.register(pool.close)
        return pool
