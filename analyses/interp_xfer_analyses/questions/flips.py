"""Which questions were gained and lost, with the texts side by side.

A small net change can hide many answers that changed both ways. Gained: wrong at baseline, right in the arm; lost: the
reverse. Equal numbers of both are what chance alone gives (McNemar's test).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from interp_xfer.errors import MissingError
from interp_xfer.studies.item_record import ItemRecord
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, load_cells
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import (
    Panel,
    arrange,
    axes,
    axis_name,
    category_labels,
    empty_figure,
    label_lines,
)
from interp_xfer_analyses.tables import distinct

_BARS = 12  # rows that are drawn as bars; more become dots


@dataclass(frozen=True)
class Row:
    """Counts of one cell and arm."""

    key: str
    label: str
    parent: str
    arm: str
    strength: float | None
    n: int
    gained: int
    lost: int
    still_right: int
    still_wrong: int


@dataclass(frozen=True)
class Flip:
    """One question whose correctness changed."""

    key: str
    label: str
    arm: str
    strength: float | None
    """Strength of the text shown; None for the vote."""
    gained: bool
    problem_id: str
    question: str
    reference: str
    baseline_text: str
    baseline_answer: str | None
    text: str
    answer: str | None


@dataclass(frozen=True)
class Flips:
    """Counts by cell and arm, and the texts of the changed questions."""

    rows: tuple[Row, ...]
    flips: tuple[Flip, ...]
    missing: tuple[str, ...]


def compute(store: RunStore, texts_per_cell: int = 1000) -> Flips:
    """Changed questions of every cell, at lambda* and for the vote.

    Arguments:
        store: the run.
        texts_per_cell: at most so many changed questions keep their texts, in the order of the test; counts are
            always of all.
    Raises: ArtifactError if the run has no finished cell.
    """
    rows: list[Row] = []
    flips: list[Flip] = []
    missing = []
    for cell in load_cells(store):
        try:
            items = [item for item in store.read_items(cell.key) if item.split == "test"]
        except MissingError:
            missing.append(f"{cell.label}: the single answers are missing")
            continue
        baseline = {item.problem_id: item for item in items if item.swept and item.strength == 0}
        if not baseline:
            missing.append(f"{cell.label}: there are no baseline answers to compare with")
            continue
        kept = 0
        for arm, strength, answers in _arms(cell, items):
            pairs = [(baseline[item.problem_id], item) for item in answers if item.problem_id in baseline]
            changed = [(before, after) for before, after in pairs if before.correct != after.correct]
            gained = sum(after.correct for _, after in changed)
            right = sum(before.correct and after.correct for before, after in pairs)
            lost = len(changed) - gained
            rows.append(
                Row(
                    cell.key, cell.label, cell.parent, arm, strength, len(pairs), gained, lost, right,
                    len(pairs) - len(changed) - right,
                )
            )  # fmt: skip
            for before, after in changed[: max(0, texts_per_cell - kept)]:
                flips.append(_flip(cell, arm, before, after))
            kept += len(changed)
        if not any(row.key == cell.key for row in rows):
            missing.append(f"{cell.label}: there are no answers of lambda* or the vote")
    return Flips(tuple(rows), tuple(flips), tuple(missing))


def figure(table: Flips) -> go.Figure:
    """Bars of few cells, dots of many."""
    return draw(table).figure()


def draw(table: Flips) -> Draft:
    """The figure before it is checked."""
    if not table.rows:
        return empty_figure("No changed questions to draw: " + "; ".join(table.missing))
    return _bars(table.rows) if len(table.rows) <= _BARS else _against(table.rows)


def _bars(rows: Sequence[Row]) -> Draft:
    """Gained to the right, lost to the left."""
    several = len({row.key for row in rows}) > 1
    labels = [_label(row, several) for row in rows]
    lines = max(2, label_lines(labels))
    x_title = "questions lost (left) and gained (right)"
    content = [Panel("", x_title, "", 30 + 30 * len(labels), 30 + 17 * lines * len(labels))]
    out = Draft()
    for gained, colour, name in ((False, style.VERMILLION, "lost"), (True, style.BLUE, "gained")):
        counts = [row.gained if gained else row.lost for row in rows]
        out.bar(
            x=[count if gained else -count for count in counts], y=labels, orientation="h", name=name,
            marker={"color": colour}, text=[str(count) for count in counts], textposition="outside",
            cliponaxis=False, hovertemplate="%{y}: %{text} " + name + "<extra></extra>", **axes(0),
        )  # fmt: skip
    edge = max(1, *(count for row in rows for count in (row.gained, row.lost)))
    step = max(1, round(edge / 4))
    ticks = list(range(-5 * step, 5 * step + 1, step))
    out.set(
        barmode="overlay",
        bargap=0.35,
        xaxis={
            "range": [-1.2 * edge, 1.2 * edge],
            "zeroline": True,
            "zerolinewidth": 2,
            "tickvals": ticks,
            "ticktext": [str(abs(tick)) for tick in ticks],
        },
    )
    return arrange(out, content, columns=1, narrow=category_labels(out, 0, labels))


def _against(rows: Sequence[Row]) -> Draft:
    """Share gained against share lost, one dot a cell; equal on the diagonal."""
    arms = distinct(row.arm for row in rows)
    parents = distinct(row.parent for row in rows)
    content = [
        Panel(f"{style.ARM_NAMES[arm]} against the baseline", "lost, share of questions", "gained", 300) for arm in arms
    ]
    edge = 1.1 * max(0.01, *(count / row.n for row in rows for count in (row.gained, row.lost)))
    out = Draft()
    for panel, arm in enumerate(arms):
        out.scatter(
            x=[0, edge], y=[0, edge], mode="lines", name="as many gained as lost", hoverinfo="skip",
            line={"color": style.GREY, "dash": "dot"}, showlegend=panel == 0, **axes(panel),
        )  # fmt: skip
        for number, parent in enumerate(parents):
            shown = [row for row in rows if row.arm == arm and row.parent == parent]
            out.scatter(
                x=[row.lost / row.n for row in shown], y=[row.gained / row.n for row in shown], mode="markers",
                name=style.plain(parent), legendgroup=parent, showlegend=panel == 0,
                marker={
                    "color": style.SERIES[number % 7], "symbol": style.SYMBOLS[number % 7], "size": 9, "opacity": 0.7,
                },
                customdata=[[style.plain(row.label), row.gained, row.lost, row.n] for row in shown],
                hovertemplate="%{customdata[0]}<br>%{customdata[1]} gained, %{customdata[2]} lost of %{customdata[3]}"
                "<extra></extra>",
                **axes(panel),
            )  # fmt: skip
        shares = {"range": [-0.04 * edge, edge], "tickformat": ".1~%"}
        out.set({axis_name("x", panel): shares, axis_name("y", panel): shares})
    return arrange(out, content)


def describe(table: Flips) -> str:
    """The numbers that matter, in one or two sentences."""
    if not table.rows:
        return "Nothing was compared."
    if len(table.rows) > 4:
        return " ".join(_describe_arm(table, arm) for arm in distinct(row.arm for row in table.rows))
    several = len({row.key for row in table.rows}) > 1
    parts = [
        f"{_label(row, several)}: {row.gained} gained and {row.lost} lost of {row.n}; "
        f"{row.still_right} right and {row.still_wrong} wrong both times"
        for row in table.rows
    ]
    return "; ".join(parts) + "."


def _describe_arm(table: Flips, arm: str) -> str:
    rows = [row for row in table.rows if row.arm == arm]
    gained, lost, n = (sum(getattr(row, name) for row in rows) for name in ("gained", "lost", "n"))
    return f"{style.ARM_NAMES[arm]}, {len(rows)} cells together: {gained} gained and {lost} lost of {n} answers."


def _label(row: Row, several: bool) -> str:
    arm = style.ARM_NAMES[row.arm]
    return f"{row.label}, {arm}" if several else arm


def _arms(cell: Cell, items: Sequence[ItemRecord]) -> list[tuple[str, float | None, list[ItemRecord]]]:
    star = [item for item in items if item.swept and item.strength == cell.lambda_star]
    vote = [item for item in items if item.arm == "vote"]
    found = [("lambda_star", cell.lambda_star, star), ("vote", None, vote)]
    return [entry for entry in found if entry[2]]


def _flip(cell: Cell, arm: str, before: ItemRecord, after: ItemRecord) -> Flip:
    return Flip(
        key=cell.key,
        label=cell.label,
        arm=arm,
        strength=after.strength,
        gained=after.correct,
        problem_id=after.problem_id,
        question=after.question,
        reference=after.reference,
        baseline_text=before.text,
        baseline_answer=before.parsed,
        text=after.text,
        answer=after.parsed,
    )


ANALYSIS = Analysis(
    "flips",
    "Which questions were gained and lost?",
    compute,
    figure,
    draw,
    describe,
    "Gained: wrong at baseline and right in the arm; lost: the reverse. Few cells are bars, many are dots: "
    "each dot a cell, on the dotted line as many gained as lost.",
    "Both bars are of about equal length, whatever their length; dots lie on both sides of the dotted line.",
)
