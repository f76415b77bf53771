"""The cells of a run with names for people, and a word for everything that is missing.

Runs have gaps: no vote, one strength, no valid answer. Each is a line in `Cell.gaps`, so that no analysis has to guess.

Accuracies and differences are fractions. Strengths are in the cell's own unit.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from interp_xfer.evaluation.record import ArmRecord, Point
from interp_xfer.steering.operators import has_strength
from interp_xfer.studies.cell_record import CellRecord
from interp_xfer.studies.run_store import RunStore

SHIFTING = ("add", "norm_preserving", "piecewise")
"""Operators whose strength is the length of a shift."""


@dataclass(frozen=True)
class Cell:
    """One (parent, child, data set) with its settings and results."""

    key: str
    parent: str
    """Short name, unique in the run."""
    child: str
    dataset: str
    unit: str
    """Of the strengths: relative or raw."""
    label: str
    """Tells the cell from every other of the run."""
    settings: dict[str, Any]
    """The study."""
    lambda_star: float
    validation: tuple[Point, ...]
    """Baseline first, then increasing strength."""
    test: tuple[Point, ...]
    arms: tuple[ArmRecord, ...]
    steered_layers: tuple[int, ...]
    residual_norms: tuple[float, ...]
    """Median residual norm after each child layer."""
    record: CellRecord
    """The whole file."""
    gaps: tuple[str, ...]
    """What is missing, in words."""

    def arm(self, name: str) -> ArmRecord | None:
        """The arm of that name, if the cell has it."""
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def native(self) -> bool:
        """Whether the child is steered with its own concept."""
        return self.record.contents.parent == self.record.contents.child

    @property
    def has_strength(self) -> bool:
        """Whether the operator does different things at different strengths."""
        return has_strength(self.record.study.operator)

    @property
    def grid(self) -> tuple[float, ...]:
        """The strengths that were searched, in increasing order."""
        return tuple(sorted({point.strength for point in (*self.validation, *self.test)} - {0.0}))

    def shift_length(self, strength: float) -> float | None:
        """Length of the shift in the residual stream, the median over steered layers; None for operators without one.

        raw: lambda. relative: lambda times the median over layers of m_l / N.
        """
        scales = self._scales()
        return None if not scales else strength * median(scales)

    def shift_share(self, strength: float) -> float | None:
        """Shift as a share of the residual norm, summed over layers: lambda itself where the unit is relative.

        raw: lambda N times the median over layers of 1 / m_l.
        """
        scales = self._scales()
        if not scales:
            return None
        norms = [self.residual_norms[layer] for layer in self.steered_layers]
        return strength * len(scales) * median(scale / norm for scale, norm in zip(scales, norms, strict=True))

    def _scales(self) -> list[float]:
        norms = [self.residual_norms[layer] for layer in self.steered_layers]
        if self.settings["operator"] not in SHIFTING:
            return []
        return [1.0 if self.unit == "raw" else norm / len(norms) for norm in norms]


def load_cells(store: RunStore) -> tuple[Cell, ...]:
    """The finished cells of a run, ordered by data set, parent, child and settings.

    Raises: ArtifactError if there is none, or one is damaged.
    """
    cells = [_cell(record) for record in store.read_cells()]
    cells = _with_labels(_with_unique_names(cells))
    return tuple(sorted(cells, key=lambda cell: (cell.dataset, cell.parent, cell.child, cell.label, cell.key)))


def cell_gaps(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Everything that is missing, each line naming its cell when there are several."""
    several = len(cells) > 1
    return tuple(f"{cell.label}: {gap}" if several else gap for cell in cells for gap in cell.gaps)


def count_gaps(gaps: Sequence[str]) -> tuple[str, ...]:
    """Gap lines with the ones that many cells share said once: "12 cells: there is no vote ..."."""
    if len(gaps) <= 8:
        return tuple(gaps)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for gap in gaps:
        label, _, reason = gap.partition(": ")
        named = " → " in label  # as every label of a cell
        by_reason[reason if named else gap].append(label if named else "")
    return tuple(
        f"{len(labels)} cells: {reason}" if len(labels) > 1 else (f"{labels[0]}: {reason}" if labels[0] else reason)
        for reason, labels in by_reason.items()
    )


def varying_settings(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Names of the settings in which the cells differ."""
    names = {name: None for cell in cells for name in cell.settings}
    return tuple(name for name in names if len({repr(cell.settings.get(name)) for cell in cells}) > 1)


def short_name(reference: str) -> str:
    """A model reference without organisation, folder or scheme."""
    return reference.rstrip("/").rpartition("/")[2].rpartition(":")[2] or reference


def _cell(record: CellRecord) -> Cell:
    cell = Cell(
        key=record.key,
        parent=record.study.parent,
        child=record.study.child,
        dataset=record.study.dataset,
        unit=record.study.unit,
        label="",
        settings=record.study.model_dump(mode="json"),
        lambda_star=record.validation.lambda_star,
        validation=tuple(sorted(record.validation.strengths, key=_strength)),
        test=tuple(sorted(record.test.strengths, key=_strength)),
        arms=record.test.arms,
        steered_layers=tuple(c for _, c in record.layer_map.pairs),
        residual_norms=record.residual_norms,
        record=record,
        gaps=(),
    )
    return replace(cell, gaps=tuple(_gaps(cell)))


def _gaps(cell: Cell) -> list[str]:
    gaps = []
    if cell.has_strength:
        if cell.arm("vote") is None:
            gaps.append("there is no vote (the study ran without inference-time scaling, or with one strength)")
        if len(cell.grid) == 1:
            gaps.append("only one strength was run, so there is no curve over strength")
    else:
        gaps.append(
            f"{cell.record.study.operator} has no strength and is applied once: there is no curve over strengths, "
            f"nothing was chosen, and there is no vote"
        )
    if all(point.invalid == point.n for point in cell.test):
        gaps.append("no test answer could be read at any strength: all answers are invalid, every accuracy is 0")
    return gaps


def _strength(point: Point) -> float:
    return point.strength


def _with_unique_names(cells: list[Cell]) -> list[Cell]:
    references = {reference for cell in cells for reference in (cell.parent, cell.child)}
    taken = Counter(short_name(reference) for reference in references)
    names = {ref: short_name(ref) if taken[short_name(ref)] == 1 else ref for ref in references}
    return [replace(cell, parent=names[cell.parent], child=names[cell.child]) for cell in cells]


def _with_labels(cells: list[Cell]) -> list[Cell]:
    groups: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.parent, cell.child, cell.dataset].append(cell)
    labels = {}
    for (parent, child, dataset), members in groups.items():
        extra = varying_settings(members)
        for cell in members:
            shown = [f"{name} {_short(cell.settings.get(name))}" for name in extra]
            labels[cell.key] = ", ".join([f"{parent} → {child}, {dataset}", *shown])
    return [replace(cell, label=labels[cell.key]) for cell in cells]


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"({len(value)} values)"
    return str(value)
