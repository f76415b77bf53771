"""Algorithms 2 and 3 on steering vectors that are there: search, evaluate."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp_xfer.bounds import MAX_PROBLEMS
from interp_xfer.choices import Scoring, StrengthUnit, TokenScope
from interp_xfer.stats.p_values import p_text
from interp_xfer_cli.display import points, print_rows, shown_step
from interp_xfer_cli.options import (
    ChildOption,
    DataDirOption,
    DatasetOption,
    DeviceOption,
    DTypeOption,
    FewShotOption,
    GridOption,
    MaxMemoryOption,
    MaxTokensOption,
    OperatorOption,
    ProcessingOption,
    ScoringOption,
    SeedOption,
    ShotsOption,
    SystemPromptOption,
    TokensOption,
    UnitOption,
    in_bytes,
    parse_grid,
)
from interp_xfer_cli.places import EvaluationOut, SearchOut

SteeringOption = Annotated[Path, typer.Option("--steering", help="Directory written by `interp-xfer transfer`.")]


if TYPE_CHECKING:
    from collections.abc import Sequence

    from interp_xfer.evaluation.record import Point
    from interp_xfer.evaluation.settings import GenerationSettings
    from interp_xfer.tasks import Task


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command("search")(search)
    app.command("evaluate")(evaluate)


def search(
    child: ChildOption,
    steering: SteeringOption,
    out: SearchOut,
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    n: Annotated[int, typer.Option("--n", min=1, max=MAX_PROBLEMS, help="Validation problems.")] = 128,
    grid: GridOption = None,
    n_shots: ShotsOption = 5,
    unit: UnitOption = "relative",
    operator: OperatorOption = "add",
    tokens: TokensOption = "all",
    max_new_tokens: MaxTokensOption = None,
    max_memory: MaxMemoryOption = None,
    system_prompt: SystemPromptOption = None,
    few_shot: FewShotOption = None,
    scoring: ScoringOption = "generate",
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Algorithm 2: the strength that answers most validation questions; writes a JSON file."""
    from interp_xfer import SteeringVectors, load_model, load_problems, search_lambda
    from interp_xfer.evaluation.record import conditions, search_record
    from interp_xfer.steering.operators import has_strength, strength_grid

    strengths = strength_grid(operator, parse_grid(grid))
    task = _task(dataset, system_prompt, few_shot)
    problems = load_problems(task, "validation", n, data_dir, seed)
    vectors = SteeringVectors.load(steering)
    settings = _settings(n_shots, unit, operator, tokens, max_new_tokens, max_memory, scoring)
    model = load_model(child, dtype=dtype, device=device, weight_processing=weight_processing)
    with shown_step("searching lambda", (len(strengths) + 1) * len(problems), "answers") as progress:
        found = search_lambda(model, vectors, problems, grid=strengths, settings=settings, task=task, progress=progress)
    record = search_record(conditions(model.fingerprint, vectors, settings, task), found)
    record.write(out)
    _print_strengths(f"{child}, {dataset}, {len(problems)} validation questions", record.strengths)
    if not has_strength(operator):
        typer.echo(f"{out}: {operator} has no strength, so that there is none to choose; it was applied once")
    else:
        typer.echo(f"{out}: lambda* = {found.best:g} ({unit}; smallest strength on a tie)")


def evaluate(
    child: ChildOption,
    steering: SteeringOption,
    out: EvaluationOut,
    search_file: Annotated[
        Path | None, typer.Option("--search", help="File written by `interp-xfer search`: gives lambda*.")
    ] = None,
    strength: Annotated[float | None, typer.Option(help="lambda*, instead of --search.")] = None,
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, max=MAX_PROBLEMS, help="Test problems; default the whole split.")
    ] = None,
    with_its: Annotated[bool, typer.Option(help="Also run the grid and vote.")] = True,
    grid: GridOption = None,
    n_shots: ShotsOption = 5,
    unit: UnitOption = "relative",
    operator: OperatorOption = "add",
    tokens: TokensOption = "all",
    max_new_tokens: MaxTokensOption = None,
    max_memory: MaxMemoryOption = None,
    system_prompt: SystemPromptOption = None,
    few_shot: FewShotOption = None,
    scoring: ScoringOption = "generate",
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Algorithm 3: baseline, lambda* and vote on the test questions; writes a JSON file."""
    from interp_xfer import SteeringVectors, load_model, load_problems
    from interp_xfer import evaluate as run_evaluation
    from interp_xfer.errors import ConfigError
    from interp_xfer.evaluation.record import SearchRecord, conditions, evaluation_record
    from interp_xfer.evaluation.search import check_strength
    from interp_xfer.steering.operators import strength_grid

    if (search_file is None) == (strength is None):
        raise ConfigError("give lambda* either by --search FILE or by --strength NUMBER.")
    if strength is not None:
        check_strength(strength)
    searched = None if search_file is None else SearchRecord.read(search_file)
    strengths = strength_grid(operator, parse_grid(grid))
    task = _task(dataset, system_prompt, few_shot)
    problems = load_problems(task, "test", n, data_dir, seed)
    vectors = SteeringVectors.load(steering)
    settings = _settings(n_shots, unit, operator, tokens, max_new_tokens, max_memory, scoring)
    model = load_model(child, dtype=dtype, device=device, weight_processing=weight_processing)
    asked = conditions(model.fingerprint, vectors, settings, task)
    if searched is not None:
        searched.require(asked, str(search_file))
        searched.require_unseen(problems, str(search_file))
        strength = searched.lambda_star
    assert strength is not None
    n_arms = len({0.0, strength, *(strengths if with_its and len(strengths) > 1 else ())})
    with shown_step("evaluating", n_arms * len(problems), "answers") as progress:
        result = run_evaluation(
            model, vectors, problems, strength, with_its=with_its, grid=strengths, settings=settings, task=task,
            progress=progress,
        )  # fmt: skip
    record = evaluation_record(asked, result)
    record.write(out)
    _print_strengths(f"{child}, {dataset}, {len(problems)} test questions", record.strengths)
    for arm in result.arms[1:]:
        assert arm.difference is not None
        d = arm.difference
        typer.echo(
            f"{arm.name}: {points(arm.summary.accuracy.estimate)} %, {100 * d.delta:+.1f} points "
            f"[{100 * d.low:+.1f}, {100 * d.high:+.1f}], {p_text(d.p_value)}"
        )
    typer.echo(f"wrote {out}")


def _task(dataset: str, system_prompt: Path | None, few_shot: Path | None) -> "Task":
    from interp_xfer import get_task
    from interp_xfer.tasks import load_few_shot, load_system_prompt

    task = get_task(dataset)
    if system_prompt is not None:
        task = replace(task, system_prompt=load_system_prompt(system_prompt))
    if few_shot is not None:
        task = replace(task, few_shot=load_few_shot(task, few_shot))
    return task


def _settings(
    n_shots: int,
    unit: StrengthUnit,
    operator: str,
    tokens: TokenScope,
    max_new_tokens: int | None,
    max_memory: int | None,
    scoring: Scoring,
) -> "GenerationSettings":
    from interp_xfer import GenerationSettings

    return GenerationSettings(
        n_shots=n_shots,
        max_new_tokens=max_new_tokens,
        unit=unit,
        operator=operator,
        tokens=tokens,
        max_memory=in_bytes(max_memory),
        scoring=scoring,
    )


def _print_strengths(title: str, rows: "Sequence[Point]") -> None:
    columns = (
        "strength",
        "right",
        "accuracy %",
        "95 % interval",
        "invalid",
        "truncated",
        "given up",
        "tokens",
        "read by",
    )
    print_rows(
        title,
        columns,
        [
            (
                f"{row.strength:g}",
                f"{row.correct}/{row.n}",
                points(row.accuracy),
                f"{points(row.low)} to {points(row.high)}",
                str(row.invalid),
                str(row.truncated),
                str(row.timed_out),
                f"{row.mean_tokens:.1f}",
                ", ".join(f"{rule} {count}" for rule, count in row.rules.items()) or "-",
            )
            for row in rows
        ],
    )
