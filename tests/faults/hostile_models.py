"""Models that are damaged or hostile, and what loading and rendering them comes to.

    python tests/faults/hostile_models.py [--full]

Each case is a folder or a GGUF file, built from a tiny model that works, and what must come of it: it "works", or
ends in a "clear error". All run one after another in a process of their own, on a terminal that answers "y" to every
question; what takes longer than `LIMIT_S` is a hang, and a case whose marker file appears has run code. `count` gives
the numbers; the full size adds some hundred random changes of headers and configurations.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hostile_cases import ANY, ERROR, WORKS, Case, cases
from model_building import MARKER

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
OUTCOMES = (ERROR, WORKS, "traceback", "hangs", "ran code")
TURNS = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]


class Found(NamedTuple):
    """What came of a case."""

    name: str
    expected: str
    outcome: str
    message: str

    @property
    def unexpected(self) -> bool:
        """It came to something else, or to neither of the two ends that are in order."""
        return self.outcome != self.expected and (self.expected != ANY or self.outcome not in (ERROR, WORKS))


def count(full: bool) -> dict[str, int]:
    """How many models end how."""
    found = run(full)
    return {outcome: sum(each.outcome == outcome for each in found) for outcome in OUTCOMES}


def run(full: bool) -> list[Found]:
    """Every case, in a process that is started again where one hangs it or ends it."""
    names = [(case.name, case.expected) for case in cases(full)]
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as scratch:
        while len(found) < len(names):
            with _child(full, len(found), scratch) as lines:
                for line in lines:
                    found.append(Found(*json.loads(line)))
                if len(found) < len(names):
                    found.append(Found(*names[len(found)], "hangs", f"nothing for {LIMIT_S} s, or its process ended"))
    return found


class _child:
    """Lines of a process that runs the cases from a number on; ends where none comes in time."""

    def __init__(self, full: bool, start: int, scratch: str) -> None:
        self._master, terminal = os.openpty()
        os.write(self._master, b"y\n" * 50)
        environment = {**os.environ, MARKER: f"{scratch}/ran", "INTERP_XFER_CACHE": f"{scratch}/cache"}
        environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, __file__, "--child", str(start), *(["--full"] if full else [])]
        self._process = subprocess.Popen(
            command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=scratch,
            bufsize=0,
        )  # fmt: skip
        os.close(terminal)

    def __enter__(self) -> Iterator[bytes]:
        out = self._process.stdout
        assert out is not None
        while select.select([out], [], [], LIMIT_S)[0]:
            line = out.readline()
            if not line:
                return
            yield line

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self._master)


def child(full: bool, start: int) -> None:
    """Runs the cases from a number on, a JSON line for each."""
    marker = Path(os.environ[MARKER])
    for case in cases(full)[start:]:
        marker.unlink(missing_ok=True)
        outcome, message = _outcome(case)
        if marker.exists():
            outcome = "ran code"
        print(json.dumps([case.name, case.expected, outcome, message]), flush=True)  # noqa: T201


def _outcome(case: Case) -> tuple[str, str]:
    """Loaded, then used as every command uses it: a pair and a prompt rendered, a few tokens written."""
    from interp_xfer.chat import render_chat
    from interp_xfer.errors import InterpXferError
    from interp_xfer.models import load_model

    with tempfile.TemporaryDirectory() as folder:
        try:
            model = load_model(case.build(Path(folder)), device="cpu", dtype="float32")
            if model.tokenizer.chat_template:
                render_chat(model.tokenizer, "Be brief.", TURNS, add_generation_prompt=False)
            model.generate(["a b"], max_new_tokens=2)
        except InterpXferError as error:
            ok = bool(str(error)) and "\n" not in str(error) and len(str(error)) < 1000
            return (ERROR if ok else "traceback"), str(error)
        except BaseException:
            return "traceback", traceback.format_exc()[-2000:]
    return WORKS, ""


if __name__ == "__main__":
    wants_all = "--full" in sys.argv
    if "--child" in sys.argv:
        child(wants_all, int(sys.argv[sys.argv.index("--child") + 1]))
    else:
        results = run(wants_all)
        for each in results:
            if each.unexpected:
                print(f"{each.name}: {each.outcome}, not {each.expected}\n{each.message}", file=sys.stderr)  # noqa: T201
        print({outcome: sum(each.outcome == outcome for each in results) for outcome in OUTCOMES})  # noqa: T201
