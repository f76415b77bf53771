"""No question may serve two stages: contrast pairs, projection corpus, validation, test and few-shot stay apart.

A map fitted on the contrast pairs reproduces the child's own vector, and a strength chosen on test questions flatters
itself. Overlap is judged by id and by normalised text, since data sets repeat questions under
different ids.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import combinations

from interp_xfer.errors import LeakError
from interp_xfer.fields import Json
from interp_xfer.tasks.contrast import ContrastPair
from interp_xfer.tasks.problems import Problem, Task

_N_SHOWN = 3


@dataclass(frozen=True)
class FitText:
    """An ordinary text on which a map between two models is fitted."""

    id: str
    """Id of the problem that it comes from, or any name."""
    text: str
    question: str = ""
    """The question inside `text`, if there is one: what is compared with other sets."""
    where: str = field(default="", compare=False)
    """File and line it was read from, for messages only."""


Item = Problem | ContrastPair | FitText


def projection_texts(task: Task, problems: Iterable[Problem]) -> list[FitText]:
    """Question and reference reasoning of each problem as one plain text, without any template.

    Arguments:
        task: whose question format is used.
        problems: disjoint from contrast pairs and evaluation questions (`check_disjoint`).
    Returns: one text for each problem.
    """
    texts = []
    for problem in problems:
        parts = [task.format_question(problem), problem.reasoning]
        texts.append(FitText(problem.id, "\n".join(part for part in parts if part), problem.text, problem.where))
    return texts


def normalise_text(text: str) -> str:
    """A text as the leak check compares it: casefolded, runs of white space and of `.,;:!?'"$` as one space.

    Signs of calculation stay, so that "x+1" and "x-1" differ.
    """
    return re.sub(r"[\s.,;:!?'\"`$\u2018\u2019\u201c\u201d\u2026]+", " ", text.casefold()).strip()


def check_disjoint(sets: Mapping[str, Iterable[Item]]) -> None:
    """Refuses sets that share a question.

    Arguments:
        sets: for instance {"contrast": pairs, "projection": texts, "validation": problems, "test": problems,
            "few-shot": problems}.
    Raises: LeakError that names both sets, how many items are shared, and the first ids.
    """
    keyed = {name: [(item, leak_keys(item)) for item in items] for name, items in sets.items()}
    for first, second in combinations(keyed, 2):
        ids = {id_ for _, keys in keyed[second] for id_ in keys[0]}
        texts = {text for _, keys in keyed[second] for text in keys[1]}
        shared = [item.id for item, keys in keyed[first] if keys[0] & ids or keys[1] & texts]
        if shared:
            shown = ", ".join(shared[:_N_SHOWN]) + (", ..." if len(shared) > _N_SHOWN else "")
            raise LeakError(
                f"{len(shared)} of {len(keyed[first])} {first} items are also in {second} ({shown}), by id or by text; "
                f"give the two sets different splits, offsets or data."
            )


def content(item: Item) -> Json:
    """What an item says, without where it was read: equal items have equal contents."""
    values = asdict(item)
    return {field.name: values[field.name] for field in fields(item) if field.compare}


def leak_keys(item: Item) -> tuple[frozenset[str], frozenset[str]]:
    """Ids and normalised texts of an item: what it shares with another item if both hold the same question."""
    if isinstance(item, ContrastPair):
        ids, texts = item.problem_ids, item.questions
    elif isinstance(item, FitText):
        ids, texts = (item.id,), (item.question or item.text,)
    else:
        ids, texts = (item.id,), (item.text,)
    return frozenset(ids), frozenset(normalise_text(text) for text in texts)
