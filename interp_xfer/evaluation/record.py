"""What search and evaluation keep as files, and for what they hold.

Each says which child answered (fingerprint), under which vectors (their digest), how it was steered and asked, and
which questions, so that lambda* of one thing is not taken for that of another.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from pydantic import model_validator

from interp_xfer.choices import Scoring, StrengthUnit, TokenScope
from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.answers import AnswerTable
from interp_xfer.evaluation.evaluate import Arm, Evaluation
from interp_xfer.evaluation.search import SearchResult, smallest_of_the_best
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.fields import Cosine, Count, Digest, Fraction, Json, NotNegative, Positive
from interp_xfer.files.records import Record
from interp_xfer.models import Fingerprint
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Problem, Task
from interp_xfer.tasks.leaks import content
from interp_xfer.tasks.problems import Split
from interp_xfer.tasks.prompt_hashes import PromptHashes, problems_digest

_CLOSE = 1e-9


class Conditions(Record):
    """For which model, vectors and way of asking numbers hold."""

    child: Fingerprint
    parent: Fingerprint | None
    """Where the concept was found; None unsteered."""
    steering: Digest | None
    """Of the vectors; None unsteered."""
    operator: str
    tokens: TokenScope
    unit: StrengthUnit
    scoring: Scoring
    n_shots: Count
    max_new_tokens: Positive
    asking: Digest
    """Of system prompt, examples and thinking."""
    dataset: str

    def differences(self, other: "Conditions") -> list[str]:
        """What is not the same in two of them, as "name this / that"."""
        names = [name for name in Conditions.model_fields if name not in ("child", "parent")]
        found = [(name, getattr(self, name), getattr(other, name)) for name in names]
        if self.child.digest != other.child.digest:
            found.insert(0, ("child", self.child, other.child))
        return [f"{name} {mine} / {theirs}" for name, mine, theirs in found if mine != theirs]


def conditions(
    child: Fingerprint, steering: SteeringVectors | None, settings: GenerationSettings, task: Task
) -> Conditions:
    """What is being asked of which model."""
    system_prompt = task.system_prompt if settings.system_prompt is None else settings.system_prompt
    shown = [content(example) for example in task.few_shot[: settings.n_shots]]
    return Conditions(
        child=child,
        parent=steering and steering.parent,
        steering=steering and steering.digest,
        operator=settings.operator,
        tokens=settings.tokens,
        unit=settings.unit,
        scoring=settings.scoring,
        n_shots=settings.n_shots,
        max_new_tokens=settings.max_new_tokens or task.max_new_tokens,
        asking=_digest([system_prompt, shown, settings.enable_thinking]),
        dataset=task.name,
    )


class Answered(Conditions):
    """And which questions were answered."""

    split: Split
    n: Positive
    problems: Digest
    """Of the questions, options and reference answers, in order."""


class Summary(Record):
    """Answers to n questions, counted."""

    n: Positive
    correct: Count
    accuracy: Fraction
    low: Fraction
    """Lower end of the 95 % Wilson interval."""
    high: Fraction
    invalid: Count
    """Answers in which no answer was found."""
    truncated: Count
    """Answers that hit the token limit."""
    mean_tokens: NotNegative
    timed_out: Count
    """Answers whose comparison with the reference was given up; they count as wrong."""
    rules: dict[str, Count]
    """Extraction rule -> answers it found."""

    @model_validator(mode="after")
    def _possible(self) -> "Summary":
        if max(self.correct + self.invalid, self.truncated, self.timed_out) > self.n:
            raise ValueError(f"{self.correct} right, {self.invalid} invalid and {self.truncated} cut off of {self.n}")
        if sum(self.rules.values()) + self.invalid != self.n:
            raise ValueError(f"rules found {sum(self.rules.values())} answers, {self.invalid} are invalid, of {self.n}")
        close = abs(self.accuracy - self.correct / self.n) <= _CLOSE
        if not close or not self.low - _CLOSE <= self.accuracy <= self.high + _CLOSE:
            raise ValueError(f"accuracy {self.accuracy} in [{self.low}, {self.high}] of {self.correct} in {self.n}")
        return self


class Point(Summary):
    """Answers at one strength."""

    strength: float


class Difference(Record):
    """An arm minus the baseline, paired by question."""

    delta: Cosine
    standard_error: NotNegative
    low: Cosine
    high: Cosine
    broken: Count
    """Right at baseline, wrong in this arm."""
    fixed: Count
    """Wrong at baseline, right in this arm."""
    p_value: Fraction
    """Of the test whose inversion is the interval; two-sided."""
    n: Positive

    @model_validator(mode="after")
    def _possible(self) -> "Difference":
        if self.broken + self.fixed > self.n or abs(self.delta - (self.fixed - self.broken) / self.n) > _CLOSE:
            raise ValueError(f"a difference of {self.delta} from {self.fixed} gained, {self.broken} lost of {self.n}")
        return self


class ArmRecord(Summary):
    """One way of answering the test questions."""

    name: Literal["baseline", "lambda_star", "vote"]
    strength: float | None
    """None for the vote."""
    difference: Difference | None
    """None for the baseline."""


def points(table: AnswerTable) -> tuple[Point, ...]:
    """One record a strength."""
    return tuple(Point(strength=strength, **table.summary(strength).to_dict()) for strength in table.strengths)


def arm_record(arm: Arm) -> ArmRecord:
    """The record of an arm."""
    difference = None if arm.difference is None else Difference(**arm.difference._asdict())
    return ArmRecord.model_validate(
        {"name": arm.name, "strength": arm.strength, "difference": difference, **arm.summary.to_dict()}
    )


class SearchRecord(Answered):
    """`interp-xfer search`."""

    kind: Literal["search"] = "search"
    asked: tuple[Digest, ...]
    """Ids and texts of the questions, hashed as in `PromptHashes`."""
    lambda_star: float
    strengths: tuple[Point, ...]
    """Baseline first, then the grid."""

    @model_validator(mode="after")
    def _chosen(self) -> "SearchRecord":
        baseline, *grid = self.strengths
        if baseline.strength != 0 or not grid or 0 in (row.strength for row in grid):
            raise ValueError("the strengths are not a baseline at 0 and a grid")
        if {row.n for row in self.strengths} != {self.n}:
            raise ValueError(f"not every strength has the {self.n} answers")
        if self.lambda_star != smallest_of_the_best({row.strength: row.correct for row in grid}):
            raise ValueError(f"lambda_star {self.lambda_star} is not the smallest of the best strengths")
        return self

    def require(self, asked: Conditions, source: str) -> None:
        """Raise ConfigError unless lambda* was searched for what is asked.

        Raises: ConfigError naming all that differs.
        """
        if differing := self.differences(asked):
            raise ConfigError(
                f"{source} was searched for something else than is evaluated: {'; '.join(differing)}. Search with the "
                "same, or give a strength by --strength."
            )

    def require_unseen(self, test: Sequence[Problem], source: str) -> None:
        """Raise LeakError if one of the questions chose lambda*.

        Raises: LeakError otherwise.
        """
        PromptHashes.from_list(self.asked).require_disjoint(test, f"questions that chose lambda* in {source}", "test")


class EvaluationRecord(Answered):
    """`interp-xfer evaluate`."""

    kind: Literal["evaluation"] = "evaluation"
    baseline: ArmRecord
    lambda_star: ArmRecord
    vote: ArmRecord | None
    strengths: tuple[Point, ...]

    @model_validator(mode="after")
    def _agree(self) -> "EvaluationRecord":
        rows = {row.strength: row.correct for row in self.strengths}
        steered = [arm for arm in (self.lambda_star, self.vote) if arm is not None]
        if {row.n for row in (*self.strengths, self.baseline, *steered)} != {self.n}:
            raise ValueError(f"not every arm has the {self.n} answers")
        if self.baseline.strength != 0 or self.baseline.difference is not None:
            raise ValueError("the baseline is steered")
        for arm in (self.baseline, self.lambda_star):
            if arm.strength is None or rows.get(arm.strength) != arm.correct:
                raise ValueError(f"the arm at strength {arm.strength} is not that of the strengths")
        for arm in steered:
            if arm.difference is None or abs(arm.difference.delta - arm.accuracy + self.baseline.accuracy) > _CLOSE:
                raise ValueError(f"the difference of the arm at strength {arm.strength} is not that of the accuracies")
        return self


def search_record(asked: Conditions, found: SearchResult) -> SearchRecord:
    """The file of a search."""
    problems = found.table.problems
    return SearchRecord(
        **answered(asked, "validation", problems),
        asked=tuple(PromptHashes.of(problems).to_list()),
        lambda_star=found.best,
        strengths=points(found.table),
    )


def evaluation_record(asked: Conditions, found: Evaluation) -> EvaluationRecord:
    """The file of an evaluation."""
    arms = {arm.name: arm_record(arm) for arm in found.arms}
    return EvaluationRecord(
        **answered(asked, "test", found.table.problems),
        baseline=arms["baseline"],
        lambda_star=arms["lambda_star"],
        vote=arms.get("vote"),
        strengths=points(found.table),
    )


def answered(asked: Conditions, split: Split, problems: Sequence[Problem]) -> Json:
    """The fields of `Answered`."""
    conditions = {name: getattr(asked, name) for name in Conditions.model_fields}
    return {**conditions, "split": split, "n": len(problems), "problems": problems_digest(problems)}


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
