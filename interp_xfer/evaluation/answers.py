"""Scored answers of one model to some problems at some strengths: what search, vote and analyses are made of.

Two ways of answering: `generate` writes text from which the answer is read; `likelihood` takes the option with the
largest length-normalised likelihood (`likelihood.options`), for multiple choice, where a small model may miss the
format rather than the question.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool
from pandas import DataFrame
from torch import Tensor

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.fields import STRICT, Json
from interp_xfer.files.records import Record
from interp_xfer.generation import FinishedAnswers, IsComplete, SweepEngine, tokenise_prompt
from interp_xfer.likelihood.options import OptionScores, require_choices, score_options
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, no_progress
from interp_xfer.stats.intervals import Interval, wilson_interval
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Problem, Task, get_task, likelihood_prompt, render_prompt
from interp_xfer.tasks.scoring.private_reasoning import left_open


@dataclass(frozen=True)
class Answer:
    """One scored generation, or one choice by likelihood."""

    __pydantic_config__ = STRICT

    problem_id: str
    strength: float
    text: str
    """As generated; by likelihood the text of the chosen option."""
    parsed: str | None
    """Canonical answer; None: invalid."""
    correct: bool
    rule: str | None
    """Which extraction rule found it."""
    stop_reason: str
    n_tokens: int
    """New tokens; by likelihood the tokens of all options."""
    extra: dict[str, bool] = field(default_factory=dict)
    """The same answer scored by other published conventions."""
    log_likelihoods: dict[str, float] = field(default_factory=dict)
    """By likelihood: label -> log-likelihood of the option in nats, not normalised."""
    timed_out: bool = False
    """The comparison with the reference was given up; `correct` is then False for want of it."""

    def to_dict(self) -> Json:
        """Plain JSON; without `log_likelihoods` for a generation."""
        values = asdict(self)
        if not self.log_likelihoods:
            del values["log_likelihoods"]
        return values

    @classmethod
    def from_dict(cls, values: Json) -> "Answer":
        """The answer that `to_dict` wrote."""
        return cls(**values)


@dataclass(frozen=True)
class ArmSummary:
    """One arm of a comparison, over n questions."""

    n: int
    correct: int
    accuracy: Interval
    """Fraction, with its 95 % Wilson interval."""
    invalid: int
    """Answers in which no answer was found."""
    truncated: int
    """Answers that hit the token limit."""
    mean_tokens: float
    timed_out: int = 0
    """Answers whose comparison with the reference was given up; they count as wrong."""
    rules: dict[str, int] = field(default_factory=dict)
    """Extraction rule -> answers it found. A change of these between strengths is a change of style, whatever accuracy
    does; with `invalid` they add up to n."""

    def __str__(self) -> str:
        return f"{self.correct}/{self.n} right"

    def to_dict(self) -> Json:
        """Plain JSON."""
        low, high = self.accuracy.low, self.accuracy.high
        return {**asdict(self), "accuracy": self.accuracy.estimate, "low": low, "high": high}


@dataclass(frozen=True)
class AnswerTable:
    """Answers [strength][problem], both in the order given."""

    strengths: tuple[float, ...]
    problems: tuple[Problem, ...]
    answers: tuple[tuple[Answer, ...], ...]
    first_prompt: str
    """The rendered prompt of the first problem, as it was run."""

    def __repr__(self) -> str:
        low, high = min(self.strengths), max(self.strengths)
        return f"AnswerTable({len(self.problems)} problems at {len(self.strengths)} strengths, {low:g} to {high:g})"

    def to_dict(self) -> Json:
        """Plain JSON: everything."""
        return _File(table=self.without_places()).to_dict()["table"]

    def to_pandas(self) -> DataFrame:
        """One row an answer, strength by strength, beside the question and its reference answer."""
        return DataFrame(
            {"strength": strength, "question": problem.question, "reference": problem.answer, **answer.to_dict()}
            for strength, row in zip(self.strengths, self.answers, strict=True)
            for problem, answer in zip(self.problems, row, strict=True)
        )

    def save(self, path: Path | str) -> Path:
        """Write everything into one JSON file."""
        return _File(table=self.without_places()).write(path)

    @classmethod
    def load(cls, path: Path | str) -> "AnswerTable":
        """What `save` wrote; ArtifactError if the file is missing or damaged."""
        return _File.read(path).table

    def without_places(self) -> "AnswerTable":
        """The same table, which does not say where on a machine the problems were read."""
        return replace(self, problems=tuple(replace(problem, where="") for problem in self.problems))

    def at(self, strength: float) -> tuple[Answer, ...]:
        """The answers at one strength.

        Raises: ConfigError if it was not run.
        """
        if strength not in self.strengths:
            raise ConfigError(f"strength {strength} was not run; there are {', '.join(map(str, self.strengths))}.")
        return self.answers[self.strengths.index(strength)]

    def correct(self, strength: float) -> Bool[Tensor, " questions"]:
        """Which questions are right at one strength."""
        return torch.tensor([answer.correct for answer in self.at(strength)])

    def summary(self, strength: float) -> ArmSummary:
        """Accuracy and telemetry at one strength."""
        return summarise(self.at(strength))


class _File(Record):
    kind: Literal["answers"] = "answers"
    table: AnswerTable


def summarise(answers: Sequence[Answer]) -> ArmSummary:
    """Accuracy and telemetry of some answers.

    Raises: DataError without answers.
    """
    if not answers:
        raise DataError("there are no answers to summarise.")
    n, correct = len(answers), sum(answer.correct for answer in answers)
    return ArmSummary(
        n=n,
        correct=correct,
        accuracy=wilson_interval(correct, n),
        invalid=sum(answer.parsed is None for answer in answers),
        truncated=sum(answer.stop_reason == "length" for answer in answers),
        mean_tokens=sum(answer.n_tokens for answer in answers) / n,
        timed_out=sum(answer.timed_out for answer in answers),
        rules=dict(sorted(Counter(str(answer.rule) for answer in answers if answer.parsed is not None).items())),
    )


def make_engine(model: LoadedModel, steering: SteeringVectors | None, settings: GenerationSettings) -> SweepEngine:
    """The sweep engine for these settings."""
    return SweepEngine(
        model,
        steering,
        operator=settings.operator,
        tokens=settings.tokens,
        unit=settings.unit,
        max_memory=settings.max_memory,
    )


def require_unseen(
    problems: Sequence[Problem], steering: SteeringVectors | None, engine: SweepEngine | None, split: str
) -> None:
    """Raise LeakError if a problem took part in making the vectors, those of an engine included.

    Raises: LeakError otherwise.
    """
    for vectors in (steering, engine and engine.steering):
        if vectors is not None:
            vectors.prompts.require_disjoint(problems, "material of the steering vectors", split)


def engine_for(
    model: LoadedModel,
    steering: SteeringVectors | None,
    settings: GenerationSettings,
    engine: SweepEngine | None = None,
) -> SweepEngine:
    """The given engine, once it is known to be for these; a new one for None.

    Raises: SteeringError if it is for another model, other vectors, or another operator, token scope or unit.
    """
    if engine is None:
        return make_engine(model, steering, settings)
    engine.require(model, steering, operator=settings.operator, tokens=settings.tokens, unit=settings.unit)
    return engine


def answer_problems(
    engine: SweepEngine,
    problems: Sequence[Problem],
    strengths: Sequence[float],
    settings: GenerationSettings,
    *,
    task: Task | None = None,
    known: AnswerTable | None = None,
    keep: FinishedAnswers | None = None,
    is_complete: IsComplete | None = None,
    progress: Progress = no_progress,
) -> AnswerTable:
    """Ask every problem at every strength and score the answers, by `settings.scoring`.

    Arguments:
        engine: of the child and its steering vectors.
        problems: of one task.
        strengths: 0 is the unsteered model.
        settings: examples, limits, prompts.
        task: None takes the one the problems name.
        known: answers that are there already, made with the same settings; its strengths are not run again.
        keep: generations as in `SweepEngine.generate`, for calls that can be repeated after an interrupt.
        is_complete: when decoding stops; None for the task's rule of where an answer ends, by which texts are read
            in any case.
        progress: called with the number of answers just finished.
    Raises: DataError without problems, by likelihood without options, or where `known` answers other problems;
        SteeringError if the engine steers in another way than the settings say; otherwise as `SweepEngine.generate`.
    """
    if not problems:
        raise DataError("no problems to answer; the split is empty.")
    engine_for(engine.model, engine.steering, settings, engine)
    task = task or get_task(problems[0].task)
    if known is None:
        return _answer(engine, problems, strengths, settings, task, keep, is_complete, progress)
    if known.problems != tuple(problems):
        raise DataError(
            f"the answers that are there are to {len(known.problems)} problems, not to the same {len(problems)} that "
            f"are asked; answer them again."
        )
    wanted = [strength for strength in strengths if strength not in known.strengths]
    progress(len(problems) * (len(strengths) - len(wanted)))
    made = _answer(engine, problems, wanted, settings, task, keep, is_complete, progress) if wanted else known
    rows = tuple((known if strength in known.strengths else made).at(strength) for strength in strengths)
    return AnswerTable(tuple(strengths), tuple(problems), rows, known.first_prompt)


def _answer(
    engine: SweepEngine,
    problems: Sequence[Problem],
    strengths: Sequence[float],
    settings: GenerationSettings,
    task: Task,
    keep: FinishedAnswers | None,
    is_complete: IsComplete | None,
    progress: Progress,
) -> AnswerTable:
    if settings.scoring == "likelihood":
        return _answer_by_likelihood(engine, problems, strengths, settings, task, progress)
    if settings.scoring != "generate":
        raise ConfigError(f"scoring {settings.scoring!r} is not one of 'generate', 'likelihood'.")
    tokenizer = engine.model.tokenizer
    rendered = [
        render_prompt(tokenizer, task, p, settings.n_shots, settings.system_prompt, settings.enable_thinking)
        for p in problems
    ]
    prompts = [tokenise_prompt(engine.model, p.id, r) for p, r in zip(problems, rendered, strict=True)]
    opening = left_open(rendered[0].text, task.reasoning_tags)  # the template is the same for all of them
    generations = engine.generate(
        prompts,
        strengths,
        max_new_tokens=settings.max_new_tokens or task.max_new_tokens,
        is_complete=is_complete or (lambda text: task.is_complete(opening + text)),
        keep=keep,
        progress=progress,
    )
    table = []
    for strength, row in zip(strengths, generations, strict=True):
        scores = task.score_many([opening + g.text for g in row], problems)
        table.append(
            tuple(
                Answer(
                    problem_id=p.id,
                    strength=strength,
                    text=g.text,
                    parsed=s.parsed,
                    correct=s.correct,
                    rule=s.rule,
                    stop_reason=g.stop_reason,
                    n_tokens=len(g.token_ids),
                    extra=dict(s.extra),
                    timed_out=s.timed_out,
                )
                for p, g, s in zip(problems, row, scores, strict=True)
            )
        )
    return AnswerTable(tuple(strengths), tuple(problems), tuple(table), rendered[0].text)


def _answer_by_likelihood(
    engine: SweepEngine,
    problems: Sequence[Problem],
    strengths: Sequence[float],
    settings: GenerationSettings,
    task: Task,
    progress: Progress,
) -> AnswerTable:
    require_choices(problems)
    if not 0 <= settings.n_shots <= len(task.few_shot):
        raise ConfigError(f"n_shots={settings.n_shots}, but {task.name} has {len(task.few_shot)} few-shot examples.")
    examples = task.few_shot[: settings.n_shots]
    scores = score_options(
        engine.model,
        problems,
        strengths,
        engine.steering,
        examples=examples,
        operator=engine.operator,
        tokens=engine.tokens,
        unit=engine.unit,
        progress=progress,
    )
    table = [tuple(_chosen(p, s) for p, s in zip(problems, row, strict=True)) for row in scores]
    context = likelihood_prompt(problems[0], examples).context
    return AnswerTable(tuple(strengths), tuple(problems), tuple(table), context)


def _chosen(problem: Problem, scores: OptionScores) -> Answer:
    label = scores.chosen("character")
    return Answer(
        problem_id=problem.id,
        strength=scores.strength,
        text=next((choice.text for choice in problem.choices if choice.label == label), ""),
        parsed=label,
        correct=label == problem.answer,
        rule=None if label is None else "likelihood_per_character",
        stop_reason="degenerate" if scores.degenerate else "scored",
        n_tokens=sum(scores.n_tokens),
        extra={
            "likelihood_sum": scores.chosen("sum") == problem.answer,
            "likelihood_per_token": scores.chosen("token") == problem.answer,
        },
        log_likelihoods={} if scores.degenerate else dict(zip(scores.labels, scores.log_likelihoods, strict=True)),
    )


def voted(table: AnswerTable, grid: Sequence[float], choose: Callable[..., str | None]) -> tuple[Answer, ...]:
    """One answer per question by `choose(answers, strengths)`, with the cost of all of them.

    The voted answer keeps text and rule of the answer at the smallest strength that gave it.
    """
    rows = [table.at(strength) for strength in grid]
    out = []
    for index, problem in enumerate(table.problems):
        candidates = [row[index] for row in rows]
        winner = choose([c.parsed for c in candidates], list(grid))
        tokens = sum(c.n_tokens for c in candidates)
        agreeing = [c for c in candidates if winner is not None and c.parsed == winner]
        if agreeing:
            shown = min(agreeing, key=lambda c: abs(c.strength))
            out.append(replace(shown, n_tokens=tokens))
        else:
            reason = "length" if all(c.stop_reason == "length" for c in candidates) else candidates[0].stop_reason
            out.append(Answer(problem.id, float("nan"), "", None, False, None, reason, tokens))
    return tuple(out)
