"""Where the numbers of a run come from: models, settings, versions, seconds, prompt, command."""

from collections.abc import Sequence
from dataclasses import dataclass

from interp_xfer.models.bundled import BUNDLED
from interp_xfer.studies.config import Study
from interp_xfer_analyses.cells import Cell, varying_settings
from interp_xfer_analyses.tables import distinct


@dataclass(frozen=True)
class Model:
    """A model as it was loaded."""

    role: str
    reference: str
    fields: tuple[tuple[str, str], ...]
    licence: str | None
    licence_url: str | None
    """Known for bundled models."""


@dataclass(frozen=True)
class Provenance:
    """Of a run; names and values are plain text."""

    models: tuple[Model, ...]
    settings: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    seconds: tuple[tuple[str, str], ...]
    keys: tuple[tuple[str, str], ...]
    """Label and key of each cell."""
    prompts: tuple[tuple[str, str], ...]
    """Label and text of the first rendered prompt, one per data set and child."""
    command: str


_SHOWN_PROMPTS = 3
_SHOWN_FIELDS = (
    "revision", "architecture", "n_layers", "d_model", "dtype", "weights", "config", "tokenizer", "chat_template",
    "chat_date", "chat_system", "weight_processing",
)  # fmt: skip


def provenance(cells: Sequence[Cell], command: str) -> Provenance:
    """What is needed to judge and repeat the run."""
    return Provenance(
        models=_models(cells),
        settings=_settings(cells),
        versions=_versions(cells),
        seconds=_seconds(cells),
        keys=tuple((cell.label, cell.key) for cell in cells),
        prompts=_prompts(cells),
        command=command,
    )


def _models(cells: Sequence[Cell]) -> tuple[Model, ...]:
    out: dict[str, Model] = {}
    for cell in cells:
        for role, found in (("parent", cell.record.parent), ("child", cell.record.child)):
            values, reference = found.to_dict(), found.reference
            bundled = BUNDLED.get(reference.removeprefix("bundled:")) if reference.startswith("bundled:") else None
            fields = tuple((name, str(values[name])) for name in _SHOWN_FIELDS if values[name] is not None)
            fields = (("fingerprint", found.digest), *fields)
            known = repr((role, reference, fields))
            out[known] = Model(
                role, reference, fields, bundled.licence if bundled else None, bundled.licence_url if bundled else None
            )
    return tuple(out.values())


def _settings(cells: Sequence[Cell]) -> tuple[tuple[str, str], ...]:
    varying = varying_settings(cells)
    out = []
    for name in Study.model_fields:
        values = distinct(_text(getattr(cell.study, name)) for cell in cells)
        shown = "; ".join(values[:12]) + (f"; and {len(values) - 12} more" if len(values) > 12 else "")
        out.append((name, f"{shown} (differs between cells)" if name in varying else shown))
    return tuple(out)


def _versions(cells: Sequence[Cell]) -> tuple[tuple[str, str], ...]:
    names = distinct(name for cell in cells for name in cell.record.versions)
    return tuple(
        (name, ", ".join(distinct(cell.record.versions.get(name, "missing") for cell in cells))) for name in names
    )


def _seconds(cells: Sequence[Cell]) -> tuple[tuple[str, str], ...]:
    out = []
    for name in distinct(name for cell in cells for name in cell.record.wall_s):
        values = [cell.record.wall_s[name] for cell in cells if name in cell.record.wall_s]
        text = f"{sum(values):.1f}" + (f" over {len(values)} cells" if len(values) > 1 else "")
        out.append((name.replace("_", " "), text))
    return tuple(out)


def _prompts(cells: Sequence[Cell]) -> tuple[tuple[str, str], ...]:
    out: dict[tuple[str, str], tuple[str, str]] = {}
    for cell in cells:
        out.setdefault((cell.child, cell.dataset), (f"{cell.child}, {cell.dataset}", cell.record.first_prompt))
    return tuple(out.values())[:_SHOWN_PROMPTS]


def _text(value: object) -> str:
    return (
        ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
        if isinstance(value, tuple)
        else ("none" if value is None else str(value))
    )
