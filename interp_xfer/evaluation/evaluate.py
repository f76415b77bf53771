"""Algorithm 3: one look at the test questions (arXiv 2512.19069, section 3).

Baseline, lambda*, and inference-time scaling (the mode of the answers over the grid), each with its interval and its
paired difference from the baseline on the same questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pandas import DataFrame

from interp_xfer.evaluation.answers import (
    Answer,
    AnswerTable,
    ArmSummary,
    answer_problems,
    engine_for,
    require_unseen,
    summarise,
    voted,
)
from interp_xfer.evaluation.search import PAPER_GRID, check_grid, strength_rows
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.evaluation.vote import UnsteeredVotes, unsteered_votes, vote
from interp_xfer.fields import Json, damaged
from interp_xfer.files.records import Record
from interp_xfer.generation import FinishedAnswers, SweepEngine
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, shown_progress
from interp_xfer.stats.p_values import p_text
from interp_xfer.stats.paired import PairedDifference, paired_difference
from interp_xfer.steering.operators import strength_grid
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Problem, Task


@dataclass(frozen=True)
class Arm:
    """One way of answering, over all test questions."""

    name: str
    """baseline, lambda_star or vote."""
    strength: float | None
    """None for the vote."""
    answers: tuple[Answer, ...]
    summary: ArmSummary
    difference: PairedDifference | None
    """From the baseline, paired by question; None for the baseline itself."""

    def __repr__(self) -> str:
        return f"Arm({self})"

    def __str__(self) -> str:
        d, at = self.difference, f" at {self.strength:g}" if self.strength else ""
        change = "" if d is None else f", {100 * d.delta:+.1f} points, {p_text(d.p_value)}"
        return f"{self.name}{at}: {self.summary}{change}"

    def to_dict(self) -> Json:
        """Plain JSON, without the answers."""
        difference = None if self.difference is None else self.difference._asdict()
        return {"strength": self.strength, **self.summary.to_dict(), "difference": difference}


@dataclass(frozen=True)
class Evaluation:
    """The outcome on the test questions."""

    baseline: Arm
    lambda_star: Arm
    vote: Arm | None
    """None without inference-time scaling."""
    table: AnswerTable
    """All answers that were generated."""
    grid: tuple[float, ...] = ()
    """The strengths that voted."""

    def __repr__(self) -> str:
        return f"Evaluation({'; '.join(map(str, self.arms))})"

    def to_dict(self) -> Json:
        """Plain JSON, without the single answers: the arms by name, and what was counted at every strength."""
        return {"arms": {arm.name: arm.to_dict() for arm in self.arms}, "strengths": strength_rows(self.table)}

    def to_pandas(self) -> DataFrame:
        """One row an arm; columns `change_...` are its paired difference from the baseline."""
        return DataFrame(_arm_row(arm) for arm in self.arms)

    def save(self, path: Path | str) -> Path:
        """Write everything, all answers included, into one JSON file."""
        strength = self.lambda_star.strength
        assert strength is not None
        return _EvaluationFile(strength=strength, grid=self.grid, table=self.table.without_places()).write(path)

    @classmethod
    def load(cls, path: Path | str) -> "Evaluation":
        """What `save` wrote; arms, intervals and tests are computed again from the answers.

        Raises: ArtifactError if the file is missing or damaged.
        """
        found = _EvaluationFile.read(path)
        with damaged(path):
            return _evaluated(found.table, found.strength, found.grid)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Baseline first."""
        return (self.baseline, self.lambda_star, *(() if self.vote is None else (self.vote,)))


class _EvaluationFile(Record):
    """A saved evaluation with all its answers (the file of `interp-xfer evaluate` has counts and conditions)."""

    kind: Literal["evaluation-result"] = "evaluation-result"
    strength: float
    grid: tuple[float, ...]
    table: AnswerTable


def evaluate(
    child: LoadedModel,
    steering: SteeringVectors,
    test: Sequence[Problem],
    strength: float,
    *,
    with_its: bool = True,
    grid: Sequence[float] = PAPER_GRID,
    settings: GenerationSettings | None = None,
    task: Task | None = None,
    engine: SweepEngine | None = None,
    known: AnswerTable | None = None,
    keep: FinishedAnswers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Baseline, lambda* and vote on the test problems.

    Arguments:
        child: the model to steer.
        steering: vectors made for it.
        test: problems that took no part in making the vectors or choosing the strength.
        strength: lambda*, chosen on validation problems (`search_lambda(...).best`).
        with_its: also run the grid and vote; not over a grid of one, nor for an operator without strength.
        grid: strengths that vote.
        settings: as in the search.
        task: None takes the one the problems name.
        engine: reuse the one of the search to keep its prefixes; it must be for these vectors and settings.
        known: as in `search_lambda`.
        keep: as in `answer_problems`.
        progress: called with the number of answers just finished; None: a bar in a notebook.
    Raises: LeakError if a problem took part in the vectors; ConfigError for a bad grid or strength; SteeringError for
        an engine of another model, other vectors or other settings.
    Source: arXiv 2512.19069, algorithm 3.
    """
    settings = settings or GenerationSettings()
    require_unseen(test, steering, engine, "test")
    engine = engine_for(child, steering, settings, engine)
    if with_its:
        check_grid(grid)
    votes = with_its and len(strength_grid(settings.operator, grid)) > 1
    to_run = [0.0, *((strength,) if strength != 0 else ())]
    if votes:
        to_run += [other for other in grid if other not in to_run]
    with shown_progress(progress, "evaluating", len(to_run) * len(test), "answers") as report:
        table = answer_problems(engine, test, to_run, settings, task=task, known=known, keep=keep, progress=report)
    return _evaluated(table, strength, tuple(grid) if votes else ())


def _evaluated(table: AnswerTable, strength: float, grid: tuple[float, ...]) -> Evaluation:
    baseline = _arm("baseline", 0.0, table.at(0.0), None)
    return Evaluation(
        baseline=baseline,
        lambda_star=_arm("lambda_star", strength, table.at(strength), baseline),
        vote=_arm("vote", None, voted(table, grid, vote), baseline) if grid else None,
        table=table,
        grid=grid,
    )


def _arm_row(arm: Arm) -> Json:
    values = arm.to_dict()
    change = values.pop("difference") or {}
    return {"arm": arm.name, **values, **{f"change_{name}": value for name, value in change.items()}}


def unsteered_in_vote(table: AnswerTable, grid: Sequence[float]) -> UnsteeredVotes:
    """How much of the vote over a grid is the unsteered model's own answer.

    Raises: ConfigError where a strength, or the baseline, was not run.
    """
    baseline, *steered = ([(a.text, a.parsed) for a in table.at(strength)] for strength in (0.0, *grid))
    return unsteered_votes(baseline, steered)


def _arm(name: str, strength: float | None, answers: tuple[Answer, ...], baseline: Arm | None) -> Arm:
    difference = None
    if baseline is not None:
        difference = paired_difference(_correct(baseline.answers), _correct(answers))
    return Arm(name, strength, answers, summarise(answers), difference)


def _correct(answers: Sequence[Answer]) -> torch.Tensor:
    return torch.tensor([answer.correct for answer in answers])
