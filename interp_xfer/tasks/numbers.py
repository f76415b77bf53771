r"""Numbers in generated text: reading them, and one canonical spelling for equal values.

Method (house rule):

1. Decimal digits of any script become ASCII digits; minus signs and vulgar fractions become plain.
2. A number is an optional minus, digits with optional thousands separators, then decimals, an exponent or a
   denominator; `\frac{2}{3}` and `1 2/3` are read too. Exponents as in `m^2` are not numbers of their own.
3. Its canonical form is an integer ("18"), a finite decimal ("18.5"), or a fraction in lowest terms ("2/3"), so that
   equal values are equal strings. No float is involved, and length does not matter: 10,000 digits are exact.
"""

import re
import unicodedata
from math import gcd
from typing import NamedTuple

# Python refuses to convert longer strings to int (sys.set_int_max_str_digits): such fractions stay as written.
_MAX_INT_DIGITS = 4000

_GROUPED = r"\d{1,3}(?:(?:,|\{,\}|\\,|\\!,|[\u00a0\u202f\u2009])\d{3})+(?!\d)"
_NUMBER = re.compile(
    rf"""
    (?:\\?\$(?=-))?
    (?P<sign>(?<![\w)\]])-(?=\\?\$?\.?\d|\\[dt]?frac))?   # after a word or a bracket, a minus is a subtraction
    \\?\$?
    (?:
        (?<![\^\d])(?<!\^\{{)
        (?: (?P<mixed>\d+)[ ](?P<mixed_over>\d+)/(?P<mixed_under>\d+)(?![\d/])
          | (?P<whole>{_GROUPED}|\d+)(?P<decimals>\.\d+)?(?P<exponent>[eE][+-]?\d{{1,3}}\b)?
            (?:[ ]?/[ ]?(?P<under>\d+)(?![\d/]))?
          | (?P<bare_decimals>\.\d+)
        )
      | \\[dt]?frac(?:\{{(?P<frac_over>\d+)\}}|(?P<frac_over1>\d))[ ]?(?:\{{(?P<frac_under>\d+)\}}|(?P<frac_under1>\d))
    )
    """,
    re.VERBOSE,
)

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
    """A number and where it stands in the plain text."""

    canonical: str
    start: int
    end: int


def plain(text: str) -> str:
    """`text` with ASCII digits, minus signs and fractions, so that one pattern reads every script.

    Superscripts stay as they are: "5²" is not 52.

    Arguments:
        text: any text.
    Returns: the same text; only characters of numbers differ.
    Source: house rule.
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


def find_numbers(text: str) -> list[FoundNumber]:
    """All numbers of a text, in order. A division by zero is no number.

    Arguments:
        text: any text; positions refer to `plain(text)`.
    Returns: canonical values with their positions.
    Source: house rule.
    """
    found = []
    for match in _NUMBER.finditer(plain(text)):
        canonical = _canonical(match)
        if canonical is not None:
            found.append(FoundNumber(canonical, match.start(), match.end()))
    return found


def canonical_number(text: str) -> str | None:
    """The canonical spelling of a text that is one number, else None.

    Units around it are allowed only as currency or per cent: "$1,000.00" is "1000", "10%" is "10", "2/4" is "0.5".

    Arguments:
        text: for instance a reference answer.
    Returns: integer, finite decimal or reduced fraction; idempotent.
    Source: house rule.
    """
    stripped = plain(text).strip().rstrip(".").removesuffix("%").removesuffix("\\").strip()
    match = _NUMBER.fullmatch(stripped) or _NUMBER.fullmatch(stripped.replace(",", ""))
    return _canonical(match) if match else None


def _canonical(match: re.Match[str]) -> str | None:
    group = match.groupdict()
    if group["mixed"] is not None:
        over, under = group["mixed_over"], group["mixed_under"]
        if max(len(group["mixed"]), len(over), len(under)) > _MAX_INT_DIGITS // 2:
            return None
        value = _ratio(str(int(group["mixed"]) * int(under) + int(over)), under)
    elif (over := group["frac_over"] or group["frac_over1"]) is not None:
        value = _ratio(over, group["frac_under"] or group["frac_under1"])
    else:
        whole = re.sub(r"\D", "", group["whole"] or "")
        decimals = (group["decimals"] or group["bare_decimals"] or "")[1:]
        exponent = int((group["exponent"] or "e0")[1:])
        digits, scale = whole + decimals, len(decimals) - exponent
        if scale < 0:
            digits, scale = digits + "0" * -scale, 0
        if group["under"] is None:
            value = _decimal(digits, scale)
        else:
            value = _ratio(digits, group["under"] + "0" * scale)
    if value is None or value == "0":
        return value
    return f"-{value}" if group["sign"] else value


def _decimal(digits: str, scale: int) -> str:
    """The number digits / 10**scale without trailing zeros."""
    digits = digits.rjust(scale + 1, "0")
    whole = (digits[:-scale] if scale else digits).lstrip("0") or "0"
    decimals = digits[-scale:].rstrip("0") if scale else ""
    return f"{whole}.{decimals}" if decimals else whole


def _ratio(over: str, under: str) -> str | None:
    """The number over / under in lowest terms; a finite decimal where there is one."""
    if not under.strip("0"):
        return None
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
