"""How do answers change with the strength? (Fig. 3 of arXiv 2512.19069.)

1. Accuracy at every strength on validation and test questions, with 95 % Wilson intervals; the baseline (strength 0) is
   a line, lambda* (chosen on validation) is marked.
2. The same curve over the length of the shift that was applied: two models that look different at one strength may
   only have residual streams of different length.
3. What else changes: answers that cannot be read, answers cut at the token limit, tokens per answer, and how far the
   text compresses (repetition compresses well).

One cell is drawn in full. Several cells are drawn as one line per child, small multiples per parent, data set and unit,
so that raw and relative strengths never share an axis.
"""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analyses import style
from analyses.cells import Cell, Point, cell_gaps, load_cells
from analyses.style import Panel
from analyses.tables import distinct
from interp_xfer.errors import ArtifactError
from interp_xfer.studies.run_store import RunStore

_TEXTS_COMPRESSED = 200  # per strength; the mean is stable long before


@dataclass(frozen=True)
class Row:
    """One cell, split and strength."""

    key: str
    label: str
    parent: str
    child: str
    dataset: str
    unit: str
    split: str
    strength: float
    """0 is the unsteered baseline."""
    is_lambda_star: bool
    shift_length: float | None
    """In units of the residual stream, median over steered layers."""
    shift_share: float | None
    """Shift over residual norm, summed over steered layers."""
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    invalid: int
    truncated: int
    mean_tokens: float
    compression: float | None
    """Compressed over plain length of the test answers, mean; near 0: repetition."""


@dataclass(frozen=True)
class LambdaRobustness:
    """Rows by cell, split and strength."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def compute(store: RunStore) -> LambdaRobustness:
    """Accuracy and telemetry at every strength of every cell.

    Raises: ArtifactError if the run has no finished cell.
    """
    cells = load_cells(store)
    rows: list[Row] = []
    missing = list(cell_gaps(cells))
    for cell in cells:
        try:
            ratios = _compression(store.read_items(cell.key))
        except ArtifactError:
            ratios = {}
            missing.append(f"{cell.label}: the single answers are missing, so repetition in the texts is not shown")
        for split, found in (("validation", cell.validation), ("test", cell.test)):
            rows += [_row(cell, split, point, ratios) for point in found]
    return LambdaRobustness(tuple(rows), tuple(missing))


def figure(table: LambdaRobustness) -> go.Figure:
    """All panels of one cell, or small multiples of many."""
    if not table.rows:
        return style.empty_figure("No accuracies: " + "; ".join(table.missing))
    return _detail(table.rows) if len({row.key for row in table.rows}) == 1 else _overview(table.rows)


def describe(table: LambdaRobustness) -> str:
    """The numbers that matter, in one or two sentences."""
    parts = []
    for key in distinct(row.key for row in table.rows)[:3]:
        rows = [row for row in table.rows if row.key == key]
        split = "test" if any(row.split == "test" for row in rows) else "validation"
        shown = [row for row in rows if row.split == split]
        baseline = next((row for row in shown if row.strength == 0), None)
        steered = [row for row in shown if row.strength != 0]
        text = f"{rows[0].label}, {split}, {shown[0].n} questions: "
        if baseline:
            text += f"baseline {style.percent(baseline.accuracy)}"
        if steered:
            low, high = min(steered, key=_accuracy), max(steered, key=_accuracy)
            text += (
                f"; over {len(steered)} strengths from {steered[0].strength:g} to {steered[-1].strength:g} "
                f"({rows[0].unit}) accuracy runs from {style.percent(low.accuracy)} (at {low.strength:g}) to "
                f"{style.percent(high.accuracy)} (at {high.strength:g})"
            )
        star = next((row for row in shown if row.is_lambda_star), None)
        if star:
            text += f"; λ* = {star.strength:g} gives {style.percent(star.accuracy)}"
        parts.append(text + ".")
    n_cells = len({row.key for row in table.rows})
    return " ".join(parts) + (f" And {n_cells - 3} more cells." if n_cells > 3 else "")


def _accuracy(row: Row) -> float:
    return row.accuracy


def _row(cell: Cell, split: str, point: Point, ratios: dict[float, float]) -> Row:
    return Row(
        key=cell.key,
        label=cell.label,
        parent=cell.parent,
        child=cell.child,
        dataset=cell.dataset,
        unit=cell.unit,
        split=split,
        strength=point.strength,
        is_lambda_star=point.strength == cell.lambda_star,
        shift_length=cell.shift_length(point.strength),
        shift_share=cell.shift_share(point.strength),
        n=point.n,
        correct=point.correct,
        accuracy=point.accuracy,
        low=point.low,
        high=point.high,
        invalid=point.invalid,
        truncated=point.truncated,
        mean_tokens=point.mean_tokens,
        compression=ratios.get(point.strength) if split == "test" else None,
    )


def _compression(items: Sequence[dict]) -> dict[float, float]:
    ratios: dict[float, list[float]] = defaultdict(list)
    for item in items:
        found = ratios[item["strength"]] if item["split"] == "test" and item["arm"] == "sweep" else None
        if found is not None and item["text"] and len(found) < _TEXTS_COMPRESSED:
            raw = item["text"].encode()
            found.append(len(zlib.compress(raw, 6)) / len(raw))
    return {strength: sum(values) / len(values) for strength, values in ratios.items() if values}


# ---------------------------------------------------------------------------------------------- one cell


def _detail(rows: tuple[Row, ...]) -> go.Figure:
    unit = f"strength λ ({rows[0].unit})"
    shares = (
        ("Answers that cannot be read", "share of answers", lambda row: row.invalid / row.n),
        ("Answers cut at the token limit", "share of answers", lambda row: row.truncated / row.n),
        ("Tokens per answer", "tokens, mean", lambda row: row.mean_tokens),
        ("Compressed length of the text", "share of plain length", lambda row: row.compression),
    )
    content = [
        Panel("Accuracy over strength", unit, "accuracy", 320),
        Panel("Accuracy over shift length", "length of the shift, median over layers", "accuracy", 320),
        *(Panel(title, unit, y_title, 170) for title, y_title, _ in shares),
    ]
    out = style.panels(content, columns=2)
    axis = style.strength_axis(distinct(row.strength for row in rows if row.strength != 0))
    splits = (("test", style.BLUE, 0, rows), ("validation", style.ORANGE, 1, rows))
    for split, colour, number, _ in splits:
        chosen = [row for row in rows if row.split == split]
        _accuracy_panel(out, 0, split, colour, number, chosen, axis)
        _shift_panel(out, 1, split, colour, number, chosen)
        for panel, (_, _, value) in enumerate(shares, 2):
            _telemetry_panel(out, panel, split, colour, number, chosen, axis, value)
    for panel in (0, 2, 3, 4, 5):
        out.update_layout({style.axis_name("x", panel): axis})
    out.update_layout({style.axis_name("x", 1): {"type": "log"}})
    for panel in (0, 1, 2, 3):
        out.update_layout({style.axis_name("y", panel): {"tickformat": ".0%", "rangemode": "tozero"}})
    for panel in (4, 5):
        out.update_layout({style.axis_name("y", panel): {"rangemode": "tozero"}})
    if all(row.shift_length is None for row in rows):
        out.add_annotation(
            text="no shift length: the operator does not add a shift,<br>or residual norms are missing",
            showarrow=False, x=0.5, y=0.5, xref="x2 domain", yref="y2 domain",
        )  # fmt: skip
    return out


def _accuracy_panel(
    out: go.Figure, panel: int, split: str, colour: str, number: int, rows: list[Row], axis: dict
) -> None:
    steered = [row for row in rows if row.strength != 0]
    x = style.strength_values([row.strength for row in steered], axis)
    _curve(out, panel, split, colour, number, steered, x, "λ = %{x}", legend=True)
    baseline = next((row for row in rows if row.strength == 0), None)
    if baseline and steered:
        _baseline(out, panel, split, colour, baseline, [x[0], x[-1]], legend=True)


def _shift_panel(out: go.Figure, panel: int, split: str, colour: str, number: int, rows: list[Row]) -> None:
    steered = [row for row in rows if row.strength > 0 and row.shift_length]
    if not steered:
        return
    x = [row.shift_length for row in steered]
    _curve(out, panel, split, colour, number, steered, x, "shift %{x:.3~g}", legend=False)
    baseline = next((row for row in rows if row.strength == 0), None)
    if baseline:
        _baseline(out, panel, split, colour, baseline, [x[0], x[-1]], legend=False)


def _curve(
    out: go.Figure, panel: int, split: str, colour: str, number: int, rows: list[Row], x: list, where: str, legend: bool
) -> None:
    if len(rows) > 1:
        out.add_scatter(
            x=[*x, *reversed(x)], y=[*(row.high for row in rows), *(row.low for row in reversed(rows))], mode="none",
            fill="toself", fillcolor=style.fill(colour), hoverinfo="skip", showlegend=False, legendgroup=split,
            **style.axes(panel),
        )  # fmt: skip
    single = len(rows) == 1
    out.add_scatter(
        x=x, y=[row.accuracy for row in rows], mode="lines+markers", name=f"{split} (n = {rows[0].n if rows else 0})",
        line={"color": colour, "dash": style.DASHES[number]}, legendgroup=split, showlegend=legend and bool(rows),
        marker={
            "color": colour,
            "size": [14 if row.is_lambda_star else 6 for row in rows],
            "symbol": ["star" if row.is_lambda_star else style.SYMBOLS[number] for row in rows],
        },
        error_y={
            "type": "data", "symmetric": False, "visible": single, "color": colour,
            "array": [row.high - row.accuracy for row in rows], "arrayminus": [row.accuracy - row.low for row in rows],
        },
        customdata=[[row.strength, row.low, row.high, row.correct, row.n, row.shift_share or 0] for row in rows],
        hovertemplate=where + " (λ %{customdata[0]:g}, %{customdata[5]:.1%} of the stream over all layers)<br>"
        "accuracy %{y:.1%} [%{customdata[1]:.1%}, %{customdata[2]:.1%}]<br>%{customdata[3]} of %{customdata[4]} right"
        f"<extra>{split}</extra>",
        **style.axes(panel),
    )  # fmt: skip
    if legend and any(row.is_lambda_star for row in rows) and number == 0:
        out.add_scatter(
            x=[None], y=[None], mode="markers", name="λ*, chosen on validation", hoverinfo="skip",
            marker={"symbol": "star", "size": 14, "color": style.GREY}, **style.axes(panel),
        )  # fmt: skip


def _baseline(out: go.Figure, panel: int, split: str, colour: str, row: Row, ends: list, legend: bool) -> None:
    one_point = ends[0] == ends[1]
    out.add_scatter(
        x=ends[:1] if one_point else ends, y=[row.accuracy] * (1 if one_point else 2),
        mode="markers" if one_point else "lines", marker={"symbol": "line-ew-open", "size": 24, "color": colour},
        name=f"{split} baseline", legendgroup=f"{split} baseline", showlegend=legend,
        line={"color": colour, "dash": "dot", "width": 1.5},
        hovertemplate=f"baseline {style.percent(row.accuracy)} [{style.percent(row.low)}, {style.percent(row.high)}]"
        f"<extra>{split}</extra>",
        **style.axes(panel),
    )  # fmt: skip


def _telemetry_panel(
    out: go.Figure, panel: int, split: str, colour: str, number: int, rows: list[Row], axis: dict, value
) -> None:
    steered = [row for row in rows if row.strength != 0 and value(row) is not None]
    baseline = next((row for row in rows if row.strength == 0), None)
    if not steered:
        return
    x = style.strength_values([row.strength for row in steered], axis)
    out.add_scatter(
        x=x, y=[value(row) for row in steered], mode="lines+markers", legendgroup=split, showlegend=False,
        line={"color": colour, "dash": style.DASHES[number]},
        marker={"color": colour, "size": 5, "symbol": style.SYMBOLS[number]},
        hovertemplate="λ = %{x}: %{y:.3~g}" + f"<extra>{split}</extra>", **style.axes(panel),
    )  # fmt: skip
    if baseline and value(baseline) is not None and len(x) > 1:
        out.add_scatter(
            x=[x[0], x[-1]], y=[value(baseline)] * 2, mode="lines", legendgroup=f"{split} baseline", showlegend=False,
            line={"color": colour, "dash": "dot", "width": 1.5},
            hovertemplate="baseline %{y:.3~g}" + f"<extra>{split}</extra>", **style.axes(panel),
        )  # fmt: skip


# ------------------------------------------------------------------------------------------- many cells


def _overview(rows: tuple[Row, ...]) -> go.Figure:
    groups = distinct((row.dataset, row.parent, row.unit) for row in rows)
    content = []
    for dataset, parent, unit in groups:
        members = [row for row in rows if (row.dataset, row.parent, row.unit) == (dataset, parent, unit)]
        half = 100 * max((row.high - row.low) / 2 for row in members)
        title = f"{parent} on {dataset}"
        content.append(Panel(f"{title} (intervals up to ±{half:.0f} points)", f"strength λ ({unit})", "accuracy", 230))
        content.append(Panel(f"{title}, by share of the stream", "shift / residual norm, all layers", "accuracy", 230))
    out = style.panels(content, columns=2)
    names = distinct(_line_name(row, rows) for row in rows)
    seen: set[str] = set()
    for number, group in enumerate(groups):
        members = [row for row in rows if (row.dataset, row.parent, row.unit) == group]
        axis = style.strength_axis(distinct(row.strength for row in members if row.strength != 0))
        out.update_layout({style.axis_name("x", 2 * number): axis, style.axis_name("x", 2 * number + 1): _log()})
        for key in distinct(row.key for row in members):
            line = _test_or_validation([row for row in members if row.key == key])
            name = _line_name(line[0], rows)
            _overview_line(out, 2 * number, line, name, names.index(name), name not in seen, axis)
            seen.add(name)
    for panel in range(len(content)):
        out.update_layout({style.axis_name("y", panel): {"tickformat": ".0%", "rangemode": "tozero"}})
    return out


def _log() -> dict:
    return {"type": "log", "tickformat": ".1~%"}


def _line_name(row: Row, rows: tuple[Row, ...]) -> str:
    """The child, and the settings in which its cells differ where it has several cells in one panel."""
    label = row.label.removeprefix(f"{row.parent} → {row.child}, {row.dataset}")
    return row.child + label


def _test_or_validation(rows: list[Row]) -> list[Row]:
    """The split with more strengths; the test on a tie."""
    test = [row for row in rows if row.split == "test"]
    validation = [row for row in rows if row.split == "validation"]
    return test if len(test) >= len(validation) else validation


def _overview_line(
    out: go.Figure, panel: int, rows: list[Row], name: str, number: int, legend: bool, axis: dict
) -> None:
    colour = style.SERIES[number % len(style.SERIES)]
    steered = [row for row in rows if row.strength != 0]
    baseline = next((row for row in rows if row.strength == 0), None)
    places: list[tuple[int, list, list[Row]]] = []
    places.append((panel, style.strength_values([row.strength for row in steered], axis), steered))
    converted = [row for row in steered if row.shift_share and row.shift_share > 0]
    places.append((panel + 1, [row.shift_share for row in converted], converted))
    for where, x, shown in places:
        if not shown:
            continue
        out.add_scatter(
            x=x, y=[row.accuracy for row in shown], mode="lines+markers", name=style.plain(name), legendgroup=name,
            showlegend=legend and where == panel,
            line={"color": colour, "width": 1.5, "dash": style.DASHES[number // len(style.SERIES) % 7]},
            marker={
                "color": colour,
                "size": [11 if row.is_lambda_star else 4 for row in shown],
                "symbol": ["star" if row.is_lambda_star else style.SYMBOLS[number % 7] for row in shown],
            },
            customdata=[[row.low, row.high, row.split] for row in shown],
            hovertemplate="%{x}: %{y:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}] (%{customdata[2]})",
            **style.axes(where),
        )  # fmt: skip
        if baseline and len(x) > 1:
            out.add_scatter(
                x=[x[0], x[-1]], y=[baseline.accuracy] * 2, mode="lines", legendgroup=name, showlegend=False,
                line={"color": colour, "dash": "dot", "width": 1}, hoverinfo="skip", **style.axes(where),
            )  # fmt: skip
