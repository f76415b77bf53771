r"""Numbers and calculations in running text, with their exact values.

Grammar (house rule; `maths_text.py` first turns TeX and Unicode into these signs):

    sum     := product (("+" | "-" | "plus" | "minus") product)*
    product := factor (("*" | "/" | "x" | "times" | "multiplied by" | "divided by") factor)*   also 2(3)
    factor  := ("-" | "+" | currency | "minus" | "negative") factor | power
    power   := raised ("%" | "k" | "M" | "hundred" | "thousand" | "million" | "billion" | "trillion")?
    raised  := atom ("^" "-"? raised)?
    atom    := literal | literal literal "/" literal | literal "and a half" | literal? \frac atom atom | \sqrt atom
             | "(" sum ")"

A minus with space on one side only, or behind a word, joins nothing; "5-10" is a range, "10-5" a subtraction. A number
**as written** is a sum without "+", "-" and brackets whose only product is one with a power of ten.
"""

import re
from fractions import Fraction
from math import isqrt
from typing import NamedTuple

from interp_xfer.tasks.scoring.literals import LITERAL, canonical_value, negated, ratio, read_literal
from interp_xfer.tasks.scoring.maths_text import plain_maths

_MAX_DIGITS = 4000
"""Of what is calculated with; longer literals are read, but not calculated with."""
_MAX_BITS = 13_000
_MAX_DEPTH = 20
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_LETTERS = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}
_TIMES = {"x": "*", "X": "*", "times": "*", "multiplied": "*", "divided": "/"}
_PLUS = {"plus": "+", "minus": "-"}

_TOKEN = re.compile(
    rf"(?P<number>{LITERAL})"
    r"|(?P<word>[^\W\d_]+(?:['\u2019][^\W\d_]+)*(?:[ ]?\^[ ]?\(?-?\d{1,3}\)?)?)"  # m^2 is a unit
    r"|(?P<tex>\\[A-Za-z]+)|(?P<op>[-+*/^()])|(?P<currency>[$\u20ac\u00a3\u00a5\u20b9])|(?P<percent>%)|(?P<other>\S)",
    re.VERBOSE,
)


class Mention(NamedTuple):
    """A value, an option or an expression that a text mentions."""

    value: str
    """Canonical."""
    start: int
    end: int


class _Token(NamedTuple):
    kind: str
    text: str
    """For a number: canonical."""
    start: int
    end: int


def find_values(text: str, calculate: bool = True, formula: bool = False) -> list[Mention]:
    """The numbers of a text, in order. A division by zero, or a root that is no fraction, is none.

    Arguments:
        text: from `plain_maths`.
        calculate: read whole calculations; else numbers as written only.
        formula: the text is one formula: each minus joins two values, and "x" is a letter.
    Returns: canonical values with their positions in `text`.
    Source: house rule; the grammar stands at the head of this module.
    """
    tokens = _tokens(text)
    reader = _Reader(tokens, calculate, formula)
    found = []
    while reader.at < len(tokens):
        first = reader.at
        value = reader.sum() if reader.begins() else _NOTHING
        if value is _NOTHING:
            reader.at = first + 1
        elif value is not None:
            found.append(Mention(value, tokens[first].start, tokens[reader.at - 1].end))
    return found


def _tokens(text: str) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if match["number"] is not None:
            tokens += [_Token("number", number.canonical, number.start, number.end) for number in read_literal(match)]
        else:
            tokens.append(_Token(kind, match[0], match.start(), match.end()))
    return tokens


_NOTHING = "nothing"
"""No expression stands here; None is an expression without a value."""


class _Reader:
    """Recursive descent over the tokens; each method reads one rule of the grammar and moves `at` behind it."""

    def __init__(self, tokens: list[_Token], calculate: bool, formula: bool) -> None:
        self.tokens, self.calculate, self.formula = tokens, calculate, formula
        self.at = self.depth = 0
        self._failed: set[int] = set()  # brackets that hold no calculation: each is tried once

    def begins(self) -> bool:
        """Whether an expression can begin here; a minus behind a word or a bracket is no sign."""
        token = self._token()
        if token is None:
            return False
        if token.text == "-" and self.at:
            before = self.tokens[self.at - 1]
            glued = before.end == token.start and (before.kind in ("number", "word", "percent") or before.text == ")")
            return not glued and self._is_operand(1)
        return self._is_operand(0) and token.text not in ("+", "*", "/")

    def sum(self) -> str | None:
        value = self._product()
        while self.calculate and value is not _NOTHING:
            start, operator = self.at, self._operator(_PLUS, "+-")
            if operator is None or (operator == "-" and self._is_range(start, value)):
                self.at = start
                break
            right = self._product()
            if right is _NOTHING:
                self.at = start
                break
            value = _combine(operator, value, right)
        return value

    def _product(self) -> str | None:
        value = self._factor()
        while value is not _NOTHING:
            start, operator = self.at, self._operator(_TIMES, "*/")
            if operator is None and self.calculate and self._is_glued_bracket():
                operator = "*"
            if operator is None:
                break
            right_at = self.at
            right = self._factor()
            if right is _NOTHING or not (self.calculate or self._as_written(operator, right_at)):
                self.at = start
                break
            value = _combine(operator, value, right)
        return value

    def _as_written(self, operator: str, right_at: int) -> bool:
        """Whether what was read to here continues a number as written: a fraction, or a power of ten."""
        right = self.tokens[right_at : self.at]
        if operator == "/":
            return len(right) == 1
        return len(right) > 2 and right[0].text == "10" and right[1].text == "^"

    def _factor(self) -> str | None:
        token = self._token()
        if token is None or self.depth > _MAX_DEPTH:
            return _NOTHING
        if not self._is_sign(0) and token.kind != "currency":
            return self._power()
        self.at, self.depth = self.at + 1, self.depth + 1
        value = self._factor()
        self.depth -= 1
        negative = token.kind != "currency" and token.text != "+"
        return negated(value) if negative and value is not None and value is not _NOTHING else value

    def _power(self) -> str | None:
        begin, value = self.at, self._atom()
        if value is _NOTHING:
            return value
        value = self._raised(value)
        token = self._token()
        if token is not None and token.kind == "percent":
            self.at += 1
        elif token is not None and (scale := SCALES.get(token.text.casefold())):
            self.at += 1
            value = _combine("*", value, str(scale))
        elif token is not None and token.start == self.tokens[self.at - 1].end and (scale := self._letter(begin)):
            self.at += 1
            value = _combine("*", value, str(scale))
        elif token is not None and token.kind == "tex" and token.start == self.tokens[self.at - 1].end:
            self.at += 1  # 2\pi is no 2
            return None
        return value

    def _letter(self, begin: int) -> int | None:
        """What a letter glued to the number that begins there stands for: 5k, and with a currency sign 5M and 5B."""
        money = begin > 0 and self.tokens[begin - 1].kind == "currency"
        return (_LETTERS if money else {"k": 1000, "K": 1000}).get(self.tokens[self.at].text)

    def _raised(self, base: str | None) -> str | None:
        """`base` to the power that follows it, if one does."""
        start, token = self.at, self._token()
        if token is None or token.text != "^" or self.depth > _MAX_DEPTH:
            return base
        self.at, self.depth = self.at + 1, self.depth + 1
        token = self._token()
        negative = token is not None and token.text == "-"
        self.at += negative
        token = self._token()
        if token is not None and token.kind == "number":  # 2^3 1/2 has no mixed number
            self.at += 1
            exponent = self._raised(token.text)
        else:
            exponent = self._atom()
        self.depth -= 1
        if exponent is _NOTHING:
            self.at = start
            return base
        return _combine("^", base, negated(exponent) if negative and exponent is not None else exponent)

    def _atom(self) -> str | None:
        self.depth += 1
        value = self._nested() if self.depth <= _MAX_DEPTH else _NOTHING
        self.depth -= 1
        return value

    def _nested(self) -> str | None:
        token = self._token()
        if token is None:
            return _NOTHING
        if token.kind == "number":
            self.at += 1
            return self._mixed(token.text)
        if token.text == r"\frac":
            self.at += 1
            return self._arguments("/")
        if token.text == r"\sqrt":
            self.at += 1
            radicand = self._atom()
            return radicand if radicand is _NOTHING or radicand is None else _root(radicand)
        if token.text == "(" and self.at not in self._failed:
            start, calculate = self.at, self.calculate
            self.at, self.calculate = self.at + 1, True
            value = self.sum()
            self.calculate = calculate
            closing = self._token()
            if value is not _NOTHING and closing is not None and closing.text == ")":
                self.at += 1
                return value
            self.at = start
            self._failed.add(start)
        return _NOTHING

    def _arguments(self, operator: str) -> str | None:
        over = self._atom()
        under = _NOTHING if over is _NOTHING else self._atom()
        return _NOTHING if under is _NOTHING else _combine(operator, over, under)

    def _mixed(self, whole: str) -> str | None:
        r"""A mixed number, `3 1/2` or `3\frac12`, where one begins with `whole`; else `whole`."""
        rest = self.tokens[self.at : self.at + 3]
        if whole.isdigit() and [token.text for token in rest] == ["and", "a", "half"]:
            self.at += 3
            return _combine("+", whole, "0.5")
        if whole.isdigit() and rest and rest[0].text == r"\frac":
            self.at += 1
            return _combine("+", whole, self._arguments("/"))
        if (
            whole.isdigit()
            and len(rest) == 3
            and [token.kind for token in rest] == ["number", "op", "number"]
            and rest[1].text == "/"
            and rest[0].text.isdigit()
            and rest[2].text.isdigit()
            and rest[0].start == self.tokens[self.at - 1].end + 1
            and rest[2].start - rest[0].end == 1
        ):
            self.at += 3
            return _combine("+", whole, _combine("/", rest[0].text, rest[2].text))
        return whole

    def _token(self, ahead: int = 0) -> _Token | None:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def _is_operand(self, ahead: int) -> bool:
        token = self._token(ahead)
        if token is None:
            return False
        if token.kind in ("number", "tex"):
            return token.kind == "number" or token.text in (r"\frac", r"\sqrt")
        if token.kind == "currency" or self._is_sign(ahead):
            return self._is_operand(ahead + 1) if ahead < 4 else False
        return token.text == "(" and (self.calculate or ahead > 0)

    def _is_sign(self, ahead: int) -> bool:
        """Whether a sign stands there; one with space behind it is a bullet or a dash."""
        token, after = self._token(ahead), self._token(ahead + 1)
        if token is None or after is None:
            return False
        return (token.text in ("-", "+") and after.start == token.end) or token.text.casefold() in ("minus", "negative")

    def _operator(self, words: dict[str, str], signs: str) -> str | None:
        """The operator that stands here between two operands; `at` moves behind it."""
        token = self._token()
        if token is None:
            return None
        if token.kind == "word" and token.text in words and not self.formula:
            length = 2 if token.text in ("multiplied", "divided") else 1
            by = self._token(1)
            if length == 2 and (by is None or by.text != "by"):
                return None
        elif token.kind == "op" and token.text in signs:
            length = 1
        else:
            return None
        if not self._is_operand(length) or (token.text in ("x", "X") and self._is_sign(length)):
            return None
        self.at += length
        return words.get(token.text, token.text)

    def _is_range(self, minus: int, left: str | None) -> bool:
        """Whether the minus joins nothing: it has space on one side only, or "5-10" is meant."""
        before, token, after = self.tokens[minus - 1 : minus + 2]
        if token.kind == "word" or self.formula:
            return False
        spaces = (token.start > before.end, after.start > token.end)
        if spaces[0] != spaces[1]:
            return True
        if spaces[0] or before.kind != "number" or after.kind != "number" or left != before.text:
            return False
        return _as_fraction(before.text) < _as_fraction(after.text)

    def _is_glued_bracket(self) -> bool:
        token = self._token()
        return token is not None and token.text == "(" and token.start == self.tokens[self.at - 1].end


def _combine(operator: str, left: str | None, right: str | None) -> str | None:
    """The exact value of `left operator right`; None where there is none, or it is too long."""
    if left is None or right is None:
        return None
    if operator == "/" and left.isdigit() and right.isdigit():
        return ratio(left, right) if right.strip("0") else None
    if max(len(left), len(right)) > _MAX_DIGITS:
        return None
    first, second = _as_fraction(left), _as_fraction(right)
    if operator == "+":
        value = first + second
    elif operator == "-":
        value = first - second
    elif operator == "*":
        value = first * second
    elif operator == "/":
        if second == 0:
            return None
        value = first / second
    else:
        power = _power(first, second)
        if power is None:
            return None
        value = power
    return canonical_value(value)


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1 or (base == 0 and exponent <= 0):
        return None
    size = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) * size > _MAX_BITS:
        return None
    return base ** int(exponent)


def _root(radicand: str) -> str | None:
    if len(radicand) > _MAX_DIGITS or (value := _as_fraction(radicand)) < 0:
        return None
    root = Fraction(isqrt(value.numerator), isqrt(value.denominator))
    return canonical_value(root) if root * root == value else None


def _as_fraction(canonical: str) -> Fraction:
    return Fraction(canonical)


def canonical_number(text: str) -> str | None:
    """The canonical spelling of a text that is one number as written, else None.

    Units around it are allowed only as currency or per cent: "$1,000.00" is "1000", "10%" is "10", "2/4" is "0.5".

    Arguments:
        text: for instance a reference answer.
    Returns: integer, finite decimal or reduced fraction; idempotent.
    """
    text = plain_maths(text.strip().rstrip(".").removesuffix("\\")).strip()
    found = find_values(text, calculate=False)
    if len(found) != 1 or text[: found[0].start].strip(" $") or text[found[0].end :].strip(" $"):
        return None
    return found[0].value
