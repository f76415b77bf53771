"""The records that tasks hand out: a problem, a score, and what makes a task.

A task is a frozen record of plain functions, so a new benchmark is one file with such functions and one line in
`registry.TASKS`. No model and no tokenizer appears here.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Choice:
    """One option of a multiple-choice problem."""

    label: str
    """As the item itself calls it: usually A-D, sometimes 1-4."""
    text: str


@dataclass(frozen=True)
class Problem:
    """One question with its reference answer."""

    id: str
    """Unique within a task, and the same in every split that could hold the problem."""
    question: str
    reasoning: str | None
    """Worked reference solution without the final-answer line; None where the data has none."""
    answer: str
    """Reference answer as the data gives it (a label for multiple choice)."""
    choices: tuple[Choice, ...] = ()
    task: str = ""
    where: str = field(default="", compare=False)
    """File and line it was read from, or row of a data set: for messages, and in no record."""

    @property
    def text(self) -> str:
        """The question with its options: what must not be shared between stages."""
        return "\n".join([self.question, *(choice.text for choice in self.choices)])


@dataclass(frozen=True)
class Score:
    """What a scorer read from one generated text."""

    raw: str
    """The text as generated."""
    parsed: str | None
    """Canonical answer: equal answers are equal strings ("18", "18.0" and "$18" are "18"). None: no answer found."""
    correct: bool
    rule: str | None
    """Which extraction rule found the answer, for instance "hash" or "last_number"."""
    truncated: bool
    """The generation ran into its token limit."""
    extra: Mapping[str, bool] = field(default_factory=dict)
    """The same text under other published conventions, for instance lm_eval_strict and lm_eval_flexible."""


@runtime_checkable
class Scorer(Protocol):
    """Scores one generated text against its problem."""

    def __call__(self, text: str, problem: Problem, truncated: bool = False) -> Score:
        """The score of `text`."""
        ...


@dataclass(frozen=True)
class HubSplit:
    """One published split on the Hugging Face hub."""

    id: str
    revision: str
    """Full commit hash, so that the rows cannot change under a study."""
    split: str
    configs: tuple[str | None, ...] = (None,)
    """Configurations that are concatenated in this order."""


@dataclass(frozen=True)
class Source:
    """Where the rows of a benchmark come from: a hub data set at a pinned revision, or `<data_dir>/<task>/`."""

    hub: Mapping[Split, HubSplit]
    """Published splits; a split that is missing here is cut from train."""
    licence: str
    rows: Mapping[Split, int]
    """Row counts of the full published splits."""


@dataclass(frozen=True)
class Task:
    """A benchmark: rows, prompts, and how answers are read and compared.

    Use `dataclasses.replace(task, system_prompt=..., few_shot=...)` for a study's own prompts.
    """

    name: str
    system_prompt: str
    """Role, steps and answer format; "" for none."""
    few_shot: tuple[Problem, ...]
    """Worked examples for inference. They are excluded from every split."""
    max_new_tokens: int
    """Room for a full solution; the same for every arm of a comparison."""
    stop_sequences: tuple[str, ...]
    """A generation ends where one of these begins; scorers cut there too."""
    format_question: Callable[[Problem], str]
    """User text."""
    format_solution: Callable[[Problem], str]
    """Assistant text: the reasoning, then the answer in the task's format."""
    format_answer: Callable[[Problem], str]
    """Assistant text: the bare answer in the task's format."""
    score: Scorer
    is_complete: Callable[[str], bool]
    """True once the text decoded so far holds its final answer, so that decoding can stop."""
    wrong_answer: Callable[[Problem, random.Random], str]
    """An answer that is not the reference answer, of the same kind."""
    source: Source | None = None
    """None for a task that generates its rows."""
    parse_row: Callable[[Mapping[str, Any], str], Problem] | None = None
    """A row in the published schema, and an id for rows that have none, to a problem. Raises DataError."""
    generate: Callable[[Split, int, int, int], list[Problem]] | None = None
    """(split, seed, offset, limit) to problems, for a task without a source."""
    split_sizes: Mapping[Split, int] = field(default_factory=dict)
    """Sizes of generated splits when no limit is given."""
    score_many: Callable[[list[str], list[Problem], list[bool]], list[Score]] | None = None
    """Scores a batch where that is faster than one by one."""


def cut_at_stop(text: str, stop_sequences: tuple[str, ...]) -> str:
    """The part of `text` before the first stop sequence, leaving aside white space at its beginning.

    Arguments:
        text: decoded generation.
        stop_sequences: strings that end an answer.
    Returns: `text`, shortened where a stop sequence occurs.
    Source: house rule.
    """
    start = len(text) - len(text.lstrip())
    ends = [position for stop in stop_sequences if (position := text.find(stop, start)) >= 0]
    return text[: min(ends)] if ends else text
