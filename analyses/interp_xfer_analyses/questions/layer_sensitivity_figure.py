"""Layer sensitivity drawn: gradient, sweep of single layers, windows and generated answers over the same child layers.

Strengths are told apart by colour, dash and marker. In the sweep, changes are divided by the strength: then a layer
whose log p is linear in the strength has the value of its slope in the gradient's panel.
"""

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, empty_figure, say
from interp_xfer_analyses.questions.layer_sensitivity_rows import (
    AnswerRow,
    LayerSensitivity,
    MeasuredRow,
    Row,
    SweepRow,
)

COMMAND = "interp-xfer sensitivity RUN"
_Z = 1.959964
_LAYER = "child layer"
_COLOURS = (style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.BLUE, style.VERMILLION)


def draw_cell(table: LayerSensitivity) -> Draft:
    """The first measured cell.

    Arguments:
        table: of `layer_sensitivity.compute`.
    """
    if not table.measured:
        return empty_figure(f"Nothing measured; run: {COMMAND}")
    cell = table.measured[0]
    rows = [row for row in table.rows if row.key == cell.key]
    singles = [row for row in table.sweep if row.key == cell.key and row.n_layers == 1]
    windows = [row for row in table.sweep if row.key == cell.key and row.n_layers > 1]
    answers = [row for row in table.answers if row.key == cell.key]
    strengths = sorted({row.strength for row in singles} | {row.strength for row in answers})
    out = Draft()
    _gradient(out, rows, cell)
    _singles(out, singles, strengths)
    _windows(out, windows, strengths)
    _answers(out, answers, strengths)
    n = answers[0].n if answers else 0
    content = [
        Panel("Gradient at strength 0", _LAYER, "nats per strength", 260),
        Panel("Sweep, one layer at a time", _LAYER, "change of log p / strength", 260),
        Panel("Sweep, windows of layers", _LAYER, "change of log p / strength", 240),
        Panel(
            f"Generated answers, {n} questions" if n else "Generated answers", _LAYER, "change in accuracy, points", 240
        ),
    ]
    edges = [min(row.layer for row in rows) - 0.8, max(row.layer for row in rows) + 0.8]
    for panel in range(4):
        out.set({axis_name("x", panel): {"range": edges}, axis_name("y", panel): {"zeroline": True}})
    return arrange(out, content)


def _gradient(out: Draft, rows: list[Row], cell: MeasuredRow) -> None:
    layers = [row.layer for row in rows]
    band = [_Z * row.deviation_covariance for row in rows]
    out.scatter(
        x=layers + layers[::-1], y=band + [-value for value in reversed(band)], mode="lines", fill="toself",
        fillcolor=style.fill(style.GREY, 0.22), line={"width": 0}, hoverinfo="skip",
        name="95 %, covariance-matched random", **axes(0),
    )  # fmt: skip
    lines = (
        ("the same, largest of all layers", "deviation_covariance", cell.z_search, "dash"),
        ("95 %, isotropic random", "deviation_isotropic", _Z, "dot"),
    )
    for name, field, z, dash in lines:
        for sign in (1, -1):
            out.scatter(
                x=layers, y=[sign * z * getattr(row, field) for row in rows], mode="lines", name=name,
                legendgroup=name, showlegend=sign > 0, line={"color": style.GREY, "dash": dash, "width": 1.5},
                hoverinfo="skip", **axes(0),
            )  # fmt: skip
    kinds = (
        ("transferred direction", "slope", "low", "high", style.BLUE, "circle", "solid"),
        ("the child's own direction", "native_slope", "native_low", "native_high", style.VERMILLION, "diamond", "dash"),
    )
    for name, field, low, high, colour, symbol, dash in kinds:
        if getattr(rows[0], field) is None:
            continue
        slopes = [getattr(row, field) for row in rows]
        out.scatter(
            x=layers,
            y=slopes,
            mode="lines+markers",
            name=name,
            line={"color": colour, "dash": dash, "width": 1.5},
            marker={"symbol": symbol, "size": 6, "color": colour},
            error_y=_errors(slopes, [getattr(row, low) for row in rows], [getattr(row, high) for row in rows], colour),
            hovertemplate="layer %{x}: %{y:.3f} nats per strength",
            **axes(0),
        )


def _singles(out: Draft, rows: list[SweepRow], strengths: list[float]) -> None:
    if not rows:
        _absent(out, 1, "No sweep was run.")
    for number, strength in enumerate(strengths):
        found = [row for row in rows if row.strength == strength]
        if found:
            colour, symbol = _look(number)
            values, low, high = _per_strength(found)
            out.scatter(
                x=[row.first for row in found], y=values, mode="lines+markers", name=f"strength {strength:g}",
                legendgroup=f"{strength:g}", line={"color": colour, "dash": style.DASHES[number % 7], "width": 1.5},
                marker={"symbol": symbol, "size": 6, "color": colour}, error_y=_errors(values, low, high, colour),
                customdata=[row.change for row in found],
                hovertemplate="layer %{x}: %{customdata:.3f} nats, %{y:.3f} per strength", **axes(1),
            )  # fmt: skip


def _windows(out: Draft, rows: list[SweepRow], strengths: list[float]) -> None:
    if not rows:
        _absent(out, 2, "No windows were swept.")
    for number, strength in enumerate(strengths):
        colour, symbol = _look(number)
        found = [row for row in rows if row.strength == strength]
        values, low, high = _per_strength(found)
        for row, value in zip(found, values, strict=True):
            out.scatter(
                x=[row.first - 0.35, row.last + 0.35], y=[value, value], mode="lines", showlegend=False,
                legendgroup=f"{strength:g}", line={"color": colour, "width": 4}, hoverinfo="skip", **axes(2),
            )  # fmt: skip
        if found:
            out.scatter(
                x=_centres(found, number, len(strengths)),
                y=values,
                mode="markers",
                showlegend=False,
                legendgroup=f"{strength:g}",
                marker={"symbol": symbol, "size": 11, "color": colour, "line": {"color": "white", "width": 1.5}},
                error_y=_errors(values, low, high, colour),
                customdata=[[row.first, row.last, row.change] for row in found],
                hovertemplate="layers %{customdata[0]} to %{customdata[1]}: %{customdata[2]:.3f} nats, "
                "%{y:.3f} per strength",
                **axes(2),
            )


def _answers(out: Draft, rows: list[AnswerRow], strengths: list[float]) -> None:
    if not rows:
        _absent(out, 3, "Nothing was generated.")
    for number, strength in enumerate(strengths):
        found = [row for row in rows if row.strength == strength]
        if found:
            colour, symbol = _look(number)
            values, low, high = ([100 * getattr(row, field) for row in found] for field in ("delta", "low", "high"))
            out.scatter(
                x=_centres(found, number, len(strengths)),
                y=values,
                mode="markers",
                showlegend=False,
                legendgroup=f"{strength:g}",
                marker={"symbol": symbol, "size": 9, "color": colour},
                error_y=_errors(values, low, high, colour),
                customdata=[[row.first, row.last, row.correct, row.n, row.unsteered] for row in found],
                hovertemplate="layers %{customdata[0]} to %{customdata[1]}: %{customdata[2]} of %{customdata[3]} right "
                "(unsteered %{customdata[4]})",
                **axes(3),
            )


def _look(number: int) -> tuple[str, str]:
    return _COLOURS[number % len(_COLOURS)], ("square", "triangle-up", "x", "cross", "pentagon", "star")[number % 6]


def _per_strength(rows: list[SweepRow]) -> tuple[list[float], list[float], list[float]]:
    values, first, second = ([getattr(row, f) / row.strength for row in rows] for f in ("change", "low", "high"))
    return (
        values,
        [min(pair) for pair in zip(first, second, strict=True)],
        [max(p) for p in zip(first, second, strict=True)],
    )


def _centres(rows: list[SweepRow] | list[AnswerRow], number: int, n: int) -> list[float]:
    """Middle of each window, moved a little so that the strengths do not cover each other."""
    return [(row.first + row.last) / 2 + 0.8 * (number - (n - 1) / 2) for row in rows]


def _errors(values: list[float], low: list[float], high: list[float], colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "thickness": 1,
        "width": 0,
        "color": colour,
        "array": [max(0.0, h - v) for v, h in zip(values, high, strict=True)],
        "arrayminus": [max(0.0, v - w) for v, w in zip(values, low, strict=True)],
    }


def _absent(out: Draft, panel: int, text: str) -> None:
    say(out, panel, text)
    out.scatter(x=[None], y=[None], mode="markers", showlegend=False, hoverinfo="skip", **axes(panel))
