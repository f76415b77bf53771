"""The results in one table, with the published numbers beside ours. (Tables 1 and 6 of arXiv 2512.19069.)

One row per cell: accuracy of baseline, lambda* and vote with 95 % Wilson intervals, paired differences, chosen
strength; beside them what the paper reports for the same parent, child and data set. A number is bold only where
the paired test says that it differs from the baseline (p < .05: the interval of the difference leaves out 0) and is
higher, and marked where it is lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from interp_xfer.evaluation.record import ArmRecord
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, cell_gaps, load_cells
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
from interp_xfer_analyses.questions.published import Published, published
from interp_xfer_analyses.questions.scaling_panels import error_bars, in_points
from interp_xfer_analyses.tables import distinct

ALPHA = 0.05


@dataclass(frozen=True)
class ArmResult:
    """One arm of one row; fractions."""

    accuracy: float
    low: float
    high: float
    delta: float | None
    delta_low: float | None
    delta_high: float | None
    broken: int | None
    fixed: int | None
    p_value: float | None
    better: bool
    """Higher than the baseline, p < .05."""
    worse: bool
    rules: dict[str, float]
    """Extraction rule -> share of the answers it found."""
    invalid: float
    """Share of answers in which none was found."""
    timed_out: int


@dataclass(frozen=True)
class Row:
    """One cell."""

    key: str
    label: str
    parent: str
    child: str
    dataset: str
    unit: str
    n: int
    lambda_star_strength: float | None
    baseline: ArmResult
    lambda_star: ArmResult
    vote: ArmResult | None
    published: Published | None


@dataclass(frozen=True)
class ResultsTable:
    """Rows by data set, parent and child."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def compute(store: RunStore) -> ResultsTable:
    """Results of every cell, with the published ones where there are any.

    Raises: ArtifactError if the run has no finished cell.
    """
    cells = load_cells(store)
    return ResultsTable(tuple(_row(cell) for cell in cells), cell_gaps(cells))


def figure(table: ResultsTable) -> go.Figure:
    """Change at lambda* of every cell with its interval, the published change as an open diamond."""
    return draw(table).figure()


def draw(table: ResultsTable) -> Draft:
    """The figure before it is checked."""
    rows = [row for row in table.rows if row.lambda_star.delta is not None]
    if not rows:
        return empty_figure("No paired differences to draw: " + "; ".join(table.missing))
    datasets = distinct(row.dataset for row in rows)
    ends = [x for row in rows for x in (row.lambda_star.delta_low, row.lambda_star.delta_high)]
    edge = 1.1 * max(1.0, *(abs(in_points(x)) for x in ends))
    out, content, narrow = Draft(), [], {}
    for panel, dataset in enumerate(datasets):
        members = [row for row in rows if row.dataset == dataset]
        labels = [_row_label(row) for row in members]
        height, narrow_height = 30 + 24 * len(labels), 30 + 16 * max(2, label_lines(labels, 24)) * len(labels)
        title = dataset if len(datasets) > 1 else ""
        content.append(Panel(title, "change at λ* from the baseline, points", "", height, narrow_height, left=170))
        _forest(out, panel, members, labels)
        narrow |= category_labels(out, panel, labels, 24)
        out.set({axis_name("x", panel): {"range": [-edge, edge], "zeroline": True, "zerolinewidth": 2}})
    return arrange(out, content, columns=1, narrow=narrow)


def _forest(out: Draft, panel: int, rows: Sequence[Row], labels: Sequence[str]) -> None:
    found = [row.lambda_star for row in rows]
    delta, low, high = (
        [in_points(getattr(arm, name)) for arm in found] for name in ("delta", "delta_low", "delta_high")
    )
    out.scatter(
        x=delta, y=list(labels), mode="markers", name="here, 95 % interval", legendgroup="here", showlegend=panel == 0,
        marker={"color": style.BLUE, "size": 9}, error_x=error_bars(delta, low, high, style.BLUE),
        customdata=[[lo, h, style.p_text(arm.p_value)] for lo, h, arm in zip(low, high, found, strict=True)],
        hovertemplate="%{y}<br>%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}], %{customdata[2]}"
        "<extra></extra>",
        **axes(panel),
    )  # fmt: skip
    reported = [(label, row.published) for label, row in zip(labels, rows, strict=True) if row.published]
    if reported:
        out.scatter(
            x=[100 * (facts.lambda_star - facts.baseline) for _, facts in reported],
            y=[label for label, _ in reported],
            mode="markers",
            name="published (no interval given)",
            legendgroup="published",
            showlegend=panel == 0,
            marker={"symbol": "diamond-open", "size": 11, "color": style.ORANGE, "line": {"width": 2}},
            hovertemplate="%{y}<br>published %{x:+.2f} points<extra></extra>",
            **axes(panel),
        )


def _row_label(row: Row) -> str:
    """The label without the data set, which the panel names."""
    settings = row.label.removeprefix(f"{row.parent} → {row.child}, {row.dataset}")
    return f"{row.parent} → {row.child}{settings}"


def describe(table: ResultsTable) -> str:
    """The numbers that matter, in one or two sentences."""
    arms = [row.lambda_star for row in table.rows if row.lambda_star.delta is not None]
    better, worse = sum(arm.better for arm in arms), sum(arm.worse for arm in arms)
    cells = "1 cell" if len(table.rows) == 1 else f"{len(table.rows)} cells"
    text = f"{cells}; at λ* {better} above the baseline with p < .05, {worse} below."
    reported = sum(row.published is not None for row in table.rows)
    return text + (f" Published numbers for {reported}." if reported else " None is in the paper.")


def _row(cell: Cell) -> Row:
    return Row(
        key=cell.key,
        label=cell.label,
        parent=cell.parent,
        child=cell.child,
        dataset=cell.dataset,
        unit=cell.study.unit,
        n=cell.test.n,
        lambda_star_strength=cell.lambda_star if cell.has_strength else None,
        baseline=_arm(cell.test.baseline),
        lambda_star=_arm(cell.test.lambda_star),
        vote=cell.test.vote and _arm(cell.test.vote),
        published=published(cell.parent, cell.child, cell.dataset),
    )


def _arm(arm: ArmRecord) -> ArmResult:
    found = arm.difference
    clear = found is not None and found.p_value < ALPHA
    return ArmResult(
        accuracy=arm.accuracy,
        low=arm.low,
        high=arm.high,
        delta=found and found.delta,
        delta_low=found and found.low,
        delta_high=found and found.high,
        broken=found and found.broken,
        fixed=found and found.fixed,
        p_value=found and found.p_value,
        better=bool(found and clear and found.delta > 0),
        worse=bool(found and clear and found.delta < 0),
        rules={rule: count / arm.n for rule, count in arm.rules.items()},
        invalid=arm.invalid / arm.n,
        timed_out=arm.timed_out,
    )


ANALYSIS = Analysis(
    "results-table",
    "What came out, and what was published?",
    compute,
    figure,
    draw,
    describe,
    "Each dot is the change in accuracy at the chosen strength λ* against the unsteered baseline on the same "
    "test questions, with its paired 95 % interval; open diamonds are published changes for the same parent, "
    "child and data set.",
    "Dots scatter on both sides of 0 and about 19 of 20 intervals cover it; one cell in 20 reaches p < .05 by luck.",
)
