"""How figures look: colours, panels, and words.

Colours are those of Okabe and Ito, told apart with every common colour blindness, and each series also has its own
marker or dash. Backgrounds are transparent and text is a grey that is legible on white; the report recolours text and
grid for dark pages. Panels sit side by side on a wide page; `layout.meta.narrow` holds the changes that stack them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#7F7F7F"
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px")

ARM_NAMES = {"baseline": "baseline", "lambda_star": "λ*", "vote": "vote"}
ARM_COLOURS = {"baseline": GREY, "lambda_star": BLUE, "vote": ORANGE}

_TOP, _BOTTOM, _LEFT, _RIGHT = 84, 56, 64, 16
_PANEL_GAP = 100  # between rows: axis title above, panel title below


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a figure."""

    title: str
    x_title: str = ""
    y_title: str = ""
    height: int = 260
    """Pixels."""


def panels(content: Sequence[Panel], columns: int = 2) -> go.Figure:
    """An empty figure with one pair of axes per panel, filled row by row.

    Traces choose their panel with `axes(index)`. On narrow pages the report stacks the panels in one column.
    """
    figure = go.Figure()
    columns = max(1, min(columns, len(content)))
    figure.update_layout(
        template=_template(),
        margin={"t": _TOP, "b": _BOTTOM, "l": _LEFT, "r": _RIGHT},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "yref": "container"},
        hoverlabel={"namelength": -1},
    )
    figure.update_layout(legend={"y": 1, "yanchor": "top"})
    wide, narrow = _placement(content, columns), _placement(content, 1)
    for index, panel in enumerate(content):
        suffix = "" if index == 0 else str(index + 1)
        figure.update_layout(
            {
                f"xaxis{suffix}": {"anchor": f"y{suffix}", "title": {"text": plain(panel.x_title)}},
                f"yaxis{suffix}": {"anchor": f"x{suffix}", "title": {"text": plain(panel.y_title)}},
            }
        )
        figure.add_annotation(
            text=f"<b>{plain(panel.title)}</b>", xref="paper", yref="paper", xanchor="left", yanchor="bottom",
            x=0, y=1, yshift=6, showarrow=False, font={"size": 14}, align="left",
        )  # fmt: skip
    figure.update_layout(_unflatten(figure, wide))
    figure.update_layout(meta={"narrow": narrow})
    return figure


def axes(index: int) -> dict[str, str]:
    """Keyword arguments that put a trace or shape into a panel."""
    suffix = "" if index == 0 else str(index + 1)
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def refs(index: int) -> dict[str, str]:
    """Keyword arguments that put a shape or annotation into a panel."""
    chosen = axes(index)
    return {"xref": chosen["xaxis"], "yref": chosen["yaxis"]}


def axis_name(letter: str, index: int) -> str:
    """Layout key of an axis of a panel."""
    return f"{letter}axis{'' if index == 0 else index + 1}"


def empty_figure(message: str) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = go.Figure()
    figure.update_layout(template=_template(), height=160, margin={"t": 10, "b": 10, "l": 10, "r": 10})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        text=plain(message), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14}
    )
    return figure


def plain(text: str) -> str:
    """Text that a plotly label shows as it is: labels read `<b>` and `&amp;` as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fill(colour: str, alpha: float = 0.18) -> str:
    """The colour, see-through, for bands."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference in percentage points, signed."""
    value = round(100 * share, 1) + 0.0  # no -0.0
    return f"{value:+.1f}" if value else "0.0"


def p_text(p_value: float) -> str:
    """A p value: "p = .034", or "p < .001"."""
    if p_value < 0.001:
        return "p < .001"
    return "p = 1" if p_value >= 0.9995 else f"p = {p_value:.3f}".replace("0.", ".")


def strength_axis(strengths: Sequence[float]) -> dict[str, Any]:
    """Settings of an axis that keeps 0.01 to 1.0 readable: logarithmic, or one step each if some are not positive."""
    if not strengths or min(strengths) <= 0:
        return {"type": "category", "categoryarray": [f"{s:g}" for s in sorted(strengths)]}
    ticks = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
    low, high = min(strengths), max(strengths)
    shown = [tick for tick in ticks if low * 0.99 <= tick <= high * 1.01]
    if len(shown) > 10:
        shown = [tick for tick in shown if f"{tick:e}".startswith("1")]
    shown = shown if len(shown) > 1 else sorted(set(strengths))
    return {"type": "log", "tickvals": shown, "ticktext": [f"{tick:g}" for tick in shown]}


def strength_values(strengths: Sequence[float], axis: dict[str, Any]) -> list[float] | list[str]:
    """Coordinates on a `strength_axis`."""
    return [f"{s:g}" for s in strengths] if axis["type"] == "category" else list(strengths)


def _placement(content: Sequence[Panel], columns: int) -> dict[str, Any]:
    """Flat layout keys that put the panels into a grid whose rows have the heights the panels ask for."""
    rows = [content[start : start + columns] for start in range(0, len(content), columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    inner = sum(heights) + _PANEL_GAP * (len(rows) - 1)
    placed: dict[str, Any] = {"height": inner + _TOP + _BOTTOM}
    gap = 0.11 if columns > 1 else 0.0
    width = (1 - gap * (columns - 1)) / columns
    top = float(inner)
    index = 0
    for row, height in zip(rows, heights, strict=True):
        for column in range(len(row)):
            left = column * (width + gap)
            placed[f"{axis_name('x', index)}.domain"] = [_round(left), _round(min(1.0, left + width))]
            placed[f"{axis_name('y', index)}.domain"] = [_round(max(0.0, (top - height) / inner)), _round(top / inner)]
            placed[f"annotations[{index}].x"] = _round(left)
            placed[f"annotations[{index}].y"] = _round(top / inner)
            index += 1
        top -= height + _PANEL_GAP
    return placed


def _unflatten(figure: go.Figure, flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    annotations = [annotation.to_plotly_json() for annotation in figure.layout.annotations]
    for name, value in flat.items():
        if name.startswith("annotations["):
            number, _, field = name.removeprefix("annotations[").partition("].")
            annotations[int(number)][field] = value
        elif "." in name:
            axis, _, field = name.partition(".")
            nested.setdefault(axis, {})[field] = value
        else:
            nested[name] = value
    return {**nested, "annotations": annotations}


def _round(value: float) -> float:
    return round(value, 4)


def _template() -> go.layout.Template:
    grid = {"gridcolor": "rgba(127,127,127,0.25)", "zerolinecolor": "rgba(127,127,127,0.6)", "linecolor": GREY}
    axis = {**grid, "automargin": True, "ticks": "outside", "tickcolor": GREY, "title": {"standoff": 8}}
    return go.layout.Template(
        layout={
            "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": "#333"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(SERIES),
            "xaxis": axis,
            "yaxis": axis,
        }
    )
