r"""Which options of a multiple-choice item a sentence names, by label or by text.

Labels are the item's own, A-D or 1-4, three to five of them, alone or in brackets. A number where the item has letters
is the option whose text begins with it, else it counts by position; so does a letter where the item has numbers. "A"
before a word is the article, "A heavy one"; before a word with which no noun begins ("rather", "because", "is"), or at
the end of a phrase, it is the option. A digit before a word is a quantity.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from interp_xfer.tasks.problems import Choice
from interp_xfer.tasks.scoring.number_text import Mention
from interp_xfer.tasks.scoring.phrases import any_of

Choices = tuple[Choice, ...]

_LETTERS, _DIGITS = "ABCDE", "12345"
_NO_NOUN_BEGINS = any_of(
    "rather, but, because, since, as, and, or, nor, not, which, that, who, is, was, are, were, has, have, had",
    "would, will",
    "could, can, cannot, should, must, may, might, does, do, did, makes, fits, works, seems, matches, due, for",
    "so, if, when",
    "while, where, whereas, with, in, on, by, from, instead, over, than, then, to, at, given, based, then",
    "though, although",
    "it, they, we, you, he, she, this, these, those, only, here, also, too, again, best, correctly, there",
    "using, i, alone",
)
_NO_NOUN = re.compile(rf"{_NO_NOUN_BEGINS}\b", re.IGNORECASE)
_WORD_BEHIND = re.compile(r"\s+(?=[a-z])")
_LETTER_BEHIND = re.compile(r"\s+(?=[A-Za-z\u00b0])")
_BRACKETED = re.compile(r"[(\[]\s*[*_]*([A-Za-z]|\d)[*_]*\s*[)\]]")
_TOKEN = re.compile(r"(?<![\w'\u2019^-])(?<!\d[.,])([A-Ea-e]|\d)(?![\w'\u2019])(?!-\w)(?![.,]\d)")


class _Patterns(NamedTuple):
    """How the options of one item are found."""

    mention: re.Pattern[str]
    exact: dict[str, str]
    folded: dict[str, str | None]
    """Words of an option -> its label; None where several options have these words."""
    leading_number: dict[str, str | None]


def find_choices(sentence: str, choices: Choices, stated: bool) -> list[Mention]:
    """The options that a sentence names, by text or label, in order; texts go before labels within them."""
    texts = text_mentions(sentence, choices)
    labels = [
        label
        for label in label_mentions(sentence, choices, stated)
        if not any(text.start <= label.start < text.end for text in texts)
    ]
    return sorted([*texts, *labels], key=lambda mention: mention.start)


def text_mentions(sentence: str, choices: Choices) -> list[Mention]:
    """The options whose whole text stands in a sentence, in order."""
    patterns = _patterns(choices)
    found = []
    for match in patterns.mention.finditer(sentence):
        label = patterns.exact.get(match[0]) or patterns.folded.get(_words(match[0]))
        if label is not None:
            found.append(Mention(label, match.start(), match.end()))
    return found


def label_mentions(sentence: str, choices: Choices, stated: bool) -> list[Mention]:
    """The labels that stand alone in a sentence, in order.

    Arguments:
        sentence: any text.
        choices: of the item.
        stated: the sentence states an answer: labels in lower case, and of the other alphabet, count too.
    Returns: the item's own labels with their positions.
    """
    own = {choice.label for choice in choices}
    found: dict[int, Mention] = {}
    for match in _BRACKETED.finditer(sentence):
        label = label_of(match[1].upper(), choices) if stated or match[1] in own else None
        if label is not None:
            found[match.start(1)] = Mention(label, match.start(), match.end())
    for match in _TOKEN.finditer(sentence):
        token = match[1]
        if match.start() in found or not (stated or token in own):
            continue
        behind = (_LETTER_BEHIND if token.isdigit() else _WORD_BEHIND).match(sentence, match.end())
        if behind and not _NO_NOUN.match(sentence, behind.end()) and (token in "Aa" or token.isdigit()):
            continue
        label = label_of(token.upper(), choices)
        if label is not None:
            found[match.start()] = Mention(label, match.start(), match.end())
    return sorted(found.values(), key=lambda mention: mention.start)


def exact_text(text: str, choices: Choices) -> str | None:
    """The option whose text this is, word for word; one that reads like a label ("3" of 1-4) is left to labels."""
    patterns = _patterns(choices)
    bare = text.strip(" .*_\"'$")
    return patterns.exact.get(bare) or patterns.folded.get(_words(bare)) or None


def label_of(token: str, choices: Choices) -> str | None:
    """The item's own label that a letter or digit stands for."""
    labels = [choice.label for choice in choices]
    if token in labels:
        return token
    if token.isdigit() and (number := _patterns(choices).leading_number.get(token)):
        return number
    for alphabet in (_LETTERS, _DIGITS):
        if token in alphabet and alphabet.index(token) < len(labels) and labels[0] not in alphabet:
            return labels[alphabet.index(token)]
    return None


@lru_cache(maxsize=4096)
def _patterns(choices: Choices) -> _Patterns:
    labels = {choice.label for choice in choices}
    named = [choice for choice in choices if choice.text not in labels and _words(choice.text)]
    exact: dict[str, str] = {}
    for choice in named:
        text = choice.text.strip(" .")
        exact[text] = "" if text in exact else choice.label
    folded: dict[str, str | None] = {}
    numbers: dict[str, str | None] = {}
    for choice in named:
        words = _words(choice.text)
        folded[words] = None if words in folded else choice.label
        if (number := words.split()[0]).isdigit():
            numbers[number] = None if number in numbers else choice.label
    words = sorted(folded, key=len, reverse=True)
    alternatives = "|".join(r"[^\w-]*[^\w]".join(map(re.escape, each.split())) for each in words)
    mention = re.compile(rf"(?<![\w-])(?:{alternatives})(?!\w)" if words else r"(?!)", re.IGNORECASE)
    return _Patterns(mention, exact, folded, numbers)


def _words(text: str) -> str:
    return " ".join(re.findall(r"(?:(?<!\w)-(?=\d))?\w+(?:[.,]\d+)*", text.casefold()))
