"""Heat maps of `pc_alignment`: parent layers upwards, child layers to the right, one scale for all correlations.

Red to blue with white at 0, told apart with every common colour blindness. Dots mark pairs of layers beyond what the
largest of all pairs reaches by chance; the black line is the layer map of the transfer.
"""

from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.heat_maps import add_heat_map, add_map_line, place_colour_bars
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, empty_figure, say
from interp_xfer_analyses.questions.pc_alignment_rows import MeasureRow, PcAlignment, Row

_TITLES = {
    "differences": "Scores, positive minus negative",
    "within-class": "Scores within each class",
    "all-members": "Scores over both classes",
    "carried": "Cosine after projection",
    "raw": "Cosine of the coordinates",
    "overlap": "Overlap of {k} components, by scores",
}
_FIELDS = {"within-class": "within_class", "all-members": "all_members"}
_INK = "#111111"


def draw_comparison(table: PcAlignment) -> Draft:
    """All measures of the first comparison, with what is absent in words.

    Arguments:
        table: of `pc_alignment.compute`.
    """
    if not table.rows:
        return empty_figure("No components to compare: " + "; ".join(table.missing[:3]))
    comparison = table.comparisons[0]
    rows = [row for row in table.rows if row.key == comparison.key]
    measures = {row.measure: row for row in table.measures if row.key == comparison.key}
    absent = dict(comparison.absent)
    n_parent = 1 + max(row.parent_layer for row in rows)
    height = min(max(13 * n_parent, 220), 360)
    names = list(_TITLES)
    out = Draft()
    content = []
    lined = False
    for panel, name in enumerate(names):
        title = _TITLES[name].format(k=comparison.n_components)
        if name in absent:
            content.append(Panel(title, "", "", height, 110))
            say(out, panel, absent[name][0].upper() + absent[name][1:] + ".")
            out.set({axis_name(letter, panel): {"visible": False, "range": [0, 1]} for letter in "xy"})
            out.scatter(x=[None], y=[None], mode="markers", showlegend=False, hoverinfo="skip", **axes(panel))
            continue
        measure = measures[name]
        content.append(Panel(f"{title}: {_beyond(measure)}", "child layer", "parent layer", height))
        grid = _grid(rows, _FIELDS.get(name, name))
        add_heat_map(out, panel, grid, "coloraxis2" if name == "overlap" else "coloraxis", "value")
        _add_dots(out, panel, grid, measure, first=panel == 0)
        if comparison.parent_of:
            strategy = str(comparison.strategy or "layer")
            add_map_line(out, panel, strategy, comparison.parent_of, showlegend=not lined, colour=_INK)
            lined = True
    out.set(
        coloraxis={"colorscale": "RdBu", "reversescale": True, "cmin": -1, "cmid": 0, "cmax": 1},
        coloraxis2={"colorscale": "Cividis", "cmin": 0, "cmax": 1},
    )
    bars = [("coloraxis", 1, "r, cos")] + ([("coloraxis2", 5, "overlap")] if "overlap" in measures else [])
    return place_colour_bars(arrange(out, content), bars)


def _beyond(measure: MeasureRow) -> str:
    threshold = f"{measure.search_threshold:.2f}".removeprefix("0")
    return f"{measure.n_beyond} of {measure.n_entries} beyond chance ({threshold})"


def _add_dots(out: Draft, panel: int, grid: list[list[float | None]], measure: MeasureRow, first: bool) -> None:
    places = [
        (c, p)
        for p, line in enumerate(grid)
        for c, value in enumerate(line)
        if value is not None and abs(value) > measure.search_threshold
    ]
    out.scatter(
        x=[c for c, _ in places] or [None], y=[p for _, p in places] or [None], mode="markers",
        name="beyond chance, after looking at all pairs of layers", legendgroup="beyond", showlegend=first,
        marker={"size": 5, "color": _INK, "line": {"color": "white", "width": 1}}, hoverinfo="skip", **axes(panel),
    )  # fmt: skip


def _grid(rows: list[Row], field: str) -> list[list[float | None]]:
    n_parent, n_child = (1 + max(getattr(row, side) for row in rows) for side in ("parent_layer", "child_layer"))
    grid: list[list[float | None]] = [[None] * n_child for _ in range(n_parent)]
    for row in rows:
        value = getattr(row, field)
        grid[row.parent_layer][row.child_layer] = None if value is None else round(value, 3)
    return grid
