"""What is kept of a finished cell: one JSON object, and a line for every answer."""

import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import torch

from interp_xfer.answers import Answer, AnswerTable
from interp_xfer.evaluation import Evaluation
from interp_xfer.lambda_search import SearchResult
from interp_xfer.statistics import max_t_sign_flip
from interp_xfer.studies.config import Study
from interp_xfer.tasks import Problem
from interp_xfer.vectors import SteeringVectors


def cell_record(
    study: Study,
    steering: SteeringVectors,
    search: SearchResult,
    result: Evaluation,
    path: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Everything about a cell that is not a single answer, as plain JSON."""
    return {
        "key": study.cell_key,
        "status": "success",
        "study": study.model_dump(mode="json"),
        "parent": steering.parent.to_dict(),
        "child": steering.child.to_dict(),
        "concept": steering.concept.to_dict(),
        "projection": steering.projection.to_dict(),
        "layer_map": steering.layer_map.to_dict(),
        "flipped": list(steering.flipped),
        "residual_norms": steering.residual_norms.tolist(),
        "validation": {
            "n": len(search.table.problems),
            "lambda_star": search.best,
            "tie_rule": "smallest strength",
            "strengths": _strength_rows(search.table),
        },
        "test": {
            "n": len(result.table.problems),
            **{arm.name: arm.to_dict() for arm in result.arms},
            "strengths": _strength_rows(result.table),
            "best_of_grid": best_of_grid(result.table, study.strengths) if study.with_its else None,
        },
        "first_prompt": result.table.first_prompt,
        "generation_path": path,
        "wall_s": seconds,
        "versions": versions(),
    }


def item_records(search: SearchResult, result: Evaluation) -> Iterator[dict[str, Any]]:
    """One record per (split, question, strength); the votes come last, with strength None."""
    for split, table in (("validation", search.table), ("test", result.table)):
        problems = {problem.id: problem for problem in table.problems}
        for answers in table.answers:
            for answer in answers:
                yield _item(split, "sweep", problems[answer.problem_id], answer)
    if result.vote is not None:
        problems = {problem.id: problem for problem in result.table.problems}
        for answer in result.vote.answers:
            yield {**_item("test", "vote", problems[answer.problem_id], answer), "strength": None}


def _item(split: str, arm: str, problem: Problem, answer: Answer) -> dict[str, Any]:
    return {"split": split, "arm": arm, "question": problem.question, "reference": problem.answer, **answer.to_dict()}


def _strength_rows(table: AnswerTable) -> list[dict[str, Any]]:
    return [{"strength": strength, **table.summary(strength).to_dict()} for strength in table.strengths]


def best_of_grid(table: AnswerTable, grid: tuple[float, ...]) -> dict[str, Any]:
    """The best strength of the grid on the test questions, adjusted for having looked at all of them."""
    baseline = table.correct(0.0).double()
    differences = torch.stack([table.correct(strength).double() - baseline for strength in grid], dim=1)
    if not bool((differences != 0).any()):
        return {"strength": None, "p_adjusted": 1.0, "note": "no answer changed at any strength"}
    if len(differences) < 2:
        return {"strength": None, "p_adjusted": 1.0, "note": "one question cannot be tested"}
    found = max_t_sign_flip(differences)
    return {"strength": grid[found.best], "p_adjusted": found.p_value, "note": "max-T over the grid, one-sided"}


def versions() -> dict[str, str]:
    """Versions of what computes the numbers."""
    names = ("interp-xfer", "torch", "transformers", "transformer-lens", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
