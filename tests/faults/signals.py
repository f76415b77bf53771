"""How `interp-xfer` ends when it is told to, counted over many moments of real processes on tiny models.

    count(full=False)  a moment of each kind      count(full=True)  for maintainers, a quarter of an hour

An outcome is good if standard error holds the progress lines and one line more, the exit code is 128 + the signal, and
nothing is left: no hidden file in the run, nothing in the folder of temporary files.
"""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

GOOD, TRACEBACK, LEFT, OTHER, LATE = (
    "one line and the right exit code",
    "traceback",
    "left behind",
    "another line or code",
    "ended before the signal",
)

# The console script does the same; the byte says that Python itself has started.
_PROGRAM = "import os; os.write(int(os.environ['STARTED']), b'x'); from interp_xfer_cli.main import main; main()"
_PROGRESS = re.compile(r".+ \.\.\.|.+: \d+/\d+ .+ s")
_MESSAGE = "; finished artifacts are kept, the same command goes on from there"
_STUDY = """\
parent: {models}/parent
child: {models}/child
dataset: sums
n_pairs: 8
n_fit_texts: 10
n_calibration: 3
n_validation: 3
n_test: 4
n_shots: 0
max_new_tokens: 4
strengths: [0.1, 0.5]
"""


@dataclass(frozen=True)
class Moment:
    """When a process is told to end."""

    number: signal.Signals
    seconds: float
    """After the start, or after what is waited for."""
    waits_for: str | None = None
    """A line of standard error that starts so, or "a write": until something half made is there."""
    times: int = 1
    """Pressed so often, a twentieth of a second apart."""


def moments(full: bool) -> Iterator[Moment]:
    """A few that show every path, or some hundred."""
    if not full:
        yield Moment(signal.SIGINT, 0.03)
        yield Moment(signal.SIGHUP, 1.5)
        yield Moment(signal.SIGTERM, 0.0, "extracting")
        yield Moment(signal.SIGINT, 0.0, "a write", times=2)
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for step in range(60):  # the imports
        yield Moment(numbers[step % 3], 0.01 + 0.1 * step, times=1 + step % 2)
    for step in range(30):
        yield Moment(numbers[step % 3], 0.02 * step, "extracting", times=1 + step % 2)
        yield Moment(numbers[step % 3], 0.002 * step, "a write", times=1 + step % 2)
        yield Moment(numbers[step % 3], 0.02 * step, "evaluating", times=1 + step % 2)


def count(full: bool) -> dict[str, int]:
    """How many processes ended how."""
    out = Counter({GOOD: 0, TRACEBACK: 0, LEFT: 0, OTHER: 0, LATE: 0})
    with tempfile.TemporaryDirectory() as folder:
        _write_models(Path(folder))
        for number, moment in enumerate(moments(full)):
            place = Path(folder) / f"run {number}"
            place.mkdir()
            for outcome in outcomes(Path(folder) / "study.yaml", place, moment):
                out[outcome] += 1
    return dict(out)


def outcomes(study: Path, place: Path, moment: Moment) -> list[str]:
    """What became of one process; several things may be wrong with it."""
    (place / "tmp").mkdir()
    reader, writer = os.pipe()
    with (place / "errors.txt").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, "run", study, "--out", place / "run"],
            cwd=ROOT,
            env={**os.environ, "STARTED": str(writer), "TMPDIR": str(place / "tmp"), "PYTHONFAULTHANDLER": ""},
            pass_fds=(writer,),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        os.close(writer)
        select.select([reader], [], [], 60)
        os.close(reader)
        if moment.waits_for is not None:
            _wait(process, place, moment.waits_for)
        time.sleep(moment.seconds)
        alive = process.poll() is None
        for _ in range(moment.times):
            process.send_signal(moment.number)
            time.sleep(0.05 if moment.times > 1 else 0)
        code = process.wait(120)
        errors.seek(0)
        lines = [line for line in errors.read().splitlines() if line and not _PROGRESS.fullmatch(line)]
    if not alive or (not lines and code in (0, -moment.number) and (place / "run" / "report.html").exists()):
        return [LATE]  # -number: while Python itself went down
    out = []
    # torch keeps a cache of its own among the temporary files.
    if [
        *(place / "run").rglob(".*"),
        *(path for path in (place / "tmp").iterdir() if "torchinductor" not in path.name),
    ]:
        out.append(LEFT)
    if any("Traceback" in line or "Exception ignored" in line for line in lines):
        out.append(TRACEBACK)
    elif code != 128 + moment.number or len(lines) != 1 or not lines[0].endswith(_MESSAGE):
        out.append(OTHER)
    return out or [GOOD]


def _wait(process: subprocess.Popen[bytes], place: Path, what: str) -> None:
    while process.poll() is None:
        if what == "a write":
            if any((place / "run").rglob(".interp-xfer-*")):
                return
        elif any(line.startswith(what) for line in (place / "errors.txt").read_text(encoding="utf-8").splitlines()):
            return
        time.sleep(0.002)


def _write_models(folder: Path) -> None:
    from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer

    for name, architecture, tokenizer in (
        ("parent", "qwen2", make_tokenizer(corpus=OTHER_CORPUS)),
        ("child", "llama", make_tokenizer()),
    ):
        hf_model(architecture).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    (folder / "study.yaml").write_text(_STUDY.format(models=folder), encoding="utf-8")
