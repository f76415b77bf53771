"""Scoring many generations of one task."""

from collections.abc import Sequence

from interp_xfer.errors import ShapeError
from interp_xfer.tasks.problems import Problem, Score, Task


def score_many(
    task: Task, texts: Sequence[str], problems: Sequence[Problem], truncated: Sequence[bool] | None = None
) -> list[Score]:
    """The scores of many generations, in parallel where the task can.

    Arguments:
        task: how they are scored.
        texts: generations.
        problems: one for each text; problems may repeat.
        truncated: whether each ran into its token limit; None for no.
    Returns: scores in order, equal to `task.score` one by one.
    Raises: ShapeError if the lengths differ.
    """
    cut = [False] * len(texts) if truncated is None else list(truncated)
    if not len(texts) == len(problems) == len(cut):
        raise ShapeError(
            f"{len(texts)} texts, {len(problems)} problems and {len(cut)} truncation flags; give one of each per text."
        )
    return task.score_many(texts, problems, cut)
