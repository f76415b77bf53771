"""Runs the cells of a plan one after another, each shared piece of work once. One study is a plan of one cell.

1. Per parent, child and data set: the steering vectors of all their cells (`transfers`), and the comparison of both
   models' components (`alignment`), by the first cell's maps; then the parent is freed.
2. Per child and data set: the unsteered answers (`baselines`); a single study answers them beside its own.
3. Per cell: search and evaluation (`cells.run_cell`).

What is finished is read, so the same call resumes, and does nothing when all cells are there. A cell that fails leaves
its error in `failures/` (with its cause and traceback: `failures`), the others go on, and the next call tries it again.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from interp_xfer.errors import ModelError
from interp_xfer.files.reading import parse_json
from interp_xfer.files.user_files import read_text
from interp_xfer.models import BUNDLED
from interp_xfer.studies.alignment import align_components
from interp_xfer.studies.baselines import Baseline, make_baseline, read_baseline
from interp_xfer.studies.cell_record import CellRecord
from interp_xfer.studies.cells import run_cell
from interp_xfer.studies.comparison import AXES, Plan, PlannedCell, cell_name
from interp_xfer.studies.config import Study
from interp_xfer.studies.execution import Execution
from interp_xfer.studies.failures import error_line, failure_record
from interp_xfer.studies.identity import Contents, Keys, read_contents, shareable, study_keys
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.steps import Step, named_step, silent_step
from interp_xfer.studies.study_data import StudyData, load_data
from interp_xfer.studies.study_models import StudyModels
from interp_xfer.studies.transfers import SeenTexts, make_transfers


@dataclass(frozen=True)
class Outcome:
    """What became of one cell."""

    cell: PlannedCell
    number: int
    """From 1, in the order of the plan."""
    total: int
    status: Literal["there", "made", "failed"]
    record: CellRecord | None
    error: str | None


def run_plan(
    plan: Plan,
    store: RunStore,
    step: Step = silent_step,
    on_cell: Callable[[Outcome], None] = lambda outcome: None,
    execution: Execution | None = None,
) -> tuple[Outcome, ...]:
    """Run every cell of a plan that has no record yet.

    Arguments:
        plan: from `plan_comparison`.
        store: where artifacts and records go.
        step: shows the progress of long steps.
        on_cell: called with each cell when it is finished, found or failed.
        execution: where it runs.
    Returns: one outcome per cell, in the order of the plan.
    Raises: ArtifactError if a finished record is damaged or the place cannot be written. What goes wrong inside a
        cell is kept with it.
    """
    return _Runner(plan, store, step, on_cell, execution).run()


def run_study(
    study: Study, store: RunStore, step: Step = silent_step, execution: Execution | None = None
) -> CellRecord:
    """The record of one study; made if it is not there yet.

    Arguments:
        study: what to run.
        store: where artifacts and records go; finished ones are reused.
        step: shows the progress of long steps.
        execution: where it runs.
    Returns: the content of `cells/<key>.json`.
    Raises: any InterpXferError of the stages; what was finished before stays and is reused next time.
    """
    plan = Plan((PlannedCell(study, cell_name(study)),), ())
    runner = _Runner(plan, store, step, lambda outcome: None, execution, alone=True)
    [outcome] = runner.run()
    assert outcome.record is not None  # what fails was raised
    return outcome.record


def known_widths(references: Sequence[str]) -> dict[str, int]:
    """Residual widths of the models that say so without being loaded: bundled ones, and folders."""
    out = {}
    for reference in references:
        bundled = BUNDLED.get(reference.removeprefix("bundled:")) if reference.startswith("bundled:") else None
        config = Path(reference) / "config.json"
        if bundled is not None:
            out[reference] = bundled.d_model
        elif os.path.isfile(config):
            try:
                settings = parse_json(read_text(config, "model configuration", error=ModelError))
            except ValueError as error:
                raise ModelError(f"{config} is damaged ({error}); save the model again.") from None
            width = settings.get("hidden_size") if isinstance(settings, dict) else None
            if isinstance(width, int):
                out[reference] = width
    return out


class _Resolved(NamedTuple):
    """A cell of the plan and what it is made from."""

    cell: PlannedCell
    contents: Contents

    @property
    def keys(self) -> Keys:
        return study_keys(self.cell.study, self.contents)


class _Runner:
    """The state of one run: which cells have an outcome, which models are loaded."""

    def __init__(
        self,
        plan: Plan,
        store: RunStore,
        step: Step,
        on_cell: Callable[[Outcome], None],
        execution: Execution | None,
        alone: bool = False,
    ) -> None:
        self._plan, self._store, self._step, self._on_cell = plan, store, step, on_cell
        self._execution = execution or Execution()
        self._numbers = {cell.key: number for number, cell in enumerate(plan.cells, 1)}
        self._outcomes: dict[str, Outcome] = {}
        self._models: StudyModels | None = None
        self._alone = alone  # one study: its settings are kept in the run, and what fails is raised

    def run(self) -> tuple[Outcome, ...]:
        for _, cells in groupby(self._plan.cells, key=_pair):
            self._run_pair(list(cells))
        return tuple(self._outcomes[cell.key] for cell in self._plan.cells)

    def _run_pair(self, cells: Sequence[PlannedCell]) -> None:
        """All cells of one parent and child."""
        first = cells[0].study
        ready: list[tuple[list[_Resolved], StudyData, float]] = []
        for _, group in groupby(cells, key=_shared_settings):
            of_data = list(group)
            try:
                data = load_data(of_data[0].study)
                device = self._execution.device
                resolved = [_Resolved(cell, read_contents(cell.study, data, device)) for cell in of_data]
                if self._alone:
                    self._store.write_study(shareable(first, resolved[0].contents))
            except Exception as error:
                self._fail(of_data, error)
                continue
            waiting = []
            for one in resolved:
                record = self._store.finished_cell(one.keys.cell)
                if record is not None:
                    self._finish(one.cell, "there", record)
                else:
                    waiting.append(one)
            if not waiting:
                continue
            self._store.require_writable()
            models = self._models = self._models or StudyModels(first, self._step, self._execution)
            models.keep(first.parent, first.child)
            start = time.monotonic()
            try:
                studies = [(one.cell.study, one.keys) for one in waiting]
                failed, seen = make_transfers(studies, data, models, self._store, self._step)
            except Exception as error:
                self._fail([one.cell for one in waiting], error)
                continue
            for one in waiting:
                if one.keys.transfer in failed:
                    self._fail([one.cell], failed[one.keys.transfer])
            self._align(resolved[0], data, models, seen)
            del seen  # it holds both models
            left = [one for one in waiting if one.cell.key not in self._outcomes]
            ready.append((left, data, time.monotonic() - start))
        if self._models is not None:
            self._models.keep(first.child)
        for of_data, data, seconds in ready:
            self._run_data(of_data, data, seconds)

    def _align(self, one: _Resolved, data: StudyData, models: StudyModels, seen: SeenTexts) -> None:
        """Compare components; what goes wrong there is kept, and stops no cell."""
        key = one.keys.alignment
        try:
            if self._store.transfer(one.keys.transfer).exists():
                align_components(one.cell.study, one.keys, data, models, self._store, seen, self._step)
                self._store.forget_failure(key)
        except Exception as error:
            self._store.write_failure(failure_record(key, f"{one.cell.name}: comparison of components", error))

    def _run_data(self, resolved: Sequence[_Resolved], data: StudyData, seconds: float) -> None:
        """All cells of one parent, child and data set, whose vectors are there.

        The seconds that these took stand in the record of the first cell.
        """
        if not resolved:
            return
        assert self._models is not None
        try:
            baseline = self._baseline(resolved[0], data, self._models)
        except Exception as error:
            self._fail([one.cell for one in resolved], error)
            return
        spent = {"extract_and_transfer": round(seconds, 1)}
        for cell, contents in resolved:
            step = self._step
            if not self._alone:
                step = named_step(step, f"cell {self._numbers[cell.key]} of {len(self._plan.cells)}")
            try:
                record = run_cell(cell.study, contents, data, self._models, self._store, step, baseline, spent)
                spent = {}
            except Exception as error:
                self._fail([cell], error)
                continue
            self._finish(cell, "made", record)

    def _baseline(self, one: _Resolved, data: StudyData, models: StudyModels) -> Baseline | None:
        known = read_baseline(one.keys.baseline, data, self._store)
        if known is not None or self._alone:
            return known
        study = one.cell.study
        child = models.get(study.child)
        total = len(data.validation) + len(data.test)
        with self._step("answering unsteered", total, "answers") as progress:
            return make_baseline(study, one.keys.baseline, child, data, self._store, progress, self._execution)

    def _fail(self, cells: Sequence[PlannedCell], error: Exception) -> None:
        if self._alone:
            raise error
        for cell in cells:
            self._store.write_failure(failure_record(cell.key, cell.name, error))
            self._finish(cell, "failed", None, error_line(error))

    def _finish(
        self,
        cell: PlannedCell,
        status: Literal["there", "made", "failed"],
        record: CellRecord | None,
        error: str | None = None,
    ) -> None:
        number, total = self._numbers[cell.key], len(self._plan.cells)
        self._outcomes[cell.key] = outcome = Outcome(cell, number, total, status, record, error)
        self._on_cell(outcome)


def _pair(cell: PlannedCell) -> tuple[str, str]:
    return cell.study.parent, cell.study.child


def _shared_settings(cell: PlannedCell) -> str:
    """Equal for cells that differ in their mapping alone."""
    return json.dumps(cell.study.model_dump(mode="json", exclude=set(AXES.values())), sort_keys=True)
