"""Sentences of the `sums` problems: one- and two-step word problems with their worked solutions.

Placeholders: {name} and {other} are people, {thing} a plural, {a}, {b}, {c} the numbers of the question, {m} the
result of the first step and {r} the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Operation = Literal["add", "subtract", "multiply"]

NAMES = (
    "Mia", "Omar", "Lena", "Ravi", "Nora", "Ivan", "Aiko", "Paul", "Zara", "Hugo", "Elif", "Juan", "Ada", "Finn",
    "Sana", "Theo", "Vera", "Luca", "Kofi", "Edda",
)  # fmt: skip
THINGS = (
    "apples", "marbles", "stickers", "books", "shells", "pencils", "coins", "cards", "buttons", "cookies", "stamps",
    "beads", "oranges", "toy cars", "postcards", "pebbles",
)  # fmt: skip


@dataclass(frozen=True)
class Template:
    """One kind of problem."""

    operations: tuple[Operation, ...]
    """One for each step. Multiplication takes its factor from `b` in a first step."""
    question: str
    reasoning: str
    steps: Callable[[int, int, int], tuple[int, int]]
    """(a, b, c) to (result of the first step, answer); for one step both are the answer."""


ONE_STEP: tuple[Template, ...] = (
    Template(
        ("add",),
        "{name} has {a} {thing}. {other} gives {name} {b} more. How many {thing} does {name} have now?",
        "{name} now has {a} + {b} = {r} {thing}.",
        lambda a, b, c: (a + b, a + b),
    ),
    Template(
        ("add",),
        "There are {a} {thing} on a table and {b} {thing} in a bag. How many {thing} are there in all?",
        "In all there are {a} + {b} = {r} {thing}.",
        lambda a, b, c: (a + b, a + b),
    ),
    Template(
        ("subtract",),
        "{name} had {a} {thing} and lost {b} of them. How many {thing} does {name} still have?",
        "{name} still has {a} - {b} = {r} {thing}.",
        lambda a, b, c: (a - b, a - b),
    ),
    Template(
        ("subtract",),
        "{name} has {a} {thing} and {other} has {b}. How many more {thing} does {name} have than {other}?",
        "{name} has {a} - {b} = {r} more {thing} than {other}.",
        lambda a, b, c: (a - b, a - b),
    ),
    Template(
        ("multiply",),
        "{name} fills {b} boxes and puts {a} {thing} in each box. How many {thing} are in the boxes?",
        "The boxes hold {b} * {a} = {r} {thing}.",
        lambda a, b, c: (a * b, a * b),
    ),
    Template(
        ("multiply",),
        "{name} collects {a} {thing} every day. How many {thing} does {name} collect in {b} days?",
        "In {b} days {name} collects {b} * {a} = {r} {thing}.",
        lambda a, b, c: (a * b, a * b),
    ),
)

TWO_STEP: tuple[Template, ...] = (
    Template(
        ("add", "add"),
        "{name} has {a} {thing}, buys {b} and finds {c} more. How many {thing} does {name} have then?",
        "After buying some, {name} has {a} + {b} = {m} {thing}. With the ones found, {m} + {c} = {r}.",
        lambda a, b, c: (a + b, a + b + c),
    ),
    Template(
        ("add", "subtract"),
        "{name} has {a} {thing} and gets {b} more. Then {name} gives {c} to {other}. How many {thing} are left?",
        "{name} first has {a} + {b} = {m} {thing}. After the gift {m} - {c} = {r} are left.",
        lambda a, b, c: (a + b, a + b - c),
    ),
    Template(
        ("subtract", "add"),
        "A shop has {a} {thing}. It sells {b} and gets {c} new ones. How many {thing} does the shop have now?",
        "After the sale the shop has {a} - {b} = {m} {thing}. With the new ones, {m} + {c} = {r}.",
        lambda a, b, c: (a - b, a - b + c),
    ),
    Template(
        ("multiply", "add"),
        "{name} buys {b} bags with {a} {thing} each and already has {c}. How many {thing} does {name} have in all?",
        "The bags hold {b} * {a} = {m} {thing}. In all that makes {m} + {c} = {r}.",
        lambda a, b, c: (a * b, a * b + c),
    ),
    Template(
        ("multiply", "subtract"),
        "{name} packs {b} boxes with {a} {thing} each and gives away {c}. How many {thing} are left?",
        "The boxes hold {b} * {a} = {m} {thing}. Without those given away, {m} - {c} = {r} are left.",
        lambda a, b, c: (a * b, a * b - c),
    ),
)
