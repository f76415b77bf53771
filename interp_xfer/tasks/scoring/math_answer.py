r"""The parts of a mathematical answer, told apart before any algebra.

Rules (house rule unless cited; `math_equality.py` compares, math-verify does the algebra of single values):

1. Spacing, `\left`, `\right`, math delimiters and a stop at the end mean nothing (2103.03874, `_strip_string`).
2. Values at the top level between commas, ";", "and" or "or" are a **list**, as are the members of `\{...\}` and the
   two values of `\pm`: their order means nothing (math-verify takes a set; here repeated values stay). "1,000" is one
   number, "12,9" and "1, 200" are lists.
3. Values in round or square brackets are an ordered tuple or an interval; the brackets are part of it. An inequality
   with one unknown is an interval. A matrix has its shape. Sets joined by `\cup` are a list of their own.
4. `x = 5` is the value of an unknown; `f(x) = ...` and `x \in ...` are values. A chain ("0.56 = 56\%",
   "2/3 \approx .67") is its last value; as a reference it is any of its values.
5. A unit is a word or currency sign at the end or before a number ("5\text{ hours}", "\$5", "90^\circ"), a per cent
   sign is none (Hendrycks drops both).
6. A number with a base ("11_2") is those digits in that base. A time ("8:34 p.m.") and words are texts; case and spaces
   mean nothing in words.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from interp_xfer.tasks.scoring.latex import replace_boxes, strip_wrapping
from interp_xfer.tasks.scoring.literals import canonical_value
from interp_xfer.tasks.scoring.maths_text import plain_maths
from interp_xfer.tasks.scoring.number_text import SCALES, find_values
from interp_xfer.tasks.scoring.number_words import find_number_words


class Value(NamedTuple):
    """One value."""

    latex: str
    """Without unit, unknown and per cent sign."""
    key: str | None
    """Canonical, where no algebra is needed."""
    unit: str = ""
    unknown: str = ""
    percent: bool = False
    is_text: bool = False
    others: tuple["Value", ...] = ()
    """The other values of a chain."""


@dataclass(frozen=True)
class Collection:
    """Several values."""

    kind: str
    """"list", the two brackets ("()", "[)"), "union", or "matrix 2x1"."""
    items: tuple["Answer", ...]


Answer = Value | Collection

_TEXT = r"\\(?:text(?:bf|rm|it|normal|sf|tt)?|mbox|math(?:rm|bf|it|sf)|operatorname|hbox)\s*"
_SPACING: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|[bB]ig+[lrm]?|displaystyle|textstyle|limits|rm|bf)(?![A-Za-z])\s?", ""),
        (r"(?<=\d)(?:\{,\}|,?\\!|\\[,;: ]|~|\\thinspace)\s*(?=\d{3}(?!\d))", ""),  # thousands
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)\\[,;:> ]|\\q?quad(?![A-Za-z])|~|\\thinspace|\\par(?![A-Za-z])", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (rf"{_TEXT}\{{\s*[,;]?\s*(?:and|or)\s*[,;]?\s*\}}", " , "),
        (r"(?<!\\)\$\s*|\\[()](?![A-Za-z])", " "),
        (r"\u2212|\u2013", "-"),
        (r"\u221e", r"\\infty "),
        (r"\u221a", r"\\sqrt "),
        (r"\u03c0", r"\\pi "),
    )
)
_JOINING_WORD = re.compile(r"(?<=[\s\d})\]])(?:,\s*)?\b(?:and|or)\b(?=[\s\\(\[-])", re.IGNORECASE)
_CHAIN = re.compile(r"\\approx(?![A-Za-z])|\u2248|(?<![<>!\\=:])=(?!=)")
_UNKNOWN = re.compile(
    r"(?:[A-Za-z]{1,3}|\\(?:alpha|beta|gamma|delta|theta|phi|lambda|mu|omega|angle\s*[A-Z]{1,3}|overline\{[A-Z]{2}\}))"
    r"(?:_\{?\w+\}?|'+)?"
)
_FUNCTION = re.compile(r"[A-Za-z](?:\^\{?-1\}?)?\([a-z](?:,\s*[a-z])*\)")
_MEMBER = re.compile(r"^\s*(?:[A-Za-z]|\\[a-z]+)\s*\\in(?![A-Za-z])\s*")
_AT_MOST = re.compile(r"\\leq?(?:slant)?(?![A-Za-z])|\u2264|<=")
_AT_LEAST = re.compile(r"\\geq?(?:slant)?(?![A-Za-z])|\u2265|>=")
_INEQUALITY = re.compile(r"(\\le |\\ge |<|>|\\lt(?![A-Za-z])|\\gt(?![A-Za-z]))")
_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_BASE = re.compile(rf"-?(?:{_TEXT}\{{)?([0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?)\}}?_\{{?(?:{_TEXT}\{{)?(\d+|[a-z]+)\}}{{0,2}}")
_IN_BASE = re.compile(r"(-?[0-9A-Fa-f]+)\s*[(,]?\s*(?:in\s+)?base[\s-]+(\d+|[a-z]+)\s*\)?", re.IGNORECASE)
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_BASES |= {"ten": "10", "eleven": "11", "twelve": "12", "sixteen": "16"}
_TIME = re.compile(r"0?(?P<clock>\d{1,2}(?::[0-5]\d){1,2})\s*(?P<half>[ap]\.?\s?m\.?)?", re.IGNORECASE)
_RATIO = re.compile(r"(\d+)\s*:\s*(\d+)")
_WORDS = re.compile(r"[A-Za-z]{4,}(?:[ -]+[A-Za-z]+)*(?: \d{1,4})?|[A-Z]{2,}")
_REPEATING = re.compile(r"-?(\d{0,50})\.(\d{0,50})\\(?:overline|bar|dot)\s*\{(\d{1,50})\}")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])|\u00b0")
_UNIT_AT_END = re.compile(
    rf"(?P<value>.*?[\d}})\]a-zA-Z])\s*(?:{_TEXT}\{{(?P<text>[^{{}}]*)\}}|(?<![A-Za-z\\])(?P<word>[A-Za-z]{{2,}}"
    rf"(?:[ /][A-Za-z]+)*))(?P<power>\^\{{?\d\}}?)?\s*\.?",
    re.DOTALL,
)
_CURRENCY = re.compile(r"^(-?)\s*(?:\\\$|\\pounds(?![A-Za-z])|[\u20ac\u00a3\u20b9\u00a5])\s*")
_CURRENCIES = {"\\$": "dollar", "\u20ac": "euro", "\u00a3": "pound sterling", "\\pounds": "pound sterling"}
_FUNCTIONS = frozenset("sin cos tan cot sec csc log ln exp sqrt max min gcd lcm mod pi sinh cosh det".split())


def parse_answer(latex: str) -> Answer:
    r"""The structure of an answer.

    Arguments:
        latex: content of a box, a reference answer, or what a statement names.
    Returns: values and how they are put together; an empty answer is a value with an empty `latex`.
    Source: house rule; see the head of this module.
    """
    text = replace_boxes(latex)
    if words := re.fullmatch(rf"\s*\$?\s*{_TEXT}\{{\s*([A-Za-z]{{2,}}(?:[ -]+[A-Za-z]+)*)\s*\.?\s*\}}\s*[.$]*", text):
        return _words_value(words[1])
    text = strip_wrapping(text)
    for pattern, replacement in _SPACING:
        text = pattern.sub(replacement, text)
    return _parse(_bare(text))


def _bare(text: str) -> str:
    return re.sub(r"(?:\s|\\\\|[.,;:](?=\s*$))+$", "", text).strip()


def _parse(text: str, depth: int = 0) -> Answer:
    if depth > 8 or _is_text(text):
        return _value(text)
    text = _JOINING_WORD.sub(" , ", text) if not _WORDS.fullmatch(text) else text
    items = _split(text)
    if len(items) > 1:
        return _collection("list", items, depth)
    union = re.split(r"\\cup(?![A-Za-z])|\u222a", text)
    if len(union) > 1:
        return _collection("union", union, depth)
    text = _MEMBER.sub("", text)
    if interval := _interval(text):
        return _collection(*interval, depth)
    if matrix := _MATRIX.fullmatch(text):
        rows = [row.split("&") for row in re.split(r"\\\\|\\cr", _bare(matrix[2])) if row.strip()]
        shape = f"matrix {len(rows)}x{max(map(len, rows), default=0)}"
        return _collection(shape, [cell for row in rows for cell in row], depth)
    brackets = _brackets(text)
    if brackets:
        kind, inner = brackets
        members = _split(inner, thousands=False)
        if kind == "{}":
            return _collection("list", list(dict.fromkeys(member.strip() for member in members)), depth)
        if len(members) > 1:
            return _collection(kind, members, depth)
        if kind == "()" and not _CHAIN.search(text):
            return _parse(_bare(inner), depth + 1)
    if text.count(r"\pm") == 1 and not _CHAIN.search(text.split(r"\pm")[1]):
        head, tail = re.split(r"\\pm(?![A-Za-z])", text, maxsplit=1)
        sign = " + " if head.strip() and not head.rstrip().endswith("=") else ""
        return _collection("list", [f"{head}{sign}{tail}", f"{head} - {tail}".strip()], depth)
    return _value(text)


def _interval(text: str) -> tuple[str, list[str]] | None:
    r"""The brackets and ends of what an inequality with one unknown says: "2 < x \le 5" is (2, 5]."""
    parts = _INEQUALITY.split(_AT_MOST.sub(r"\\le ", _AT_LEAST.sub(r"\\ge ", text)))
    ends, signs = [part.strip() for part in parts[::2]], [sign.strip() for sign in parts[1::2]]
    if not signs or len({sign in ("<", r"\le") for sign in signs}) > 1 or not all(ends):
        return None
    if signs[0] in (">", r"\ge"):
        ends, signs = ends[::-1], [{">": "<", r"\ge": r"\le"}[sign] for sign in signs[::-1]]
    names = [index for index, end in enumerate(ends) if _UNKNOWN.fullmatch(end)]
    opening, closing = ("(" if signs[0] == "<" else "["), (")" if signs[-1] == "<" else "]")
    if len(ends) == 3 and names == [1]:
        return opening + closing, [ends[0], ends[2]]
    if len(ends) == 2 and len(names) == 1:
        return ("(" + closing, [r"-\infty", ends[1]]) if names == [0] else (opening + ")", [ends[0], r"\infty"])
    return None


def _collection(kind: str, items: list[str], depth: int) -> Collection:
    parsed = [_parse(_bare(item), depth + 1) for item in items if item.strip()]
    if kind == "list":
        parsed = _share(parsed)
        parsed = [each for item in parsed for each in _members(item)]
    return Collection(kind, tuple(parsed))


def _members(answer: Answer) -> tuple[Answer, ...]:
    return answer.items if isinstance(answer, Collection) and answer.kind == "list" else (answer,)


def _share(items: list[Answer]) -> list[Answer]:
    """A unit that stands once, behind the last value, belongs to all; so does an unknown before the first."""
    values = [item for item in items if isinstance(item, Value)]
    if len(values) != len(items) or not values:
        return items
    unit = values[-1].unit if not any(value.unit for value in values[:-1]) else ""
    unknown = values[0].unknown if not any(value.unknown for value in values[1:]) else ""
    return [value._replace(unit=unit or value.unit, unknown=unknown or value.unknown) for value in values]


def _split(text: str, thousands: bool = True) -> list[str]:
    """The parts between commas and semicolons outside all brackets; a comma within a number is none."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"\\[A-Za-z]+|\\.|[(\[{)\]},;]", text):
        mark = match[0]
        if mark in ("(", "[", "{", r"\{", r"\langle"):
            depth += 1
        elif mark in (")", "]", "}", r"\}", r"\rangle"):
            depth -= 1
        elif mark == r"\begin":
            depth += 1
        elif mark == r"\end":
            depth -= 1
        elif depth == 0 and mark in ",;" and not (thousands and _is_thousands(text, match.start())):
            parts.append(text[start : match.start()])
            start = match.end()
    return [part for part in (*parts, text[start:]) if part.strip()]


def _is_thousands(text: str, comma: int) -> bool:
    """Whether a comma stands within a number such as 1,234,567."""
    begin, end = re.search(r"[\d,]*$", text[:comma]), re.match(r"[\d,]*", text[comma:])
    run = (begin[0] if begin else "") + (end[0] if end else "")
    return re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+", run) is not None


def _brackets(text: str) -> tuple[str, str] | None:
    """The brackets around the whole of a text, and what they hold."""
    match = re.fullmatch(r"(\(|\[|\\\{|\\lbrace|\\langle)(.*)(\)|\]|\\\}|\\rbrace|\\rangle)", text, re.DOTALL)
    if match is None:
        return None
    depth = 0
    for mark in re.finditer(r"\\\{|\\\}|[(\[)\]]", text):
        depth += 1 if mark[0] in ("(", "[", r"\{") else -1
        if depth == 0 and mark.end() < len(text):
            return None
    names = {r"\{": "{", r"\}": "}", r"\lbrace": "{", r"\rbrace": "}", r"\langle": "(", r"\rangle": ")"}
    return names.get(match[1], match[1]) + names.get(match[3], match[3]), match[2]


def _is_text(text: str) -> bool:
    return _TIME.fullmatch(_without_text(text)) is not None


def _without_text(text: str) -> str:
    return " ".join(re.sub(rf"{_TEXT}\{{([^{{}}]*)\}}", r" \1", text).split())


def _value(text: str) -> Value:
    sides = [side for side in _CHAIN.split(text)]
    if len(sides) > 1 and "\\begin" not in text:
        first, rest = sides[0].strip(), [side.strip() for side in sides[1:] if side.strip()]
        values = [_single(side) for side in rest]
        if not values:
            return _single(first)
        if not first or _FUNCTION.fullmatch(first):
            return values[-1]._replace(others=tuple(values[:-1]))
        if _UNKNOWN.fullmatch(first):
            return values[-1]._replace(unknown=" ".join(first.split()), others=tuple(values[:-1]))
        everything = (_single(first), *values)
        if all(value.key is not None for value in everything):
            return everything[-1]._replace(others=everything[:-1])
        return Value(text, None)
    return _single(text)


def _single(text: str) -> Value:
    text = _bare(strip_wrapping(_bare(text)))
    if not text:
        return Value("", None)
    if re.fullmatch(r"[A-Z]", text):
        return Value(text, text)
    spelt = _without_text(text)
    if time := _TIME.fullmatch(spelt):
        return Value(text, time["clock"] + re.sub(r"[\s.]", "", time["half"] or "").casefold(), is_text=True)
    if ratio := _RATIO.fullmatch(spelt):
        return Value(rf"\frac{{{ratio[1]}}}{{{ratio[2]}}}", _number(f"{ratio[1]}/{ratio[2]}"))
    if (base := _IN_BASE.fullmatch(spelt)) and (base[2].isdigit() or base[2] in _BASES):
        text = f"{base[1]}_{base[2]}"
    if base := _BASE.fullmatch(text):
        if re.search(r"\d", base[1]) and (base[2].isdigit() or base[2] in _BASES):
            sign, digits = "-" if text.startswith("-") else "", base[1].lstrip("0") or "0"
            return Value(text, f"{sign}{digits}_{_BASES.get(base[2], base[2])}".upper())
    if _WORDS.fullmatch(spelt) and spelt.casefold() not in _FUNCTIONS:
        return _words_value(spelt)
    value, unit = _unit(text)
    percent = re.search(r"\s*(?:\\?%|\b(?:percent|per cent)\b)\s*$", value)
    if percent:
        value = value[: percent.start()]
    if unit in ("percent", "/cent"):
        percent, unit = True, ""
    value = _bare(value)
    return Value(value, _number(value), unit, percent=bool(percent))


def _words_value(words: str) -> Value:
    number = find_number_words(words)
    if number and (number[0].start, number[0].end) == (0, len(words)):
        return Value(words, number[0].value)
    return Value(words, " ".join(words.casefold().split()), is_text=True)


def _number(text: str) -> str | None:
    """The exact value of a text that is one number or one calculation."""
    if repeating := _REPEATING.fullmatch(text):
        sign, head, period = -1 if text.startswith("-") else 1, repeating[2], repeating[3]
        shift, nines = 10 ** len(head), 10 ** len(period) - 1
        value = Fraction(int((repeating[1] or "0") + head), shift) + Fraction(int(period), nines * shift)
        return canonical_value(sign * value)
    letters = re.sub(r"\\[A-Za-z]+", " ", text).casefold()
    if set(re.findall(r"[^\W\d_]+", letters)) - SCALES.keys():
        return None
    words = plain_maths(text).strip()
    found = find_values(words, formula=True)
    if len(found) != 1 or words[: found[0].start].strip() or words[found[0].end :].strip():
        return None
    return found[0].value


def _unit(text: str) -> tuple[str, str]:
    """A text without its unit, and the unit in one spelling."""
    if currency := _CURRENCY.match(text):
        sign = currency[0].strip().lstrip("-").strip()
        return currency[1] + text[currency.end() :].strip(), _CURRENCIES.get(sign, sign)
    if re.search(r"\\(?:sin|cos|tan|cot|sec|csc|arc)", text):
        return text, ""
    if re.search(rf"(?:{_DEGREES.pattern})\s*$", text):
        return _DEGREES.sub("", text), "degree"
    if re.search(r"\\\$\s*$", text):
        return re.sub(r"\\\$\s*$", "", text), "dollar"
    match = _UNIT_AT_END.fullmatch(text)
    if match is None:
        return _DEGREES.sub("", text), ""
    name = (match["text"] or match["word"] or "").strip()
    if name.casefold() in SCALES or (match["word"] and (name.casefold() in _FUNCTIONS or not _number(match["value"]))):
        return text, ""
    unit = canonical_unit(name, match["power"] or "")
    return (_DEGREES.sub("", match["value"]), unit) if unit else (text, "")


_UNIT_NAMES = {
    "centimeter": "cm centimetre", "millimeter": "mm millimetre", "meter": "m metre", "kilometer": "km kilometre",
    "inch": "in inches", "foot": "ft feet", "yard": "yd yds", "mile": "mi", "gram": "g", "kilogram": "kg",
    "pound": "lb lbs", "ounce": "oz", "liter": "l litre", "milliliter": "ml millilitre",
    "second": "s sec secs", "minute": "min mins",
    "hour": "h hr hrs", "day": "", "dollar": "usd buck", "cent": "", "degree": "deg", "radian": "rad",
    "mile/hour": "mph", "unit": "",
}  # fmt: skip
_UNITS = {alias: name for name, aliases in _UNIT_NAMES.items() for alias in (name, *aliases.split())}


def canonical_unit(name: str, power: str = "") -> str:
    r"""One spelling for a unit: "sq. cm", "square centimeters" and "cm" with a power of 2 are "centimeter^2".

    Arguments:
        name: as written, words only.
        power: "", "^2", "^{3}" ...
    Returns: singular; "" where the words are no unit (they hold figures, or brackets).
    """
    words = re.sub(r"[.\\]", " ", name.casefold()).replace("/", " / ").split()
    exponent = re.sub(r"\D", "", power)
    if words and words[0] in ("square", "sq", "cubic", "cu"):
        exponent = "2" if words[0].startswith("sq") else "3"
        words = words[1:]
    if not words or not all(re.fullmatch(r"[a-z\u00b5\u03bc]+|/", word) for word in words):
        return ""
    words = ["/" if word == "per" else word for word in words]
    spelt = "".join(word if word == "/" else f" {_singular(word)}" for word in words).replace("/ ", "/").strip()
    return spelt + (f"^{exponent}" if exponent else "")


def _singular(word: str) -> str:
    if word in _UNITS:
        return _UNITS[word]
    for ending, replacement in (("ies", "y"), ("ches", "ch"), ("xes", "x"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1 and not word.endswith("ss"):
            word = word.removesuffix(ending) + replacement
            break
    return _UNITS.get(word, word)
