"""What a run keeps about a single answer: one line of `items/<key>.jsonl`."""

import json
from collections.abc import Iterator
from typing import Literal

from interp_xfer.evaluation.answers import Answer, AnswerTable
from interp_xfer.evaluation.evaluate import Evaluation
from interp_xfer.evaluation.search import SearchResult
from interp_xfer.fields import Count
from interp_xfer.files.records import Record
from interp_xfer.tasks import Problem
from interp_xfer.tasks.problems import Split


class ItemRecord(Record):
    """An `Answer` with the question it is to."""

    split: Split
    arm: Literal["sweep", "vote"]
    """sweep: the answer at one strength."""
    question: str
    reference: str
    problem_id: str
    strength: float | None
    """None for the vote."""
    text: str
    parsed: str | None
    correct: bool
    rule: str | None
    stop_reason: str
    n_tokens: Count
    extra: dict[str, bool]
    log_likelihoods: dict[str, float] = {}
    timed_out: bool

    @property
    def swept(self) -> bool:
        """Whether it answers a test question at one strength."""
        return self.split == "test" and self.arm == "sweep"

    def line(self) -> str:
        """The answer as it is kept; without `log_likelihoods` for a generation."""
        values = self.to_dict()
        if not self.log_likelihoods:
            del values["log_likelihoods"]
        return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def item_records(search: SearchResult, result: Evaluation) -> Iterator[ItemRecord]:
    """One record per (split, question, strength); the votes come last."""
    tables: tuple[tuple[Split, AnswerTable], ...] = (("validation", search.table), ("test", result.table))
    for split, table in tables:
        for answers in table.answers:
            for problem, answer in zip(table.problems, answers, strict=True):
                yield _item(split, "sweep", problem, answer, answer.strength)
    if result.vote is not None:
        for problem, answer in zip(result.table.problems, result.vote.answers, strict=True):
            yield _item("test", "vote", problem, answer, None)


def _item(
    split: Split, arm: Literal["sweep", "vote"], problem: Problem, answer: Answer, strength: float | None
) -> ItemRecord:
    values = {**answer.to_dict(), "strength": strength}
    return ItemRecord(split=split, arm=arm, question=problem.question, reference=problem.answer, **values)
