"""The process in which chat templates are rendered: started on first use, shared, replaced when it dies."""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from interp_xfer.chat import worker
from interp_xfer.errors import ModelError
from interp_xfer.fields import Json

_WORKER = Path(worker.__file__)
PINNED_DATE = worker.DATE.date().isoformat()
"""The date that every template is told, so that prompts are the same on every day."""


class Rendered(NamedTuple):
    """What a template wrote."""

    text: str
    dated: bool
    """It asked for the date, and was told `PINNED_DATE`."""


class TemplateRefused(Exception):
    """A template raised an exception, on purpose or not: another conversation may be to its liking."""


class TemplateProcess:
    """One worker; may be used from any number of threads, one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def render(self, template: str, variables: Json) -> Rendered:
        """The text a template makes of some variables.

        Arguments:
            template: Jinja source.
            variables: plain JSON.
        Raises: TemplateRefused with the reason; ModelError for a template that goes beyond its limits, or if the
            process cannot be started.
        """
        request = json.dumps({"template": template, "variables": variables}) + "\n"
        with self._lock:
            line, code = self._exchange(request)
        if line is None:
            ran = code == -getattr(signal, "SIGPROF", 0)
            raise _beyond(
                f"still ran after {worker.CPU_SECONDS} s of computing" if ran else f"ended its process ({code})"
            )
        reply = json.loads(line)
        if "limit" in reply:
            raise _beyond(reply["limit"])
        if "refused" in reply:
            raise TemplateRefused(reply["refused"])
        return Rendered(reply["text"], reply["dated"])

    def close(self) -> None:
        """End the worker; the next call starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()

    def _exchange(self, request: str) -> tuple[str | None, int | None]:
        """The reply, or None and the exit status."""
        if self._process is None:
            self._process = _start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        line = ""
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            pass
        except BaseException:  # Ctrl-C: the reply that is under way would be taken for that to the next request
            self.close()
            raise
        if line.endswith("\n"):
            return line, None
        code = process.wait()
        self.close()
        return None, code


def _beyond(what: str) -> ModelError:
    return ModelError(f"the chat template {what}; it is damaged or hostile, and the model cannot be used with it.")


def _start() -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", str(_WORKER)],  # -I: nothing of the user's environment or folders is imported
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
    except OSError as error:
        raise ModelError(f"cannot start {sys.executable} to render chat templates: {error.strerror}.") from None


_shared: dict[int, TemplateProcess] = {}
_shared_lock = threading.Lock()


def shared_process() -> TemplateProcess:
    """The worker of this process, ended when the interpreter ends."""
    with _shared_lock:
        process = _shared.get(os.getpid())
        if process is None:
            _shared.clear()  # after a fork, the parent's worker is not ours
            process = _shared[os.getpid()] = TemplateProcess()
            atexit.register(process.close)
        return process
