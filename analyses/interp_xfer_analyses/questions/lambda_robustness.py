"""How do answers change with the strength? (Fig. 3 of arXiv 2512.19069.)

1. Accuracy at every strength on validation and test questions, with 95 % Wilson intervals; the baseline (strength 0) is
   a line, lambda* (chosen on validation) is marked.
2. The same curve over the length of the shift that was applied: two models that look different at one strength may
   only have residual streams of different length.
3. What else changes: by which rule an answer was read (a change is one of style, whatever accuracy does), answers that
   cannot be read, answers cut at the token limit, tokens per answer, and how far the text compresses (repetition
   compresses well).

One cell is drawn in full. Several cells are drawn as one line per child, small multiples per parent, data set and unit,
so that raw and relative strengths never share an axis.
"""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import plotly.graph_objects as go

from interp_xfer.errors import MissingError
from interp_xfer.evaluation.record import Point
from interp_xfer.studies.item_record import ItemRecord
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, cell_gaps, load_cells
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import empty_figure
from interp_xfer_analyses.questions.lambda_overview import draw_cells
from interp_xfer_analyses.questions.lambda_panels import draw_cell
from interp_xfer_analyses.questions.lambda_rows import Row
from interp_xfer_analyses.tables import distinct

_TEXTS_COMPRESSED = 200  # per strength; the mean is stable long before


@dataclass(frozen=True)
class LambdaRobustness:
    """Rows by cell, split and strength."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def compute(store: RunStore) -> LambdaRobustness:
    """Accuracy and telemetry at every strength of every cell.

    Raises: ArtifactError if the run has no finished cell.
    """
    cells = load_cells(store)
    rows: list[Row] = []
    missing = list(cell_gaps(cells))
    for cell in cells:
        try:
            ratios = _compression(store.read_items(cell.key))
        except MissingError:
            ratios = {}
            missing.append(f"{cell.label}: the single answers are missing, so repetition in the texts is not shown")
        for split, part in (("validation", cell.record.validation), ("test", cell.test)):
            rows += [_row(cell, split, point, ratios) for point in sorted(part.strengths, key=_strength)]
    return LambdaRobustness(tuple(rows), tuple(missing))


def figure(table: LambdaRobustness) -> go.Figure:
    """All panels of one cell, or small multiples of many."""
    return draw(table).figure()


def draw(table: LambdaRobustness) -> Draft:
    """The figure before it is checked."""
    if not table.rows:
        return empty_figure("No accuracies: " + "; ".join(table.missing))
    return draw_cell(table.rows) if len({row.key for row in table.rows}) == 1 else draw_cells(table.rows)


def describe(table: LambdaRobustness) -> str:
    """The numbers that matter, in one or two sentences."""
    cells = [[row for row in table.rows if row.key == key] for key in distinct(row.key for row in table.rows)]
    if len(cells) <= 3:
        return " ".join(_describe_cell(rows, len(cells) > 1) for rows in cells) or "Nothing was measured."
    stars = sorted(row.strength for row in table.rows if row.is_lambda_star and row.split == "validation")
    below = compared = 0
    for rows in cells:
        test = [row for row in rows if row.split == "test"]
        baseline = next((row for row in test if row.strength == 0), None)
        if baseline is not None and len(test) > 1:
            compared += 1
            below += max(test, key=_strength).accuracy < baseline.accuracy
    chosen = f"; λ* runs from {stars[0]:g} to {stars[-1]:g}, median {median(stars):g}" if stars else ""
    return (
        f"{len(cells)} cells{chosen}. At the largest strength that was tested, {below} of {compared} cells lie below "
        f"their baseline."
    )


def _describe_cell(rows: Sequence[Row], name_it: bool) -> str:
    split = "test" if any(row.split == "test" for row in rows) else "validation"
    shown = [row for row in rows if row.split == split]
    baseline = next((row for row in shown if row.strength == 0), None)
    steered = [row for row in shown if row.strength != 0]
    text = f"{rows[0].label}, {split}, " if name_it else f"{split.capitalize()}, "
    text += f"{shown[0].n} questions"
    if baseline:
        text += f": baseline {style.percent(baseline.accuracy)}"
    if len(steered) == 1:
        text += f"; steered {style.percent(steered[0].accuracy)}"
    elif steered:
        low, high = min(steered, key=_accuracy), max(steered, key=_accuracy)
        text += (
            f"; over {len(steered)} strengths from {steered[0].strength:g} to {steered[-1].strength:g} "
            f"({rows[0].unit}) accuracy runs from {style.percent(low.accuracy)} (at {low.strength:g}) to "
            f"{style.percent(high.accuracy)} (at {high.strength:g})"
        )
    star = next((row for row in shown if row.is_lambda_star), None)
    return text + (f"; λ* = {star.strength:g} gives {style.percent(star.accuracy)}." if star else ".")


def _strength(row: Row | Point) -> float:
    return row.strength


def _accuracy(row: Row) -> float:
    return row.accuracy


def _row(cell: Cell, split: str, point: Point, ratios: Mapping[float | None, float]) -> Row:
    return Row(
        key=cell.key,
        label=cell.label,
        parent=cell.parent,
        child=cell.child,
        dataset=cell.dataset,
        unit=cell.study.unit,
        split=split,
        strength=point.strength,
        is_lambda_star=cell.has_strength and point.strength == cell.lambda_star,
        shift_length=cell.shift_length(point.strength),
        shift_share=cell.shift_share(point.strength),
        n=point.n,
        correct=point.correct,
        accuracy=point.accuracy,
        low=point.low,
        high=point.high,
        invalid=point.invalid,
        truncated=point.truncated,
        timed_out=point.timed_out,
        mean_tokens=point.mean_tokens,
        rules={rule: count / point.n for rule, count in point.rules.items()},
        compression=ratios.get(point.strength) if split == "test" else None,
    )


def _compression(items: Sequence[ItemRecord]) -> dict[float | None, float]:
    ratios: dict[float | None, list[float]] = defaultdict(list)
    for item in items:
        if item.swept and item.text and len(found := ratios[item.strength]) < _TEXTS_COMPRESSED:
            raw = item.text.encode()
            found.append(len(zlib.compress(raw, 6)) / len(raw))
    return {strength: sum(values) / len(values) for strength, values in ratios.items()}


ANALYSIS = Analysis(
    "lambda-robustness",
    "How do answers change with the strength?",
    compute,
    figure,
    draw,
    describe,
    "Solid: test, dashed: validation; bands are 95 % Wilson intervals, dotted lines the unsteered baselines, "
    "the star is λ*, chosen on validation. The same accuracies are drawn over the length of the shift that was "
    "applied: if models differ over strength but agree there, the difference was the length of their residual "
    "streams. Several cells: one line per child, ± is half the widest interval.",
    "The curve stays inside the band around the baseline. The best of many strengths lies above the baseline "
    "by luck. Lines of the rules by which answers were read stay level; where they move, the style of "
    "answers changed.",
    by_cell=True,
)
