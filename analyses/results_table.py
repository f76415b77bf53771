"""The results in one table, with the published numbers beside ours. (Tables 1 and 6 of arXiv 2512.19069.)

One row per cell: accuracy of baseline, lambda* and vote with 95 % Wilson intervals, paired differences, chosen
strength; beside them what the paper reports for the same parent, child and data set. A number is bold only where
McNemar's exact test says that it differs from the baseline (p < .05) and is higher, and marked where it is lower.
"""

from dataclasses import dataclass

import plotly.graph_objects as go

from analyses import style
from analyses.cells import Arm, Cell, cell_gaps, load_cells
from analyses.drafts import Draft
from analyses.panels import Panel, arrange, axes, category_labels, empty_figure, label_lines
from analyses.published import Published, published
from analyses.scaling_panels import error_bars, in_points
from interp_xfer.studies.run_store import RunStore

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


@dataclass(frozen=True)
class Row:
    """One cell."""

    key: str
    label: str
    parent: str
    child: str
    dataset: str
    unit: str
    n: int | None
    lambda_star_strength: float | None
    baseline: ArmResult | None
    lambda_star: ArmResult | None
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
    rows = [row for row in table.rows if row.lambda_star is not None and row.lambda_star.delta is not None]
    if not rows:
        return empty_figure("No paired differences to draw: " + "; ".join(table.missing))
    labels = [row.label for row in rows]
    lines = max(2, label_lines(labels))
    x_title = "change at λ* from the baseline, percentage points"
    content = [Panel("", x_title, "", 30 + 24 * len(labels), 30 + 16 * lines * len(labels))]
    out = Draft()
    found = [row.lambda_star for row in rows if row.lambda_star]
    delta, low, high = (
        [in_points(getattr(arm, name)) for arm in found] for name in ("delta", "delta_low", "delta_high")
    )
    out.scatter(
        x=delta, y=labels, mode="markers", name="here, 95 % interval", marker={"color": style.BLUE, "size": 9},
        error_x=error_bars(delta, low, high, style.BLUE),
        customdata=[[lo, h, style.p_text(arm.p_value or 0)] for lo, h, arm in zip(low, high, found, strict=True)],
        hovertemplate="%{y}<br>%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}], %{customdata[2]}"
        "<extra></extra>",
        **axes(0),
    )  # fmt: skip
    reported = [(row, row.published) for row in rows if row.published]
    if reported:
        out.scatter(
            x=[100 * (facts.lambda_star - facts.baseline) for _, facts in reported],
            y=[row.label for row, _ in reported], mode="markers", name="published (no interval given)",
            marker={"symbol": "diamond-open", "size": 11, "color": style.ORANGE, "line": {"width": 2}},
            hovertemplate="%{y}<br>published %{x:+.2f} points<extra></extra>", **axes(0),
        )  # fmt: skip
    edge = 1.1 * max(1.0, *(abs(value) for value in (*low, *high)))
    out.set(xaxis={"range": [-edge, edge], "zeroline": True, "zerolinewidth": 2})
    return arrange(out, content, columns=1, narrow=category_labels(out, 0, labels, 24))


def describe(table: ResultsTable) -> str:
    """The numbers that matter, in one or two sentences."""
    arms = [row.lambda_star for row in table.rows if row.lambda_star and row.lambda_star.delta is not None]
    better, worse = sum(arm.better for arm in arms), sum(arm.worse for arm in arms)
    cells = "1 cell" if len(table.rows) == 1 else f"{len(table.rows)} cells"
    text = f"{cells}; at λ* {better} above the baseline with p < .05, {worse} below."
    reported = sum(row.published is not None for row in table.rows)
    return text + (f" Published numbers for {reported}." if reported else " None is in the paper.")


def _row(cell: Cell) -> Row:
    baseline = cell.arm("baseline")
    star = cell.arm("lambda_star")
    return Row(
        key=cell.key,
        label=cell.label,
        parent=cell.parent,
        child=cell.child,
        dataset=cell.dataset,
        unit=cell.unit,
        n=baseline.n if baseline else None,
        lambda_star_strength=star.strength if star else cell.lambda_star,
        baseline=_arm(baseline),
        lambda_star=_arm(star),
        vote=_arm(cell.arm("vote")),
        published=published(cell.parent, cell.child, cell.dataset),
    )


def _arm(arm: Arm | None) -> ArmResult | None:
    if arm is None:
        return None
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
    )
