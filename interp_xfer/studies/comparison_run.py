"""Runs the cells of a plan one after another, each shared piece of work once.

1. Per parent and child: the steering vectors of all their cells (`transfers`), then the parent is freed.
2. Per child and data set: the unsteered answers (`baselines`).
3. Per cell: search and evaluation (`pipeline.run_cell`).

What is finished is read, so the same call resumes, and does nothing when all cells are there. A cell that fails leaves
its error in `failures/`, the others go on, and the next call tries it again.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from interp_xfer.artifacts import read_json
from interp_xfer.errors import ModelError
from interp_xfer.models import BUNDLED
from interp_xfer.progress import Progress
from interp_xfer.studies.baselines import Baseline, make_baseline, read_baseline
from interp_xfer.studies.comparison import AXES, Plan, PlannedCell
from interp_xfer.studies.config import Study
from interp_xfer.studies.pipeline import Step, StudyData, StudyModels, load_data, run_cell, silent_step
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.transfers import make_transfers


@dataclass(frozen=True)
class Outcome:
    """What became of one cell."""

    cell: PlannedCell
    number: int
    """From 1, in the order of the plan."""
    total: int
    status: Literal["there", "made", "failed"]
    record: dict[str, Any] | None
    error: str | None


def run_plan(
    plan: Plan, store: RunStore, step: Step = silent_step, on_cell: Callable[[Outcome], None] = lambda outcome: None
) -> tuple[Outcome, ...]:
    """Run every cell of a plan that has no record yet.

    Arguments:
        plan: from `plan_comparison`.
        store: where artifacts and records go.
        step: shows the progress of long steps.
        on_cell: called with each cell when it is finished, found or failed.
    Returns: one outcome per cell, in the order of the plan.
    Raises: ArtifactError if a finished record is damaged or the place cannot be written. What goes wrong inside a
        cell is kept with it.
    """
    return _Runner(plan, store, step, on_cell).run()


def known_widths(references: Sequence[str]) -> dict[str, int]:
    """Residual widths of the models that say so without being loaded: bundled ones, and folders."""
    out = {}
    for reference in references:
        bundled = BUNDLED.get(reference.removeprefix("bundled:")) if reference.startswith("bundled:") else None
        config = Path(reference) / "config.json"
        if bundled is not None:
            out[reference] = bundled.d_model
        elif config.is_file():
            try:
                width = json.loads(config.read_text(encoding="utf-8")).get("hidden_size")
            except (ValueError, AttributeError) as error:
                raise ModelError(f"{config} is damaged ({error}); save the model again.") from None
            if isinstance(width, int):
                out[reference] = width
    return out


class _Runner:
    """The state of one run: which cells have an outcome, which models are loaded."""

    def __init__(self, plan: Plan, store: RunStore, step: Step, on_cell: Callable[[Outcome], None]) -> None:
        self._plan, self._store, self._step, self._on_cell = plan, store, step, on_cell
        self._numbers = {cell.key: number for number, cell in enumerate(plan.cells, 1)}
        self._outcomes: dict[str, Outcome] = {}
        self._models: StudyModels | None = None

    def run(self) -> tuple[Outcome, ...]:
        for _, cells in groupby(self._plan.cells, key=_pair):
            waiting = []
            for cell in cells:
                if self._store.cell(cell.study).exists():
                    self._finish(cell, "there", read_json(self._store.cell(cell.study)))
                else:
                    waiting.append(cell)
            if waiting:
                self._run_pair(waiting)
        return tuple(self._outcomes[cell.key] for cell in self._plan.cells)

    def _run_pair(self, cells: Sequence[PlannedCell]) -> None:
        """All cells of one parent and child."""
        first = cells[0].study
        models = self._models = self._models or StudyModels(first, self._step)
        models.keep(first.parent, first.child)
        ready: list[tuple[list[PlannedCell], StudyData]] = []
        for _, group in groupby(cells, key=_shared_settings):
            of_data = list(group)
            try:
                data = load_data(of_data[0].study)
                failed = make_transfers([cell.study for cell in of_data], data, models, self._store, self._step)
            except Exception as error:
                self._fail(of_data, error)
                continue
            for cell in of_data:
                if cell.study.transfer_key in failed:
                    self._fail([cell], failed[cell.study.transfer_key])
            ready.append(([cell for cell in of_data if cell.key not in self._outcomes], data))
        models.keep(first.child)
        for of_data, data in ready:
            self._run_data(of_data, data, models)

    def _run_data(self, cells: Sequence[PlannedCell], data: StudyData, models: StudyModels) -> None:
        """All cells of one parent, child and data set, whose vectors are there."""
        if not cells:
            return
        try:
            baseline = self._baseline(cells[0].study, data, models)
        except Exception as error:
            self._fail(cells, error)
            return
        for cell in cells:
            step = _named(self._step, f"cell {self._numbers[cell.key]} of {len(self._plan.cells)}")
            try:
                record = run_cell(cell.study, data, models, self._store, step, baseline)
            except Exception as error:
                self._fail([cell], error)
                continue
            self._finish(cell, "made", record)

    def _baseline(self, study: Study, data: StudyData, models: StudyModels) -> Baseline:
        known = read_baseline(study, data.validation, data.test, self._store)
        if known is not None:
            return known
        child = models.get(study.child)
        total = len(data.validation) + len(data.test)
        with self._step("answering unsteered", total, "answers") as progress:
            return make_baseline(study, child, data.task, data.validation, data.test, self._store, progress)

    def _fail(self, cells: Sequence[PlannedCell], error: Exception) -> None:
        for cell in cells:
            self._store.write_failure(cell.study, error, cell.name)
            self._finish(cell, "failed", None, f"{type(error).__name__}: {error}")

    def _finish(
        self,
        cell: PlannedCell,
        status: Literal["there", "made", "failed"],
        record: dict[str, Any] | None,
        error: str | None = None,
    ) -> None:
        number, total = self._numbers[cell.key], len(self._plan.cells)
        self._outcomes[cell.key] = outcome = Outcome(cell, number, total, status, record, error)
        self._on_cell(outcome)


def _pair(cell: PlannedCell) -> tuple[str, str]:
    return cell.study.parent, cell.study.child


def _shared_settings(cell: PlannedCell) -> str:
    """Equal for cells that differ in their mapping alone."""
    return cell.study.key(*(name for name in Study.model_fields if name not in AXES.values()))


def _named(step: Step, name: str) -> Step:
    def named(description: str, total: int, unit: str = "") -> AbstractContextManager[Progress]:
        return step(f"{name}: {description}", total, unit)

    return named
