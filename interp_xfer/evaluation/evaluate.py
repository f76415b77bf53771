"""Algorithm 3: one look at the test questions (arXiv 2512.19069, section 3).

Baseline, lambda*, and inference-time scaling (the mode of the answers over the grid), each with its interval and its
paired difference from the baseline on the same questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from interp_xfer.evaluation.answers import (
    Answer,
    AnswerTable,
    ArmSummary,
    GenerationSettings,
    answer_problems,
    engine_for,
    require_unseen,
    summarise,
    voted,
)
from interp_xfer.evaluation.search import PAPER_GRID, check_grid
from interp_xfer.evaluation.vote import UnsteeredVotes, unsteered_votes, vote
from interp_xfer.fields import Json
from interp_xfer.generation import FinishedAnswers, SweepEngine
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, no_progress
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

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Baseline first."""
        return (self.baseline, self.lambda_star, *(() if self.vote is None else (self.vote,)))


def evaluate(
    child: LoadedModel,
    steering: SteeringVectors,
    test: Sequence[Problem],
    strengths: float,
    *,
    with_its: bool = True,
    grid: Sequence[float] = PAPER_GRID,
    settings: GenerationSettings | None = None,
    task: Task | None = None,
    engine: SweepEngine | None = None,
    known: AnswerTable | None = None,
    keep: FinishedAnswers | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Baseline, lambda* and vote on the test problems.

    Arguments:
        child: the model to steer.
        steering: vectors made for it.
        test: problems that took no part in making the vectors or choosing the strength.
        strengths: lambda*, chosen on validation problems (`search_lambda(...).best`).
        with_its: also run the grid and vote; not over a grid of one, nor for an operator without strength.
        grid: strengths that vote.
        settings: as in the search.
        task: None takes the one the problems name.
        engine: reuse the one of the search to keep its prefixes; it must be for these vectors and settings.
        known: as in `search_lambda`.
        keep: as in `answer_problems`.
        progress: called with the number of answers just finished.
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
    to_run = [0.0, *((strengths,) if strengths != 0 else ())]
    if votes:
        to_run += [strength for strength in grid if strength not in to_run]
    table = answer_problems(engine, test, to_run, settings, task=task, known=known, keep=keep, progress=progress)
    baseline = _arm("baseline", 0.0, table.at(0.0), None)
    return Evaluation(
        baseline=baseline,
        lambda_star=_arm("lambda_star", strengths, table.at(strengths), baseline),
        vote=_arm("vote", None, voted(table, grid, vote), baseline) if votes else None,
        table=table,
    )


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
