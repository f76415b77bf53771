"""Layer sensitivity of a finished run: measure it, then draw it."""

from typing import Annotated

import typer

from interp_xfer_cli.display import print_rows, shown_step
from interp_xfer_cli.options import DeviceOption, MaxMemoryOption, in_bytes, parse_grid, parse_settings
from interp_xfer_cli.studies import RunArgument


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command("sensitivity")(sensitivity)


def sensitivity(
    run: RunArgument,
    questions: Annotated[int | None, typer.Option(help="Validation questions, teacher forced; default 32.")] = None,
    strengths: Annotated[
        str | None, typer.Option(help="Of the sweep, comma-separated; default 0.1,0.3,1.0, in the unit of the run.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Layers steered together; default a fifth of them.")] = None,
    random: Annotated[int | None, typer.Option(help="Draws of each kind of random direction; default 20.")] = None,
    cell: Annotated[str | None, typer.Option(help="Key of one cell; default all of the run.")] = None,
    sweep: Annotated[bool, typer.Option(help="Also steer layers and windows, teacher forced.")] = True,
    generation: Annotated[bool, typer.Option(help="Also answer some questions with three windows steered.")] = True,
    generated: Annotated[int | None, typer.Option(help="Questions answered by generation; default 16.")] = None,
    places: Annotated[
        list[str] | None, typer.Option("--set", help="child=PATH: where a file or folder of the run lies here.")
    ] = None,
    max_memory: MaxMemoryOption = None,
    device: DeviceOption = None,
) -> None:
    """Which child layers respond: gradient of log p(gold), a sweep over layers, a check by generation."""
    from interp_xfer_analyses.export_images import export_analysis
    from interp_xfer_analyses.questions.layer_sensitivity import compute

    from interp_xfer.stats.p_values import p_number
    from interp_xfer.studies.execution import Execution
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.sensitivity import make_settings, measure_run

    settings = make_settings(
        n_questions=questions,
        strengths=None if strengths is None else parse_grid(strengths),
        window=window,
        n_random=random,
        sweep=sweep,
        generation=generation,
        n_generated=generated,
    )
    store = RunStore(run)
    where = Execution(device, in_bytes(max_memory))
    found = measure_run(store, settings, cell, shown_step, parse_settings(places or []), where)
    keys = {record.key for record in found}
    table = compute(store)
    for row in (row for row in table.measured if row.key in keys):
        print_rows(
            f"{row.label}: {row.n_questions} validation questions, {row.n_layers} steered layers",
            ("direction", "null", "layer of largest |z|", "z", "p over layers", "rank p among draws"),
            [
                (p.direction, p.null, str(p.layer), f"{p.z:+.2f}", p_number(p.p_layers), p_number(p.p_draws))
                for p in table.peaks
                if p.key == row.key
            ],
        )
        agreement = [a for a in table.agreement if a.key == row.key]
        if agreement:
            print_rows(
                "rank correlation over layers, gradient against sweep",
                ("strength", "rho", "95 % interval", "p, layers shuffled", "p, layers rotated"),
                [
                    (
                        f"{a.strength:g}",
                        "-" if a.rho is None else f"{a.rho:+.2f}",
                        "-" if a.low is None or a.high is None else f"{a.low:+.2f} to {a.high:+.2f}",
                        p_number(a.p_permutation),
                        p_number(a.p_rotation),
                    )
                    for a in agreement
                ],
            )
    for line in table.missing:
        typer.echo(line)
    export = export_analysis(store, "layer-sensitivity")
    typer.echo("\n".join(f"wrote {path}" for path in export.files))
