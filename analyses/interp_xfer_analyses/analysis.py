"""What an analysis is; each file of `questions/` that answers one ends with its entry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.tables import Table


@dataclass(frozen=True)
class Analysis:
    """One question to a run."""

    name: str
    question: str
    """Title of the figure."""
    compute: Callable[[RunStore], Table]
    figure: Callable[[Any], go.Figure]
    draw: Callable[[Any], Draft]
    """The same figure before Plotly has checked it, for pages with many."""
    describe: Callable[[Any], str]
    """The key numbers of a table in words: the figure's text alternative."""
    caption: str
    """How to read the figure."""
    null: str
    """What the figure looks like when there is no effect."""
    reads: Literal["cells", "layers"] = "cells"
    """Steered cells, or the layer studies that `interp-xfer layers` writes; a report shows what reads cells."""
    by_cell: bool = False
    """The figure of one cell shows more than the figure of many."""
