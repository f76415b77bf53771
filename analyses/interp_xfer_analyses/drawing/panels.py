"""Panels of a figure: side by side on a wide page, one below the other on a narrow one.

Traces choose a panel with `axes(index)`; `arrange` then places the panels, their titles and the legend. Sizes are in
pixels, so that text keeps its distance whatever the height. `layout.meta.narrow` holds the changes that stack the
panels, as flat keys ("xaxis2.domain"); the report applies them on a phone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from interp_xfer.fields import Json
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.style import plain, template, wrapped

WIDE, NARROW = 660, 350
"""Widths that titles and legends must fit: the narrowest page with panels side by side, and a phone."""

_LINE = 20
_CHARACTER = 8.1  # mean width of a character of a panel title
_MODEBAR = 28  # a row of buttons above everything; narrow pages have none
_COLUMN_GAP = 0.11


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a figure."""

    title: str
    x_title: str = ""
    y_title: str = ""
    height: int = 260
    narrow_height: int | None = None
    """None: as on a wide page."""
    left: int = 60
    """Pixels that row labels take on a narrow page, where a title has so much less room."""


def axes(index: int) -> dict[str, str]:
    """Keyword arguments that put a trace into a panel."""
    return {"xaxis": f"x{_suffix(index)}", "yaxis": f"y{_suffix(index)}"}


def axis_name(letter: str, index: int) -> str:
    """Layout key of an axis of a panel."""
    return f"{letter}axis{_suffix(index)}"


def say(out: Draft, index: int, text: str) -> None:
    """Write into the middle of a panel why it is empty."""
    out.annotate(
        text=wrapped(text, 40),
        x=0.5,
        y=0.5,
        xref=f"x{_suffix(index)} domain",
        yref=f"y{_suffix(index)} domain",
    )


def category_labels(out: Draft, index: int, labels: Sequence[str], characters: int = 20) -> Json:
    """Show long row labels on the y axis, top to bottom; returns the narrow changes that wrap them.

    Arguments:
        out: the figure; its traces use the labels as y values.
        index: of the panel.
        labels: in order.
        characters: width of a label on a narrow page.
    """
    name = axis_name("y", index)
    out.set(
        {
            name: {
                "type": "category",
                "categoryorder": "array",
                "categoryarray": list(labels),
                "range": [len(labels) - 0.5, -0.5],
                "tickvals": list(labels),
                "ticktext": [plain(x) for x in labels],
            }
        }
    )
    return {f"{name}.ticktext": [wrapped(x, characters) for x in labels], f"{name}.tickfont.size": 11}


def label_lines(labels: Sequence[str], characters: int = 20) -> int:
    """Lines of the longest label on a narrow page."""
    return max((len(wrap(label, characters)) for label in labels), default=1)


def arrange(out: Draft, content: Sequence[Panel], columns: int = 2, narrow: Json | None = None) -> Draft:
    """The figure, with panels placed row by row, titles, axis titles and legend.

    Arguments:
        out: with its traces.
        content: one per panel.
        columns: on a wide page.
        narrow: further changes for narrow pages, as flat keys.
    """
    columns = max(1, min(columns, len(content)))
    entries = [
        plain_length(trace["name"])
        for trace in out.data
        if trace.get("showlegend") is not False and trace.get("name") is not None
    ]
    legend = entries if len(entries) > 1 else []
    for index, panel in enumerate(content):
        out.set(
            {
                axis_name("x", index): {"anchor": f"y{_suffix(index)}", "title": {"text": plain(panel.x_title)}},
                axis_name("y", index): {"anchor": f"x{_suffix(index)}", "title": {"text": plain(panel.y_title)}},
            }
        )
    titles = [
        {
            "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "align": "left",
            "x": 0, "y": 1, "yshift": 6, "showarrow": False, "font": {"size": 14}, "text": "",
        }
        for _ in content
    ]  # fmt: skip
    out.set(
        template=template(),
        showlegend=bool(legend),
        legend={
            "orientation": "h", "xref": "container", "yref": "container", "x": 0, "xanchor": "left", "yanchor": "top",
            "font": {"size": 12}, "itemsizing": "trace", "traceorder": "normal", "bgcolor": "rgba(0,0,0,0)",
        },
        annotations=[*titles, *out.layout["annotations"]],
        margin={"l": 60, "r": 16},
        hoverlabel={"namelength": -1},
    )  # fmt: skip
    for path, value in _placed(content, columns, WIDE, legend).items():
        out.put(path, value)
    changes = _placed(content, 1, NARROW, legend)
    out.set(meta={"narrow": {**changes, **(narrow or {})}})
    return out


def empty_figure(message: str) -> Draft:
    """A figure that says why there is nothing to draw."""
    out = Draft()
    out.set(template=template(), height=160, margin={"t": 10, "b": 10, "l": 10, "r": 10})
    out.set(xaxis={"visible": False}, yaxis={"visible": False})
    position = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    out.annotate(text=wrapped(message, 90), font={"size": 14}, **position)
    out.set(meta={"narrow": {"annotations[0].text": wrapped(message, 40)}})
    return out


def plain_length(label: str) -> int:
    """Characters of a label as it is shown."""
    return len(label.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def _placed(content: Sequence[Panel], columns: int, width: int, legend: Sequence[int]) -> Json:
    """Flat layout keys: heights, domains, titles, legend."""
    is_narrow = width == NARROW
    rows = [content[start : start + columns] for start in range(0, len(content), columns)]
    gap = _COLUMN_GAP if columns > 1 else 0.0
    share = (1 - gap * (columns - 1)) / columns
    lines = [wrap(panel.title, _characters(panel, width, share)) for panel in content]
    titles = [max(len(found) for found in lines[start : start + columns]) for start in range(0, len(content), columns)]
    heights = [max((p.narrow_height or p.height) if is_narrow else p.height for p in row) for row in rows]
    gaps = [_below(row) + _LINE * lines for row, lines in zip(rows, titles[1:], strict=False)]
    buttons = 0 if is_narrow else _MODEBAR
    top = buttons + _LINE * _legend_rows(legend, width) + _LINE * titles[0] + 20
    bottom = _below(rows[-1])
    inner = float(sum(heights) + sum(gaps))
    total = top + inner + bottom
    out: Json = {
        "height": int(total),
        "margin.t": top,
        "margin.b": bottom,
        "legend.y": _round(1 - buttons / total),
    }
    level, index = inner, 0
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column in range(len(row)):
            left = column * (share + gap)
            out[f"{axis_name('x', index)}.domain"] = [_round(left), _round(min(1.0, left + share))]
            out[f"{axis_name('y', index)}.domain"] = [_round(max(0.0, (level - height) / inner)), _round(level / inner)]
            out[f"annotations[{index}].x"] = _round(left)
            out[f"annotations[{index}].y"] = _round(level / inner)
            title = "<br>".join(plain(line) for line in lines[index])
            out[f"annotations[{index}].text"] = f"<b>{title}</b>" if title else ""
            index += 1
        level -= height + (gaps[number] if number < len(gaps) else 0)
    return out


def _characters(panel: Panel, width: int, share: float) -> int:
    return int((width - (panel.left if width == NARROW else 60)) * share / _CHARACTER)


def _below(row: Sequence[Panel]) -> int:
    """Room for ticks and axis title, and for air."""
    return 66 if any(panel.x_title for panel in row) else 44


def _legend_rows(names: Sequence[int], width: int) -> int:
    """Rows of a horizontal legend: one if all fit, else columns as wide as the widest entry."""
    widths = [46 + 6.8 * length for length in names]
    if not widths:
        return 0
    if sum(widths) <= width:
        return 1
    per_row = max(1, int(width // max(widths)))
    return -(-len(widths) // per_row)


def _suffix(index: int) -> str:
    return "" if index == 0 else str(index + 1)


def _round(value: float) -> float:
    return round(value, 4)
