"""The cells of a run as typed records, with a word for everything that is missing.

A cell file is plain JSON. Runs have gaps: no vote, one strength, no valid answer, an older record without a field. Here
each record becomes a `Cell` once, and what is not there becomes `None` and a line in `Cell.gaps`, so that no analysis
has to guess.

Accuracies and differences are fractions. Strengths are in the cell's own unit.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from interp_xfer.studies.run_store import RunStore

SHIFTING = ("add", "norm_preserving", "piecewise")
"""Operators whose strength is the length of a shift."""


@dataclass(frozen=True)
class Point:
    """Answers at one strength."""

    strength: float
    n: int
    correct: int
    accuracy: float
    low: float
    """Lower end of the 95 % Wilson interval."""
    high: float
    invalid: int
    truncated: int
    mean_tokens: float


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline, paired by question."""

    delta: float
    low: float
    high: float
    broken: int
    """Right at baseline, wrong in this arm."""
    fixed: int
    """Wrong at baseline, right in this arm."""
    p_value: float
    """McNemar, exact, two-sided."""
    n: int


@dataclass(frozen=True)
class Arm:
    """One way of answering the test questions."""

    name: str
    """baseline, lambda_star or vote."""
    strength: float | None
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    invalid: int
    truncated: int
    mean_tokens: float
    difference: Difference | None


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
    lambda_star: float | None
    validation: tuple[Point, ...]
    """Baseline first, then increasing strength."""
    test: tuple[Point, ...]
    arms: tuple[Arm, ...]
    steered_layers: tuple[int, ...]
    residual_norms: tuple[float, ...]
    """Median residual norm after each child layer."""
    record: dict[str, Any]
    """The whole file."""
    gaps: tuple[str, ...]
    """What is missing, in words."""

    def arm(self, name: str) -> Arm | None:
        """The arm of that name, if the cell has it."""
        return next((arm for arm in self.arms if arm.name == name), None)

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
        norms = [self.residual_norms[layer] for layer in self.steered_layers if layer < len(self.residual_norms)]
        if self.settings.get("operator", "add") not in SHIFTING or not norms or min(norms) <= 0:
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


def _cell(record: dict[str, Any]) -> Cell:
    study = record.get("study") or {}
    validation, test = record.get("validation") or {}, record.get("test") or {}
    arms = [_arm(name, test[name]) for name in ("baseline", "lambda_star", "vote") if test.get(name)]
    parent_of = (record.get("layer_map") or {}).get("parent_of") or []
    cell = Cell(
        key=str(record.get("key", "")),
        parent=str(study.get("parent") or (record.get("parent") or {}).get("reference") or "unknown parent"),
        child=str(study.get("child") or (record.get("child") or {}).get("reference") or "unknown child"),
        dataset=str(study.get("dataset", "unknown data set")),
        unit=str(study.get("unit", "relative")),
        label="",
        settings=study,
        lambda_star=_number(validation.get("lambda_star")),
        validation=_points(validation.get("strengths")),
        test=_points(test.get("strengths")),
        arms=tuple(arms),
        steered_layers=tuple(layer for layer, parent in enumerate(parent_of) if parent is not None),
        residual_norms=tuple(float(norm) for norm in record.get("residual_norms") or []),
        record=record,
        gaps=(),
    )
    return replace(cell, gaps=tuple(_gaps(cell)))


def _gaps(cell: Cell) -> list[str]:
    gaps = []
    if cell.record.get("status", "success") != "success":
        gaps.append(f"the cell ended with status {cell.record['status']}")
    if not cell.validation:
        gaps.append("there are no validation results, so how lambda* was chosen cannot be shown")
    if not cell.test:
        gaps.append("there are no test results")
    if cell.arm("vote") is None and cell.test:
        gaps.append("there is no vote (the study ran without inference-time scaling)")
    if len(cell.grid) == 1:
        gaps.append("only one strength was run, so there is no curve over strength")
    if cell.test and all(point.invalid == point.n for point in cell.test):
        gaps.append("no test answer could be read at any strength: all answers are invalid, every accuracy is 0")
    if not cell.residual_norms:
        gaps.append("residual norms are missing, so strengths cannot be converted to shift lengths")
    return gaps


def _points(rows: list[dict[str, Any]] | None) -> tuple[Point, ...]:
    return tuple(sorted((Point(**_counts(row), strength=float(row["strength"])) for row in rows or []), key=_strength))


def _strength(point: Point) -> float:
    return point.strength


def _arm(name: str, row: dict[str, Any]) -> Arm:
    found = row.get("difference")
    difference = None
    if found:
        shares = {field: float(found[field]) for field in ("delta", "low", "high", "p_value")}
        difference = Difference(**shares, broken=int(found["broken"]), fixed=int(found["fixed"]), n=int(found["n"]))
    return Arm(name=name, strength=_number(row.get("strength")), difference=difference, **_counts(row))


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    counts = {field: int(row[field]) for field in ("n", "correct", "invalid", "truncated")}
    return counts | {field: float(row[field]) for field in ("accuracy", "low", "high", "mean_tokens")}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


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
