r"""Numbers as they are written, and one canonical spelling for equal values.

Method (house rule):

1. `plain` gives decimal digits of any script, minus signs and vulgar fractions their ASCII form; `maths_text.py` does
   the same for TeX and for the signs of arithmetic.
2. A literal is a run of digits with its separators: thousands in threes behind a comma, a space, a thin space, an
   apostrophe or an underscore (1,000; 1 000), behind points if there are two (1.000.000) or decimals behind a comma
   follow (1.000,50), Indian groups (12,34,567); decimals; an exponent (1e5). Other runs with commas are lists.
3. A number as written is a literal, a fraction, a mixed number, a power, a product with a power of ten, or one of these
   before "hundred" to "trillion", with a sign. A dozen is a unit. (`numbers.py` reads it, and whole calculations.)
4. Its canonical form is an integer ("18"), a finite decimal ("18.5"), or a fraction in lowest terms ("2/3"), so that
   equal values are equal strings. No float is involved; literals of 10,000 digits are exact.
"""

import re
import unicodedata
from fractions import Fraction
from math import gcd
from typing import NamedTuple

# Python refuses to convert longer strings to int (sys.set_int_max_str_digits): such fractions stay as written.
_MAX_INT_DIGITS = 4000
_SPACES = " \u00a0\u202f\u2009"

LITERAL = rf"""
    (?: (?P<dotted> \d{{1,3}}(?:\.\d{{3}}(?!\d)){{2,}}(?!\.?\d) | \d{{1,3}}(?:\.\d{{3}}(?!\d))+(?=,\d{{1,2}}(?![\d,])) )
        (?P<comma>,\d{{1,2}}(?![\d,]))?
      | (?: (?P<spaced>[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}}(?![\d-]))+) | (?P<run>\d+(?:[,'\u2019_]\d+)*) | (?=\.\d) )
        (?P<decimals>\.\d+)? (?P<exponent>[eE][+-]?\d{{1,3}}\b)?
    )
"""
"""Verbose pattern of what `read_literal` reads. It never begins twice in one run, so that scanning is linear."""

_PLAIN = str.maketrans(
    {
        "\u2212": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\ufe63": "-",
        "\uff0d": "-",
        "\u2044": "/",
        "\uff0c": ",",
        "\uff0e": ".",
        "\uff04": "$",
        "\uff05": "%",
    }
)


class FoundNumber(NamedTuple):
    """A number and where it stands in the text that was read."""

    canonical: str
    start: int
    end: int


def plain(text: str) -> str:
    """`text` with ASCII digits, minus signs and fractions, so that one pattern reads every script.

    Superscripts stay as they are: "5²" is not 52.

    Arguments:
        text: any text.
    Returns: the same text; only characters of numbers differ.
    """
    if text.isascii():
        return text
    pieces: list[str] = []
    for character in text.translate(_PLAIN):
        if not character.isascii():
            category = unicodedata.category(character)
            if category == "Nd":
                character = str(unicodedata.digit(character))
            elif category == "No" and "\u2044" in (fraction := unicodedata.normalize("NFKC", character)):
                glue = " " if pieces and pieces[-1][-1:].isdigit() else ""  # 1½ is 1 1/2
                character = glue + fraction.replace("\u2044", "/")
        pieces.append(character)
    return "".join(pieces)


def read_literal(match: re.Match[str]) -> list[FoundNumber]:
    """The numbers that a match of `LITERAL` is: one, or those of a list without spaces ("1,2")."""
    group = match.groupdict()
    if group["dotted"]:  # 1.000.000, or 1.000,50
        decimals = (group["comma"] or "")[1:]
        digits = group["dotted"].replace(".", "") + decimals
        return [FoundNumber(_decimal(digits, len(decimals)), match.start(), match.end())]
    pieces = re.split(rf"[,'\u2019_{_SPACES}]", group["spaced"] or group["run"] or "")
    if group["spaced"] or _is_grouped(group["run"] or "", pieces):
        pieces = ["".join(pieces)]
    found, start = [], match.start()
    for piece in pieces[:-1]:
        found.append(FoundNumber(_decimal(piece, 0), start, start + len(piece)))
        start += len(piece) + 1
    last = _scaled(pieces[-1], group["decimals"] or "", int((group["exponent"] or "e0")[1:]))
    return [*found, FoundNumber(last, start, match.end())]


def _is_grouped(run: str, pieces: list[str]) -> bool:
    first, *others = pieces
    if not others or first.startswith("0") or len(set(re.sub(r"\d", "", run))) > 1:
        return False
    western = len(first) <= 3 and all(len(piece) == 3 for piece in others)
    indian = len(first) <= 2 and all(len(piece) == 2 for piece in others[:-1]) and len(others[-1]) == 3
    return western or (indian and "," in run)


def canonical_value(value: Fraction) -> str:
    """The canonical spelling of an exact value."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    return sign + ratio(str(value.numerator), str(value.denominator))


def negated(canonical: str) -> str:
    """The canonical spelling of minus the value."""
    return canonical if canonical == "0" else canonical[1:] if canonical[0] == "-" else f"-{canonical}"


def ratio(over: str, under: str) -> str:
    """The number over / under (digits; under not zero) in lowest terms; a finite decimal where there is one."""
    if max(len(over), len(under)) > _MAX_INT_DIGITS // 2:
        return f"{over.lstrip('0') or '0'}/{under.lstrip('0')}"
    numerator, denominator = int(over), int(under)
    divisor = gcd(numerator, denominator)
    numerator, denominator = numerator // divisor, denominator // divisor
    powers, rest = {2: 0, 5: 0}, denominator
    for prime in powers:
        while rest % prime == 0:
            rest //= prime
            powers[prime] += 1
    scale = max(powers.values())
    if rest > 1 or scale > 20:  # long binary fractions read better as fractions
        return f"{numerator}/{denominator}"
    return _decimal(str(numerator * 10**scale // denominator), scale)


def _scaled(digits: str, decimals: str, exponent: int) -> str:
    digits, scale = digits + decimals[1:], max(len(decimals) - 1, 0) - exponent
    return _decimal(digits + "0" * -scale, max(scale, 0))


def _decimal(digits: str, scale: int) -> str:
    """The number digits / 10**scale without trailing zeros."""
    digits = digits.rjust(scale + 1, "0")
    whole = (digits[:-scale] if scale else digits).lstrip("0") or "0"
    decimals = digits[-scale:].rstrip("0") if scale else ""
    return f"{whole}.{decimals}" if decimals else whole
