"""How well does each child layer's map carry the parent over, and where was the sign turned?

Per child layer: which parent layer feeds it, how much of the child's activation the map predicts on texts it was not
fitted on (out-of-fold R²), whether the mapped direction pointed the wrong way on the child's own labelled pairs and was
turned round, and the median residual norm, which decides how large a shift one unit of strength is.
"""

from dataclasses import dataclass

import plotly.graph_objects as go

from analyses import style
from analyses.cells import Cell, load_cells
from analyses.style import Panel
from analyses.tables import distinct
from interp_xfer.studies.run_store import RunStore


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
    """Out of fold; None for maps that were not fitted."""
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
        made = _rows(cell)
        content = repr([(cell.parent, cell.child, cell.dataset), [row_values(row) for row in made]])
        if content in seen:
            continue
        seen.add(content)
        rows += made
        missing += [f"{cell.label}: {gap}" for gap in _gaps(cell, made)]
    return TransferProfile(tuple(rows), tuple(missing))


def row_values(row: Row) -> tuple[int, int | None, float | None, bool | None, float | None]:
    """What distinguishes two transfers, without their names."""
    return row.layer, row.parent_layer, row.r2, row.flipped, row.residual_norm


def figure(table: TransferProfile) -> go.Figure:
    """Layer map, fit and residual norm over child layers, one line per transfer."""
    if not table.rows:
        return style.empty_figure("No transfer to draw: " + "; ".join(table.missing))
    content = [
        Panel("Which parent layer feeds the child layer", "child layer", "parent layer", 250),
        Panel("How much of the child the map predicts", "child layer", "out-of-fold R²", 250),
        Panel("Length of the child's residual stream", "child layer", "median norm (log)", 250),
    ]
    out = style.panels(content, columns=2)
    names = distinct(row.transfer for row in table.rows)
    for number, name in enumerate(names):
        rows = [row for row in table.rows if row.transfer == name]
        colour = style.SERIES[number % len(style.SERIES)]
        for panel, value in ((0, "parent_layer"), (1, "r2"), (2, "residual_norm")):
            out.add_scatter(
                x=[row.layer for row in rows], y=[getattr(row, value) for row in rows],
                mode="markers+lines" if panel else "markers", name=style.plain(name), legendgroup=name,
                showlegend=panel == 0 and len(names) > 1, line={"color": colour, "width": 1},
                marker={
                    "color": colour, "size": 9, "line": {"color": colour, "width": 1.5},
                    "symbol": ["triangle-down-open" if row.flipped else "circle" for row in rows],
                },
                customdata=[_note(row) for row in rows],
                hovertemplate="child layer %{x}: %{y:.3~g}<br>%{customdata}", **style.axes(panel),
            )  # fmt: skip
    for symbol, text in (("circle", "sign kept"), ("triangle-down-open", "sign turned in the child")):
        out.add_scatter(
            x=[None], y=[None], mode="markers", name=text, marker={"symbol": symbol, "color": style.GREY, "size": 9},
            hoverinfo="skip", **style.axes(0),
        )  # fmt: skip
    out.update_layout(yaxis={"rangemode": "tozero"}, yaxis2={"rangemode": "tozero"}, yaxis3={"type": "log"})
    if all(row.r2 is None for row in table.rows):
        out.add_annotation(
            text="no R²: the map was not fitted,<br>or the cell does not hold it", showarrow=False, x=0.5, y=0.5,
            xref="x2 domain", yref="y2 domain",
        )  # fmt: skip
    return out


def describe(table: TransferProfile) -> str:
    """The numbers that matter, in one or two sentences."""
    parts = []
    names = distinct(row.transfer for row in table.rows)
    for name in names[:3]:
        rows = [row for row in table.rows if row.transfer == name]
        steered = [row for row in rows if row.parent_layer is not None]
        text = f"{name}: {len(steered)} of {len(rows)} child layers are steered"
        if steered:
            text += f", the sign was turned at {sum(bool(row.flipped) for row in steered)}"
        fits = [row.r2 for row in steered if row.r2 is not None]
        if fits:
            text += f"; out-of-fold R² {min(fits):.2f} to {max(fits):.2f}"
        norms = [row.residual_norm for row in rows if row.residual_norm is not None]
        if norms:
            text += f"; residual norm {min(norms):.3g} to {max(norms):.3g}"
        parts.append(text + ".")
    return " ".join(parts) + (f" And {len(names) - 3} more transfers." if len(names) > 3 else "")


def _note(row: Row) -> str:
    if row.parent_layer is None:
        return "not steered"
    return f"from parent layer {row.parent_layer}, sign {'turned' if row.flipped else 'kept'}"


def _rows(cell: Cell) -> list[Row]:
    record = cell.record
    parent_of = (record.get("layer_map") or {}).get("parent_of") or []
    fits = (record.get("projection") or {}).get("fits") or {}
    flipped = record.get("flipped") or []
    return [
        Row(
            transfer=cell.label,
            key=cell.key,
            child=cell.child,
            layer=layer,
            parent_layer=parent,
            r2=_r2(fits.get(str(layer))),
            flipped=bool(flipped[layer]) if layer < len(flipped) else None,
            residual_norm=cell.residual_norms[layer] if layer < len(cell.residual_norms) else None,
        )
        for layer, parent in enumerate(parent_of)
    ]


def _r2(fit: dict | None) -> float | None:
    value = (fit or {}).get("r2")
    return None if value is None else float(value)


def _gaps(cell: Cell, rows: list[Row]) -> list[str]:
    if not rows:
        return ["the cell holds no layer map"]
    unsteered = [row.layer for row in rows if row.parent_layer is None]
    gaps = []
    if unsteered:
        gaps.append(f"child layers {', '.join(map(str, unsteered))} have no parent layer and are not steered")
    if all(row.r2 is None for row in rows):
        kind = (cell.record.get("projection") or {}).get("kind", "unknown")
        gaps.append(f"there is no out-of-fold R² (projection: {kind})")
    return gaps
