"""A model writes the worked reasoning that a data set lacks, told the right answer (ARC; arXiv 2512.19069, section 4).

1. The prompt states question and answer and asks for the steps, after the task's own examples in the same form; through
   the chat template where there is one.
2. A text is kept if it was not cut off and its last line states the right answer (`tasks/rationales.py`).
3. Every attempt is a line of a JSON-lines file with the model's fingerprint, written as soon as it is there: the same
   call goes on where it was interrupted, and does not ask twice.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interp_xfer.errors import ConfigError
from interp_xfer.fields import Json
from interp_xfer.files.writing import require_no_folder, require_writable
from interp_xfer.generation import SweepEngine, tokenise_prompt
from interp_xfer.models import LoadedModel, require_same_model
from interp_xfer.progress import Progress, no_progress
from interp_xfer.tasks import (
    Problem,
    RationaleStore,
    Task,
    get_task,
    load_problems,
    rationale_prompt,
    render_prompt,
)
from interp_xfer.tasks.scoring.private_reasoning import left_open
from interp_xfer.tasks.splits import take

# Finished texts are written to the file at least this often.
PROBLEMS_PER_WRITE = 64


def require_rationales_place(path: Path, task: Task) -> None:
    """Raise ArtifactError unless rationales may be added to a file: it is not there, or holds nothing else.

    Raises: ArtifactError for a folder; DataError for lines that are no rationales; WriteError if the place cannot be
        written.
    """
    require_no_folder(path)
    RationaleStore(path, task, None)
    require_writable(path)


def open_store(path: str | os.PathLike[str], task: Task, model: LoadedModel) -> RationaleStore:
    """The store of the rationales that `model` writes.

    Raises: FingerprintError if the file holds the work of another model; DataError if a line cannot be read.
    """
    return RationaleStore(path, task, _writer(model))


def write_rationales(
    model: LoadedModel,
    task: Task,
    problems: Sequence[Problem],
    store: RationaleStore,
    *,
    n_shots: int = 5,
    max_new_tokens: int | None = None,
    engine: SweepEngine | None = None,
    progress: Progress = no_progress,
) -> int:
    """Asks for every rationale that the store has not tried yet, and keeps those that end in the right answer.

    Arguments:
        model: the writer, greedy.
        task: of the problems; its examples show the form.
        problems: with their reference answers.
        store: from `open_store`.
        n_shots: examples, which must have reasoning of their own.
        max_new_tokens: None for the task's limit; longer texts are refused.
        engine: reuse one of this model; None makes one.
        progress: called with the number of problems just tried.
    Returns: how many of the new texts were accepted.
    Raises: ConfigError if the task has fewer examples with reasoning; FingerprintError for an engine of another model;
        WriteError if the file cannot be written.
    Source: 2512.19069, section 4; prompt and acceptance are ours.
    """
    if engine is None:
        engine = SweepEngine(model)
    require_same_model(engine.model.fingerprint, model.fingerprint, "the engine")
    asking = _asking(task, n_shots)
    accepted = 0
    with store.writing():
        missing = store.missing(problems)
        for start in range(0, len(missing), PROBLEMS_PER_WRITE):
            batch = missing[start : start + PROBLEMS_PER_WRITE]
            rendered = [render_prompt(model.tokenizer, asking, p, n_shots, system_prompt="") for p in batch]
            opening = left_open(rendered[0].text, task.reasoning_tags)
            prompts = [tokenise_prompt(model, p.id, each) for p, each in zip(batch, rendered, strict=True)]
            [texts] = engine.generate(
                prompts,
                [0.0],
                max_new_tokens=max_new_tokens or task.max_new_tokens,
                is_complete=lambda text, opening=opening: task.is_complete(opening + text),
                progress=progress,
            )
            for problem, made in zip(batch, texts, strict=True):
                accepted += store.add(problem, opening + made.text, made.stop_reason in ("length", "degenerate"))
    return accepted


def load_training(
    task: str | Task,
    limit: int | None,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    offset: int = 0,
    rationales: str | os.PathLike[str] | None = None,
) -> list[Problem]:
    """Problems of the train split; with a file of rationales, those that have one first, with it as their reasoning.

    The order is the same at every call, so that slices by `offset` and `limit` stay disjoint.

    Arguments:
        task: name or task.
        limit: how many; None for all.
        data_dir: as in `load_problems`.
        seed: as in `load_problems`.
        offset: how many to pass over.
        rationales: written by `interp-xfer rationales`, by any one model.
    Returns: at least one problem.
    Raises: DataError if there are fewer problems than that, or no rationale for any.
    """
    task = get_task(task)
    if rationales is None:
        return load_problems(task, "train", limit, data_dir, seed, offset)
    everything = load_problems(task, "train", None, data_dir, seed)
    reasoned = RationaleStore(rationales, task, None).apply(everything)
    known = {problem.id for problem in reasoned}
    ordered = [*reasoned, *(problem for problem in everything if problem.id not in known)]
    return take(ordered, offset, limit, f"{task.name} train")


def _asking(task: Task, n_shots: int) -> Task:
    """The task with its question put as a request for a rationale."""
    without = next((shot.id for shot in task.few_shot[:n_shots] if not shot.reasoning), None)
    if without is not None:
        raise ConfigError(f"example {without} of {task.name} has no reasoning to show; use --n-shots 0.")
    return replace(task, format_question=lambda problem: rationale_prompt(task, problem))


def _writer(model: LoadedModel) -> Json:
    """What the file says about the model; `digest` is what must agree."""
    return {"digest": model.fingerprint.digest, **model.fingerprint.to_dict()}
