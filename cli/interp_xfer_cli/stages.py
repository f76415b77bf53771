"""Algorithm 1 and the transfer, a stage at a time: extract, map, project, transfer."""

from pathlib import Path
from typing import Annotated

import typer

from interp_xfer.bounds import MAX_PROBLEMS
from interp_xfer.choices import Centering
from interp_xfer_cli import tables
from interp_xfer_cli.display import shown_step
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
    RationalesOption,
    SeedOption,
)
from interp_xfer_cli.places import ConceptOut, MapOut, ProjectionOut, SteeringOut


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (extract, map_, project, transfer):
        app.command(verb.__name__.rstrip("_"))(verb)


def extract(
    parent: ParentOption,
    out: ConceptOut,
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    pairs: PairKindOption = "reasoning-vs-answer",
    n_pairs: Annotated[int, typer.Option(min=2, max=MAX_PROBLEMS, help="Training problems.")] = 128,
    offset: Annotated[int, typer.Option(min=0, max=MAX_PROBLEMS, help="Training problems to pass over.")] = 0,
    method: MethodOption = "pca",
    centering: Annotated[Centering, typer.Option(help="Preparation for PCA; ordered is the trap.")] = "symmetric",
    normalize_differences: Annotated[bool, typer.Option(help="Unit length for each difference first.")] = False,
    rationales: RationalesOption = None,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Algorithm 1: one concept direction per layer of the parent."""
    from interp_xfer import contrast_pairs, extract_concept, load_model
    from interp_xfer.evaluation.write_rationales import load_training

    problems = load_training(dataset, n_pairs, data_dir, seed, offset, rationales)
    made = contrast_pairs(problems, pairs, seed)
    model = load_model(parent, dtype=dtype, device=device, weight_processing=weight_processing)
    with shown_step("extracting the concept", 2 * len(made), "texts") as progress:
        concept = extract_concept(
            model,
            made,
            method=method,
            centering=centering,
            normalize_differences=normalize_differences,
            seed=seed,
            progress=progress,
        )
    concept.save(out)
    typer.echo(f"{out}: {model.n_layers} layers, mean cosine with the mean difference {concept.mean_cosine.mean():.2f}")


def map_(
    parent: ParentOption,
    child: ChildOption,
    out: MapOut,
    strategy: Annotated[
        str, typer.Option(parser=tables.LAYER_MAP, help="How layers are paired; see `interp-xfer presets`.")
    ] = "cka",
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    pairs: PairKindOption = "reasoning-vs-answer",
    n_pairs: Annotated[
        int, typer.Option(min=1, max=MAX_PROBLEMS, help="Training problems (measured strategies).")
    ] = 128,
    offset: Annotated[int, typer.Option(min=0, max=MAX_PROBLEMS, help="Training problems to pass over.")] = 0,
    rationales: RationalesOption = None,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Which parent layer feeds each child layer."""
    from interp_xfer import contrast_pairs, load_model, map_layers
    from interp_xfer.evaluation.write_rationales import load_training
    from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
    from interp_xfer.tasks.prompt_hashes import PromptHashes
    from interp_xfer.transfer.layer_map_record import LayerMapRecord

    made = []
    if LAYER_MAPS[strategy].needs_pairs:
        made = contrast_pairs(load_training(dataset, n_pairs, data_dir, seed, offset, rationales), pairs, seed)
    parent_model = load_model(parent, dtype=dtype, device=device, weight_processing=weight_processing)
    child_model = load_model(child, dtype=dtype, device=device, weight_processing=weight_processing)
    with shown_step("matching layers", 4 * len(made), "texts") as progress:
        mapping = map_layers(parent_model, child_model, made, strategy, seed=seed, progress=progress)
    LayerMapRecord(
        parent=parent_model.fingerprint,
        child=child_model.fingerprint,
        layer_map=mapping,
        dataset=dataset if made else None,
        pairs=pairs if made else None,
        n_pairs=len(made),
        seed=seed,
        prompts=tuple(PromptHashes.of(made).to_list()),
    ).write(out)
    typer.echo(f"{out}: child layer -> parent layer {list(mapping.parent_of)}; {mapping.verdict}")


def project(
    parent: ParentOption,
    child: ChildOption,
    map_file: Annotated[Path, typer.Option("--map", help="File written by `interp-xfer map`.")],
    out: ProjectionOut,
    kind: Annotated[
        str, typer.Option(parser=tables.LINEAR_MAP, help="How widths are bridged; see `interp-xfer presets`.")
    ] = "ridge",
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    n_texts: Annotated[
        int, typer.Option(min=1, max=MAX_PROBLEMS, help="Training problems whose texts the map is fitted on.")
    ] = 512,
    offset: Annotated[
        int,
        typer.Option(min=0, max=MAX_PROBLEMS, help="Training problems to pass over: those of pairs and calibration."),
    ] = 160,
    rationales: RationalesOption = None,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Fit the linear maps from parent to child layers, on texts disjoint from the contrast pairs."""
    from interp_xfer import fit_projection, get_task, load_model, projection_texts
    from interp_xfer.evaluation.write_rationales import load_training
    from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
    from interp_xfer.transfer.fit import n_passes
    from interp_xfer.transfer.layer_map_record import LayerMapRecord

    mapped = LayerMapRecord.read(map_file)
    mapping = mapped.layer_map
    texts = []
    if LINEAR_MAPS[kind].needs_texts:
        problems = load_training(dataset, n_texts, data_dir, seed, offset, rationales)
        texts = projection_texts(get_task(dataset), problems)
    parent_model = load_model(parent, dtype=dtype, device=device, weight_processing=weight_processing)
    child_model = load_model(child, dtype=dtype, device=device, weight_processing=weight_processing)
    mapped.require(str(map_file), parent_model.fingerprint, child_model.fingerprint)
    total = len(texts) * n_passes(mapping, parent_model.d_model, child_model.d_model)
    with shown_step(f"fitting the {kind} projection", total, "texts") as progress:
        projection = fit_projection(
            parent_model,
            child_model,
            texts,
            mapping,
            kind,
            seed=seed,
            progress=progress,
        )
    projection.save(out)
    fits = [p.diagnostics["r2"] for p in projection.maps.values() if "r2" in p.diagnostics]
    quality = f", out-of-fold R2 {min(fits):.2f} to {max(fits):.2f}" if fits else ""
    typer.echo(f"{out}: {len(projection.maps)} maps{quality}")


def transfer(
    concept: Annotated[Path, typer.Option(help="Directory written by `interp-xfer extract`.")],
    map_file: Annotated[Path, typer.Option("--map", help="File written by `interp-xfer map`.")],
    projection: Annotated[Path, typer.Option(help="Directory written by `interp-xfer project`.")],
    child: ChildOption,
    out: SteeringOut,
    dataset: DatasetOption = "gsm8k",
    data_dir: DataDirOption = None,
    n_calibration: Annotated[
        int, typer.Option(min=1, max=MAX_PROBLEMS, help="Training problems that settle the sign.")
    ] = 32,
    offset: Annotated[
        int, typer.Option(min=0, max=MAX_PROBLEMS, help="Training problems to pass over: those of the pairs.")
    ] = 128,
    rationales: RationalesOption = None,
    seed: SeedOption = 0,
    dtype: DTypeOption = None,
    weight_processing: ProcessingOption = "none",
    device: DeviceOption = None,
) -> None:
    """Carry the concept into the child: map, unit length, sign from calibration pairs."""
    from dataclasses import replace

    from interp_xfer import calibrate, contrast_pairs, load_model, transfer_concept
    from interp_xfer.concepts.extract import ConceptVectors
    from interp_xfer.evaluation.write_rationales import load_training
    from interp_xfer.tasks.prompt_hashes import PromptHashes
    from interp_xfer.transfer.carry import require_fit
    from interp_xfer.transfer.fit import ProjectionSet
    from interp_xfer.transfer.layer_map_record import LayerMapRecord

    found, mapped, maps = ConceptVectors.load(concept), LayerMapRecord.read(map_file), ProjectionSet.load(projection)
    mapped.require(str(map_file), parent=found.model)
    require_fit(found, mapped.layer_map, maps)
    problems = load_training(dataset, n_calibration, data_dir, seed, offset, rationales)
    pairs = contrast_pairs(problems, found.settings.kind, seed)
    child_model = load_model(child, dtype=dtype, device=device, weight_processing=weight_processing)
    mapped.require(str(map_file), child=child_model.fingerprint)
    with shown_step("calibrating the child", 4 * len(pairs), "texts") as progress:
        calibration = calibrate(child_model, pairs, progress=progress)
    steering = transfer_concept(found, maps, calibration)
    steering = replace(steering, prompts=steering.prompts | PromptHashes.from_list(mapped.prompts))
    steering.save(out)
    typer.echo(
        f"{out}: {len(steering.steered_layers)} of {child_model.n_layers} child layers steered, "
        f"{sum(steering.flipped)} signs turned round"
    )
