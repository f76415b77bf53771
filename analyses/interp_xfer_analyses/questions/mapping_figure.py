"""The mapping comparison drawn: one panel per data set, comparisons of settings above, single cells below."""

from collections.abc import Sequence

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, category_labels
from interp_xfer_analyses.questions.mapping_rows import AXIS_NAMES, Row
from interp_xfer_analyses.questions.scaling_panels import error_bars
from interp_xfer_analyses.tables import distinct

_NARROW = 22  # characters of a row label on a phone
_KINDS = (
    (False, "two settings, same questions", style.BLUE, "circle"),
    (True, "cell against its baseline", style.VERMILLION, "square"),
)


def draw_rows(rows: Sequence[Row]) -> Draft:
    """Differences in points with 95 % intervals, zero in the middle.

    Arguments:
        rows: at least one.
    """
    edge = 112 * max(0.01, *(abs(end) for row in rows for end in (row.low, row.high)))
    out, content, narrow = Draft(), [], {}
    seen: set[bool] = set()
    for panel, dataset in enumerate(distinct(row.dataset for row in rows)):
        members = [row for row in rows if row.dataset == dataset]
        labels: list[str] = []
        headers: list[bool] = []
        for axis in distinct(row.axis for row in members):
            of_axis = [f"{_prefix(axis)}{row.label}" for row in members if row.axis == axis]
            labels += [AXIS_NAMES[axis], *of_axis]
            headers += [True, *(False for _ in of_axis)]
        height, narrow_height = 20 + 23 * len(labels), 20 + 32 * len(labels)
        n = max(row.n for row in members)
        title = f"{dataset}, {n} questions"
        content.append(Panel(title, "difference in accuracy at λ*, points", "", height, narrow_height, left=165))
        narrow |= category_labels(out, panel, labels, _NARROW)
        name = axis_name("y", panel)
        shown = [label.split("\u2009")[-1] for label in labels]
        out.put(f"{name}.ticktext", _marked([style.plain(label) for label in shown], headers))
        narrow[f"{name}.ticktext"] = _marked([style.wrapped(label, _NARROW) for label in shown], headers)
        for is_cell, words, colour, symbol in _KINDS:
            chosen = [row for row in members if (row.axis == "cell") == is_cell]
            if chosen:
                _points(out, panel, chosen, words, colour, symbol, is_cell not in seen)
                seen.add(is_cell)
        out.set({axis_name("x", panel): {"range": [-edge, edge], "zeroline": True, "zerolinewidth": 2}})
    out.scatter(
        x=[None],
        y=[None],
        mode="markers",
        name="filled: p < .05, adjusted",
        hoverinfo="skip",
        marker={"color": style.GREY, "size": 9, "symbol": "circle"},
        **axes(0),
    )
    return arrange(out, content, columns=1, narrow=narrow)


def _points(out: Draft, panel: int, rows: Sequence[Row], name: str, colour: str, symbol: str, legend: bool) -> None:
    delta, low, high = ([100 * getattr(row, field) for row in rows] for field in ("delta", "low", "high"))
    # An interval of few questions may leave its estimate outside by a hair, as that of 1 of 1 does.
    low = [min(a, b) for a, b in zip(low, delta, strict=True)]
    high = [max(a, b) for a, b in zip(high, delta, strict=True)]
    clear = [row.p_adjusted < 0.05 for row in rows]
    out.scatter(
        x=delta, y=[f"{_prefix(row.axis)}{row.label}" for row in rows], mode="markers", name=name, legendgroup=name,
        showlegend=legend,
        marker={
            "color": colour, "size": 9, "symbol": [symbol if sure else f"{symbol}-open" for sure in clear],
            "line": {"color": colour, "width": 2},
        },
        error_x=error_bars(delta, low, high, colour),
        customdata=[
            [
                style.point_interval(row.low, row.high), style.p_text(row.p_value), style.p_text(row.p_adjusted),
                row.gained, row.lost, row.n_contexts, style.points(row.lowest), style.points(row.highest),
            ]
            for row in rows
        ],
        hovertemplate="%{x:+.1f} points %{customdata[0]}<br>%{customdata[1]}, adjusted %{customdata[2]}<br>"
        "%{customdata[3]} answers gained, %{customdata[4]} lost over %{customdata[5]} pairs of cells, whose "
        "differences run from %{customdata[6]} to %{customdata[7]}<extra></extra>",
        **axes(panel),
    )  # fmt: skip


def _prefix(axis: str) -> str:
    """Keeps equal labels of two axes apart; not shown."""
    return f"{axis}\u2009"


def _marked(labels: Sequence[str], headers: Sequence[bool]) -> list[str]:
    return [f"<b>{label}</b>" if header else label for label, header in zip(labels, headers, strict=True)]
