"""Figures as files: PNG, SVG or PDF where a Chrome is found, an offline HTML page otherwise.

Plotly draws images with kaleido, which drives a Chrome or Chromium that is already there. Both are optional; without
them the HTML page is written and one line says what would be needed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import plotly.graph_objects as go

from interp_xfer.errors import ConfigError
from interp_xfer.fields import Json
from interp_xfer.files.artifacts import write_text
from interp_xfer.files.workspaces import workspace
from interp_xfer.files.writing import explained, write_file
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.questions.results_table import ResultsTable
from interp_xfer_analyses.registry import ANALYSES
from interp_xfer_analyses.table_formats import FORMATS
from interp_xfer_analyses.tables import write_table

ImageFormat = Literal["png", "svg", "pdf"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = ("png", "svg", "pdf")

_SECONDS = 180  # for all images of a figure
_WIDTH = 1060  # of an image, in pixels at scale 1
_CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")

PAGE_CONFIG: Json = {
    "responsive": True,
    "displaylogo": False,
    # Named one by one: the default buttons of plotly 7 offer to send the figure to a server.
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}
"""Settings of every page with a figure: no button sends anything anywhere."""


@dataclass(frozen=True)
class Export:
    """What was written."""

    files: tuple[Path, ...]
    note: str | None
    """Why there is no image, in one line; None if there is one."""


def find_chrome() -> str | None:
    """Path of a Chrome: the one named by BROWSER_PATH, or the first on the PATH; None without one."""
    named = os.environ.get("BROWSER_PATH")
    if named and Path(named).exists():
        return named
    return next((found for name in _CHROMES if (found := shutil.which(name))), None)


def why_no_images() -> str | None:
    """What is missing for images, in one line; None if nothing is."""
    if find_spec("kaleido") is None:
        return "no images were written: kaleido is not installed; pip install 'interp-xfer[images]'."
    if find_chrome() is None:
        return "no images were written: no Chrome or Chromium was found; install one, or name it in BROWSER_PATH."
    return None


def export_figure(
    figure: go.Figure, folder: Path, name: str, formats: Sequence[ImageFormat] = (), scale: float = 2.0
) -> Export:
    """Write `<name>.html`, and an image of each format where a Chrome is found.

    Arguments:
        figure: of an analysis.
        folder: is made if it is not there.
        name: of the files, without extension; also the identifier in the page, so that the same figure gives the same
            bytes.
        formats: of the images.
        scale: pixels of a PNG per pixel of the page.
    Raises: ConfigError for an unknown format; ArtifactError if the place cannot be written.
    """
    if unknown := set(formats) - set(IMAGE_FORMATS):
        raise ConfigError(f"image format {sorted(unknown)} is not one of {', '.join(IMAGE_FORMATS)}.")
    page = figure.to_html(include_plotlyjs=True, div_id=name, config=PAGE_CONFIG, validate=False)
    files = [write_text(folder / f"{name}.html", page)]
    note = why_no_images() if formats else None
    if formats and note is None:
        targets = [folder / f"{name}.{format_}" for format_ in formats]
        note = _draw(go.Figure(figure).update_layout(paper_bgcolor="white", plot_bgcolor="white"), targets, scale)
        files += [] if note else targets
    return Export(tuple(files), note)


def _draw(figure: go.Figure, targets: Sequence[Path], scale: float) -> str | None:
    """Images, renamed into place when all are there; the reason in one line if they could not be made."""
    with explained(targets[0].parent), workspace(targets[0].parent) as space:
        source = space / "figure.json"
        source.write_text(figure.to_json() or "{}", encoding="utf-8")
        made = [space / target.name for target in targets]
        command = [
            sys.executable,
            "-m",
            "interp_xfer_analyses.drawing.image_worker",
            str(source),
            str(_WIDTH),
            str(scale),
            *map(str, made),
        ]
        environment = {**os.environ, "BROWSER_PATH": find_chrome() or ""}
        with (space / "errors.txt").open("w+", encoding="utf-8") as errors:
            worker = subprocess.Popen(command, env=environment, stdout=errors, stderr=errors)
            try:
                worker.wait(timeout=_SECONDS)
            except BaseException as stop:
                worker.kill()  # its Chrome ends with it, when the pipe between them closes
                worker.wait()
                if isinstance(stop, subprocess.TimeoutExpired):
                    return f"no images were written: Chrome gave no image within {_SECONDS} s."
                raise
            errors.seek(0)
            lines = errors.read().strip().splitlines() or ["the drawing process failed"]
        if worker.returncode != 0:
            return f"no images were written: {lines[-1]}"
        for source, target in zip(made, targets, strict=True):
            write_file(target, source.read_bytes())
    return None


def export_analysis(store: RunStore, name: str, formats: Sequence[ImageFormat] = ()) -> Export:
    """Table and figure of one analysis of a run, in its folder `figures`.

    Arguments:
        store: the run.
        name: of the analysis.
        formats: of the images, besides `<name>.html` and the table in `<name>.json`; the results table is also written
            as HTML, Markdown and LaTeX (`<name>.table.*`).
    Raises: ConfigError for an unknown analysis; ArtifactError if the run has no finished cell.
    """
    analysis = ANALYSES[name]
    table = analysis.compute(store)
    folder = store.root / "figures"
    written = [write_table(folder / f"{name}.json", table)]
    if isinstance(table, ResultsTable):
        written += [write_text(folder / f"{name}.table.{ending}", write(table)) for ending, write in FORMATS.items()]
    export = export_figure(analysis.figure(table), folder, name, formats)
    return Export((*written, *export.files), export.note)
