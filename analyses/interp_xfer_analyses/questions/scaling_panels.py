"""Baseline, lambda* and vote drawn: bars, paired differences, the vote over k for one cell; differences for many."""

from collections.abc import Sequence

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, category_labels, label_lines, say
from interp_xfer_analyses.questions.scaling_rows import InferenceScaling, Row, change_text
from interp_xfer_analyses.questions.vote_curves import VotePoint
from interp_xfer_analyses.tables import distinct


def draw_cell(table: InferenceScaling) -> Draft:
    """Accuracies, changes and, where there is a vote, its accuracy against k.

    Arguments:
        table: of one cell.
    """
    curve = table.curves[0].points if table.curves else ()
    content = [
        Panel(f"Accuracy, {table.rows[0].n} test questions", "", "accuracy", 260),
        Panel("Change from the baseline, same questions", "percentage points", "", 260, 170),
    ]
    if curve:
        content.append(Panel("Vote over k strengths", "k, generations per question", "accuracy", 240))
    out = Draft()
    for row in table.rows:
        _bar(out, row)
    out.set({axis_name("y", 0): {"tickformat": ".0%", "rangemode": "tozero"}})
    _changes(out, 1, [row for row in table.rows if row.delta is not None])
    if curve:
        _vote_curve(out, 2, curve, next((row for row in table.rows if row.arm == "baseline"), None))
    return arrange(out, content)


def draw_cells(rows: Sequence[Row]) -> Draft:
    """Change of lambda* and vote for every child, one panel per parent and data set.

    Arguments:
        rows: of several cells.
    """
    groups = distinct((row.dataset, row.parent, row.unit) for row in rows)
    out, content, narrow = Draft(), [], {}
    seen: set[str] = set()
    edge = _edge(rows)
    for panel, (dataset, parent, unit) in enumerate(groups):
        members = [row for row in rows if (row.dataset, row.parent, row.unit) == (dataset, parent, unit)]
        labels = distinct(child_label(row) for row in members)
        height = 40 + 34 * len(labels)
        lines = max(2, label_lines(labels))
        narrow_height = 40 + 17 * lines * len(labels)
        content.append(Panel(f"{parent} on {dataset}", "points from baseline", "", height, narrow_height, left=150))
        narrow |= category_labels(out, panel, labels)
        for arm in ("lambda_star", "vote"):
            shown = [row for row in members if row.arm == arm and row.delta is not None]
            if shown:
                _change_bars(out, panel, arm, shown, legend=arm not in seen)
                seen.add(arm)
        out.set({axis_name("x", panel): _around_zero(edge)})
        if not any(row.delta is not None for row in members):
            say(out, panel, "No arm to compare with the baseline.")
    out.set(barmode="group", bargap=0.25)
    return arrange(out, content, columns=1, narrow=narrow)


def child_label(row: Row) -> str:
    """The child, and the settings in which its cells differ where it has several."""
    return row.child + row.label.removeprefix(f"{row.parent} → {row.child}, {row.dataset}")


def in_points(share: float | None) -> float:
    """Percentage points; 0 where there is nothing."""
    return 0.0 if share is None else 100 * share


def bar_marker(arm: str) -> dict:
    """A light bar with an edge, on which the interval stays visible."""
    colour = style.ARM_COLOURS[arm]
    return {"color": style.fill(colour, 0.35), "line": {"color": colour, "width": 1.5}}


def error_bars(middle: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> dict:
    """Bars from low to high."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [h - m for h, m in zip(high, middle, strict=True)],
        "arrayminus": [m - lo for m, lo in zip(middle, low, strict=True)],
        "color": colour,
        "thickness": 2,
        "width": 5,
    }


def _edge(rows: Sequence[Row]) -> float:
    """The furthest end of an interval, in points."""
    return max([1.0, *(abs(in_points(x)) for row in rows for x in (row.delta_low, row.delta_high))])


def _around_zero(edge: float) -> dict:
    return {"range": [-1.12 * edge, 1.12 * edge], "zeroline": True, "zerolinewidth": 2}


def _bar(out: Draft, row: Row) -> None:
    name = style.ARM_NAMES[row.arm]
    where = f"{name} = {row.strength:g}" if row.arm == "lambda_star" and row.strength is not None else name
    out.bar(
        x=[where], y=[row.accuracy], name=name, marker=bar_marker(row.arm), width=0.6, showlegend=False,
        cliponaxis=False, error_y=error_bars([row.accuracy], [row.low], [row.high], style.ARM_COLOURS[row.arm]),
        hovertemplate=f"{row.correct} of {row.n}: {style.percent(row.accuracy)} "
        f"{style.percent_interval(row.low, row.high)}<br>{row.generations} generation(s) a question"
        f"<extra>{name}</extra>",
        **axes(0),
    )  # fmt: skip


def _changes(out: Draft, panel: int, rows: Sequence[Row]) -> None:
    for row in rows:
        delta, colour = in_points(row.delta), style.ARM_COLOURS[row.arm]
        out.scatter(
            x=[delta], y=[style.ARM_NAMES[row.arm]], mode="markers+text", showlegend=False,
            marker={"color": colour, "size": 11}, cliponaxis=False, textposition="top center",
            error_x=error_bars([delta], [in_points(row.delta_low)], [in_points(row.delta_high)], colour),
            text=[f"{style.points(delta / 100)}, {style.p_text(row.p_value)}"],
            hovertemplate=f"{style.plain(row.label)}<br>{style.plain(change_text(row))}<extra></extra>", **axes(panel),
        )  # fmt: skip
    out.set({axis_name("x", panel): _around_zero(_edge(rows))})
    if rows:
        category_labels(out, panel, [style.ARM_NAMES[row.arm] for row in rows])
    else:
        say(out, panel, "No arm to compare with the baseline.")


def _vote_curve(out: Draft, panel: int, curve: Sequence[VotePoint], baseline: Row | None) -> None:
    k = [point.k for point in curve]
    out.scatter(
        x=[*k, *reversed(k)],
        y=[*(p.highest for p in curve), *(p.lowest for p in reversed(curve))],
        mode="none",
        fill="toself",
        fillcolor=style.fill(style.ORANGE),
        name="range over sets of k",
        hoverinfo="skip",
        **axes(panel),
    )
    out.scatter(
        x=k,
        y=[point.accuracy for point in curve],
        mode="lines+markers",
        name="vote over k, mean",
        line={"color": style.ORANGE},
        hovertemplate="k = %{x}: %{y:.1%}<extra>vote</extra>",
        **axes(panel),
    )
    out.scatter(
        x=k,
        y=[point.any_right for point in curve],
        mode="lines+markers",
        name="one of k is right (bound)",
        line={"color": style.GREEN, "dash": "dash"},
        marker={"symbol": "diamond"},
        hovertemplate="k = %{x}: %{y:.1%}<extra>bound</extra>",
        **axes(panel),
    )
    if baseline:
        out.scatter(
            x=[k[0], k[-1]],
            y=[baseline.accuracy] * 2,
            mode="lines",
            name="baseline, k = 1",
            line={"color": style.GREY, "dash": "dot"},
            hovertemplate="baseline %{y:.1%}<extra></extra>",
            **axes(panel),
        )
    ticks = sorted({1, *range(5, k[-1], 5), k[-1]})
    out.set(
        {
            axis_name("x", panel): {"range": [0.5, k[-1] + 0.5], "tickvals": ticks},
            axis_name("y", panel): {"tickformat": ".0%", "rangemode": "tozero"},
        }
    )


def _change_bars(out: Draft, panel: int, arm: str, rows: Sequence[Row], legend: bool) -> None:
    delta = [in_points(row.delta) for row in rows]
    low, high = [in_points(row.delta_low) for row in rows], [in_points(row.delta_high) for row in rows]
    out.bar(
        y=[child_label(row) for row in rows], x=delta, orientation="h", name=style.ARM_NAMES[arm], legendgroup=arm,
        marker=bar_marker(arm), showlegend=legend, offsetgroup=arm,
        error_x=error_bars(delta, low, high, style.ARM_COLOURS[arm]),
        customdata=[[change_text(row), row.n] for row in rows],
        hovertemplate="%{y}<br>%{customdata[0]}<br>%{customdata[1]} questions"
        f"<extra>{style.ARM_NAMES[arm]}</extra>",
        **axes(panel),
    )  # fmt: skip
