"""A run that is killed at any change of a file, and started again, ends as one that nobody disturbed.

A process of its own runs a small study on two tiny models. Python's audit events tell of every file that is about to be
opened for writing, renamed or removed below the run; at the k-th the process kills itself (SIGKILL: nothing is cleaned
up). A second process resumes. Every file must then be what the undisturbed run wrote, but for the seconds it took.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

_KILLED = -signal.SIGKILL
_WRITES = os.O_WRONLY | os.O_RDWR


def count(full: bool = False, root: Path | None = None) -> dict[str, int]:
    """Kills by what came of them: "equal", "different", "left behind", "not resumed".

    Arguments:
        full: kill at every change; otherwise at three, spread over the run.
        root: where to work; None: a temporary folder.
    """
    if root is None:
        with tempfile.TemporaryDirectory() as folder:
            return count(full, Path(folder))
    study = make_models(root)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "transformer_lens.model_bridge"])

    def run(folder: str, kill_at: int | None) -> tuple[int, int]:
        changes = context.Value("i", 0)
        process = context.Process(target=_run, args=(study, str(root / folder), kill_at, changes))
        process.start()
        process.join()
        return process.exitcode or 0, changes.value

    code, n_changes = run("undisturbed", None)
    assert code == 0, "the undisturbed run failed"
    expected = contents(root / "undisturbed")
    found: Counter[str] = Counter(equal=0, different=0)
    for kill_at in range(1, n_changes + 1) if full else spread(n_changes, 3):
        name = f"killed-{kill_at}"
        code, _ = run(name, kill_at)
        assert code == _KILLED, f"the run was not killed at change {kill_at} of {n_changes}: exit {code}"
        code, _ = run(name, None)
        if code != 0:
            found["not resumed"] += 1
        elif set(resumed := contents(root / name)) != set(expected):
            found["left behind"] += 1
        else:
            found["equal" if resumed == expected else "different"] += 1
    return dict(found)


def spread(n: int, most: int) -> list[int]:
    """Some of 1 to n, first and last among them."""
    return sorted({1 + round(i * (n - 1) / (most - 1)) for i in range(most)})


def make_models(root: Path) -> dict[str, Any]:
    """Two tiny models on disk, and the settings of a study of them."""
    from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer

    hf_model("llama").save_pretrained(root / "parent")
    make_tokenizer().save_pretrained(root / "parent")
    hf_model("gemma3", 1, hidden_size=24, max_position_embeddings=1024).save_pretrained(root / "child")
    make_tokenizer(chat=False, corpus=OTHER_CORPUS).save_pretrained(root / "child")
    return {
        "parent": str(root / "parent"), "child": str(root / "child"), "dataset": "sums", "n_pairs": 6,
        "n_fit_texts": 10, "n_calibration": 4, "n_aligned": 3, "n_validation": 2, "n_test": 2, "n_shots": 0,
        "max_new_tokens": 3, "strengths": [0.5, 2.0], "dtype": "float32",
    }  # fmt: skip


def contents(root: Path) -> dict[str, Any]:
    """Every file of a run; of a cell its values without seconds and what depends on them."""
    out: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_dir():
            continue
        out[name] = path.read_bytes()
        if name.startswith("cells/"):
            cell = json.loads(out[name])
            out[name] = {key: value for key, value in cell.items() if key not in ("wall_s", "checksum")}
    return out


def _run(settings: dict[str, Any], root: str, kill_at: int | None, changes: Any) -> None:
    """In a process of its own: the study, killed at its `kill_at`-th change of a file below the run."""
    import torch

    from interp_xfer.studies.config import make_study
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.runner import run_study

    torch.set_num_threads(1)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
            return
        if not str(arguments[0]).startswith(root):
            return
        changes.value += 1
        if changes.value == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    run_study(make_study(settings), RunStore(root))
