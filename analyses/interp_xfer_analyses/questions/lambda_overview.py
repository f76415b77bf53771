"""The strength curves of many cells: one line per child, small multiples per parent, data set and unit.

Left: over the strength, in its own unit. Right: the same accuracies over the shift as a share of the residual norm,
summed over layers, in which raw and relative strengths can be compared.
"""

from collections.abc import Sequence

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, say
from interp_xfer_analyses.questions.lambda_panels import mark_lambda_star
from interp_xfer_analyses.questions.lambda_rows import Row
from interp_xfer_analyses.tables import distinct


def draw_cells(rows: Sequence[Row]) -> Draft:
    """Two panels for each parent, data set and unit.

    Arguments:
        rows: of several cells; each is drawn on its test questions, or on validation where that has more strengths.
    """
    groups = distinct((row.dataset, row.parent, row.unit) for row in rows)
    names = distinct(line_name(row) for row in rows)
    out, content, seen = Draft(), [], set()
    for number, group in enumerate(groups):
        members = [row for row in rows if (row.dataset, row.parent, row.unit) == group]
        content += _panels(group, members)
        axis = style.strength_axis(distinct(row.strength for row in members if row.strength != 0))
        shares = [row.shift_share for row in members if row.shift_share is not None and row.shift_share > 0]
        out.set({axis_name("x", 2 * number): axis})
        if shares:
            out.set({axis_name("x", 2 * number + 1): style.log_axis(min(shares), max(shares))})
        else:
            say(out, 2 * number + 1, "No shift lengths: residual norms are missing.")
        for key in distinct(row.key for row in members):
            line = _longer_split([row for row in members if row.key == key])
            name = line_name(line[0])
            _line(out, 2 * number, line, name, names.index(name), name not in seen, axis)
            seen.add(name)
    for panel in range(len(content)):
        out.set({axis_name("y", panel): {"tickformat": ".0%", "rangemode": "tozero"}})
    return arrange(out, content)


def line_name(row: Row) -> str:
    """The child, and the settings in which its cells differ where it has several."""
    return row.child + row.label.removeprefix(f"{row.parent} → {row.child}, {row.dataset}")


def _panels(group: tuple[str, str, str], rows: Sequence[Row]) -> list[Panel]:
    dataset, parent, unit = group
    half = 100 * max((row.high - row.low) / 2 for row in rows)
    return [
        Panel(f"{parent} on {dataset}", f"strength λ ({unit})", f"accuracy (± {half:.0f} points)", 220),
        Panel(f"{parent} on {dataset}, over shift", "shift / residual norm, all layers", "accuracy", 220),
    ]


def _longer_split(rows: list[Row]) -> list[Row]:
    test = [row for row in rows if row.split == "test"]
    validation = [row for row in rows if row.split == "validation"]
    return test if len(test) >= len(validation) else validation


def _line(out: Draft, panel: int, rows: list[Row], name: str, number: int, legend: bool, axis: dict) -> None:
    colour = style.SERIES[number % len(style.SERIES)]
    steered = [row for row in rows if row.strength != 0]
    baseline = next((row for row in rows if row.strength == 0), None)
    converted = [row for row in steered if row.shift_share is not None and row.shift_share > 0]
    places: tuple[tuple[int, list, list[Row]], ...] = (
        (panel, style.strength_values([row.strength for row in steered], axis), steered),
        (panel + 1, [row.shift_share for row in converted], converted),
    )
    for where, x, shown in places:
        if not shown:
            continue
        out.scatter(
            x=x,
            y=[row.accuracy for row in shown],
            mode="lines+markers",
            name=style.plain(name),
            legendgroup=name,
            showlegend=legend and where == panel,
            line={"color": colour, "width": 1.5, "dash": style.DASHES[number // len(style.SERIES) % 7]},
            marker={"color": colour, "size": 5, "symbol": style.SYMBOLS[number % 7]},
            customdata=[[row.low, row.high, row.strength] for row in shown],
            hovertemplate="λ = %{customdata[2]:g}: %{y:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}]",
            **axes(where),
        )
        mark_lambda_star(out, where, x, shown, colour, name)
        if baseline and len(x) > 1:
            out.scatter(
                x=[x[0], x[-1]], y=[baseline.accuracy] * 2, mode="lines", legendgroup=name, showlegend=False,
                line={"color": colour, "dash": "dot", "width": 1}, hoverinfo="skip", **axes(where),
            )  # fmt: skip
