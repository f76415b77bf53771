"""The cells of a run with names for people, and a word for everything that is missing.

Runs have gaps: no vote, one strength, no valid answer. Each is a line in `Cell.gaps`, so that no analysis has to guess.

Accuracies and differences are fractions. Strengths are in the cell's own unit.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from interp_xfer.steering.operators import has_strength
from interp_xfer.studies.cell_record import CellRecord, TestPart
from interp_xfer.studies.config import Study
from interp_xfer.studies.run_store import RunStore

SHIFTING = ("add", "norm_preserving", "piecewise")
"""Operators whose strength is the length of a shift."""


@dataclass(frozen=True)
class Cell:
    """One (parent, child, data set) with its settings and results, and names for people."""

    record: CellRecord
    parent: str
    """Short name, unique in the run."""
    child: str
    label: str
    """Tells the cell from every other of the run."""

    @property
    def key(self) -> str:
        """Of its files."""
        return self.record.key

    @property
    def study(self) -> Study:
        """Its settings."""
        return self.record.study

    @property
    def dataset(self) -> str:
        """Name of the task."""
        return self.study.dataset

    @property
    def lambda_star(self) -> float:
        """The strength that the search chose."""
        return self.record.validation.lambda_star

    @property
    def test(self) -> TestPart:
        """The results."""
        return self.record.test

    @property
    def native(self) -> bool:
        """Whether the child is steered with its own concept."""
        return self.record.contents.parent == self.record.contents.child

    @property
    def has_strength(self) -> bool:
        """Whether the operator does different things at different strengths."""
        return has_strength(self.study.operator)

    @property
    def grid(self) -> tuple[float, ...]:
        """The strengths that were searched, in increasing order."""
        return tuple(sorted(self.study.strengths))

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, in words."""
        gaps = []
        if self.has_strength:
            if self.test.vote is None:
                gaps.append("there is no vote (the study ran without inference-time scaling, or with one strength)")
            if len(self.grid) == 1:
                gaps.append("only one strength was run, so there is no curve over strength")
        else:
            gaps.append(
                f"{self.study.operator} has no strength and is applied once: there is no curve over strengths, "
                f"nothing was chosen, and there is no vote"
            )
        if all(point.invalid == point.n for point in self.test.strengths):
            gaps.append("no test answer could be read at any strength: all answers are invalid, every accuracy is 0")
        return tuple(gaps)

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
        norms, scales = self._norms(), self._scales()
        if not scales:
            return None
        return strength * len(scales) * median(scale / norm for scale, norm in zip(scales, norms, strict=True))

    def _norms(self) -> list[float]:
        """Median residual norms m_l after the N steered layers of the child."""
        return [self.record.residual_norms[layer] for _, layer in self.record.layer_map.pairs]

    def _scales(self) -> list[float]:
        if self.study.operator not in SHIFTING:
            return []
        norms = self._norms()
        return [1.0 if self.study.unit == "raw" else norm / len(norms) for norm in norms]


def load_cells(store: RunStore) -> tuple[Cell, ...]:
    """The finished cells of a run, ordered by data set, parent, child and settings.

    Raises: ArtifactError if there is none, or one is damaged.
    """
    records = store.read_cells()
    names = _unique_names({model for record in records for model in (record.study.parent, record.study.child)})
    cells = _with_labels([Cell(r, names[r.study.parent], names[r.study.child], "") for r in records])
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
    return tuple(name for name in Study.model_fields if len({getattr(cell.study, name) for cell in cells}) > 1)


def short_name(reference: str) -> str:
    """A model reference without organisation, folder or scheme."""
    return reference.rstrip("/").rpartition("/")[2].rpartition(":")[2] or reference


def _unique_names(references: set[str]) -> dict[str, str]:
    """Short names, but for references that share one."""
    taken = Counter(short_name(reference) for reference in references)
    return {ref: short_name(ref) if taken[short_name(ref)] == 1 else ref for ref in references}


def _with_labels(cells: list[Cell]) -> list[Cell]:
    groups: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.parent, cell.child, cell.dataset].append(cell)
    labels = {}
    for (parent, child, dataset), members in groups.items():
        extra = varying_settings(members)
        for cell in members:
            shown = [f"{name} {_short(getattr(cell.study, name))}" for name in extra]
            labels[cell.key] = ", ".join([f"{parent} → {child}, {dataset}", *shown])
    return [replace(cell, label=labels[cell.key]) for cell in cells]


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"({len(value)} values)"
    return str(value)
