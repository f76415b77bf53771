"""At which child layers can a concept be read along the direction that came from the parent?

AUROC of held-out contrast pairs read in the child, for directions carried over by three layer maps and the child's own
(native), beside controls: copied coordinates (identity), and in several draws each random directions, random directions
with the covariance of the child's activations on contrast pairs, a concept from shuffled labels, maps fitted on wrongly
paired tokens, wrong parent layers, and random monotone layer maps. All signs were resolved on calibration pairs, those
of controls too. The matrix shows every parent layer carried into every child layer.

Covariance-matched directions and shuffled-label components lie along the largest axes of the pairs' activations. Where
the concept is such an axis they find it without labels, and a transfer that does no better has shown no more.
"""

import plotly.graph_objects as go

from interp_xfer.studies.layer_record import Estimate
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
from interp_xfer_analyses.questions.layer_records import NO_STUDY, LayerRecord, load_layer_records
from interp_xfer_analyses.questions.readout_rows import ConceptReadout, DrawRow, FitRow, PairRow, Row, SummaryRow

_NATIVE, _USED = "native", "transferred-proportional"
_SOURCES = {
    _NATIVE: ("the child's own", style.GREEN, "triangle-up", "solid"),
    _USED: ("transferred, proportional map", style.BLUE, "square", "solid"),
    "identity": ("copied coordinates", style.ORANGE, "x", "dash"),
}
"""Source -> label, colour, symbol, dash."""
_FIRST = (_NATIVE, _USED, "identity")
_DRAWS = {
    "random-isotropic": ("random directions", style.GREY, "dashdot"),
    "random-covariance": ("random, covariance of the pairs", "#404040", "dot"),
    "shuffled-labels": ("concept of shuffled labels", style.ORANGE, "longdash"),
    "shuffled-pairs": ("map of wrongly paired tokens", style.PURPLE, "dot"),
    "wrong-layer": ("wrong parent layer", style.SKY, "dash"),
    "wrong-map": ("random monotone map", style.VERMILLION, "dashdot"),
}
"""Control of several draws -> label, colour, dash of the mean."""


def compute(store: RunStore) -> ConceptReadout:
    """Readouts of the layer studies of a run.

    Raises: ArtifactError if one is damaged.
    """
    return from_records(load_layer_records(store))


def from_records(records: tuple[LayerRecord, ...]) -> ConceptReadout:
    """The table of some layer studies."""
    return ConceptReadout(
        rows=tuple(row for record in records for row in _rows(record)),
        matrix=tuple(row for record in records for row in _matrix(record)),
        fits=tuple(row for record in records for row in _fits(record)),
        summary=tuple(row for record in records for row in _summary(record)),
        draws=tuple(row for record in records for row in _draw_rows(record)),
        missing=() if records else (NO_STUDY,),
    )


def figure(table: ConceptReadout) -> go.Figure:
    """The figure of `draw`, every attribute checked."""
    return draw(table).figure()


def draw(table: ConceptReadout) -> Draft:
    """AUROC by source, control and layer map, averages, the full matrix, the fit of the maps, for the first study."""
    if not table.rows:
        return empty_figure("No concept readout to draw: " + "; ".join(table.missing))
    key = table.rows[0].key
    rows = [row for row in table.rows if row.key == key]
    matrix = [row for row in table.matrix if row.key == key]
    fits = [row for row in table.fits if row.key == key]
    height = min(max(20 * (1 + max(row.parent_layer for row in matrix)), 240), 420)
    content = [
        Panel("Held-out pairs told apart in the child", "child layer", "AUROC", 260),
        Panel("Harder controls", "child layer", "AUROC", 260),
        Panel("Three layer maps", "child layer", "AUROC", 260),
        Panel("Mean over child layers", "AUROC", "", 260),
        Panel("Every parent layer in every child layer", "child layer", "parent layer", height),
        Panel("How much of the child the maps predict", "child layer", "out-of-fold R²", height),
    ]
    out = Draft()
    _add_draws(out, 0, [row for row in rows if row.source == "random-isotropic"], band=True)
    for source in _FIRST:
        _add_source(out, 0, [row for row in rows if row.source == source], source)
    for kind in list(_DRAWS)[1:]:
        _add_draws(out, 1, [row for row in rows if row.source == kind], band=False)
    _add_source(out, 1, [row for row in rows if row.source == _USED], _USED, named=True)
    for name in ("greedy", "proportional", "cka"):
        _add_map(out, [row for row in rows if row.source == f"transferred-{name}"], name)
        _add_fits(out, [row for row in fits if row.map == name], name)
    _add_means(out, table, key)
    n_parent, n_child = (1 + max(getattr(row, side) for row in matrix) for side in ("parent_layer", "child_layer"))
    grid: list[list[float | None]] = [[None] * n_child for _ in range(n_parent)]
    for row in matrix:
        grid[row.parent_layer][row.child_layer] = row.auroc
    add_heat_map(out, 4, grid, "coloraxis", "AUROC")
    parents: dict[int, int] = {row.child_layer: row.parent_layer for row in fits if row.map == "proportional"}
    add_map_line(out, 4, "proportional", [parents.get(c) for c in range(n_child)], colour="black")
    for panel in (0, 1, 2):
        out.scatter(
            x=[0, n_child - 1], y=[0.5, 0.5], mode="lines", line={"color": style.GREY, "width": 1, "dash": "dash"},
            name="chance", showlegend=False, hoverinfo="skip", **axes(panel),
        )  # fmt: skip
    lowest = min(row.low if row.lowest is None else min(row.low, row.lowest) for row in rows)
    reach = {"range": [min(0.4, lowest) - 0.03, 1.03]}
    ticks = layer_ticks(n_child)
    out.set(
        xaxis=ticks,
        xaxis2=ticks,
        xaxis3=ticks,
        xaxis6=ticks,
        yaxis=reach,
        yaxis2=reach,
        yaxis3=reach,
        xaxis4={"range": [0.4, 1.02]},
        yaxis6={"range": [min(-0.05, *(row.shuffled_r2 or 0 for row in fits), *(row.r2 for row in fits)) - 0.02, 1.03]},
        # White is chance; an AUROC below it points the wrong way although its sign was resolved.
        coloraxis={"colorscale": "RdBu", "cmin": 0, "cmid": 0.5, "cmax": 1},
    )
    return place_colour_bars(arrange(out, content), [("coloraxis", 4, "AUROC")])


def describe(table: ConceptReadout) -> str:
    """The numbers that matter, in one or two sentences a study."""
    parts = []
    labels = list(dict.fromkeys((row.key, row.label) for row in table.summary))
    for key, label in labels[:3]:
        rows = {row.source: row for row in table.summary if row.key == key}
        used = rows[_USED]
        text = f"{label}, {used.n_pairs} held-out pairs, mean AUROC over {used.n_layers} child layers: "
        shown = [(source, rows[source]) for source in (_USED, _NATIVE, "identity") if source in rows]
        text += ", ".join(f"{source} {row.auroc:.3f} [{row.low:.3f}, {row.high:.3f}]" for source, row in shown)
        draws = [row for row in table.draws if row.key == key]
        controls = [
            f"{row.source} {row.mean:.3f} [{row.low:.3f}, {row.high:.3f}], {row.lowest:.3f} to {row.highest:.3f}"
            for row in draws
        ]
        kind = f"controls of {draws[0].n_draws} draws, mean, interval over pairs and draws, range of draws"
        parts.append(f"{text}; {kind}: {'; '.join(controls)}.")
    return " ".join(parts) or NO_STUDY + "."


def _add_draws(out: Draft, panel: int, rows: list[Row], band: bool) -> None:
    if not rows:
        return
    name, colour, dash = _DRAWS[rows[0].source]
    layers = [row.child_layer for row in rows]
    if band:
        out.scatter(
            x=[*layers, *reversed(layers)],
            y=[*(row.highest for row in rows), *(row.lowest for row in reversed(rows))],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=style.fill(colour, 0.25),
            name=f"{name}, lowest to highest",
            hoverinfo="skip",
            **axes(panel),
        )
    out.scatter(
        x=layers,
        y=[row.auroc for row in rows],
        mode="lines",
        line={"color": colour, "dash": dash},
        name=f"{name}, mean",
        customdata=[[row.low, row.high, row.lowest, row.highest] for row in rows],
        hovertemplate=f"{name}, child layer %{{x}}: mean %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
        "draws %{customdata[2]:.3f} to %{customdata[3]:.3f}<extra></extra>",
        **axes(panel),
    )


def _add_source(out: Draft, panel: int, rows: list[Row], source: str, named: bool = False) -> None:
    name, colour, symbol, dash = _SOURCES[source]
    if source in (_NATIVE, _USED):
        _add_band(out, rows, colour, panel)
    out.scatter(
        x=[row.child_layer for row in rows], y=[row.auroc for row in rows], mode="lines+markers", name=name,
        showlegend=not named, legendgroup=name,
        line={"color": colour, "dash": dash, "width": 1.5}, marker={"symbol": symbol, "size": 6},
        customdata=[[row.low, row.high] for row in rows],
        hovertemplate=f"{name}, child layer %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}]"
        "<extra></extra>", **axes(panel),
    )  # fmt: skip


def _add_means(out: Draft, table: ConceptReadout, key: str) -> None:
    """Mean AUROC of every source with its interval; of controls of several draws over pairs and draws."""
    names = {f"transferred-{name}": f"transferred, {name} map" for name in MAP_COLOURS}
    names |= {source: entry[0] for source, entry in _SOURCES.items() if source not in names}
    colours = {f"transferred-{name}": colour for name, colour in MAP_COLOURS.items()}
    colours |= {source: entry[1] for source, entry in _SOURCES.items() if source not in colours}
    depth = max(row.n_layers for row in table.summary if row.key == key)
    points = [
        (
            row.auroc,
            names[row.source] + ("" if row.n_layers == depth else f", {row.n_layers} layers"),
            (row.low, row.high, colours[row.source], "circle"),
        )
        for row in table.summary
        if row.key == key
    ]
    for row in table.draws:
        if row.key == key:
            label, colour, _ = _DRAWS[row.source]
            points.append((row.mean, label, (row.low, row.high, colour, "line-ns")))
    points.sort(key=lambda point: point[0])
    for middle, label, (low, high, colour, symbol) in points:
        out.scatter(
            x=[middle],
            y=[label],
            mode="markers",
            showlegend=False,
            name=label,
            marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 2}},
            error_x={"array": [high - middle], "arrayminus": [middle - low], "color": colour, "width": 3},
            hovertemplate=f"{label}: {middle:.3f} [{low:.3f}, {high:.3f}]<extra></extra>",
            **axes(3),
        )
        out.scatter(
            x=[low - 0.008], y=[label], mode="text", text=[label], textposition="middle left", showlegend=False,
            hoverinfo="skip", textfont={"size": 12}, cliponaxis=False, **axes(3),
        )  # fmt: skip
    # Labels stand beside their points: outside the panel they would cover the one on the left.
    out.set(yaxis4={"showticklabels": False, "ticks": "", "showgrid": False})


def _add_map(out: Draft, rows: list[Row], name: str) -> None:
    colour = MAP_COLOURS[name]
    _add_band(out, rows, colour, 2)
    out.scatter(
        x=[row.child_layer for row in rows], y=[row.auroc for row in rows], mode="lines+markers", legendgroup=name,
        name=f"transferred, {name} map", showlegend=name != "proportional",  # the first panel has named it
        line={"color": colour, "width": 1.5}, marker={"symbol": MAP_SYMBOLS[name], "size": 6},
        hovertemplate=f"{name}, child layer %{{x}}: %{{y:.3f}}<extra></extra>", **axes(2),
    )  # fmt: skip


def _add_fits(out: Draft, rows: list[FitRow], name: str) -> None:
    rows = sorted(rows, key=lambda row: row.child_layer)
    series: list[tuple[str, str, str, str, bool]] = [("r2", MAP_COLOURS[name], "solid", f"{name} map", False)]
    if name == "proportional":
        series.append(("r2_along", MAP_COLOURS[name], "dot", "R² along the carried direction", True))
        series.append(("shuffled_r2", style.GREY, "longdash", "R² of wrongly paired tokens", True))
    for value, colour, dash, label, in_legend in series:
        out.scatter(
            x=[row.child_layer for row in rows],
            y=[getattr(row, value) for row in rows],
            mode="lines+markers",
            name=label,
            showlegend=in_legend,
            legendgroup=label if in_legend else name,
            line={"color": colour, "dash": dash, "width": 1.5},
            marker={"symbol": MAP_SYMBOLS[name], "size": 5 if value == "r2" else 1},
            customdata=[row.parent_layer for row in rows],
            hovertemplate=f"{label}, child layer %{{x}} from %{{customdata}}: R² %{{y:.3f}}<extra></extra>",
            **axes(5),
        )


def _add_band(out: Draft, rows: list[Row], colour: str, panel: int) -> None:
    layers = [row.child_layer for row in rows]
    out.scatter(
        x=[*layers, *reversed(layers)], y=[*(row.high for row in rows), *(row.low for row in reversed(rows))],
        mode="lines", line={"width": 0}, fill="toself", fillcolor=style.fill(colour), showlegend=False,
        hoverinfo="skip", **axes(panel),
    )  # fmt: skip


def _rows(record: LayerRecord) -> list[Row]:
    rows = []
    for source, entries in record.content.readout.items():
        cosines = record.content.cosine_with_native.get(source) or (None,) * len(entries)
        for c, entry in enumerate(entries):
            if entry is not None:
                accuracy = entry.pair_accuracy.estimate
                rows.append(Row(record.key, record.label, source, c, *_ends(entry.auroc), accuracy, cosines[c]))
    for source, entries in record.content.draws.items():
        for e in entries:
            ends = (*_ends(e.auroc), None, None, e.lowest, e.highest)
            rows.append(Row(record.key, record.label, source, e.layer, *ends))
    return rows


def _matrix(record: LayerRecord) -> list[PairRow]:
    names = ("auroc_matrix", "auroc_matrix_low", "auroc_matrix_high", "flipped_matrix")
    area, low, high, flipped = (record.tensors[name].tolist() for name in names)
    return [
        PairRow(record.key, p, c, area[p][c], low[p][c], high[p][c], bool(flipped[p][c]))
        for p in range(len(area))
        for c in range(len(area[0]))
    ]


def _fits(record: LayerRecord) -> list[FitRow]:
    rows = []
    for name, fits in record.content.fits.items():
        pairs, flipped = record.content.maps[name].pairs, record.content.flipped[f"transferred-{name}"]
        for p, c in pairs:
            r2 = (fits[c]["r2"], fits[c].get("r2_along"), fits[c].get("shuffled_r2"))
            rows.append(FitRow(record.key, name, p, c, *r2, flipped[c]))
    return rows


def _summary(record: LayerRecord) -> list[SummaryRow]:
    n_pairs = record.content.pairs.held_out
    return [
        SummaryRow(
            record.key, record.label, source, entry.n_layers, n_pairs, *_ends(entry.auroc),
            entry.random_mean, entry.random_best, entry.rank_p,
        )
        for source, entry in record.content.summary.items()
    ]  # fmt: skip


def _draw_rows(record: LayerRecord) -> list[DrawRow]:
    return [
        DrawRow(record.key, source, entry.n, *_ends(entry.auroc), entry.lowest, entry.highest, entry.n_flipped)
        for source, entry in record.content.draw_summary.items()
    ]


def _ends(interval: Estimate) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


ANALYSIS = Analysis(
    "concept-readout",
    "At which child layers can the concept be read along the transferred direction?",
    compute,
    figure,
    draw,
    describe,
    "AUROC of held-out contrast pairs read in the child, bands are 95 % intervals over pairs; the grey band is "
    "the range of random directions, whose signs were resolved like all others. The matrix shows every parent "
    "layer carried into every child layer.",
    "A direction without meaning in the child stays inside the grey band. Pairs that are easy to tell apart "
    "lift that band above .5.",
    reads="layers",
)
