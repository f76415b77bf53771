"""Embedded word problems of one or two steps, generated from a seed: no download, no licence.

Method (house rule):

1. A template, names, things and numbers are drawn from a generator seeded by (split, seed, knobs).
2. The normalised text is hashed into a bucket, and each bucket belongs to one split. So splits are disjoint whatever
   the seeds and knobs are, and the id of a problem (its hash) is the same everywhere.
3. Few-shot examples come from a bucket of their own.

Solutions are one or two short sentences and "The answer is N.", 30 to 60 tokens.
"""

import hashlib
import random
import re
from dataclasses import dataclass

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.tasks.gsm8k import wrong_number
from interp_xfer.tasks.problems import AnswerReader, Problem, Split, Task
from interp_xfer.tasks.prompt_files import shipped_text
from interp_xfer.tasks.scoring.numeric import MANY, NUMERIC_RULES, judge_numbers, read_with_sentence
from interp_xfer.tasks.scoring.statements import TAIL_CHARACTERS, statements
from interp_xfer.tasks.sums_templates import NAMES, ONE_STEP, THINGS, TWO_STEP, Operation, Template

STOP_SEQUENCES = ("Question:", "<|im_end|>", "<|endoftext|>", "</s>")
_FOLLOWED = re.compile(r"[*_\"'`$)]*\s")
_STOP = re.compile(r"[.!;]")
_MAX_DRAWS_PER_PROBLEM = 400
_MOST_PROBLEMS = 100_000  # of a split; drawing them takes seconds, and there are not many more
# Of 20 buckets, which belong to which split.
_BUCKETS = {"train": range(0, 11), "validation": range(11, 14), "test": range(14, 19), "few-shot": range(19, 20)}


@dataclass(frozen=True)
class SumsKnobs:
    """How hard the problems are."""

    smallest: int = 2
    """Smallest number in a question; at least 2, so that plurals stay right."""
    largest: int = 12
    """Largest number that is added, subtracted or multiplied."""
    largest_factor: int = 3
    """Largest number of boxes, bags or days."""
    largest_answer: int = 30
    """Problems with a larger answer, or a larger result on the way, are drawn again."""
    two_step_share: float = 0.2
    """Fraction of problems with two steps."""
    operations: tuple[Operation, ...] = ("add", "subtract", "multiply")
    """Operations that may occur."""

    def __post_init__(self) -> None:
        if not 2 <= self.smallest < self.largest:
            raise ConfigError(f"smallest={self.smallest} and largest={self.largest}; need 2 <= smallest < largest.")
        if self.largest_factor < 2:
            raise ConfigError(f"largest_factor={self.largest_factor}; need at least 2.")
        if not 0 <= self.two_step_share <= 1:
            raise ConfigError(f"two_step_share={self.two_step_share}; need a fraction from 0 to 1.")
        if not self.operations:
            raise ConfigError("operations is empty; name at least one of add, subtract, multiply.")


LEVELS: dict[int, SumsKnobs] = {
    1: SumsKnobs(largest=9, largest_factor=3, largest_answer=20, two_step_share=0.0, operations=("add", "subtract")),
    2: SumsKnobs(),
    3: SumsKnobs(smallest=5, largest=60, largest_factor=9, largest_answer=500, two_step_share=0.7),
}
DEFAULT_LEVEL = 2


def generate(split: str, knobs: SumsKnobs, seed: int = 0, offset: int = 0, limit: int = 100) -> list[Problem]:
    """Problems of one split; a longer list begins with the shorter one.

    Arguments:
        split: "train", "validation", "test" or "few-shot".
        knobs: difficulty.
        seed: another seed gives other problems of the same split.
        offset: how many of the sequence to pass over.
        limit: how many to return.
    Returns: `limit` problems with distinct texts.
    Raises: DataError if more than 100,000 are asked for, or the knobs allow too few; ConfigError if no template fits
        the operations.
    """
    if offset + limit > _MOST_PROBLEMS:
        raise DataError(f"{offset + limit} {split} problems of sums are asked for, and {_MOST_PROBLEMS} are the most.")
    return [problem for problem, _ in _draw_many(split, knobs, seed, offset + limit)[offset:]]


def few_shot(knobs: SumsKnobs, n: int = 8) -> tuple[Problem, ...]:
    """Worked examples of different kinds, from the bucket that no split uses."""
    kinds: dict[Template, Problem] = {}
    drawn = _draw_many("few-shot", knobs, 0, 60)
    for problem, template in drawn:
        kinds.setdefault(template, problem)
    chosen = list(kinds.values())
    chosen += [problem for problem, _ in drawn if problem not in chosen]
    return tuple(chosen[:n])


def _draw_many(split: str, knobs: SumsKnobs, seed: int, count: int) -> list[tuple[Problem, Template]]:
    one, two = (
        tuple(template for template in templates if set(template.operations) <= set(knobs.operations))
        for templates in (ONE_STEP, TWO_STEP)
    )
    if (not one and knobs.two_step_share < 1) or (not two and knobs.two_step_share > 0):
        raise ConfigError(f"no template for operations={knobs.operations} and two_step_share={knobs.two_step_share}.")
    rng = random.Random(f"sums/{split}/{seed}/{knobs}")
    found: dict[str, tuple[Problem, Template]] = {}
    for _ in range(_MAX_DRAWS_PER_PROBLEM * (count + 50)):
        if len(found) >= count:
            break
        template = rng.choice(two if rng.random() < knobs.two_step_share else one)
        problem = _draw(template, knobs, rng)
        if problem is not None and int(problem.id.rsplit("/", 1)[1], 16) % 20 in _BUCKETS[split]:
            found.setdefault(problem.id, (problem, template))
    else:
        if len(found) < count:
            raise DataError(f"{knobs} allow only {len(found)} different {split} problems, {count} are needed.")
    return list(found.values())


def _draw(template: Template, knobs: SumsKnobs, rng: random.Random) -> Problem | None:
    """One problem, or None where the numbers do not suit the template."""
    a, b, c = (rng.randint(knobs.smallest, knobs.largest) for _ in range(3))
    if template.operations[0] == "multiply":
        b = rng.randint(2, knobs.largest_factor)
    middle, answer = template.steps(a, b, c)
    if min(middle, answer) < 1 or max(middle, answer) > knobs.largest_answer:
        return None
    name, other = rng.sample(NAMES, 2)
    words = {
        "name": name,
        "other": other,
        "thing": rng.choice(THINGS),
        "a": a,
        "b": b,
        "c": c,
        "m": middle,
        "r": answer,
    }
    question = template.question.format(**words)
    return Problem(
        id=f"sums/{hashlib.sha256(question.casefold().encode()).hexdigest()[:12]}",
        question=question,
        reasoning=template.reasoning.format(**words),
        answer=str(answer),
        task="sums",
    )


def format_question(problem: Problem) -> str:
    """User text: the question."""
    return problem.question


def format_solution(problem: Problem) -> str:
    """Assistant text: one or two sentences, then the answer."""
    return f"{problem.reasoning} {format_answer(problem)}" if problem.reasoning else format_answer(problem)


def format_answer(problem: Problem) -> str:
    """Assistant text: the answer alone."""
    return f"The answer is {problem.answer}."


def given_at(text: str) -> int | None:
    """Where the first sentence "The answer is N." ends that states one value; something must follow its stop."""
    for statement in statements(text) if "answer" in text.casefold() else ():
        if (
            statement.kind != "after"
            or len(statement.text) > TAIL_CHARACTERS
            or not (_FOLLOWED.match(text, statement.end) or _STOP.search(statement.text))
        ):
            continue
        found = read_with_sentence(statement.text)
        if found is not None and found[0] != MANY:
            end = statement.end - len(statement.text) + found[1].end
            if _FOLLOWED.match(text, end):
                return end
    return None


def sums_task(level: int | None = None, knobs: SumsKnobs | None = None) -> Task:
    """The `sums` task at a chosen difficulty.

    Arguments:
        level: 1 (easy) to 3 (hard).
        knobs: instead of a level, every setting by hand.
    Returns: the task; its few-shot examples have the same difficulty.
    Raises: ConfigError for an unknown level, or if both are given.
    """
    if level is not None and knobs is not None:
        raise ConfigError("give a level or knobs, not both.")
    if knobs is None:
        level = DEFAULT_LEVEL if level is None else level
        if level not in LEVELS:
            raise ConfigError(f"level {level} of sums does not exist; choose from {', '.join(map(str, LEVELS))}.")
        knobs = LEVELS[level]
    chosen = knobs

    def of_split(split: Split, seed: int, offset: int, limit: int) -> list[Problem]:
        return generate(split, chosen, seed, offset, limit)

    return Task(
        name="sums",
        system_prompt=shipped_text("sums.system.txt"),
        few_shot=few_shot(chosen),
        max_new_tokens=80,
        stop_sequences=STOP_SEQUENCES,
        format_question=format_question,
        format_solution=format_solution,
        format_answer=format_answer,
        reader=AnswerReader(NUMERIC_RULES, given_at, judge_numbers),
        wrong_answer=wrong_number,
        generate=of_split,
        split_sizes={"train": 2000, "validation": 200, "test": 500},
    )


SUMS = sums_task()
