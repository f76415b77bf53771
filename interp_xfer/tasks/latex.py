r"""Answers in LaTeX: finding the boxed one, and string equality after Hendrycks et al. (2103.03874).

`is_equiv` follows the normalisation published with the MATH data set, rewritten here; it differs in one point, on
purpose: the published function returns True for two missing answers, this one False.
"""

import re


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` or `\fbox{...}` whose braces balance, else None.

    `\boxed 5` reads as "5". An unbalanced box (a generation that was cut) is skipped.

    Arguments:
        text: any text.
    Returns: the content, unchanged.
    Source: 2103.03874 (last_boxed_only_string), with a fallback to an earlier balanced box.
    """
    for match in reversed(list(re.finditer(r"\\(?:boxed|fbox)\s*(\{|[^\s{}$\\]+)", text))):
        if match[1] != "{":
            return match[1].rstrip(".,;")
        end = closing_brace(text, match.end() - 1)
        if end is not None:
            return text[match.end() : end]
    return None


def closing_brace(text: str, start: int) -> int | None:
    """Position of the brace that closes the one at `start`, or None when braces do not balance."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    return None


def replace_boxes(text: str) -> str:
    r"""`text` with every balanced `\boxed{...}` replaced by its content."""
    match = re.search(r"\\(?:boxed|fbox)\s*\{", text)
    while match is not None:
        end = closing_brace(text, match.end() - 1)
        start = match.end()
        if end is not None:
            content = text[match.end() : end]
            text, start = text[: match.start()] + content + text[end + 1 :], match.start()
        match = re.compile(r"\\(?:boxed|fbox)\s*\{").search(text, start)
    return text


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
    Source: house rule.
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
