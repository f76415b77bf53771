"""Worked reasoning for data that has none, written by a model that is told the answer."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from interp_xfer.bounds import MAX_PROBLEMS, MAX_SHOTS
from interp_xfer_cli.display import points, shown_step
from interp_xfer_cli.options import (
    DataDirOption,
    DeviceOption,
    DTypeOption,
    MaxMemoryOption,
    MaxTokensOption,
    ParentOption,
    ProcessingOption,
    SeedOption,
    in_bytes,
)


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command("rationales")(rationales)


def rationales(
    parent: ParentOption,
    dataset: Annotated[str, typer.Option("--dataset", help="Task name.")] = "arc_challenge",
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which split.")] = "train",
    limit: Annotated[
        int | None, typer.Option(min=1, max=MAX_PROBLEMS, help="How many problems; default the whole split.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSONL file; default rationales-DATASET.jsonl.")] = None,
    data_dir: DataDirOption = None,
    n_shots: Annotated[int, typer.Option("--n-shots", min=0, max=MAX_SHOTS, help="Examples that show the form.")] = 5,
    max_new_tokens: MaxTokensOption = None,
    max_memory: MaxMemoryOption = None,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """The parent writes a reasoning for each problem, given its answer; only those that end in it are kept."""
    from interp_xfer import get_task, load_model, load_problems
    from interp_xfer.evaluation.write_rationales import open_store, require_rationales_place, write_rationales
    from interp_xfer.generation import SweepEngine

    task = get_task(dataset)
    target = out or Path(f"rationales-{dataset}.jsonl")
    require_rationales_place(target, task)
    problems = load_problems(task, split, limit, data_dir, seed)
    model = load_model(parent, dtype=dtype, device=device, weight_processing=weight_processing)
    engine = SweepEngine(model, max_memory=in_bytes(max_memory))
    store = open_store(target, task, model)
    with store.writing(lambda: typer.echo(f"another process writes to {target}; waiting for its end", err=True)):
        missing = len(store.missing(problems))
        with shown_step("writing rationales", missing, "problems") as progress:
            accepted = write_rationales(
                model, task, problems, store, n_shots=n_shots, max_new_tokens=max_new_tokens, engine=engine,
                progress=progress,
            )  # fmt: skip
    share = f" ({points(accepted / missing)} %)" if missing else ""
    held = sum(problem.id in store.reasoning for problem in problems)
    typer.echo(f"{target}: {accepted} of {missing} new texts end in the right answer{share}")
    typer.echo(f"rationales for {held} of {len(problems)} problems; extract --rationales {target} uses them")
