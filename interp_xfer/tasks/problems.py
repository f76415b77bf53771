"""The records that tasks hand out: a problem, a score, and what makes a task.

A task is a frozen record of plain functions, so a new benchmark is one file with such functions and one line in
`registry.TASKS`. No model and no tokenizer appears here.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from interp_xfer.errors import ShapeError
from interp_xfer.tasks.scoring.private_reasoning import REASONING_TAGS, ReasoningTag, public_text

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


class Score(NamedTuple):
    """What a benchmark reads from one answer."""

    parsed: str | None
    """Canonical answer: equal answers are equal strings ("18", "18.0" and "$18" are "18"). None: no answer found."""
    correct: bool
    rule: str | None
    """Which extraction rule found the answer, for instance "hash" or "last_number"."""
    timed_out: bool = False
    """The comparison with the reference was given up (time, memory, length); `correct` is then False for want of it."""
    extra: Mapping[str, bool] = MappingProxyType({})
    """The same text read by other patterns; see the task's `AnswerReader`."""


class Extracted(NamedTuple):
    """An answer and the rule that found it; both None when there is none."""

    answer: str | None
    rule: str | None


@dataclass(frozen=True)
class AnswerReader:
    """How a benchmark reads its answers. Texts come without private reasoning, and cut where the answer ended."""

    rules: tuple[str, ...]
    """Every rule by which an answer can be found, in the order in which they are asked."""
    given_at: Callable[[str], int | None]
    """Where the final answer has been given, once and for all: the end of what is read, None if it has not.
    A longer text gives the same place."""
    judge: Callable[[Sequence[str], Sequence[Problem]], list[Score]]
    """Scores of many answers, in order."""


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


class AnswerText(NamedTuple):
    """The answer within a generation."""

    text: str
    is_complete: bool


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
    reader: AnswerReader
    """How answers are read and judged."""
    wrong_answer: Callable[[Problem, random.Random], str]
    """An answer that is not the reference answer, of the same kind."""
    source: Source | None = None
    """None for a task that generates its rows."""
    parse_row: Callable[[Mapping[str, object], str], Problem] | None = None
    """A row in the published schema, and an id for rows that have none, to a problem. Raises DataError."""
    generate: Callable[[Split, int, int, int], list[Problem]] | None = None
    """(split, seed, offset, limit) to problems, for a task without a source."""
    split_sizes: Mapping[Split, int] = field(default_factory=dict)
    """Sizes of generated splits when no limit is given."""
    reasoning_tags: tuple[ReasoningTag, ...] = REASONING_TAGS
    """What opens and closes private reasoning, which is never read."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Every extraction rule that can find an answer, in the order in which they are asked."""
        return self.reader.rules

    def answer_text(self, text: str) -> AnswerText:
        """The part of a generation that is its answer; the one rule of where an answer ends, for every path.

        1. Private reasoning is left out (`private_reasoning.py`); a text that ends inside it has no answer.
        2. It ends where the first stop sequence begins, or where the answer has been given in the task's own form,
           whichever is first. What comes after that is not read.

        Arguments:
            text: a generation, so far or whole.
        Returns: the answer, and whether it is complete.
        """
        public = public_text(text, self.reasoning_tags)
        stopped = cut_at_stop(public.text, self.stop_sequences)
        given = self.reader.given_at(stopped)
        if given is not None:
            return AnswerText(stopped[:given], True)
        if len(stopped) < len(public.text):
            return AnswerText(stopped, True)
        return AnswerText("" if public.is_open else stopped, False)

    def is_complete(self, text: str) -> bool:
        """True once the text decoded so far holds its final answer, so that decoding can stop."""
        return self.answer_text(text).is_complete

    def score(self, text: str, problem: Problem) -> Score:
        """The score of one generation; for many, `score_many` is faster."""
        return self.score_many([text], [problem])[0]

    def score_many(self, texts: Sequence[str], problems: Sequence[Problem]) -> list[Score]:
        """The scores of many generations, in parallel where the task can.

        Arguments:
            texts: generations.
            problems: one for each text; problems may repeat.
        Returns: in order, equal to `score` one by one.
        Raises: ShapeError if the lengths differ.
        """
        if len(texts) != len(problems):
            raise ShapeError(f"{len(texts)} texts and {len(problems)} problems; give one problem for each text.")
        return self.reader.judge([self.answer_text(text).text for text in texts], problems)


def cut_at_stop(text: str, stop_sequences: tuple[str, ...]) -> str:
    """The part of `text` before the first stop sequence, leaving aside white space at its beginning.

    Arguments:
        text: decoded generation.
        stop_sequences: strings that end an answer.
    Returns: `text`, shortened where a stop sequence occurs.
    """
    start = len(text) - len(text.lstrip())
    ends = [position for stop in stop_sequences if (position := text.find(stop, start)) >= 0]
    return text[: min(ends)] if ends else text
