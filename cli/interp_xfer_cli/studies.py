"""Whole studies: demo, run, analyse, report."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from interp_xfer_cli import tables
from interp_xfer_cli.display import print_cell, print_rows, shown_step
from interp_xfer_cli.options import DeviceOption, MaxMemoryOption, in_bytes, parse_settings
from interp_xfer_cli.places import NamedRunOut, RunOut

DEMO = {
    "parent": "bundled:gemma-3-270m",
    "child": "bundled:smollm2-135m-instruct",
    "dataset": "sums",
    "n_pairs": 64,
    "n_fit_texts": 192,
    "n_calibration": 24,
    "n_aligned": 16,
    "n_validation": 16,
    "n_test": 48,
}
"""The main job: two real models of different family, depth and width, offline after the downloads."""

ImageFormat = Literal["png", "svg", "pdf"]

RunArgument = Annotated[Path, typer.Argument(help="Directory of a run.")]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (demo, run, analyse, report):
        app.command(verb.__name__)(verb)


def demo(
    out: RunOut = Path("runs/demo"),
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, replaces a setting.")] = None,
    max_memory: MaxMemoryOption = None,
    device: DeviceOption = None,
) -> None:
    """The main job on the bundled models: extract, map, project, search, evaluate, report."""
    from interp_xfer.studies.config import make_study

    _run(make_study({**DEMO, **parse_settings(settings or [])}), out, device, max_memory)


def run(
    study: Annotated[Path, typer.Argument(help="YAML file of study settings.")],
    out: NamedRunOut = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, replaces a setting.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    max_memory: MaxMemoryOption = None,
    device: DeviceOption = None,
) -> None:
    """One study from a YAML file; the same command resumes."""
    from interp_xfer.studies.config import load_study

    resolved = load_study(study, parse_settings(settings or []))
    target = out or Path("runs") / study.stem
    if dry_run:
        rows = [(key, str(value)) for key, value in resolved.model_dump(mode="json").items()]
        print_rows(f"{target}", ("setting", "value"), rows)
        return
    _run(resolved, target, device, max_memory)


def analyse(
    name: Annotated[
        str, typer.Argument(parser=tables.ANALYSIS, help="Name of an analysis; see `interp-xfer presets`.")
    ],
    run: RunArgument,
    image: Annotated[ImageFormat | None, typer.Option(help="Also an image; needs kaleido and a Chrome.")] = None,
) -> None:
    """One analysis on a finished run: its table and its figure, in RUN/figures."""
    from interp_xfer_analyses.export_images import export_analysis

    from interp_xfer.studies.run_store import RunStore

    export = export_analysis(RunStore(run), name, () if image is None else (image,))
    for path in export.files:
        typer.echo(f"wrote {path}")
    if export.note:
        typer.echo(export.note)


def report(run: RunArgument) -> None:
    """One self-contained page about a finished run."""
    from interp_xfer_analyses.page.report import write_report

    from interp_xfer.studies.run_store import RunStore

    typer.echo(f"wrote {write_report(RunStore(run))}")


def _run(study: object, out: Path, device: str | None, max_memory: int | None) -> None:
    from interp_xfer_analyses.page.report import write_report

    from interp_xfer.files.places import require_run_place
    from interp_xfer.studies.config import Study
    from interp_xfer.studies.execution import Execution
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.runner import run_study

    assert isinstance(study, Study)
    require_run_place(out)
    store = RunStore(out)
    record = run_study(study, store, shown_step, Execution(device, in_bytes(max_memory)))
    print_cell(record)
    typer.echo(f"results {store.cell(record.key)}")
    # Last: a finished run that cannot be written is still printed, and a page that is as it should be is not written.
    typer.echo(f"report  {write_report(store)}")
