"""Where in the parent is the concept, and is it the one the labels mean?

Per parent layer: the share of the variance of the contrast differences that the direction explains, and its cosine with
the mean difference. Near 1, the principal component is the labelled concept; near 0, it is a nuisance axis.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analyses import style
from analyses.cells import Cell, load_cells
from analyses.drafts import Draft
from analyses.panels import Panel, arrange, axes, empty_figure
from analyses.tables import distinct
from interp_xfer.studies.run_store import RunStore


@dataclass(frozen=True)
class Row:
    """One concept and parent layer."""

    concept: str
    """Parent, data set, and the settings that tell concepts apart."""
    parent: str
    layer: int
    explained_variance: float | None
    """Share, 0 to 1."""
    mean_cosine: float | None
    """With the mean difference."""


@dataclass(frozen=True)
class ConceptProfile:
    """Rows by concept and layer; cells that share a concept are drawn once."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def compute(store: RunStore) -> ConceptProfile:
    """Explained variance and cosine with the mean difference of every concept of the run.

    Raises: ArtifactError if the run has no finished cell.
    """
    rows: list[Row] = []
    missing = []
    seen: dict[str, str] = {}
    for cell in load_cells(store):
        concept = cell.record.concept
        explained, cosines = concept.explained_variance or (), concept.mean_cosine or ()
        content = json.dumps([cell.parent, explained, cosines])
        if content in seen:
            continue
        if not explained and not cosines:
            missing.append(f"{cell.label}: the cell holds no description of its concept per layer")
            continue
        name = _name(cell, set(seen.values()))
        seen[content] = name
        for layer in range(max(len(explained), len(cosines))):
            rows.append(Row(name, cell.parent, layer, _at(explained, layer), _at(cosines, layer)))
    return ConceptProfile(tuple(rows), tuple(missing))


def figure(table: ConceptProfile) -> go.Figure:
    """Two panels, one line per concept."""
    return draw(table).figure()


def draw(table: ConceptProfile) -> Draft:
    """The figure before it is checked."""
    if not table.rows:
        return empty_figure("No concept to draw: " + "; ".join(table.missing))
    content = [
        Panel("Variance explained by the direction", "parent layer", "share of variance", 260),
        Panel("Agreement with the mean difference", "parent layer", "cosine", 260),
    ]
    out = Draft()
    for number, name in enumerate(distinct(row.concept for row in table.rows)):
        rows = [row for row in table.rows if row.concept == name]
        colour = style.SERIES[number % len(style.SERIES)]
        for panel, value in ((0, "explained_variance"), (1, "mean_cosine")):
            out.scatter(
                x=[row.layer for row in rows], y=[getattr(row, value) for row in rows], mode="lines+markers",
                name=style.plain(name), legendgroup=name, showlegend=panel == 0,
                line={"color": colour, "dash": style.DASHES[number // len(style.SERIES) % 7]},
                marker={"symbol": style.SYMBOLS[number % len(style.SYMBOLS)], "size": 6},
                hovertemplate="layer %{x}: %{y:.3f}", **axes(panel),
            )  # fmt: skip
    low = min((row.mean_cosine for row in table.rows if row.mean_cosine is not None), default=0.0)
    out.set(yaxis={"range": [0, 1.05]}, yaxis2={"range": [-1.05 if low < 0 else 0, 1.05]})
    return arrange(out, content)


def describe(table: ConceptProfile) -> str:
    """The numbers that matter, in one or two sentences."""
    parts = []
    names = distinct(row.concept for row in table.rows)
    for name in names[:3]:
        rows = [row for row in table.rows if row.concept == name]
        text = f"{name}, {len(rows)} layers"
        explained = [row.explained_variance for row in rows if row.explained_variance is not None]
        cosines = [row.mean_cosine for row in rows if row.mean_cosine is not None]
        if explained:
            text += f"; variance explained {style.percent(min(explained))} to {style.percent(max(explained))}"
        if cosines:
            text += f"; cosine with the mean difference {min(cosines):.2f} to {max(cosines):.2f}"
        parts.append(text + ".")
    return " ".join(parts) + (f" And {len(names) - 3} more concepts." if len(names) > 3 else "")


def _name(cell: Cell, taken: set[str]) -> str:
    name = f"{cell.parent}, {cell.dataset}"
    return name if name not in taken else f"{name} ({cell.key})"


def _at(values: Sequence[float | None], index: int) -> float | None:
    return values[index] if index < len(values) else None
