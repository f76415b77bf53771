"""Reading and comparing mathematical expressions with math-verify, safe in threads, with a limit for each.

A few worker processes (`math_worker`) answer one request at a time. A request has a limit of CPU time, which its own
process measures, so that a busy machine costs no answer; one that exceeds it costs its worker, which is replaced while
the others go on. Workers start on first use, and end with the interpreter or when it dies.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from interp_xfer.errors import DataError
from interp_xfer.fields import Json

DEFAULT_LIMIT_S = 5.0
_START_LIMIT_S = 300.0
_WALL_FACTOR = 40.0
"""Wall-clock limit in units of the CPU limit: only for a worker that neither answers nor uses the processor."""
_MAX_CHARACTERS = 4000
_MAX_REMEMBERED = 20_000
_WORKER = Path(__file__).with_name("math_worker.py")

Failure = Literal["timeout", "crash", "too_long"]


class Comparison(NamedTuple):
    """What is compared: two expressions in LaTeX."""

    gold: str
    answer: str


class Verdict(NamedTuple):
    """What math-verify says."""

    equal: bool
    canonical: str | None
    """The answer in one spelling for equal values, or None where it cannot be read."""
    failure: Failure | None = None


class Expression(NamedTuple):
    """What one expression is."""

    canonical: str | None
    """One spelling for equal values; None where it cannot be read."""
    numeric: tuple[str, str] | None = None
    """Of a constant: real and imaginary part, 30 digits."""
    exact: bool = False
    """Expressions that are exact and spelt in different ways are different (constants by their digits)."""
    failure: Failure | None = None


@dataclass
class MathPool:
    """Worker processes that read and compare; close it, or use it as a context."""

    n_workers: int = 2
    limit_s: float = DEFAULT_LIMIT_S
    """CPU time of one request, in seconds."""
    _idle: "queue.SimpleQueue[_Worker]" = field(default_factory=queue.SimpleQueue, init=False, repr=False)
    _known: dict[str, Expression] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("math_verify") is None:
            raise DataError("scoring MATH needs math-verify; install it: pip install 'math-verify>=0.9,<0.10'.")
        for _ in range(self.n_workers):
            self._idle.put(_Worker(self.limit_s))

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, in order; may be called from any number of threads at once.

        Arguments:
            comparisons: what is compared.
        Returns: verdicts. A comparison beyond the limit, or that ends its process, is not equal and says so.
        """
        requests = [comparison._asdict() for comparison in comparisons]
        return [Verdict(reply["equal"], reply["canonical"], reply["failure"]) for reply in self._ask(requests)]

    def read(self, expressions: Sequence[str]) -> list[Expression]:
        """What each expression is, in order; those that were read before are remembered.

        Arguments:
            expressions: LaTeX of single values.
        Returns: canonical forms. One beyond the limit has none and says so.
        """
        new = [text for text in dict.fromkeys(expressions) if text not in self._known]
        found = dict(zip(new, map(_expression, self._ask([{"read": text} for text in new])), strict=True))
        out = [found.get(text) or self._known[text] for text in expressions]
        if len(self._known) + len(found) > _MAX_REMEMBERED:
            self._known.clear()
        self._known |= {text: each for text, each in found.items() if each.failure is None}
        return out

    def _ask(self, requests: Sequence[dict[str, str]]) -> list[Json]:
        if len(requests) <= 1 or self.n_workers == 1:
            return [self._one(request) for request in requests]
        with ThreadPoolExecutor(self.n_workers) as threads:
            return list(threads.map(self._one, requests))

    def _one(self, request: dict[str, str]) -> Json:
        if max(map(len, request.values())) > _MAX_CHARACTERS:
            return {**_NO_REPLY, "failure": "too_long"}
        worker = self._idle.get()
        try:
            return worker.ask(request)
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


_NO_REPLY: Json = {"equal": False, "canonical": None, "numeric": None, "exact": False, "failure": None}


def _expression(reply: Json) -> Expression:
    numeric = reply["numeric"]
    return Expression(reply["canonical"], tuple(numeric) if numeric else None, reply["exact"], reply["failure"])


class _Worker:
    """One process; used by one thread at a time."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, str]) -> Json:
        if self._process is None:
            # The first request pays for the imports; they do not count towards its limit.
            self._process = self._start()
            if self._exchange(None, _START_LIMIT_S)["failure"] is not None:
                raise DataError(
                    "math-verify does not start; see why with: python -c 'import math_verify', then "
                    "install it again: pip install 'math-verify>=0.9,<0.10'."
                )
        return self._exchange(request, self._limit_s * _WALL_FACTOR)

    def stop(self) -> int | None:
        """Ends the process. Returns its exit status; negative for a signal."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return process.wait()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # -P: the worker's folder, with its math.py and numbers.py, must not shadow the standard library.
            [sys.executable, "-P", str(_WORKER), str(self._limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
        )

    def _exchange(self, request: dict[str, str] | None, wall_s: float) -> Json:
        """The reply to a request (None: the line with which a worker says that it is ready)."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(wall_s, expire)
        timer.daemon = True
        timer.start()
        try:
            if request is not None:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if line.endswith("\n") and not expired.is_set():
            return json.loads(line)
        if process.poll() is None and not expired.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)  # its pipes are closed, its status may follow
        status = process.poll()
        self.stop()
        over = expired.is_set() or (status is not None and status == -getattr(signal, "SIGPROF", 0))
        return {**_NO_REPLY, "failure": "timeout" if over else "crash"}


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
