"""Heat maps of parent layers against child layers, with layer maps drawn over them and colour bars that stay in place.

Similarities and shares use Cividis, which keeps its order in every colour blindness and in grey. AUROC uses red to blue
with white at chance.
"""

from collections.abc import Sequence

from interp_xfer.fields import Json
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.panels import axes, axis_name

Cell = float | None

MAP_COLOURS = {"greedy": style.SKY, "proportional": style.BLUE, "cka": style.VERMILLION}
MAP_SYMBOLS = {"greedy": "circle", "proportional": "square", "cka": "diamond"}


def add_heat_map(out: Draft, panel: int, grid: Sequence[Sequence[Cell]], coloraxis: str, hover: str) -> None:
    """One cell per (parent layer, child layer), parent layers upwards.

    Arguments:
        out: the figure.
        panel: index.
        grid: rows are parent layers.
        coloraxis: layout key.
        hover: what a value is called.
    """
    n_child = len(grid[0]) if grid else 0
    out.heatmap(
        x=list(range(n_child)),
        y=list(range(len(grid))),
        z=[list(row) for row in grid],
        coloraxis=coloraxis,
        hovertemplate=f"child layer %{{x}}, parent layer %{{y}}<br>{hover} %{{z:.3f}}<extra></extra>",
        **axes(panel),
    )
    out.set(
        {
            axis_name("x", panel): {**_heat_axis(n_child), **layer_ticks(n_child)},
            axis_name("y", panel): {**_heat_axis(len(grid)), **layer_ticks(len(grid))},
        }
    )


def layer_ticks(n_layers: int) -> Json:
    """Ticks of an axis of layers: whole numbers, at most nine of them up to 450 layers."""
    return {"tick0": 0, "dtick": next(step for step in (1, 2, 5, 10, 20, 50) if n_layers <= 9 * step or step == 50)}


def add_map_line(
    out: Draft,
    panel: int,
    name: str,
    parent_of: Sequence[int | None],
    showlegend: bool = False,
    colour: str | None = None,
) -> None:
    """A layer map over a heat map, with a white edge so that it shows on every colour.

    Arguments:
        out: the figure.
        panel: index.
        name: of the map.
        parent_of: index is the child layer.
        showlegend: whether the legend has it.
        colour: instead of that of the map.
    """
    layers = list(range(len(parent_of)))
    common: Json = {"x": layers, "y": list(parent_of), "legendgroup": name, "connectgaps": False}
    out.scatter(
        **common, mode="lines", line={"color": "white", "width": 4}, showlegend=False, hoverinfo="skip", **axes(panel)
    )
    colour, symbol = colour or MAP_COLOURS.get(name, style.GREY), MAP_SYMBOLS.get(name, "circle")
    out.scatter(
        **common,
        mode="lines+markers",
        name=f"{name} map",
        showlegend=showlegend,
        line={"color": colour, "width": 1.5},
        marker={"color": colour, "symbol": symbol, "size": 6, "line": {"color": "white", "width": 1}},
        hovertemplate=f"{name}: child layer %{{x}} from parent layer %{{y}}<extra></extra>",
        **axes(panel),
    )


def place_colour_bars(out: Draft, bars: Sequence[tuple[str, int, str]]) -> Draft:
    """Put colour bars beside their panels, on wide and on narrow pages; after `arrange`.

    Arguments:
        out: an arranged figure.
        bars: (layout key of the colour axis, panel, title).
    """
    narrow = dict(out.layout["meta"]["narrow"])
    for coloraxis, panel, title in bars:
        x_name, y_name = axis_name("x", panel), axis_name("y", panel)
        place = _place(out.layout[x_name]["domain"], out.layout[y_name]["domain"])
        look = {"thickness": 10, "outlinewidth": 0, "title": {"text": title, "side": "top", "font": {"size": 12}}}
        out.set({coloraxis: {"colorbar": {**look, **place}}})
        stacked = _place(narrow[f"{x_name}.domain"], narrow[f"{y_name}.domain"])
        narrow |= {f"{coloraxis}.colorbar.{field}": value for field, value in stacked.items()}
    out.set(meta={"narrow": {**narrow, "margin.r": 60}}, margin={"r": 60})
    return out


def _heat_axis(n: int) -> Json:
    return {"range": [-0.5, n - 0.5], "showgrid": False, "zeroline": False}


def _place(x: Sequence[float], y: Sequence[float]) -> Json:
    return {"x": x[1] + 0.006, "y": y[0], "yanchor": "bottom", "len": y[1] - y[0], "lenmode": "fraction", "xpad": 0}
