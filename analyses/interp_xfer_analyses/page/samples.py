"""Sample generations: the first test questions of a run, answered at every strength.

Which questions are shown does not depend on how they were answered. Texts and their number are capped, so that the
report of a large run stays small; what was cut is said.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from interp_xfer.errors import MissingError
from interp_xfer.studies.item_record import ItemRecord
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.cells import Cell

_CHARACTERS = 1500
_CELLS = 3


@dataclass(frozen=True)
class Step:
    """The answer at one strength."""

    strength: float
    label: str
    text: str
    outcome: str
    """Right, wrong or unreadable, with the answer that was read."""
    right: bool


@dataclass(frozen=True)
class Sample:
    """One question."""

    problem_id: str
    question: str
    reference: str
    steps: tuple[Step, ...]
    """Baseline first; one per strength of the cell's `strengths`."""


@dataclass(frozen=True)
class CellSamples:
    """Sample questions of one cell; all have the same strengths."""

    key: str
    label: str
    labels: tuple[str, ...]
    """One per strength."""
    shown: int
    """Index of the strength to show first: lambda*."""
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Samples:
    """Of a run."""

    cells: tuple[CellSamples, ...]
    notes: tuple[str, ...]
    """What is missing or was cut."""


def sample_generations(store: RunStore, cells: Sequence[Cell]) -> Samples:
    """The first questions of the first cells.

    Arguments:
        store: the run.
        cells: of the run; at most three are shown, spread over them.
    """
    chosen = list(cells)
    notes = []
    if len(cells) > _CELLS:
        step = len(cells) / _CELLS
        chosen = [cells[int(number * step)] for number in range(_CELLS)]
        notes.append(f"{_CELLS} of {len(cells)} cells are shown; the others are in the run's items folder.")
    per_cell = 4 if len(chosen) == 1 else 2
    out = []
    for cell in chosen:
        try:
            items = store.read_items(cell.key)
        except MissingError:
            notes.append(f"{cell.label}: the single answers are missing.")
            continue
        found = _cell_samples(cell, items, per_cell)
        if found is None:
            notes.append(f"{cell.label}: there are no answers to test questions at the baseline and a strength.")
        else:
            out.append(found)
    if any("more characters" in step.text for cell in out for sample in cell.samples for step in sample.steps):
        notes.append(f"Texts are cut after {_CHARACTERS} characters.")
    return Samples(tuple(out), tuple(notes))


def clip(text: str, limit: int = _CHARACTERS) -> str:
    """The text, cut to a number of characters, saying how much was cut."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit} more characters)"


def outcome(item: ItemRecord) -> str:
    """Like "right (18)", "wrong (17)" or "no answer could be read", and whether the text was cut."""
    if item.parsed is None:
        text = "no answer could be read"
    else:
        text = f"{'right' if item.correct else 'wrong'} ({clip(item.parsed, 60)})"
    return text + (", cut at the token limit" if item.stop_reason == "length" else "")


def _cell_samples(cell: Cell, items: Sequence[ItemRecord], n: int) -> CellSamples | None:
    by_problem: dict[str, dict[float, ItemRecord]] = defaultdict(dict)
    for item in items:
        if item.swept and item.strength is not None:
            by_problem[item.problem_id][item.strength] = item
    strengths = sorted({strength for answers in by_problem.values() for strength in answers})
    complete = [answers for answers in by_problem.values() if len(answers) == len(strengths)]
    if not complete or 0.0 not in strengths or len(strengths) < 2:
        return None
    shown = strengths.index(cell.lambda_star) if cell.lambda_star in strengths else 1
    labels = tuple(_label(cell, strength) for strength in strengths)
    return CellSamples(
        cell.key, cell.label, labels, shown, tuple(_sample(answers, strengths, labels) for answers in complete[:n])
    )


def _sample(answers: dict[float, ItemRecord], strengths: Sequence[float], labels: Sequence[str]) -> Sample:
    first = answers[0.0]
    return Sample(
        problem_id=first.problem_id,
        question=clip(first.question),
        reference=clip(first.reference, 200),
        steps=tuple(
            Step(strength, label, clip(item.text), outcome(item), item.correct)
            for strength, label in zip(strengths, labels, strict=True)
            for item in (answers[strength],)
        ),
    )


def _label(cell: Cell, strength: float) -> str:
    if strength == 0:
        return "baseline (λ = 0)"
    return f"λ = {strength:g}" + (" (λ*)" if strength == cell.lambda_star else "")
