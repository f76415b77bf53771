"""Comparing mappings: many cells from one file, run one after another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp_xfer_cli.display import points, print_rows, shown_step
from interp_xfer_cli.options import DeviceOption, MaxMemoryOption, in_bytes, parse_settings
from interp_xfer_cli.places import NamedRunOut
from interp_xfer_cli.studies import DEMO

if TYPE_CHECKING:
    from interp_xfer.fields import Json
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.runner import Outcome

_LISTED = "Comma-separated; "


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command("compare")(compare)


def compare(
    study: Annotated[
        Path | None, typer.Argument(help="YAML file of study settings and lists; default: the models of `demo`.")
    ] = None,
    out: NamedRunOut = None,
    layer_maps: Annotated[str | None, typer.Option(help=f"{_LISTED}default greedy,proportional,cka.")] = None,
    projections: Annotated[
        str | None, typer.Option(help=f"{_LISTED}default ridge,procrustes,random-orthogonal.")
    ] = None,
    units: Annotated[str | None, typer.Option(help=f"{_LISTED}default relative,raw.")] = None,
    parents: Annotated[str | None, typer.Option(help=f"{_LISTED}default the file's.")] = None,
    children: Annotated[str | None, typer.Option(help=f"{_LISTED}default the file's.")] = None,
    datasets: Annotated[str | None, typer.Option(help=f"{_LISTED}default the file's.")] = None,
    native: Annotated[bool | None, typer.Option(help="Also steer each child with its own concept.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, replaces a setting.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    max_memory: MaxMemoryOption = None,
    device: DeviceOption = None,
) -> None:
    """Layer map x projection x unit on the same questions; the same command resumes."""
    from interp_xfer.files.places import require_run_place
    from interp_xfer.studies.comparison import make_comparison, plan_comparison
    from interp_xfer.studies.config import read_settings
    from interp_xfer.studies.execution import Execution
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.runner import known_widths, run_plan

    lists = {
        "layer_maps": layer_maps, "projections": projections, "units": units, "parents": parents,
        "children": children, "datasets": datasets,
    }  # fmt: skip
    chosen: Json = {name: _parts(text) for name, text in lists.items() if text is not None}
    if native is not None:
        chosen["native"] = native
    base = dict(DEMO) if study is None else read_settings(study)
    values = _replaced(base, {**parse_settings(settings or []), **chosen})
    comparison = make_comparison(values, "the settings" if study is None else str(study))
    plan = plan_comparison(comparison, known_widths([*comparison.parents, *comparison.children]))
    target = out or Path("runs") / (study.stem if study else "comparison")
    require_run_place(target)
    store = RunStore(target)
    if dry_run:
        finished = {record.asked for record in store.read_cells()} if (target / "cells").exists() else set()
        rows = [(cell.key, cell.name, "finished" if cell.key in finished else "to run") for cell in plan.cells]
        rows += [("-", left.name, f"left out: {left.reason}") for left in plan.left_out]
        print_rows(f"{target}: {len(plan.cells)} cells", ("cell", "what", "state"), rows)
        return
    for left in plan.left_out:
        typer.echo(f"left out: {left.name}: {left.reason}")
    store.write_plan(comparison.shown_settings(), plan.record())
    outcomes = run_plan(plan, store, shown_step, _say, Execution(device, in_bytes(max_memory)))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if len(failed) < len(outcomes):
        _report(store)
    if failed:
        typer.echo(f"{len(failed)} of {len(outcomes)} cells failed; the same command tries them again", err=True)
        raise typer.Exit(1)


def _report(store: "RunStore") -> None:
    from interp_xfer_analyses.export_images import export_analysis
    from interp_xfer_analyses.page.report import write_report

    export = export_analysis(store, "mapping-comparison")
    typer.echo("\n".join(f"wrote {path}" for path in export.files))
    typer.echo(f"report {write_report(store)}")


def _say(outcome: "Outcome") -> None:
    """One line about a cell that is finished."""
    where = f"cell {outcome.number} of {outcome.total}: {outcome.cell.name}"
    if outcome.record is None:
        typer.echo(f"{where}: FAILED, {outcome.error}")
        return
    test = outcome.record.test
    change = test.lambda_star.difference
    assert change is not None  # every arm but the baseline has one
    typer.echo(
        f"{where}: baseline {points(test.baseline.accuracy)} %, lambda* {test.lambda_star.strength:g} "
        f"{100 * change.delta:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
        f"{' (was there)' if outcome.status == 'there' else ''}"
    )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _replaced(base: "Json", changes: "Json") -> "Json":
    """A list on the command line replaces a single setting of the file, and the other way round."""
    from interp_xfer.studies.comparison import LISTS

    other = {**LISTS, **{singular: plural for plural, singular in LISTS.items()}}
    dropped = {other[name] for name in changes if name in other} - set(changes)
    return {**{name: value for name, value in base.items() if name not in dropped}, **changes}
