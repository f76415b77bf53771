"""Where in the parent is the concept, and is it the one the labels mean?

Per parent layer: the share of the variance of the contrast differences that the direction explains, and its cosine with
the mean difference. Near 1, the principal component is the labelled concept; near 0, it is a nuisance axis.
"""

import json
from dataclasses import dataclass

import plotly.graph_objects as go

from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, load_cells
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.heat_maps import layer_ticks
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, empty_figure
from interp_xfer_analyses.tables import distinct


@dataclass(frozen=True)
class Row:
    """One concept and parent layer."""

    concept: str
    """Parent, data set, and the settings that tell concepts apart."""
    parent: str
    layer: int
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
        cosines = concept.mean_cosine or ()
        content = json.dumps([cell.parent, cosines])
        if content in seen:
            continue
        if not cosines:
            missing.append(f"{cell.label}: the cell holds no description of its concept per layer")
            continue
        name = _name(cell, set(seen.values()))
        seen[content] = name
        for layer in range(len(cosines)):
            rows.append(Row(name, cell.parent, layer, cosines[layer]))
    return ConceptProfile(tuple(rows), tuple(missing))


def figure(table: ConceptProfile) -> go.Figure:
    """Two panels, one line per concept."""
    return draw(table).figure()


def draw(table: ConceptProfile) -> Draft:
    """The figure before it is checked."""
    if not table.rows:
        return empty_figure("No concept to draw: " + "; ".join(table.missing))
    content = [
        Panel("Agreement with the mean difference", "parent layer", "cosine", 260),
    ]
    out = Draft()
    for number, name in enumerate(distinct(row.concept for row in table.rows)):
        rows = [row for row in table.rows if row.concept == name]
        colour = style.SERIES[number % len(style.SERIES)]
        out.scatter(
            x=[row.layer for row in rows],
            y=[row.mean_cosine for row in rows],
            mode="lines+markers",
            name=style.plain(name),
            showlegend=True,
            line={"color": colour, "dash": style.DASHES[number // len(style.SERIES) % 7]},
            marker={"symbol": style.SYMBOLS[number % len(style.SYMBOLS)], "size": 6},
            hovertemplate="layer %{x}: %{y:.3f}",
            **axes(0),
        )
    low = min((row.mean_cosine for row in table.rows if row.mean_cosine is not None), default=0.0)
    out.set(xaxis=layer_ticks(1 + max(row.layer for row in table.rows)))
    out.set(yaxis={"range": [-1.05 if low < 0 else 0, 1.05]})
    return arrange(out, content)


def describe(table: ConceptProfile) -> str:
    """The numbers that matter, in one or two sentences."""
    parts = []
    names = distinct(row.concept for row in table.rows)
    for name in names[:3]:
        rows = [row for row in table.rows if row.concept == name]
        text = f"{name}, {len(rows)} layers"
        cosines = [row.mean_cosine for row in rows if row.mean_cosine is not None]
        if cosines:
            text += f"; cosine with the mean difference {min(cosines):.2f} to {max(cosines):.2f}"
        parts.append(text + ".")
    return " ".join(parts) + (f" And {len(names) - 3} more concepts." if len(names) > 3 else "")


def _name(cell: Cell, taken: set[str]) -> str:
    name = f"{cell.parent}, {cell.dataset}"
    return name if name not in taken else f"{name} ({cell.key})"


ANALYSIS = Analysis(
    "concept-profile",
    "Where in the parent is the concept?",
    compute,
    figure,
    draw,
    describe,
    "Cosine of the concept direction with the mean contrast difference, per parent layer: near 1, the first "
    "component is the labelled concept, near 0 a nuisance axis. How much variance the component explains is "
    "not shown: it is the same number under shuffled labels, and so no evidence of a concept.",
    "A direction without the concept in it has a cosine near 0.",
)
