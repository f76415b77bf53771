r"""Multiple-choice answers in generated text.

In this order (labels are the item's own, A-D or 1-4, three to five of them):

1. `answer_is`: the label, or the text of an option, after the last "answer is" (or "answer:").
2. `boxed`: the same in the last `\boxed{}`.
3. `leading`: the text begins with a label, "B. ..." or "(B)".
4. `single`: one label, and no other, stands alone in the text.
5. `option_text`: the last line, or else the whole text, contains the text of one option and of no other.

A letter where the item has numbers, or a number where it has letters, counts by position.
"""

import re
from collections.abc import Sequence

from interp_xfer.tasks.latex import last_boxed, strip_wrapping
from interp_xfer.tasks.numbers import plain
from interp_xfer.tasks.numeric_answer import Extracted
from interp_xfer.tasks.records import Choice

_ANSWER_IS = re.compile(r"(?:answer|option|choice)\**\s*(?:is\b|:)\s*:?", re.IGNORECASE)
# "(B)", "B.", "**B**", "B" at the end; lower case only in brackets.
_TOKEN = re.compile(r"[\s*_\"'$]*(?:option\s+)?(?:[(\[]\s*([A-Za-z]|\d)\s*[)\]]|([A-Z]|\d)(?![\w']))")
_ARTICLE = re.compile(r"A\s+(?!because|since|as\b|and\b|which|that|is\b|due|for\b|so\b)[a-z]")
_LETTERS, _DIGITS = "ABCDE", "12345"


def extract_choice(text: str, choices: Sequence[Choice]) -> Extracted:
    """The label of the option that a text chooses.

    Arguments:
        text: a generation, already cut at its stop sequence.
        choices: the options of the item.
    Returns: one of the item's labels, and the rule that found it.
    Source: house rule.
    """
    text = plain(text).strip()
    for match in reversed(list(_ANSWER_IS.finditer(text))):
        rest = text[match.end() :].lstrip().split("\n", 1)[0]
        boxed = last_boxed(rest)
        label = _named(rest if boxed is None else boxed, choices)
        if label is not None:
            return Extracted(label, "answer_is" if boxed is None else "boxed")
    boxed = last_boxed(text)
    if boxed is not None and (label := _named(boxed, choices)) is not None:
        return Extracted(label, "boxed")
    heads = {label for line in text.splitlines() if (label := _leading(line, choices)) is not None}
    if len(heads) == 1 and (label := _leading(text, choices)) is not None:
        return Extracted(label, "leading")
    alone = _alone(text, choices)
    if len(alone) == 1:
        return Extracted(alone.pop(), "single")
    for part in (text.splitlines()[-1] if text else "", text):
        mentioned = [choice.label for choice in choices if _contains(part, choice.text)]
        if len(mentioned) == 1:
            return Extracted(mentioned[0], "option_text")
    return Extracted(None, None)


def _named(text: str, choices: Sequence[Choice]) -> str | None:
    """The option that `text` begins with: its text, else its label."""
    text = strip_wrapping(text)
    by_text = _by_text(text, choices)
    if by_text is not None:
        return by_text
    match = _TOKEN.match(text)
    if match is None or (match[2] == "A" and _ARTICLE.match(text.lstrip(" *_\"'$"))):
        return None
    return _label((match[1] or match[2]).upper(), choices)


def _by_text(text: str, choices: Sequence[Choice]) -> str | None:
    """The option that `text` is or begins with; an option that reads like a label ("3" of 1-4) is left to labels."""
    labels = {choice.label for choice in choices}
    named = [choice for choice in choices if choice.text not in labels]
    exact = [choice.label for choice in named if choice.text.strip(" .") == text.strip(" .")]
    if len(exact) == 1:
        return exact[0]
    words = _words(text)
    alike = [
        (option, choice.label)
        for choice in named
        if (option := _words(choice.text)) and (words == option or (len(option) > 1 and words.startswith(option + " ")))
    ]
    longest = [label for option, label in alike if option == max(alike)[0]]
    return longest[0] if len(longest) == 1 else None


def _leading(line: str, choices: Sequence[Choice]) -> str | None:
    match = re.match(r"\s*[*_]*(?:\(([A-Za-z]|\d)\)|([A-Z]|\d)(?:[.):,]|[*_\s]*$))", line)
    return _label((match[1] or match[2]).upper(), choices) if match else None


def _alone(text: str, choices: Sequence[Choice]) -> set[str]:
    """Labels that stand alone, in the item's own alphabet; the article "A" is none."""
    found = set()
    for match in re.finditer(r"(?<![\w'.])([A-Z]|\d)(?![\w'])(?!\.\d)", text):
        own = next((choice.label for choice in choices if choice.label == match[1]), None)
        if own is not None and not (own == "A" and _ARTICLE.match(text, match.start())):
            found.add(own)
    return found


def _label(token: str, choices: Sequence[Choice]) -> str | None:
    labels = [choice.label for choice in choices]
    if token in labels:
        return token
    for alphabet in (_LETTERS, _DIGITS):
        if token in alphabet and alphabet.index(token) < len(labels) and labels[0] not in alphabet:
            return labels[alphabet.index(token)]
    return None


def _words(text: str) -> str:
    return " ".join(re.findall(r"(?:(?<!\w)-(?=\d))?\w+(?:[.,]\d+)*", text.casefold()))


def _contains(text: str, option: str) -> bool:
    words = _words(option)
    return bool(words) and f" {words} " in f" {_words(text)} "
