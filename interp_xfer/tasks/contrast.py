"""Contrast pairs: two texts about the same question that differ in one concept.

Kinds (a new one is a function and an entry of `CONTRAST_KINDS`):

- `reasoning-vs-answer` (default, the paper): the worked reasoning ending in the answer, against the bare answer.
- `own-vs-other-reasoning`: the question's own reasoning, against that of another question.
- `correct-vs-incorrect`: the solution with the right final answer, against the same with a wrong one.
- `instruction`: the same solution under two opposed instructions (as in representation engineering, 2310.01405).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from interp_xfer.errors import DataError
from interp_xfer.kinds import Table
from interp_xfer.streams import word_stream
from interp_xfer.tasks.problems import Problem, Task
from interp_xfer.tasks.registry import get_task
from interp_xfer.words import shown

THOROUGH = "Think carefully and reason step by step before you give the answer."
HASTY = "Give the first answer that comes to mind, without any reasoning."


@dataclass(frozen=True)
class ContrastPair:
    """Two conversations of one user turn and one assistant turn, without examples."""

    id: str
    kind: str
    prompt: str
    """User text of the positive member, and of the negative one unless `negative_prompt` is set."""
    positive: str
    """Assistant text that shows the concept."""
    negative: str
    """Assistant text that does not."""
    problem_ids: tuple[str, ...]
    """Every problem that a part of the pair comes from."""
    questions: tuple[str, ...]
    """Their questions with options, for the leak check."""
    negative_prompt: str | None = None
    """User text of the negative member where it differs."""
    where: str = field(default="", compare=False)
    """File and line of the problems, for messages only."""


Pairs = Sequence[ContrastPair | Sequence[str]]
"""Contrast pairs, or plain texts: `(positive, negative)` or `(prompt, positive, negative)`; see `as_pairs`."""


def as_pairs(pairs: Pairs) -> list[ContrastPair]:
    """Contrast pairs, those that are plain texts made into some.

    `(prompt, positive, negative)` is one user text and two answers to it; the leak checks look for the prompt.
    `(positive, negative)` has no prompt: the two texts alone, or after an empty user turn where the model has a chat
    template; the leak checks look for both texts. Ids come from the texts.

    Raises: DataError for an entry that is neither, or has an empty positive or negative text.
    """
    return [pair if isinstance(pair, ContrastPair) else _from_texts(pair, at) for at, pair in enumerate(pairs)]


def _from_texts(texts: Sequence[str], at: int) -> ContrastPair:
    is_list = isinstance(texts, tuple | list) and all(isinstance(text, str) for text in texts)
    if not is_list or len(texts) not in (2, 3) or not all(text.strip() for text in texts[-2:]):
        raise DataError(
            f"pair {at} is {shown(texts)}; give a ContrastPair, or texts that are not empty as (positive, negative) or "
            "(prompt, positive, negative)."
        )
    prompt, (positive, negative) = texts[0] if len(texts) == 3 else "", texts[-2:]
    name = "texts-" + hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
    return ContrastPair(
        id=name,
        kind="texts",
        prompt=prompt,
        positive=positive,
        negative=negative,
        problem_ids=(name,),
        questions=(prompt,) if prompt.strip() else (positive, negative),
        where=f"pair {at}",
    )


def contrast_pairs(
    problems: Sequence[Problem], kind: str = "reasoning-vs-answer", seed: int = 0, task: Task | None = None
) -> list[ContrastPair]:
    """One contrast pair for each problem, in order.

    Arguments:
        problems: training problems of one task.
        kind: a key of `CONTRAST_KINDS`.
        seed: draws the other question or the wrong answer.
        task: formats question and solution; None takes the task that the problems name.
    Returns: pairs, zero-shot.
    Raises: ConfigError for an unknown kind; DataError without problems, or if the kind needs reasoning and a problem
        has none.
    Source: 2512.19069, section 4; 2310.01405 for `instruction`.
    """
    make = CONTRAST_KINDS[kind].make
    if not problems:
        raise DataError("no problems to make contrast pairs from; give at least one.")
    return make(problems, task or get_task(problems[0].task), seed)


def _pair(problem: Problem, task: Task, kind: str, positive: str, negative: str) -> ContrastPair:
    return ContrastPair(
        id=f"{problem.id}#{kind}",
        kind=kind,
        prompt=task.format_question(problem),
        positive=positive,
        negative=negative,
        problem_ids=(problem.id,),
        questions=(problem.text,),
        where=problem.where,
    )


def _need_reasoning(problems: Sequence[Problem], kind: str) -> None:
    missing = [problem for problem in problems if not problem.reasoning]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(problems)} problems have no reasoning ({missing[0].id}), which {kind!r} needs; "
            f"have a model write it: interp-xfer rationales --dataset {missing[0].task}."
        )


def _reasoning_vs_answer(problems: Sequence[Problem], task: Task, seed: int) -> list[ContrastPair]:
    kind = "reasoning-vs-answer"
    _need_reasoning(problems, kind)
    return [_pair(p, task, kind, task.format_solution(p), task.format_answer(p)) for p in problems]


def _own_vs_other(problems: Sequence[Problem], task: Task, seed: int) -> list[ContrastPair]:
    kind = "own-vs-other-reasoning"
    _need_reasoning(problems, kind)
    if len(problems) < 2:
        raise DataError(f"{kind!r} needs at least 2 problems, got 1.")
    order = list(range(len(problems)))
    word_stream(seed, kind).shuffle(order)
    # The next one in a shuffled circle: never the problem itself, and each reasoning is used once.
    other = {order[i]: order[(i + 1) % len(order)] for i in range(len(order))}
    pairs = []
    for index, problem in enumerate(problems):
        partner = problems[other[index]]
        pair = _pair(problem, task, kind, task.format_solution(problem), task.format_solution(partner))
        pairs.append(
            replace(
                pair,
                problem_ids=(problem.id, partner.id),
                questions=(problem.text, partner.text),
                where="; ".join(filter(None, (problem.where, partner.where))),
            )
        )
    return pairs


def _correct_vs_incorrect(problems: Sequence[Problem], task: Task, seed: int) -> list[ContrastPair]:
    kind, pairs = "correct-vs-incorrect", []
    for problem in problems:
        wrong = replace(problem, answer=task.wrong_answer(problem, word_stream(seed, kind, problem.id)))
        pairs.append(_pair(problem, task, kind, task.format_solution(problem), task.format_solution(wrong)))
    return pairs


def _instruction(problems: Sequence[Problem], task: Task, seed: int) -> list[ContrastPair]:
    pairs = []
    for problem in problems:
        question, solution = task.format_question(problem), task.format_solution(problem)
        pair = _pair(problem, task, "instruction", solution, solution)
        pairs.append(replace(pair, prompt=f"{THOROUGH}\n\n{question}", negative_prompt=f"{HASTY}\n\n{question}"))
    return pairs


@dataclass(frozen=True)
class ContrastKind:
    """One kind of contrast pair."""

    name: str
    summary: str
    make: Callable[[Sequence[Problem], Task, int], list[ContrastPair]]
    """From training problems, their task and a seed."""


CONTRAST_KINDS: Table[ContrastKind] = Table(
    "kind of contrast pair",
    (
        ContrastKind("reasoning-vs-answer", "worked reasoning, against the answer alone", _reasoning_vs_answer),
        ContrastKind("own-vs-other-reasoning", "the question's own reasoning, against another's", _own_vs_other),
        ContrastKind("correct-vs-incorrect", "the right final answer, against a wrong one", _correct_vs_incorrect),
        ContrastKind("instruction", "one solution under two opposed instructions", _instruction),
    ),
)
