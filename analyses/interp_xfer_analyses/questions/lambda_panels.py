"""The strength curves of one cell: accuracy over strength and over shift length, and what else changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, say
from interp_xfer_analyses.questions.lambda_rows import Row
from interp_xfer_analyses.tables import distinct


@dataclass(frozen=True)
class _Split:
    """How a split is drawn."""

    name: str
    colour: str
    dash: str
    symbol: str
    rows: list[Row]

    @property
    def steered(self) -> list[Row]:
        return [row for row in self.rows if row.strength != 0]

    @property
    def baseline(self) -> Row | None:
        return next((row for row in self.rows if row.strength == 0), None)


_TELEMETRY: tuple[tuple[str, str, Callable[[Row], float | None]], ...] = (
    ("Answers that cannot be read", "share of answers", lambda row: row.invalid / row.n),
    ("Answers cut at the token limit", "share of answers", lambda row: row.truncated / row.n),
    ("Tokens per answer", "tokens, mean", lambda row: row.mean_tokens),
    ("Compressed length of the text", "share of plain length", lambda row: row.compression),
)


def draw_cell(rows: Sequence[Row]) -> Draft:
    """Seven panels: accuracy twice, unreadable and cut answers, tokens, compression, rules by which answers were read.

    Arguments:
        rows: of one cell, both splits.
    """
    unit = f"strength λ ({rows[0].unit})"
    content = [
        Panel("Accuracy over strength", unit, "accuracy", 300),
        Panel("Accuracy over shift length", "length of the shift, median over layers", "accuracy", 300),
        *(Panel(title, unit, y_title, 160) for title, y_title, _ in _TELEMETRY),
        Panel("How test answers were read", unit, "share of answers", 200),
    ]
    out = Draft()
    axis = style.strength_axis(distinct(row.strength for row in rows if row.strength != 0))
    for number, (name, colour) in enumerate((("test", style.BLUE), ("validation", style.ORANGE))):
        chosen = [row for row in rows if row.split == name]
        if chosen:
            split = _Split(name, colour, style.DASHES[number], style.SYMBOLS[number], chosen)
            x = style.strength_values([row.strength for row in split.steered], axis)
            _accuracy(out, 0, split, split.steered, x)
            shifted = [row for row in split.steered if row.shift_length is not None and row.shift_length > 0]
            _accuracy(out, 1, split, shifted, [row.shift_length for row in shifted])
            for panel, (_, _, value) in enumerate(_TELEMETRY, 2):
                _telemetry(out, panel, split, axis, value)
    _rules(out, [row for row in rows if row.split == "test" and row.strength != 0], axis)
    _legend_keys(out, rows)
    _axes(out, rows, axis)
    return arrange(out, content)


def draw_accuracy(rows: Sequence[Row]) -> Draft:
    """Accuracy over strength alone.

    Arguments:
        rows: of one split, in increasing strength.
    """
    out = Draft()
    axis = style.strength_axis([row.strength for row in rows if row.strength != 0])
    split = _Split(rows[0].split, style.BLUE, style.DASHES[0], style.SYMBOLS[0], list(rows))
    _accuracy(out, 0, split, split.steered, style.strength_values([row.strength for row in split.steered], axis))
    _legend_keys(out, rows)
    out.set(xaxis=axis, yaxis={"rangemode": "tozero", "tickformat": ".0%"})
    return arrange(out, [Panel("Accuracy over strength, 95 % intervals", "strength λ", "accuracy", 300)])


_RULES = 2 + len(_TELEMETRY)


def _rules(out: Draft, rows: Sequence[Row], axis: dict) -> None:
    """A line for each extraction rule: where lines cross, the style of answers changes."""
    x = style.strength_values([row.strength for row in rows], axis)
    for number, rule in enumerate(distinct(rule for row in rows for rule in row.rules)):
        colour = style.SERIES[number % len(style.SERIES)]
        out.scatter(
            x=x,
            y=[row.rules.get(rule, 0.0) for row in rows],
            mode="lines+markers",
            name=f"read by {style.plain(rule)}",
            line={"color": colour},
            marker={"color": colour, "size": 5, "symbol": style.SYMBOLS[number % 6]},
            hovertemplate="λ = %{x}: %{y:.1%}" + f"<extra>{style.plain(rule)}</extra>",
            **axes(_RULES),
        )


def _axes(out: Draft, rows: Sequence[Row], axis: dict) -> None:
    for panel in (0, 2, 3, 4, 5, _RULES):
        out.set({axis_name("x", panel): axis})
    lengths = [row.shift_length for row in rows if row.shift_length is not None and row.shift_length > 0]
    if lengths:
        out.set({axis_name("x", 1): style.log_axis(min(lengths), max(lengths))})
    else:
        say(out, 1, "No shift length: the operator does not add a shift, or residual norms are missing.")
    for panel in range(_RULES + 1):
        shares = {"tickformat": ".0%"} if panel < 4 or panel == _RULES else {}
        out.set({axis_name("y", panel): {"rangemode": "tozero", **shares}})
    if all(row.compression is None for row in rows):
        say(out, 5, "The single answers are missing.")


def _accuracy(out: Draft, panel: int, split: _Split, rows: list[Row], x: list) -> None:
    if len(rows) > 1:
        out.scatter(
            x=[*x, *reversed(x)], y=[*(row.high for row in rows), *(row.low for row in reversed(rows))], mode="none",
            fill="toself", fillcolor=style.fill(split.colour), hoverinfo="skip", showlegend=False,
            legendgroup=split.name, **axes(panel),
        )  # fmt: skip
    if rows:
        shift = ", shift %{customdata[6]:.3~g}, %{customdata[5]:.1%} of the stream over all layers"
        out.scatter(
            x=x, y=[row.accuracy for row in rows], mode="lines+markers", name=f"{split.name} (n = {rows[0].n})",
            line={"color": split.colour, "dash": split.dash}, legendgroup=split.name, showlegend=panel == 0,
            marker={"color": split.colour, "size": 6, "symbol": split.symbol},
            error_y={
                "type": "data", "symmetric": False, "visible": len(rows) == 1, "color": split.colour,
                "array": [row.high - row.accuracy for row in rows],
                "arrayminus": [row.accuracy - row.low for row in rows],
            },
            customdata=[
                [row.strength, row.low, row.high, row.correct, row.n, row.shift_share, row.shift_length] for row in rows
            ],
            hovertemplate="λ = %{customdata[0]:g}" + ("" if rows[0].shift_length is None else shift) + "<br>"
            "accuracy %{y:.1%} [%{customdata[1]:.1%}, %{customdata[2]:.1%}]<br>"
            f"%{{customdata[3]}} of %{{customdata[4]}} right<extra>{split.name}</extra>",
            **axes(panel),
        )  # fmt: skip
        mark_lambda_star(out, panel, x, rows, split.colour, split.name)
        _baseline(out, panel, split, x, lambda row: row.accuracy)


def mark_lambda_star(out: Draft, panel: int, x: list, rows: Sequence[Row], colour: str, group: str) -> None:
    """A star over the accuracy at lambda*."""
    chosen = [(where, row.accuracy) for where, row in zip(x, rows, strict=True) if row.is_lambda_star]
    if chosen:
        out.scatter(
            x=[where for where, _ in chosen],
            y=[accuracy for _, accuracy in chosen],
            mode="markers",
            hoverinfo="skip",
            marker={"symbol": "star", "size": 14, "color": colour, "line": {"width": 0}},
            showlegend=False,
            legendgroup=group,
            **axes(panel),
        )


def _telemetry(out: Draft, panel: int, split: _Split, axis: dict, value: Callable[[Row], float | None]) -> None:
    rows = [row for row in split.steered if value(row) is not None]
    if not rows:
        return
    x = style.strength_values([row.strength for row in rows], axis)
    out.scatter(
        x=x,
        y=[value(row) for row in rows],
        mode="lines+markers",
        legendgroup=split.name,
        showlegend=False,
        line={"color": split.colour, "dash": split.dash},
        marker={"color": split.colour, "size": 5, "symbol": split.symbol},
        hovertemplate="λ = %{x}: %{y:.3~g}" + f"<extra>{split.name}</extra>",
        **axes(panel),
    )
    _baseline(out, panel, split, x, value)


def _baseline(out: Draft, panel: int, split: _Split, x: list, value: Callable[[Row], float | None]) -> None:
    """A dotted line at the value of the unsteered model; a short dash where there is only one strength."""
    height = None if split.baseline is None else value(split.baseline)
    if height is None:
        return
    line = len(x) > 1
    out.scatter(
        x=[x[0], x[-1]] if line else x,
        y=[height] * (2 if line else 1),
        mode="lines" if line else "markers",
        line={"color": split.colour, "dash": "dot", "width": 1.5},
        marker={"symbol": "line-ew", "size": 30, "line": {"width": 2, "color": split.colour}},
        showlegend=False,
        legendgroup=split.name,
        hovertemplate=f"baseline %{{y:.4~g}}<extra>{split.name}</extra>",
        **axes(panel),
    )


def _legend_keys(out: Draft, rows: Sequence[Row]) -> None:
    dotted = {"mode": "lines", "line": {"color": style.GREY, "dash": "dot"}, "name": "baseline of the same colour"}
    star = {"mode": "markers", "marker": {"symbol": "star", "size": 12, "color": style.GREY}}
    keys = [star | {"name": "λ*, chosen on validation"}] if any(row.is_lambda_star for row in rows) else []
    for key in (*keys, dotted):
        out.scatter(x=[None], y=[None], hoverinfo="skip", **key, **axes(0))
