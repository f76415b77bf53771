"""`write_report`: one page for people, in one file that needs no network.

Summary in words, results table, one figure per analysis, sample generations, provenance, limits. Plotly is embedded
once; each figure is JSON that a few lines of script draw to the width and colour scheme of the reader. The page has no
timestamp and no random identifier: the same run gives the same bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from interp_xfer.fields import Json
from interp_xfer.files.artifacts import write_text
from interp_xfer.studies.failures import failure_line
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses import table_formats
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.cells import Cell, cell_gaps, count_gaps, load_cells
from interp_xfer_analyses.page.provenance import provenance
from interp_xfer_analyses.page.remembering import RememberingStore
from interp_xfer_analyses.page.samples import clip, sample_generations
from interp_xfer_analyses.page.summary import summary
from interp_xfer_analyses.questions import flips
from interp_xfer_analyses.questions.flips import Flips
from interp_xfer_analyses.questions.results_table import ResultsTable
from interp_xfer_analyses.registry import ANALYSES
from interp_xfer_analyses.tables import Table, columns, distinct, of_cell

_TEMPLATES = Path(__file__).parent / "templates"
_ROWS_SHOWN = 60
_TEXTS_SHOWN = 8
_BYTES_OF_CHOICES = 2_000_000  # per figure


@dataclass(frozen=True)
class Choice:
    """The figure of one cell among many."""

    label: str
    alt: str
    json: Markup


@dataclass(frozen=True)
class FigureBlock:
    """One figure of the page."""

    id: str
    name: str
    title: str
    alt: str
    caption: str
    null: str
    missing: tuple[str, ...]
    height: int
    """Pixels, on a wide page."""
    json: Markup
    choices: tuple["Choice", ...]
    """The figure of single cells, where it shows more."""
    n_cells: int
    header: list[str]
    body: list[list[str]]
    n_rows: int
    """Of the whole table; `body` may hold fewer."""


def write_report(store: RunStore) -> Path:
    """Write `report.html` of a run.

    Arguments:
        store: a run with at least one finished cell.
    Returns: path of the page.
    Raises: ArtifactError if the run has no finished cell, a record is damaged, or the place cannot be written.
    """
    store = RememberingStore(store.root)
    cells = load_cells(store)
    shown = {name: analysis for name, analysis in ANALYSES.items() if analysis.reads == "cells"}
    tables = {name: _compute(analysis, store, cells) for name, analysis in shown.items()}
    results, changed = tables["results-table"], tables["flips"]
    assert isinstance(results, ResultsTable) and isinstance(changed, Flips)
    samples = sample_generations(store, cells)
    template = _environment().get_template("report.html.j2")
    page = template.render(
        title=_title(cells),
        summary=summary(cells),
        missing=count_gaps((*cell_gaps(cells), *_failures(store))),
        results=Markup(table_formats.to_html(results)),
        published=any(row.published for row in results.rows),
        figures=[_block(ANALYSES[name], table) for name, table in tables.items() if _worth_drawing(name, table)],
        undrawn=[
            (name, "; ".join(count_gaps(table.missing)) or "nothing was measured")
            for name, table in tables.items()
            if not table.rows
        ],
        flips=changed.flips[:_TEXTS_SHOWN],
        n_flips=sum(row.gained + row.lost for row in changed.rows),
        samples=samples,
        samples_json=script_json([[asdict(sample)["steps"] for sample in cell.samples] for cell in samples.cells]),
        provenance=provenance(cells, _command(store)),
        limits=_limits(cells),
        style=_asset("report.css"),
        script=_asset("report.js"),
        plotly=Markup(get_plotlyjs()),
    )
    return write_text(store.report, page)


def script_json(value: object) -> Markup:
    """JSON that is safe inside a `<script>` element: no character of it can end the element or start markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _compute(analysis: Analysis, store: RunStore, cells: Sequence[Cell]) -> Table:
    if analysis.name == "flips":
        return flips.compute(store, texts_per_cell=_TEXTS_SHOWN)
    return analysis.compute(store)


def _worth_drawing(name: str, table: Table) -> bool:
    """False without data, and for the change of a single cell: the table says it all, and the vote figure draws it."""
    alone = name == "results-table" and len(table.rows) == 1 and table.rows[0].published is None
    return bool(table.rows) and not alone


def _block(analysis: Analysis, table: Table) -> FigureBlock:
    drawn = _drawn(analysis, table)
    header, body = columns(table)
    keys = distinct(row.key for row in table.rows) if analysis.by_cell else []
    return FigureBlock(
        id=f"figure-{analysis.name}",
        name=analysis.name,
        title=analysis.question,
        alt=analysis.describe(table),
        caption=analysis.caption,
        null=analysis.null,
        missing=count_gaps(table.missing),
        height=int(drawn["layout"].get("height", 450)),
        json=script_json(drawn),
        choices=_choices(analysis, table, keys) if len(keys) > 1 else (),
        n_cells=len(keys),
        header=header,
        body=[[_text(value) for value in row] for row in body[:_ROWS_SHOWN]],
        n_rows=len(body),
    )


def _choices(analysis: Analysis, table: Table, keys: Sequence[str]) -> tuple[Choice, ...]:
    """The figure of each cell, as many as the page has room for."""
    out: list[Choice] = []
    size = 0
    for key in keys:
        part = of_cell(table, key)
        content = script_json(_drawn(analysis, part))
        size += len(content)
        if size > _BYTES_OF_CHOICES:
            break
        out.append(Choice(part.rows[0].label, analysis.describe(part), content))
    return tuple(out)


def _drawn(analysis: Analysis, table: Table) -> Json:
    out = analysis.draw(table)
    out.put("meta.alt", f"{analysis.question} {analysis.describe(table)}")
    return {name: _rounded(part) for name, part in out.json().items()}


def _rounded(value: object) -> object:
    """Five significant digits are more than a screen shows, and a third of the size of sixteen."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return {name: _rounded(item) for name, item in value.items()} if isinstance(value, dict) else value


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{name} {_text(item)}" for name, item in asdict(value).items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _title(cells: Sequence[Cell]) -> str:
    return cells[0].label if len(cells) == 1 else f"{len(cells)} cells"


def _command(store: RunStore) -> str:
    compared = store.read_plan() is not None
    return "interp-xfer compare comparison.yaml" if compared else "interp-xfer run study.yaml"


def _failures(store: RunStore) -> list[str]:
    return [f"{found.name}: failed, {failure_line(found)}" for found in store.read_failures()]


def _limits(cells: Sequence[Cell]) -> list[str]:
    sizes = sorted({cell.test.n for cell in cells})
    seeds = sorted({str(cell.study.seed) for cell in cells})
    ranked = all(cell.study.scoring == "likelihood" for cell in cells)
    how = "Options ranked by likelihood, nothing is generated" if ranked else "Greedy decoding"
    out = [
        f"{how}; one prompt and one set of few-shot examples per data set. Prompt, seed and hardware alone can move "
        f"small test sets by points.",
        f"One look at the test questions, with seed {', '.join(seeds)}.",
        "No control directions are part of this report: that a random direction of the same length would change as "
        "much is not excluded.",
    ]
    if any(cell.test.vote for cell in cells):
        out.append("The vote spends one generation per strength and is compared with a single one.")
    if sizes[0] < 300:
        out.insert(0, f"Small: {sizes[0]} test questions in the smallest cell. Effects of a few points cannot be seen.")
    return out


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clip"] = partial(clip, limit=1500)
    return environment


def _asset(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))
