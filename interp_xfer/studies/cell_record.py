"""What a run keeps about its cells: one record of a finished cell, the plan, failures.

A record is read back as the type that wrote it, and says itself which study and which contents it belongs to: its key
is computed again when it is read.
"""

import platform
from importlib import metadata
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from interp_xfer.evaluation.answers import AnswerTable
from interp_xfer.evaluation.evaluate import Evaluation, unsteered_in_vote
from interp_xfer.evaluation.record import ArmRecord, Point, arm_record, points
from interp_xfer.evaluation.search import SearchResult
from interp_xfer.evaluation.vote import UnsteeredVotes
from interp_xfer.fields import Fraction, Key, NotNegative, Positive
from interp_xfer.files.records import Record
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.models import Fingerprint
from interp_xfer.stats.selection import max_t_sign_flip
from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import Contents, Keys, asked_key, shareable, study_keys


class BestOfGrid(Record):
    """The best strength of the grid on the test questions, adjusted for having looked at all of them."""

    strength: float | None
    """None where none is better than the baseline, or nothing could be tested."""
    p_adjusted: Fraction | None
    note: str


class ValidationPart(Record):
    """The search."""

    n: Positive
    lambda_star: float
    tie_rule: Literal["smallest strength"] = "smallest strength"
    strengths: tuple[Point, ...]


class TestPart(Record):
    """The one look at the test questions."""

    n: Positive
    baseline: ArmRecord
    lambda_star: ArmRecord
    vote: ArmRecord | None
    """None without inference-time scaling."""
    strengths: tuple[Point, ...]
    best_of_grid: BestOfGrid | None
    unsteered_votes: UnsteeredVotes | None = None
    """How much of the vote is the unsteered model's own answer; None without a vote."""

    @property
    def arms(self) -> tuple[ArmRecord, ...]:
        """Baseline first."""
        return (self.baseline, self.lambda_star, *(() if self.vote is None else (self.vote,)))


class CellRecord(Record):
    """Everything about a finished cell that is not a single answer."""

    kind: Literal["cell"] = "cell"
    key: Key
    keys: Keys
    """Of the files it was made from, and its own."""
    asked: Key
    """Of the settings as they were written; what a plan and a failure call it."""
    status: Literal["success"] = "success"
    study: Study
    """Files and folders by their names alone."""
    contents: Contents
    parent: Fingerprint
    child: Fingerprint
    concept: ConceptOrigin
    projection: ProjectionOrigin
    """With the fits of its maps."""
    layer_map: LayerMap
    flipped: tuple[bool, ...]
    residual_norms: tuple[Annotated[float, Field(gt=0)], ...]
    validation: ValidationPart
    test: TestPart
    first_prompt: str
    generation_path: str
    items_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of the file of single answers."""
    wall_s: dict[str, NotNegative]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _its_own_key(self) -> "CellRecord":
        if self.keys != study_keys(self.study, self.contents) or self.key != self.keys.cell:
            raise ValueError(f"key {self.key} is not that of the study and contents in it")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "CellRecord":
        layers, grid, test = self.layer_map, self.study.strengths, self.test
        depths = (layers.n_child_layers, len(self.flipped), len(self.residual_norms))
        if set(depths) != {self.child.n_layers} or layers.n_parent_layers != self.parent.n_layers:
            raise ValueError(f"layer map, signs and norms of {depths} layers for a child of {self.child.n_layers}")
        if [row.strength for row in self.validation.strengths] != [0.0, *grid]:
            raise ValueError("the validation strengths are not 0 and the grid of the study")
        if self.validation.lambda_star not in grid or test.lambda_star.strength != self.validation.lambda_star:
            raise ValueError("lambda* is not the strength that the search chose")
        if test.baseline.strength != 0 or (test.vote is None) == self.study.with_its:
            raise ValueError("the arms are not those of the study")
        sizes = {part.n for part in (test, *test.arms, *test.strengths)}
        if len(sizes) != 1 or {row.n for row in self.validation.strengths} != {self.validation.n}:
            raise ValueError("arms and strengths answer different numbers of questions")
        return self


FailureCause = Literal["input", "machine", "internal"]
"""input: settings, data or models that do not allow the cell (an error of ours that says what to do); machine: files,
memory, network; internal: a mistake in this program."""


class FailureRecord(Record):
    """Why a study has no cell."""

    kind: Literal["failure"] = "failure"
    key: Key
    """Of its settings."""
    status: Literal["failed"] = "failed"
    name: str
    error_type: str
    message: str
    traceback: str
    """Where it came from; files by their names alone."""
    cause: FailureCause


class PlanCell(Record):
    """One cell of a plan."""

    key: Key
    """Of its settings."""
    name: str
    native: bool


class PlanLeftOut(Record):
    """A combination that is not run."""

    name: str
    reason: str


class PlanRecord(Record):
    """The cells of a comparison."""

    kind: Literal["plan"] = "plan"
    cells: tuple[PlanCell, ...]
    left_out: tuple[PlanLeftOut, ...]


def cell_record(
    study: Study,
    contents: Contents,
    steering: SteeringVectors,
    search: SearchResult,
    result: Evaluation,
    path: str,
    seconds: dict[str, float],
) -> CellRecord:
    """The record of a cell that was just finished."""
    shown, keys = shareable(study, contents), study_keys(study, contents)
    baseline, best, *votes = (arm_record(arm) for arm in result.arms)
    return CellRecord(
        key=keys.cell,
        keys=keys,
        asked=asked_key(study),
        study=shown,
        contents=contents,
        parent=steering.parent,
        child=steering.child,
        concept=steering.concept,
        projection=steering.projection,
        layer_map=steering.layer_map,
        flipped=steering.flipped,
        residual_norms=tuple(steering.residual_norms.tolist()),
        validation=ValidationPart(
            n=len(search.table.problems), lambda_star=search.best, strengths=points(search.table)
        ),
        test=TestPart(
            n=len(result.table.problems),
            baseline=baseline,
            lambda_star=best,
            vote=votes[0] if votes else None,
            strengths=points(result.table),
            best_of_grid=best_of_grid(result.table, study.strengths) if study.with_its else None,
            unsteered_votes=unsteered_in_vote(result.table, study.strengths) if study.with_its else None,
        ),
        first_prompt=result.table.first_prompt,
        generation_path=path,
        wall_s=seconds,
        versions=versions(),
    )


def best_of_grid(table: AnswerTable, grid: tuple[float, ...]) -> BestOfGrid:
    """The best strength of the grid on the test questions, adjusted for having looked at all of them."""
    baseline = table.correct(0.0).double()
    differences = torch.stack([table.correct(strength).double() - baseline for strength in grid], dim=1)
    if not bool((differences != 0).any()):
        return BestOfGrid(strength=None, p_adjusted=1.0, note="no answer changed at any strength")
    if len(differences) < 2:
        return BestOfGrid(strength=None, p_adjusted=None, note="one question cannot be tested")
    found = max_t_sign_flip(differences)
    if found.t <= 0:
        note = "no strength answers more questions than the baseline"
        return BestOfGrid(strength=None, p_adjusted=found.p_value, note=note)
    return BestOfGrid(strength=grid[found.best], p_adjusted=found.p_value, note="max-T over the grid, one-sided")


def versions() -> dict[str, str]:
    """Versions of what computes the numbers."""
    names = ("interp-xfer", "torch", "transformers", "transformer-lens", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
