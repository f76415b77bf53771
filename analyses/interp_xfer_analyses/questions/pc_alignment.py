"""Do parent and child have the concept's components in common, layer by layer?

Figure 2 of arXiv 2512.19069 asks it of principal components, says "negligible correlation", and does not say how it was
computed. Here are the ways in which one can, each with what strangers would give:

- correlation of the two models' scores on prompts that took no part in finding the directions; no map is needed;
- cosine after a linear map has carried the parent's direction into the child's space;
- cosine of the bare coordinates, where the widths are equal;
- overlap of the spans of several components, by their scores.

Signs of components mean nothing; both directions were oriented by class beforehand, and sizes are tested.
"""

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.maths.score_correlation import VIEWS, MatrixNull, score_null, subspace_null
from interp_xfer.maths.subspaces import cosine_threshold
from interp_xfer.measures.component_alignment import ComponentAlignment, CosineMatrix, why_not_aligned
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, load_cells
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.questions.pc_alignment_figure import draw_comparison
from interp_xfer_analyses.questions.pc_alignment_rows import ComparisonRow, MeasureRow, PcAlignment, Row
from interp_xfer_analyses.tables import distinct

MEASURES = ("differences", "within-class", "all-members", "carried", "raw", "overlap")
_ALPHA = 0.05
_PERMUTATIONS = 199


def compute(store: RunStore) -> PcAlignment:
    """Agreement of components of all transfers of the run, each with its null.

    Raises: ArtifactError if the run has no finished cell, or a comparison is damaged.
    """
    parts: list[tuple[list[Row], list[MeasureRow], ComparisonRow]] = []
    missing = []
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in load_cells(store):
        groups.setdefault((cell.parent, cell.child, cell.dataset), []).append(cell)
    for cells in groups.values():  # cells of one pair and data set share a comparison
        by_key = {cell.record.keys.alignment: cell for cell in reversed(cells)}
        there = {key: found for key in by_key if (found := store.read_alignment(key)) is not None}
        for key, found in there.items():
            cell = by_key[key]
            why_not_carried = f"nothing was fitted ({cell.record.study.projection} projection)"
            parts.append(compare(found, cell.key, cell.label, cell.record.layer_map, why_not_carried))
        if not there:
            missing.append(f"{cells[0].label}: no components were compared ({_reason(cells[0])})")
    return PcAlignment(
        rows=tuple(row for rows, _, _ in parts for row in rows),
        measures=tuple(row for _, rows, _ in parts for row in rows),
        comparisons=tuple(row for _, _, row in parts),
        missing=tuple(distinct(missing)),
    )


def figure(table: PcAlignment) -> go.Figure:
    """The figure of `draw`, every attribute checked."""
    return draw(table).figure()


def draw(table: PcAlignment) -> Draft:
    """Heat maps of the first comparison."""
    return draw_comparison(table)


def describe(table: PcAlignment) -> str:
    """The numbers that matter, a few sentences a comparison."""
    parts = []
    for comparison in table.comparisons[:2]:
        measures = {row.measure: row for row in table.measures if row.key == comparison.key}
        texts = []
        for name, words in WORDS.items():
            if name in measures:
                m = measures[name]
                texts.append(
                    f"{words} {m.lowest:.2f} to {m.highest:.2f} (chance, after the search: {m.search_threshold:.2f}; "
                    f"{m.n_beyond} of {m.n_entries} pairs of layers beyond it)"
                )
        texts += [f"{WORDS[name]}: {reason}" for name, reason in comparison.absent]
        parts.append(f"{comparison.label}, {comparison.n_pairs} held-out pairs: {'; '.join(texts)}.")
    more = len(table.comparisons) - 2
    return " ".join(parts) + (f" And {more} more comparisons." if more > 0 else "") or "; ".join(table.missing) + "."


WORDS = {
    "differences": "correlation of score differences",
    "within-class": "of scores within a class",
    "all-members": "of scores over both classes",
    "carried": "cosine after projection",
    "raw": "cosine of coordinates",
    "overlap": "overlap of several components' scores",
}


def compare(
    found: ComponentAlignment,
    key: str,
    label: str,
    layer_map: LayerMap | None = None,
    why_not_carried: str = "nothing was fitted",
) -> tuple[list[Row], list[MeasureRow], ComparisonRow]:
    """Agreement of the components of two models, layer by layer and by measure, with its null.

    Arguments:
        found: what was measured.
        key: of the comparison.
        label: its name.
        layer_map: is drawn over it.
        why_not_carried: in words, where nothing was.
    """
    n_pairs, k = found.parent_scores.shape[-1], found.parent_scores.shape[2]
    parent, child = found.parent_scores[:, :, 0].double(), found.child_scores[:, :, 0].double()
    nulls = {view: score_null(parent, child, view, _PERMUTATIONS, _ALPHA) for view in VIEWS}
    spaces = {"carried": found.carried, "raw": found.raw}
    nulls |= {name: _cosines(matrix) for name, matrix in spaces.items() if matrix is not None}
    if n_pairs >= k + 2:
        scores = found.parent_scores.double(), found.child_scores.double()
        nulls["overlap"] = subspace_null(*scores, _PERMUTATIONS, _ALPHA)
    dimensions = {"differences": n_pairs - 1, "carried": found.child.d_model, "raw": found.child.d_model}
    measures = [_measure(key, name, nulls[name], dimensions.get(name)) for name in MEASURES if name in nulls]
    grids = {name: null.observed.tolist() for name, null in nulls.items()}
    angles = None if found.carried is None else found.carried.angles.square().mean(dim=-1).tolist()
    rows = [
        Row(
            key,
            label,
            parent_layer=p,
            child_layer=c,
            differences=_at(grids["differences"], p, c),
            within_class=_at(grids["within-class"], p, c),
            all_members=_at(grids["all-members"], p, c),
            carried=_at(grids.get("carried"), p, c),
            raw=_at(grids.get("raw"), p, c),
            overlap=_at(grids.get("overlap"), p, c),
            carried_overlap=_at(angles, p, c),
        )
        for p in range(len(parent))
        for c in range(len(child))
    ]
    absent = []
    if found.carried is None:
        absent.append(("carried", why_not_carried))
    if found.raw is None:
        widths = f"the parent is {found.parent.d_model} wide and the child {found.child.d_model}"
        absent.append(("raw", f"{widths}, so their coordinates cannot be compared"))
    if "overlap" not in nulls:
        absent.append(("overlap", f"{n_pairs} held-out pairs are too few for spans of {k} components"))
    comparison = ComparisonRow(
        key,
        label,
        n_pairs,
        k,
        layer_map and layer_map.strategy,
        layer_map.parent_of if layer_map else (),
        tuple(absent),
    )
    return rows, measures, comparison


def _cosines(matrix: CosineMatrix) -> MatrixNull:
    return MatrixNull(matrix.cosines.double(), matrix.null.double(), _ALPHA)


def _measure(key: str, name: str, null: MatrixNull, d: int | None) -> MeasureRow:
    seen = null.observed[null.observed.isfinite()]
    empty = seen.numel() == 0
    n = null.observed.numel()
    return MeasureRow(
        key=key,
        measure=name,
        lowest=0.0 if empty else float(seen.min()),
        highest=0.0 if empty else float(seen.max()),
        entry_threshold=float(_median(null.entry_threshold)),
        search_threshold=null.search_threshold,
        entry_analytic=None if d is None else cosine_threshold(d, _ALPHA),
        search_analytic=None if d is None else cosine_threshold(d, _ALPHA, n),
        p_value=null.p_value,
        n_beyond=int(null.beyond.sum()),
        n_entries=n,
    )


def _median(values: Tensor) -> Tensor:
    return torch.quantile(values.flatten(), 0.5)


def _at(grid: Sequence[Sequence[float]] | None, p: int, c: int) -> float | None:
    return None if grid is None or grid[p][c] != grid[p][c] else float(grid[p][c])


def _reason(cell: Cell) -> str:
    study = cell.study
    n_pairs = min(study.n_pairs, study.n_aligned)
    return why_not_aligned(n_pairs, study.n_calibration) or "the comparison failed, or was removed from the run"


ANALYSIS = Analysis(
    "pc-alignment",
    "Do the components of parent and child agree?",
    compute,
    figure,
    draw,
    describe,
    "Every parent layer against every child layer, on contrast pairs that took no part in finding the "
    "directions. Scores need no map: what both models share per pair (positive minus negative member: the "
    "question and the class cancel), within a class (the question stays), and over both classes, where any two "
    "models that separate them correlate. Cosines compare directions themselves. Dots lie beyond what the "
    "largest of all pairs of layers reaches by chance in 1 of 20 (number in brackets); the line is the layer "
    "map. Whatever else differs alike between the members, such as their length, counts as agreement.",
    "No dots in 19 of 20 runs. Scores over both classes are high, without dots. Cosines of the "
    "coordinates of two unrelated models are about 0 whatever the models share; the null of cosines is random "
    "directions with the covariance of the parent's contrast differences.",
    by_cell=True,
)
