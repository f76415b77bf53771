"""Which parent layer resembles which child layer, and do the layer maps follow it?

Centred kernel alignment of all layer pairs over the same prompts: on raw activations, which mostly show the question,
and on contrast differences, which show the concept. The greedy, proportional and CKA maps are drawn over them. On
random halves of the prompts the CKA map is chosen again: where the choice spreads, layers are interchangeable.
"""

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.heat_maps import (
    MAP_COLOURS,
    MAP_SYMBOLS,
    add_heat_map,
    add_map_line,
    layer_ticks,
    place_colour_bars,
)
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, empty_figure
from interp_xfer_analyses.questions.layer_records import MAPS, NO_STUDY, LayerRecord, load_layer_records
from interp_xfer_analyses.tables import distinct


@dataclass(frozen=True)
class Row:
    """One pair of layers."""

    key: str
    label: str
    """Parent, child, data set."""
    parent_layer: int
    child_layer: int
    cka_raw: float
    cka_differences: float
    chosen_share: float
    """Share of half samples in which the CKA map chose this parent layer."""


@dataclass(frozen=True)
class MapRow:
    """One child layer of a layer map."""

    key: str
    map: str
    child_layer: int
    parent_layer: int | None
    score: float | None
    """CKA of contrast differences."""
    margin: float | None
    """Over the best other parent layer."""
    held_out: float | None
    """CKA on prompts that did not choose the map; measured maps alone."""


@dataclass(frozen=True)
class StudyRow:
    """One layer study."""

    key: str
    label: str
    n_pairs: int
    threshold_raw: float
    """CKA that the best pair of layers exceeds by chance in one of 20 shuffles of the prompts."""
    threshold_differences: float
    p_raw: float
    """Of the largest CKA."""
    p_differences: float
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class LayerSimilarity:
    """All layer studies of a run."""

    rows: tuple[Row, ...]
    maps: tuple[MapRow, ...]
    studies: tuple[StudyRow, ...]
    missing: tuple[str, ...]


def compute(store: RunStore) -> LayerSimilarity:
    """Similarities and maps of the layer studies of a run.

    Raises: ArtifactError if one is damaged.
    """
    return from_records(load_layer_records(store))


def from_records(records: tuple[LayerRecord, ...]) -> LayerSimilarity:
    """The table of some layer studies."""
    return LayerSimilarity(
        rows=tuple(row for record in records for row in _rows(record)),
        maps=tuple(row for record in records for row in _map_rows(record)),
        studies=tuple(_study(record) for record in records),
        missing=() if records else (NO_STUDY,),
    )


def figure(table: LayerSimilarity) -> go.Figure:
    """The figure of `draw`, every attribute checked."""
    return draw(table).figure()


def draw(table: LayerSimilarity) -> Draft:
    """Both heat maps, the spread of the CKA map and the similarity along each map, for the first study."""
    if not table.rows:
        return empty_figure("No layer similarity to draw: " + "; ".join(table.missing))
    study = table.studies[0]
    rows = [row for row in table.rows if row.key == study.key]
    maps = {
        name: [row for row in table.maps if row.key == study.key and row.map == name]
        for name in distinct(row.map for row in table.maps)
    }
    height = min(max(20 * (1 + max(row.parent_layer for row in rows)), 240), 420)
    content = [
        Panel("CKA of raw activations", "child layer", "parent layer", height),
        Panel("CKA of contrast differences", "child layer", "parent layer", height),
        Panel("CKA map on random halves of the prompts", "child layer", "parent layer", height),
        Panel("Similarity along each map", "child layer", "CKA of contrast differences", height),
    ]
    out = Draft()
    for panel, value, name in ((0, "cka_raw", "CKA"), (1, "cka_differences", "CKA"), (2, "chosen_share", "share")):
        add_heat_map(out, panel, _grid(rows, value), "coloraxis2" if panel == 2 else "coloraxis", name)
        for map_name, entries in maps.items():
            if panel < 2 or map_name == "cka":
                parent_of = [row.parent_layer for row in entries]
                add_map_line(out, panel, map_name, parent_of, showlegend=panel == 0)
    for name, entries in maps.items():
        shown = [row for row in entries if row.score is not None]
        out.scatter(
            x=[row.child_layer for row in shown], y=[row.score for row in shown], mode="lines+markers",
            legendgroup=name, showlegend=False, name=f"{name} map",
            line={"color": MAP_COLOURS[name], "width": 1.5}, marker={"symbol": MAP_SYMBOLS[name], "size": 6},
            customdata=[[row.parent_layer, row.margin] for row in shown],
            hovertemplate=f"{name}, child layer %{{x}} from %{{customdata[0]}}<br>CKA %{{y:.3f}}, "
            "%{customdata[1]:+.3f} over the best other<extra></extra>", **axes(3),
        )  # fmt: skip
    held_out = [row for row in maps.get("cka", []) if row.held_out is not None]
    out.scatter(
        x=[row.child_layer for row in held_out],
        y=[row.held_out for row in held_out],
        mode="lines",
        name="CKA map on prompts that did not choose it",
        line={"color": MAP_COLOURS["cka"], "dash": "dot"},
        hovertemplate="child layer %{x}: held-out CKA %{y:.3f}<extra></extra>",
        **axes(3),
    )
    layers = [min(row.child_layer for row in rows), max(row.child_layer for row in rows)]
    out.scatter(
        x=layers,
        y=[study.threshold_differences] * 2,
        mode="lines",
        name="chance (95 % of the largest)",
        line={"color": style.GREY, "dash": "dash"},
        hovertemplate="chance: %{y:.3f}<extra></extra>",
        **axes(3),
    )
    lowest = min(0.0, *(min(row.cka_raw, row.cka_differences) for row in rows))
    highest = math.ceil(10 * max(max(row.cka_raw, row.cka_differences) for row in rows) - 1e-9) / 10
    out.set(
        coloraxis={"colorscale": "Cividis", "cmin": lowest, "cmax": highest},
        coloraxis2={"colorscale": "Cividis", "cmin": 0, "cmax": 1},
    )
    along = [row.score for row in table.maps if row.score is not None] + [row.held_out or 0 for row in held_out]
    out.set(xaxis4=layer_ticks(layers[1] + 1), yaxis4={"range": [min(0.0, *along) - 0.03, max(1.0, *along) + 0.03]})
    return place_colour_bars(arrange(out, content), [("coloraxis", 1, "CKA"), ("coloraxis2", 2, "share")])


def describe(table: LayerSimilarity) -> str:
    """The numbers that matter, in one or two sentences a study."""
    parts = []
    for study in table.studies[:3]:
        rows = [row for row in table.rows if row.key == study.key]
        raw, differences = ([getattr(row, name) for row in rows] for name in ("cka_raw", "cka_differences"))
        text = (
            f"{study.label}, {study.n_pairs} pairs: CKA {min(raw):.2f} to {max(raw):.2f} on raw activations (chance "
            f"{study.threshold_raw:.2f}) and {min(differences):.2f} to {max(differences):.2f} on contrast differences "
            f"(chance {study.threshold_differences:.2f}); along the maps on average "
        )
        means = []
        for name in MAPS:
            scores = [r.score for r in table.maps if r.key == study.key and r.map == name and r.score is not None]
            if scores:
                means.append(f"{name} {sum(scores) / len(scores):.2f}")
        parts.append(text + ", ".join(means) + ".")
    return " ".join(parts) or NO_STUDY + "."


def _grid(rows: list[Row], value: str) -> list[list[float | None]]:
    n_parent, n_child = (1 + max(getattr(row, side) for row in rows) for side in ("parent_layer", "child_layer"))
    grid: list[list[float | None]] = [[None] * n_child for _ in range(n_parent)]
    for row in rows:
        grid[row.parent_layer][row.child_layer] = getattr(row, value)
    return grid


def _rows(record: LayerRecord) -> list[Row]:
    raw, differences = record.tensors["cka_raw"].tolist(), record.tensors["cka_differences"].tolist()
    shares = record.content.maps["cka"].bootstrap
    assert shares is not None  # checked when it was read
    return [
        Row(record.key, record.label, p, c, raw[p][c], differences[p][c], shares[c][p])
        for p in range(len(raw))
        for c in range(len(raw[0]))
    ]


def _map_rows(record: LayerRecord) -> list[MapRow]:
    rows = []
    for name, found in record.content.maps.items():
        for c, p in enumerate(found.parent_of):
            columns = (found.scores, found.margins, found.held_out_scores)
            values = (None if column is None else column[c] for column in columns)
            rows.append(MapRow(record.key, name, c, p, *values))
    return rows


def _study(record: LayerRecord) -> StudyRow:
    raw, differences = (record.content.similarity[name] for name in ("raw", "differences"))
    return StudyRow(
        record.key,
        record.label,
        record.content.pairs.concept,
        raw.threshold,
        differences.threshold,
        raw.p_value,
        differences.p_value,
        tuple(f"{name}: {found.verdict}" for name, found in record.content.maps.items()),
    )


ANALYSIS = Analysis(
    "layer-similarity",
    "Which parent layer resembles which child layer?",
    compute,
    figure,
    draw,
    describe,
    "Centred kernel alignment (unbiased) of all layer pairs over the same prompts, on raw activations and on "
    "contrast differences, with the layer maps drawn over them. Third panel: share of random halves of the "
    "prompts in which the CKA map chose this parent layer.",
    "Unrelated layers have a CKA of about 0, and the largest of all pairs stays below the dashed line in 19 of "
    "20 shuffles of the prompts. A map that is chosen by chance is spread over many parent layers.",
    reads="layers",
)
