r"""Whether two mathematical answers are equal, and the key under which an answer votes.

Rules (house rule unless cited; the structure is that of `math_answer.py`):

1. Exact values are compared exactly, without any tolerance: 1/2^98 is not 1/2^99, and 0.333 is not 1/3. Constants with
   roots, logarithms and the like are compared by 30 digits. Other expressions are equal if their canonical forms are,
   or if math-verify says so (a relation, a function).
2. Lists and unions are equal in any order, with every value as often; tuples, intervals and matrices in order, with the
   same brackets and shape.
3. An unknown, or a unit, that only one of the two names means nothing ("x = 5" is "5"); different ones differ.
4. "10\%" is 10 (Hendrycks), and as an answer .1 too (math-verify).
5. Texts are equal without regard to case and spaces.
6. Equal answers have equal keys. A unit, or an unknown, is in the key where it differs from that of the reference, so
   that "5" and "5 hours" vote together where hours are asked for, and "5 minutes" does not.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from interp_xfer.tasks.scoring.latex import is_equiv, normalise_latex
from interp_xfer.tasks.scoring.math_answer import Answer, Collection, Value, parse_answer
from interp_xfer.tasks.scoring.math_pool import Comparison, Expression, MathPool, Verdict
from interp_xfer.tasks.scoring.number_text import canonical_number

_NOTHING = Expression(None)


class Compared(NamedTuple):
    """One answer beside its reference."""

    key: str | None
    """None: nothing was answered."""
    equal: bool
    timed_out: bool
    """The two could not be compared within the limits."""


def compare_answers(pairs: Sequence[tuple[str, str]], pool: MathPool) -> list[Compared]:
    """Keys and verdicts for many answers.

    Arguments:
        pairs: (reference, answer), LaTeX; an empty one is equal to nothing.
        pool: does the algebra.
    Returns: one for each pair, in order.
    Source: house rule; see the head of this module.
    """
    parsed = [(parse_answer(gold), parse_answer(answer)) for gold, answer in pairs]
    texts = list(dict.fromkeys(value.latex for pair in parsed for each in pair for value in _symbolic(each)))
    expressions = {text: _spelt_as_numbers(found) for text, found in zip(texts, pool.read(texts), strict=True)}
    verdicts: dict[Comparison, Verdict] = {}
    asked: dict[Comparison, None] = {}
    for gold, answer in parsed:  # what has to be asked of math-verify is found by comparing without its verdicts
        _Comparer(expressions, verdicts, asked).equal(gold, answer)
    verdicts |= dict(zip(asked, pool.compare(list(asked)), strict=True))
    out = []
    for gold, answer in parsed:
        comparer = _Comparer(expressions, verdicts, {})
        same = comparer.equal(gold, answer)
        empty = isinstance(answer, Value) and not answer.latex
        key = None if empty else _key(answer, _reference(gold), expressions)
        nothing = empty or (isinstance(gold, Value) and not gold.latex)
        out.append(Compared(key, same and not nothing, comparer.gave_up and not same and not nothing))
    return out


def _spelt_as_numbers(expression: Expression) -> Expression:
    """A canonical number in the spelling of `literals.py`: 1/2 is 0.5."""
    number = canonical_number(expression.canonical) if expression.canonical else None
    return expression._replace(canonical=number) if number else expression


def _symbolic(answer: Answer) -> Iterator[Value]:
    """The values that need algebra."""
    if isinstance(answer, Collection):
        for item in answer.items:
            yield from _symbolic(item)
    else:
        yield from (each for each in (answer, *answer.others) if each.key is None and each.latex and not each.is_text)


def _reference(gold: Answer) -> Value:
    """The unit and unknown that are asked for."""
    while isinstance(gold, Collection):
        if not gold.items:
            return Value("", None)
        gold = gold.items[0]
    return gold


class _Comparer:
    """One comparison; `asked` collects what math-verify has to say."""

    def __init__(
        self,
        expressions: dict[str, Expression],
        verdicts: dict[Comparison, Verdict],
        asked: dict[Comparison, None],
    ) -> None:
        self.expressions, self.verdicts, self.asked = expressions, verdicts, asked
        self.gave_up = False

    def equal(self, gold: Answer, answer: Answer) -> bool:
        if isinstance(gold, Collection) and isinstance(answer, Collection):
            if gold.kind != answer.kind or len(gold.items) != len(answer.items):
                return False
            if gold.kind in ("list", "union"):
                return self._in_any_order(gold.items, list(answer.items))
            return all([self.equal(*pair) for pair in zip(gold.items, answer.items, strict=True)])
        if isinstance(gold, Value) and isinstance(answer, Value):
            return any([self._same(each, answer) for each in (gold, *gold.others)])
        # An inequality beside an interval, a vector beside a matrix: only math-verify knows.
        value, collection = (gold, answer) if isinstance(gold, Value) else (answer, gold)
        assert isinstance(value, Value) and isinstance(collection, Collection)
        if value.key is not None or collection.kind == "list":
            return False
        return self._ask(value.latex, _latex(collection))

    def _in_any_order(self, golds: Sequence[Answer], answers: list[Answer]) -> bool:
        for gold in golds:
            match = next((answer for answer in answers if self.equal(gold, answer)), None)
            if match is None:
                return False
            answers.remove(match)
        return True

    def _same(self, gold: Value, answer: Value) -> bool:
        if gold.unit and answer.unit and gold.unit != answer.unit:
            return False
        if gold.unknown and answer.unknown and _letters(gold.unknown) != _letters(answer.unknown):
            return False
        if gold.is_text or answer.is_text:
            return gold.key == answer.key or _letters(gold.latex) == _letters(answer.latex) != ""
        if gold.key is not None and answer.key is not None:
            return gold.key == answer.key or self._is_share(gold, answer)
        if "=" in gold.latex + answer.latex:
            return self._ask(
                *(f"{each.unknown} = {each.latex}" if each.unknown else each.latex for each in (gold, answer))
            )
        first, second = self._expression(gold), self._expression(answer)
        if _same_expression(first, second):
            return True
        self.gave_up |= first.failure is not None or second.failure is not None
        if first.canonical is None or second.canonical is None:
            return is_equiv(gold.latex, answer.latex)
        if first.exact and second.exact:
            return False
        return self._ask(gold.latex, answer.latex)

    @staticmethod
    def _is_share(gold: Value, answer: Value) -> bool:
        if not answer.percent or gold.percent or max(len(gold.key or ""), len(answer.key or "")) > 100:
            return False
        return Fraction(gold.key or 0) * 100 == Fraction(answer.key or 0)

    def _expression(self, value: Value) -> Expression:
        if value.key is None:
            return self.expressions.get(value.latex, _NOTHING)
        return Expression(value.key, exact=True)

    def _ask(self, gold: str, answer: str) -> bool:
        comparison = Comparison(gold, answer)
        self.asked[comparison] = None
        verdict = self.verdicts.get(comparison)
        if verdict is None:
            return False
        self.gave_up |= verdict.failure is not None
        return verdict.equal


def _same_expression(first: Expression, second: Expression) -> bool:
    if first.canonical is None or second.canonical is None:
        return False
    if first.canonical == second.canonical:
        return True
    if first.numeric is None or second.numeric is None or not (first.canonical + second.canonical).count("~"):
        return False
    return all(_close(*pair) for pair in zip(first.numeric, second.numeric, strict=True))


def _close(first: str, second: str) -> bool:
    """Whether two numbers of 30 digits agree in 25."""
    a, b = Decimal(first), Decimal(second)
    return abs(a - b) <= Decimal("1e-25") * max(abs(a), abs(b))


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _key(answer: Answer, reference: Value, expressions: dict[str, Expression]) -> str:
    if isinstance(answer, Collection):
        keys = [_key(item, reference, expressions) for item in answer.items]
        if answer.kind in ("list", "union"):
            return (", " if answer.kind == "list" else " U ").join(sorted(keys))
        if answer.kind.startswith("matrix"):
            return f"{answer.kind}: {', '.join(keys)}"
        return f"{answer.kind[0]}{', '.join(keys)}{answer.kind[-1]}"
    known = expressions.get(answer.latex, _NOTHING).canonical
    if reference.is_text and not reference.key == answer.key and _letters(reference.latex) == _letters(answer.latex):
        known = reference.key
    key = answer.key or known or normalise_latex(answer.latex) or answer.latex
    if reference.unit and answer.unit and reference.unit != answer.unit:
        key = f"{key} {answer.unit}"
    if reference.unknown and answer.unknown and _letters(reference.unknown) != _letters(answer.unknown):
        key = f"{answer.unknown} = {key}"
    return key


def _latex(answer: Answer) -> str:
    """The answer as LaTeX again."""
    if isinstance(answer, Value):
        return answer.latex
    items = [_latex(item) for item in answer.items]
    if answer.kind == "union":
        return r" \cup ".join(items)
    if answer.kind.startswith("matrix"):
        columns = int(answer.kind.rpartition("x")[2])
        rows = [" & ".join(items[start : start + columns]) for start in range(0, len(items), max(columns, 1))]
        return r"\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"
    opening, closing = ("", "") if answer.kind == "list" else (answer.kind[0], answer.kind[-1])
    return opening + ", ".join(items) + closing
