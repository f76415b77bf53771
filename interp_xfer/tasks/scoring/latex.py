r"""Answers in LaTeX: finding the boxed one, and string equality after Hendrycks et al. (2103.03874).

`is_equiv` follows the normalisation published with the MATH data set, rewritten here; it differs in one point, on
purpose: the published function returns True for two missing answers, this one False.
"""

import re
from typing import NamedTuple


class Box(NamedTuple):
    r"""A `\boxed{...}` or `\fbox{...}`."""

    content: str
    start: int
    end: int


_BRACE = re.compile(r"\\(?:boxed|fbox)\s*(?:(?P<open>\{)|(?P<bare>[^\s{}$\\]+))|\\.|[{}]", re.DOTALL)
_BLANK = r"\\[()\[\],;:! ]|\\q?quad"
_AND = r"\b(?:and|or)\b|\\(?:text|mbox|mathrm|textrm)\s*\{\s*,?\s*(?:and|or)?\s*,?\s*\}"
JOINED_BOXES = re.compile(
    rf"(?:[ \t$*&]|{_BLANK})*(?:[,;]|{_AND})"
    rf"(?:[\s$*&,;]|{_BLANK}|{_AND}|[A-Za-z](?:_\{{?\w\}}?)?\s*=)*",
)
r"""Between boxes of one list: "\boxed{1}$, $\boxed{2}$, and $x = \boxed{3}"."""


FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<display>(?:\\.|[^$\\])+)\$\$|(?<!\\)\$(?P<inline>(?:\\.|[^$\\])+)\$|"
    r"\\\((?P<round>(?:(?!\\\)).)+)\\\)|\\\[(?P<square>(?:(?!\\\]).)+)\\\]",
    re.DOTALL,
)
r"""`$$...$$`, `$...$`, `\(...\)` or `\[...\]`; an escaped dollar is none."""


def boxes(text: str, nested: bool = False) -> list[Box]:
    r"""The boxes of a text whose braces balance, in order; linear in the text.

    `\boxed 5` reads as "5". An unbalanced box (a generation that was cut) is skipped.

    Arguments:
        text: any text.
        nested: list boxes within boxes too.
    Returns: boxes in the order of their beginnings.
    Source: 2103.03874 (last_boxed_only_string); there, escaped braces count as braces.
    """
    found: list[Box] = []
    open_: list[re.Match[str] | None] = []
    for match in _BRACE.finditer(text):
        if match["bare"]:
            found.append(Box(match["bare"].rstrip(".,;"), match.start(), match.end()))
        elif match["open"]:
            open_.append(match)
        elif match[0] == "{":
            open_.append(None)
        elif match[0] == "}" and open_ and (begin := open_.pop()) is not None:
            found.append(Box(text[begin.end() : match.start()], begin.start(), match.end()))
    found.sort(key=lambda box: box.start)
    if nested:
        return found
    outer: list[Box] = []
    for box in found:
        if not outer or box.start >= outer[-1].end:
            outer.append(box)
    return outer


def last_boxed(text: str) -> str | None:
    r"""The content of the last box whose braces balance, else None; of boxes within boxes the innermost.

    Arguments:
        text: any text.
    Returns: the content, unchanged.
    Source: 2103.03874 (last_boxed_only_string), with a fallback to an earlier balanced box.
    """
    found = boxes(text, nested=True)
    return found[-1].content if found else None


def replace_boxes(text: str) -> str:
    r"""`text` with every balanced `\boxed{...}` replaced by its content."""
    parts, start = [], 0
    for box in boxes(text):
        parts += [text[start : box.start], replace_boxes(box.content)]
        start = box.end
    return "".join([*parts, text[start:]])


def is_equiv(first: str | None, second: str | None) -> bool:
    """Whether two LaTeX answers are the same string after normalisation.

    Arguments:
        first: an answer; None or blank means there is none.
        second: another.
    Returns: False when either is missing (the published code says True for two missing ones).
    Source: 2103.03874, `math_equivalence.is_equiv`.
    """
    if first is None or second is None or not first.strip() or not second.strip():
        return False
    return normalise_latex(first) == normalise_latex(second)


_LITERAL: tuple[tuple[str, str], ...] = (
    ("\n", ""),
    (r"\!", ""),
    (r"\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    (r"\left", ""),
    (r"\right", ""),
    (r"^{\circ}", ""),
    (r"^\circ", ""),
    (r"\$", ""),
)


def normalise_latex(answer: str) -> str:
    r"""An answer as the published MATH scorer compares it.

    Spaces, `\left`, `\right`, degree signs, per cent signs, dollar signs and trailing units go; `\frac12` becomes
    `\frac{1}{2}`, `a/b` becomes `\frac{a}{b}`, `.5` becomes `0.5`, `x=5` becomes `5`.

    Arguments:
        answer: LaTeX.
    Returns: the normalised string; for plain answers idempotent.
    Source: 2103.03874, `_strip_string`.
    """
    for old, new in _LITERAL:
        answer = answer.replace(old, new)
    if r"\text{ " in answer:  # a unit on the right
        answer = answer.split(r"\text{ ")[0]
    answer = answer.replace(r"\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not answer.strip():
        return ""
    if answer[0] == ".":
        answer = "0" + answer
    sides = answer.split("=")
    if len(sides) == 2 and len(sides[0].strip()) <= 2:
        answer = sides[1]
    answer = re.sub(r"\\sqrt\s*([^{\s\[])", r"\\sqrt{\1}", answer).replace(" ", "")
    answer = re.sub(r"\\frac([^{}\\])([^{}\\])", r"\\frac{\1}{\2}", answer)
    answer = re.sub(r"\\frac([^{}\\])\{", r"\\frac{\1}{", answer)
    answer = re.sub(r"(\\frac\{[^{}]*\})([^{}\\])", r"\1{\2}", answer)
    if answer == "0.5":
        answer = r"\frac{1}{2}"
    if match := re.fullmatch(r"(-?\d+)/(-?\d+)", answer):
        answer = rf"\frac{{{match[1]}}}{{{match[2]}}}"
    return answer


def strip_wrapping(answer: str) -> str:
    r"""An answer without math delimiters and one enclosing `\text{}`, `\textbf{}`, `\mathrm{}` or `\mathbf{}`.

    Arguments:
        answer: for instance the content of a box.
    Returns: the inner text.
    """
    previous = None
    while previous != answer:
        previous = answer
        answer = answer.strip().strip("$").strip()
        if match := re.fullmatch(r"\\(?:text|textbf|mathrm|mathbf|textrm)\s*\{(.*)\}", answer, re.DOTALL):
            answer = match[1]
        if match := re.fullmatch(r"\\[(\[](.*)\\[)\]]", answer, re.DOTALL):
            answer = match[1]
    return answer
