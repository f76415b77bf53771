"""Figures of one layer study as files: a page that needs nothing else, the table as JSON, and PNG where asked for."""

from pathlib import Path

from interp_xfer.fields import Json
from interp_xfer_analyses.export_images import Export, ImageFormat, export_figure
from interp_xfer_analyses.questions import concept_readout, layer_similarity
from interp_xfer_analyses.questions.layer_records import load_layer_record
from interp_xfer_analyses.tables import Table, write_table

_SCALE = 1.2  # pixels of a PNG per pixel of the page: legible, and small enough for a repository

FIGURES: Json = {"layer-similarity": layer_similarity, "concept-readout": concept_readout}
"""Name -> module with from_records, figure and describe."""


def write_layer_figures(study: Path, folder: Path, formats: tuple[ImageFormat, ...] = ()) -> Export:
    """Both figures of a study, named after figure, data set and study.

    Arguments:
        study: directory of the artifact.
        folder: where to write.
        formats: of the images, beside HTML and JSON.
    Returns: the files, and why there are no images where they were asked for.
    Raises: ArtifactError if the study is damaged or a file cannot be written.
    """
    record = load_layer_record(study)
    files: list[Path] = []
    note = None
    for name, module in FIGURES.items():
        table: Table = module.from_records((record,))
        stem = f"{name}-{record.content.study.dataset}-{record.key}"
        export = export_figure(module.figure(table), folder, stem, formats, scale=_SCALE)
        files += [write_table(folder / f"{stem}.json", table), *export.files]
        note = export.note
    return Export(tuple(files), note)
