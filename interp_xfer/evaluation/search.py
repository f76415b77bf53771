"""Algorithm 2: the strength lambda* that answers most validation questions (arXiv 2512.19069, section 3).

Every strength of the grid and the unsteered baseline (0, outside the grid) answer the validation questions; lambda* is
the strength of the grid with the highest accuracy, the smallest of them on a tie. It may be worse than the baseline:
that is a result.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pandas import DataFrame

from interp_xfer.bounds import MAX_STRENGTH, MAX_STRENGTHS
from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.answers import AnswerTable, answer_problems, engine_for, require_unseen
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.fields import Json, damaged
from interp_xfer.files.records import Record
from interp_xfer.generation import FinishedAnswers, SweepEngine
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, shown_progress
from interp_xfer.steering.hooks import checked_strengths
from interp_xfer.steering.operators import strength_grid
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Problem, Task

PAPER_GRID: tuple[float, ...] = tuple(k / 100 for k in range(1, 10)) + tuple(k / 10 for k in range(1, 11))
"""{0.01, ..., 0.09} and {0.1, ..., 1.0}: 19 strengths."""


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a strength search."""

    best: float
    """lambda*."""
    grid: tuple[float, ...]
    """The strengths that competed; 0 is not among them."""
    table: AnswerTable
    """All answers, those of the baseline (strength 0) included."""

    def __repr__(self) -> str:
        best, baseline = self.table.summary(self.best), self.table.summary(0.0)
        return f"SearchResult(best {self.best:g} of {len(self.grid)} strengths: {best}, baseline {baseline})"

    def to_dict(self) -> Json:
        """Plain JSON, without the single answers: accuracy and what else was counted at every strength."""
        return {"best": self.best, "grid": list(self.grid), "strengths": strength_rows(self.table)}

    def to_pandas(self) -> DataFrame:
        """One row a strength, the baseline (0) first."""
        return DataFrame(strength_rows(self.table))

    def save(self, path: Path | str) -> Path:
        """Write everything, all answers included, into one JSON file."""
        return _SearchFile(grid=self.grid, table=self.table.without_places()).write(path)

    @classmethod
    def load(cls, path: Path | str) -> "SearchResult":
        """What `save` wrote.

        Raises: ArtifactError if the file is missing or damaged.
        """
        found = _SearchFile.read(path)
        with damaged(path):
            return cls(choose_strength(found.table, found.grid), found.grid, found.table)


class _SearchFile(Record):
    """A saved search with all its answers (the file of `interp-xfer search` has their counts and the conditions)."""

    kind: Literal["search-result"] = "search-result"
    grid: tuple[float, ...]
    table: AnswerTable


def strength_rows(table: AnswerTable) -> list[Json]:
    """Plain JSON of the summary at each strength, in the order in which they were run."""
    return [{"strength": strength, **table.summary(strength).to_dict()} for strength in table.strengths]


def search_lambda(
    child: LoadedModel,
    steering: SteeringVectors,
    validation: Sequence[Problem],
    *,
    grid: Sequence[float] = PAPER_GRID,
    settings: GenerationSettings | None = None,
    task: Task | None = None,
    engine: SweepEngine | None = None,
    known: AnswerTable | None = None,
    keep: FinishedAnswers | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """lambda* on validation problems.

    Arguments:
        child: the model to steer.
        steering: vectors made for it.
        validation: problems that took no part in making the vectors.
        grid: strengths to choose from, without 0; of an operator without strength only one is run (`strength_grid`).
        settings: how questions are asked; default the paper's (5 examples, greedy).
        task: None takes the one the problems name.
        engine: reuse one to keep its prefixes, made for these vectors and settings; None makes one.
        known: answers to the same problems under the same settings, such as the baseline's; they are not made again.
        keep: as in `answer_problems`.
        progress: called with the number of answers just finished; None: a bar in a notebook.
    Raises: ConfigError for an empty grid, duplicates or a 0 in it; LeakError if a problem took part in the vectors;
        SteeringError for an engine of another model, other vectors or other settings.
    Source: arXiv 2512.19069, algorithm 2; the tie rule is ours.
    """
    check_grid(grid)
    settings = settings or GenerationSettings()
    grid = strength_grid(settings.operator, grid)
    require_unseen(validation, steering, engine, "validation")
    engine = engine_for(child, steering, settings, engine)
    with shown_progress(progress, "searching lambda", (1 + len(grid)) * len(validation), "answers") as report:
        table = answer_problems(
            engine, validation, (0.0, *grid), settings, task=task, known=known, keep=keep, progress=report
        )
    return SearchResult(choose_strength(table, grid), tuple(grid), table)


def choose_strength(table: AnswerTable, grid: Sequence[float]) -> float:
    """The strength of the grid with the most right answers; the smallest on a tie."""
    return smallest_of_the_best({strength: table.summary(strength).correct for strength in grid})


def smallest_of_the_best(correct: Mapping[float, int]) -> float:
    """The strength with the most right answers, by strength; the smallest on a tie."""
    return max(sorted(correct, key=abs), key=correct.__getitem__)


def check_grid(grid: Sequence[float]) -> None:
    """Raise ConfigError unless the grid has at least one strength, all of them usable, none twice, and no 0.

    Raises: ConfigError otherwise.
    """
    if not grid:
        raise ConfigError("the grid of strengths is empty; give at least one, such as 0.1.")
    if len(grid) > MAX_STRENGTHS:
        raise ConfigError(f"the grid has {len(grid)} strengths, and {MAX_STRENGTHS} are the most.")
    for strength in grid:
        check_strength(strength)
    rounded = checked_strengths(grid).tolist()
    if len(set(rounded)) != len(rounded):
        twice = next(value for value in rounded if rounded.count(value) > 1)
        raise ConfigError(f"the grid of strengths names one twice: {twice:g} (in float32, as it is applied).")
    if 0 in grid:
        raise ConfigError("0 is the baseline, which is always run; leave it out of the grid.")


def check_strength(strength: float) -> None:
    """Raise ConfigError unless a strength is 0 or of a size that steers a model.

    Raises: ConfigError otherwise.
    """
    if not math.isfinite(strength):
        raise ConfigError(f"strength {strength} is not a finite number.")
    if strength and not 1 / MAX_STRENGTH <= abs(strength) <= MAX_STRENGTH:
        raise ConfigError(
            f"strength {strength:g} is out of bounds; give 0, or a size from {1 / MAX_STRENGTH:g} to {MAX_STRENGTH:g}."
        )
