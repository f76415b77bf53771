"""How well does each child layer's map carry the parent over, and where was the sign flipped?

Per child layer: which parent layer feeds it, how much of the child's activation the map predicts on texts it was not
fitted on (out-of-fold R²), whether the mapped direction pointed the wrong way on the child's own labelled pairs and was
flipped, and the median residual norm, which decides how large a shift one unit of strength is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from interp_xfer.maths.linear_maps import ALPHAS
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.cell_record import CellRecord
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, load_cells
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, category_labels, empty_figure, label_lines, say
from interp_xfer_analyses.tables import distinct

_LOW_R2 = 0.25  # below it, three quarters of what the direction does in the child are not predicted


@dataclass(frozen=True)
class Row:
    """One transfer and child layer."""

    transfer: str
    """Parent, child, data set, and the settings that tell transfers apart."""
    key: str
    """First cell that used it."""
    child: str
    layer: int
    parent_layer: int | None
    """None: the layer is not steered."""
    r2: float | None
    """Out of fold, of all coordinates; None for maps that were not fitted."""
    r2_along: float | None
    """The same along the carried direction alone."""
    flipped: bool | None
    residual_norm: float | None


@dataclass(frozen=True)
class TransferProfile:
    """Rows by transfer and child layer; cells that share a transfer are drawn once."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def compute(store: RunStore) -> TransferProfile:
    """Layer map, fit, sign and residual norm of every transfer of the run.

    Raises: ArtifactError if the run has no finished cell.
    """
    rows: list[Row] = []
    missing = []
    seen: set[str] = set()
    for cell in load_cells(store):
        made = rows_of(cell.record, cell.label, cell.key)
        content = repr([(cell.parent, cell.child, cell.dataset), [row_values(row) for row in made]])
        if content in seen:
            continue
        seen.add(content)
        rows += made
        missing += [f"{cell.label}: {gap}" for gap in _gaps(cell, made)]
    return TransferProfile(tuple(rows), tuple(missing))


def row_values(row: Row) -> tuple[int, int | None, float | None, float | None, bool | None, float | None]:
    """What distinguishes two transfers, without their names."""
    return row.layer, row.parent_layer, row.r2, row.r2_along, row.flipped, row.residual_norm


def figure(table: TransferProfile) -> go.Figure:
    """Layer map, fit and residual norm over child layers; only the fit, as a heat map, for many transfers."""
    return draw(table).figure()


def draw(table: TransferProfile) -> Draft:
    """The figure before it is checked."""
    if not table.rows:
        return empty_figure("No transfer to draw: " + "; ".join(table.missing))
    names = distinct(row.transfer for row in table.rows)
    return _lines(table.rows, names) if len(names) <= len(style.SERIES) else _heat_map(table.rows, names)


def _lines(rows: Sequence[Row], names: Sequence[str]) -> Draft:
    content = [
        Panel("Which parent layer feeds the child layer", "child layer", "parent layer", 240),
        Panel("How much of the child the map predicts", "child layer", "out-of-fold R²", 240),
        Panel("Length of the child's residual stream", "child layer", "median norm", 240),
    ]
    out = Draft()
    for number, name in enumerate(names):
        shown = [row for row in rows if row.transfer == name]
        for panel, value in ((0, "parent_layer"), (1, "r2"), (2, "residual_norm")):
            out.scatter(
                x=[row.layer for row in shown], y=[getattr(row, value) for row in shown],
                mode="markers+lines" if panel else "markers", name=style.plain(name), legendgroup=name,
                showlegend=panel == 0 and len(names) > 1, line={"color": style.SERIES[number], "width": 1},
                marker={
                    "color": style.SERIES[number], "size": 8, "line": {"color": style.SERIES[number], "width": 1.5},
                    "symbol": ["triangle-down-open" if row.flipped else "circle" for row in shown],
                },
                customdata=[_note(row) for row in shown], cliponaxis=False,
                hovertemplate="child layer %{x}: %{y:.3~g}<br>%{customdata}", **axes(panel),
            )  # fmt: skip
        if any(row.r2_along is not None for row in shown):
            out.scatter(
                x=[row.layer for row in shown],
                y=[row.r2_along for row in shown],
                mode="markers",
                name="R² along the direction",
                legendgroup="along",
                showlegend=number == 0,
                marker={"color": style.SERIES[number], "size": 6, "symbol": "circle-open"},
                hovertemplate="child layer %{x}: %{y:.3~g} along the direction<extra></extra>",
                **axes(1),
            )
    for symbol, text in (("circle", "sign kept"), ("triangle-down-open", "sign flipped in the child")):
        out.scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=text,
            marker={"symbol": symbol, "color": style.GREY, "size": 8},
            hoverinfo="skip",
            **axes(0),
        )
    norms = [row.residual_norm for row in rows if row.residual_norm]
    out.set(yaxis={"rangemode": "tozero"}, yaxis2={"rangemode": "tozero"})
    if norms:
        out.set(yaxis3=style.log_axis(min(norms), max(norms)))
    else:
        say(out, 2, "Residual norms are missing.")
    if all(row.r2 is None for row in rows):
        say(out, 1, "No R²: the map was not fitted, or the cell does not hold it.")
    return arrange(out, content)


def _heat_map(rows: Sequence[Row], names: Sequence[str]) -> Draft:
    depth = max(row.layer for row in rows) + 1
    by_place = {(row.transfer, row.layer): row for row in rows}
    grid = [[by_place.get((name, layer)) for layer in range(depth)] for name in names]
    content = [
        Panel("", "child layer", "", 40 + 20 * len(names), 40 + 16 * len(names) * max(2, label_lines(names, 24)))
    ]
    out = Draft()
    out.heatmap(
        x=list(range(depth)), y=list(names), z=[[row and row.r2 for row in line] for line in grid], zmin=0, zmax=1,
        colorscale="Cividis", 
        colorbar={"title": {"text": "R²"}, "thickness": 12, "lenmode": "pixels", "len": 180, "y": 1, "yanchor": "top"},
        xgap=1, ygap=1,
        customdata=[["" if row is None else _note(row) for row in line] for line in grid],
        hovertemplate="%{y}<br>child layer %{x}: R² %{z:.2f}<br>%{customdata}<extra></extra>", **axes(0),
    )  # fmt: skip
    return arrange(out, content, columns=1, narrow=category_labels(out, 0, names, 24))


def describe(table: TransferProfile) -> str:
    """The numbers that matter, in one or two sentences."""
    parts = []
    names = distinct(row.transfer for row in table.rows)
    for name in names[:3]:
        rows = [row for row in table.rows if row.transfer == name]
        steered = [row for row in rows if row.parent_layer is not None]
        text = f"{name}: {len(steered)} of {len(rows)} child layers are steered"
        if steered:
            text += f", the sign was flipped at {sum(bool(row.flipped) for row in steered)}"
        fits = [row.r2 for row in steered if row.r2 is not None]
        if fits:
            text += f"; out-of-fold R² {min(fits):.2f} to {max(fits):.2f}"
        along = [row.r2_along for row in steered if row.r2_along is not None]
        if along:
            low = sum(value < _LOW_R2 for value in along)
            text += (
                f", along the carried direction {min(along):.2f} to {max(along):.2f} (below {_LOW_R2} at {low} of "
                f"{len(along)} layers)"
            )
        norms = [row.residual_norm for row in rows if row.residual_norm is not None]
        if norms:
            text += f"; residual norm {min(norms):.3g} to {max(norms):.3g}"
        parts.append(text + ".")
    return " ".join(parts) + (f" And {len(names) - 3} more transfers." if len(names) > 3 else "")


def _note(row: Row) -> str:
    if row.parent_layer is None:
        return "not steered"
    return f"from parent layer {row.parent_layer}, sign {'flipped' if row.flipped else 'kept'}"


def rows_of(made: CellRecord | SteeringVectors, label: str, key: str = "") -> list[Row]:
    """One row a child layer.

    Arguments:
        made: what was carried, or the record of a cell that was steered with it.
        label: name of the transfer.
        key: of the cell.
    """
    fits = made.projection.fits or {}
    return [
        Row(
            transfer=label,
            key=key,
            child=made.child.reference if isinstance(made, SteeringVectors) else made.study.child,
            layer=layer,
            parent_layer=parent,
            r2=fits.get(layer, {}).get("r2"),
            r2_along=fits.get(layer, {}).get("r2_along"),
            flipped=made.flipped[layer],
            residual_norm=float(made.residual_norms[layer]),
        )
        for layer, parent in enumerate(made.layer_map.parent_of)
    ]


def _gaps(cell: Cell, rows: list[Row]) -> list[str]:
    unsteered = [row.layer for row in rows if row.parent_layer is None]
    gaps = []
    if unsteered:
        gaps.append(f"child layers {', '.join(map(str, unsteered))} have no parent layer and are not steered")
    if all(row.r2 is None for row in rows):
        gaps.append(f"there is no out-of-fold R² (projection: {cell.study.projection})")
    fits = cell.record.projection.fits or {}
    edge = [layer for layer, fit in fits.items() if fit.get("alpha") in (ALPHAS[0], ALPHAS[-1])]
    if edge:
        gaps.append(
            f"the ridge strength of {len(edge)} of {len(fits)} maps is at an end of its grid ({ALPHAS[0]:g} to "
            f"{ALPHAS[-1]:g}); a better one may lie beyond"
        )
    return gaps


ANALYSIS = Analysis(
    "transfer-profile",
    "How was the concept carried into the child?",
    compute,
    figure,
    draw,
    describe,
    "Per child layer: the parent layer it was fed from, how much of its activation the map predicts on texts "
    "it was not fitted on (R² of all coordinates; hollow: along the carried direction alone, which can be far "
    "lower), and the median length of its residual stream. Open triangles: the mapped direction pointed the "
    "wrong way on the child's own labelled pairs and was flipped.",
    "A map between unrelated layers has an R² of 0 or less. How many layers are flipped is no test: "
    "neighbouring layers are not independent.",
)
