"""Our numbers beside those of EleutherAI's lm-evaluation-harness."""

from pathlib import Path
from typing import Annotated

import typer

from interp_xfer.bounds import MAX_PROBLEMS
from interp_xfer_cli.display import points, print_rows
from interp_xfer_cli.options import (
    ChildOption,
    DataDirOption,
    DatasetOption,
    DeviceOption,
    DTypeOption,
    MaxMemoryOption,
    MaxTokensOption,
    OperatorOption,
    ProcessingOption,
    SeedOption,
    ShotsOption,
    TokensOption,
    UnitOption,
    in_bytes,
)
from interp_xfer_cli.places import CrosscheckOut


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command("crosscheck")(crosscheck)


def crosscheck(
    child: ChildOption,
    dataset: DatasetOption = "gsm8k",
    steering: Annotated[
        Path | None, typer.Option("--steering", help="Directory written by `interp-xfer transfer`; default unsteered.")
    ] = None,
    strength: Annotated[float, typer.Option(help="With --steering.")] = 0.0,
    data_dir: DataDirOption = None,
    n: Annotated[int, typer.Option("--n", min=1, max=MAX_PROBLEMS, help="Test problems.")] = 64,
    out: CrosscheckOut = Path("crosscheck.json"),
    n_shots: ShotsOption = 5,
    unit: UnitOption = "relative",
    operator: OperatorOption = "add",
    tokens: TokensOption = "all",
    max_new_tokens: MaxTokensOption = None,
    max_memory: MaxMemoryOption = None,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """The same model, prompts and steering through lm-eval: both numbers, question by question; needs its extra."""
    from interp_xfer import GenerationSettings, SteeringVectors, get_task, load_model, load_problems
    from interp_xfer.evaluation.record import conditions
    from interp_xfer.evaluation.search import check_strength
    from interp_xfer.interop.crosscheck import crosscheck as run_crosscheck
    from interp_xfer.interop.crosscheck import crosscheck_record
    from interp_xfer.interop.lm_eval import require_lm_eval

    require_lm_eval()
    check_strength(strength)
    task = get_task(dataset)
    problems = load_problems(task, "test", n, data_dir, seed)
    vectors = None if steering is None else SteeringVectors.load(steering)
    settings = GenerationSettings(
        n_shots=n_shots,
        max_new_tokens=max_new_tokens,
        unit=unit,
        operator=operator,
        tokens=tokens,
        max_memory=in_bytes(max_memory),
        scoring="likelihood" if problems[0].choices else "generate",
    )
    model = load_model(child, dtype=dtype, device=device, weight_processing=weight_processing)
    found = run_crosscheck(model, problems, vectors, strength, settings=settings, task=task)
    asked = conditions(model.fingerprint, vectors, settings, task)
    crosscheck_record(asked, strength, problems, found).write(out)
    rows = [
        (
            name,
            points(found.ours[name]),
            points(found.lm_eval[name]) if name in found.lm_eval else "-",
            points(found.agreement[name]) if name in found.agreement else "-",
        )
        for name in found.ours
    ]
    steered = f"strength {strength:g}, {found.steered_passes} steered passes" if found.steered_passes else "unsteered"
    title = f"{child}, {dataset}, {found.n} test questions, {steered}"
    print_rows(title, ("scorer", "ours %", f"lm-eval {found.lm_eval_version} %", "same verdict %"), rows)
    same = "text" if "text" in found.agreement else "choice"
    typer.echo(f"same {same}: {points(found.agreement[same])} % of questions")
    if found.max_difference is not None:
        typer.echo(f"largest difference of a log-likelihood: {found.max_difference:.2g} nats")
    typer.echo(f"wrote {out}")
