r"""Running text in the plain form from which numbers are read: TeX and Unicode as signs of arithmetic."""

import re

from interp_xfer.tasks.scoring.literals import plain

_SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789")
_TEX: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Thousands: 1{,}000  1\,000  9\;500  1,\!657
        (r"(?<=\d)(?:\{,\}|,?\\!|\\[,;: ]|\\thinspace|~)\s*(?=\d{3}(?!\d))", ","),
        (r"\\(?:left|right|[bB]ig+[lr]?|displaystyle|textstyle|!)(?![A-Za-z])", ""),
        (r"\\[,;:> ]|\\q?quad(?![A-Za-z])|~|\\thinspace|\\[()\[\]{}]", " "),
        (r"\\(?:text(?:bf|rm|it|normal)?|math(?:rm|bf|it)|mbox|operatorname|emph)\s*\{([^{}]*)\}", r" \1 "),
        (r"\^\s*\{?\s*\\circ\s*\}?|\u00b0", " degrees "),
        (r"\\([$%#&])", r"\1"),
        (r"(?<=\d)\s?\*\*\s?(?=\d)", "^"),
        (r"\*\*+|__+", " "),
        (r"\\[dtc]?frac(?![A-Za-z])\s*(\d)", r"\\frac{\1}"),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\{", "("),
        (r"\}", ")"),
        (r"\\(?:times|cdot|ast)(?![A-Za-z])|[\u00d7\u00b7\u22c5\u2217]", "*"),
        (r"\\div(?![A-Za-z])|\u00f7", "/"),
        (r"\\neq?(?![A-Za-z])|\u2260|!=", " \u2260 "),
        (r"\\(?:approx|simeq|cong)(?![A-Za-z])|[\u2243\u2245\u224c\u223c]", " \u2248 "),
        (r"\\(?:long)?[rR]ightarrow(?![A-Za-z])|\\(?:to|implies)(?![A-Za-z])|[=-]+>|[\u2192\u21d2\u27f9]", " \u21d2 "),
        (r"\\leq?(?![A-Za-z])|<=", " \u2264 "),
        (r"\\geq?(?![A-Za-z])|>=", " \u2265 "),
    )
)


def plain_maths(text: str) -> str:
    r"""`text` with numbers, TeX and signs of arithmetic in the plain form that the grammar reads.

    Arguments:
        text: running text, with or without TeX.
    Returns: "\frac12" is "\frac(1)2", "9\;500" is "9,500", "5²" is "5^2", "≤" is one sign with spaces around it.
    """
    text = plain(text)
    if not text.isascii():
        marks = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
        text = re.sub(rf"(?<=[\d)])[{marks}]+", lambda match: "^" + match[0].translate(_SUPERSCRIPTS), text)
    for pattern, replacement in _TEX:
        text = pattern.sub(replacement, text)
    return text
