"""One study of layers: similarity, maps, projections, concept readout."""

from typing import Annotated

import typer

from interp_xfer_cli.display import print_rows, shown_step
from interp_xfer_cli.options import (
    ChildOption,
    DataDirOption,
    DatasetOption,
    DeviceOption,
    DTypeOption,
    MethodOption,
    PairKindOption,
    ParentOption,
    ProcessingOption,
    SeedOption,
)
from interp_xfer_cli.places import RunOut


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command("layers")(layers)


def layers(
    parent: ParentOption,
    child: ChildOption,
    out: RunOut,
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    pairs: PairKindOption = "reasoning-vs-answer",
    n_pairs: Annotated[int, typer.Option(help="Pairs for concept and layer similarity.")] = 128,
    n_calibration: Annotated[int, typer.Option(help="Pairs that settle signs in the child.")] = 32,
    n_fit_texts: Annotated[int, typer.Option(help="Texts that projections are fitted on.")] = 256,
    n_held_out: Annotated[int, typer.Option(help="Pairs that AUROC is measured on.")] = 256,
    method: MethodOption = "pca",
    n_random: Annotated[int, typer.Option(help="Draws of each control.")] = 20,
    png: Annotated[bool, typer.Option("--png", help="Also PNG; needs kaleido and Chromium.")] = False,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Which layers correspond, and which concept directions survive the crossing; nothing is generated."""
    from interp_xfer_analyses.layer_figures import write_layer_figures

    from interp_xfer.stats.p_values import p_number
    from interp_xfer.studies.layer_study import load_layer_study, make_layer_study, run_layer_study

    study = make_layer_study(
        {
            "parent": parent,
            "child": child,
            "dataset": dataset,
            "data_dir": data_dir,
            "dtype": dtype,
            "weight_processing": weight_processing,
            "seed": seed,
            "pairs": pairs,
            "n_pairs": n_pairs,
            "n_calibration": n_calibration,
            "n_fit_texts": n_fit_texts,
            "n_held_out": n_held_out,
            "method": method,
            "n_random": n_random,
        }
    )
    made = run_layer_study(study, out, shown_step, device)
    record, _ = load_layer_study(made)
    print_rows(
        f"{parent} -> {child}, {dataset}, mean AUROC over child layers, {n_held_out} held-out pairs",
        ("directions", "layers", "AUROC", "95 % interval", "random, mean (best)", "rank p"),
        [
            (
                name,
                str(row.n_layers),
                f"{row.auroc.estimate:.3f}",
                f"{row.auroc.low:.3f} to {row.auroc.high:.3f}",
                f"{row.random_mean:.3f} ({row.random_best:.3f})",
                p_number(row.rank_p),
            )
            for name, row in record.summary.items()
        ],
    )
    print_rows(
        "the same for controls of several draws",
        ("directions", "draws", "AUROC, mean", "95 %, pairs and draws", "lowest to highest draw"),
        [
            (
                name,
                str(row.n),
                f"{row.auroc.estimate:.3f}",
                f"{row.auroc.low:.3f} to {row.auroc.high:.3f}",
                f"{row.lowest:.3f} to {row.highest:.3f}",
            )
            for name, row in record.draw_summary.items()
        ],
    )
    for name, layer_map in record.maps.items():
        typer.echo(f"{name}: {layer_map.verdict}")
    export = write_layer_figures(made, out / "figures", ("png",) if png else ())
    for path in (made, *export.files):
        typer.echo(f"wrote {path}")
    if export.note is not None:
        typer.echo(export.note)
