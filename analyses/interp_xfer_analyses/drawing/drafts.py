"""Figures as plain dictionaries until they are finished.

Plotly's own objects check every attribute at every change, which is slow for a report of hundreds of figures. A `Draft`
collects traces and layout; `figure()` makes the checked `plotly.graph_objects.Figure`, `json()` what a page needs.
"""

from copy import deepcopy
from typing import Any

import plotly.graph_objects as go

from interp_xfer.fields import Json


class Draft:
    """Traces and layout of a figure under construction, in Plotly's own terms."""

    def __init__(self) -> None:
        self.data: list[Json] = []
        self.layout: Json = {"annotations": [], "meta": {}}

    def scatter(self, **trace: object) -> None:
        """Add a scatter trace."""
        self.data.append({"type": "scatter", **trace})

    def bar(self, **trace: object) -> None:
        """Add a bar trace."""
        self.data.append({"type": "bar", **trace})

    def heatmap(self, **trace: object) -> None:
        """Add a heat map."""
        self.data.append({"type": "heatmap", **trace})

    def annotate(self, **annotation: object) -> None:
        """Add a text."""
        self.layout["annotations"].append({"showarrow": False, **annotation})

    def set(self, changes: Json | None = None, /, **more: object) -> None:
        """Change the layout; nested dictionaries are merged."""
        _merge(self.layout, {**(changes or {}), **more})

    def put(self, path: str, value: object) -> None:
        """Change one place of the layout, such as "xaxis2.domain" or "annotations[3].x"."""
        *parents, last = path.replace("[", ".").replace("]", "").split(".")
        place: Any = self.layout
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[last] = value

    def json(self) -> Json:
        """What `Plotly.newPlot` takes."""
        return {"data": self.data, "layout": self.layout}

    def figure(self) -> go.Figure:
        """The figure, every attribute checked."""
        return go.Figure(self.json())


def _merge(target: Json, changes: Json) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = deepcopy(value)  # the same settings may go into several axes
