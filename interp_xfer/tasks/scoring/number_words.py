"""Whole numbers in English words: "eighteen", "two hundred and five", "half a million"."""

import re

from interp_xfer.tasks.scoring.number_text import SCALES, Mention

_UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_WORD = "|".join([*_UNITS, *_TENS, *SCALES])
_NUMBER = re.compile(
    rf"\b(?:half\s+an?\s+(?P<half>{'|'.join(SCALES)})|an?\s+(?P<one>{'|'.join(SCALES)})"
    rf"|(?P<words>(?:{_WORD})(?:(?:[\s-]+(?:and\s+)?)(?:{_WORD}))*))\b",
    re.IGNORECASE,
)


def find_number_words(text: str) -> list[Mention]:
    """The whole numbers that a text spells out, in order.

    Arguments:
        text: a sentence.
    Returns: canonical values with their positions.
    """
    found = []
    for match in _NUMBER.finditer(text):
        if scale := match["half"] or match["one"]:
            value = SCALES[scale.casefold()] // (2 if match["half"] else 1)
        else:
            value = _value(re.findall(r"[a-z]+", match["words"].casefold()))
        found.append(Mention(str(value), match.start(), match.end()))
    return found


def _value(words: list[str]) -> int:
    total = part = 0
    for word in words:
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in SCALES:
            total, part = total + max(part, 1) * SCALES[word], 0
        elif word != "and":
            part += _UNITS.get(word) or _TENS.get(word, 0)
    return total + part
