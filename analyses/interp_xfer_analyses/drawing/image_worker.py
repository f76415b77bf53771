"""Draws one figure with kaleido in a process of its own.

    python -m interp_xfer_analyses.drawing.image_worker FIGURE.json WIDTH SCALE FILE...

Kaleido waits for ever when its Chrome dies at the wrong moment, and nothing ends that wait but the end of the process.
`export_images` starts this one with a time limit.
"""

import json
import sys
from pathlib import Path

import plotly.graph_objects as go


def main(arguments: list[str]) -> None:
    """Draw the figure into each file; the ending says the format."""
    source, width, scale, *targets = arguments
    figure = go.Figure(json.loads(Path(source).read_text(encoding="utf-8")))
    for target in targets:
        figure.write_image(target, width=int(width), scale=float(scale))


if __name__ == "__main__":
    main(sys.argv[1:])
