r"""Numeric answers in generated text.

The answer is found by the first of these rules that gives one (the rule is part of the score):

1. `hash`: the last line `#### ...` that is an answer: labelled ("#### The final answer is: ...") or beginning with its
   value ("#### $18 a day", "#### x = 9"). Headings ("#### Step 1", "#### 1. Find ...", "#### 2) ...") are passed over.
2. `answer_is`: the last statement of the answer (`statements.py`).
3. `boxed`: the last `\boxed{...}`; boxes joined in one sentence are a list.
4. `last_number`: the last number of the text, as written, that is not denied.

The value of a statement, a line or a box (calculations have their value, numbers are read as `numbers.py` says):

5. What stands after the last sign of equality (=, ≈, →) that has a value behind it, else the whole sentence.
6. Where it begins with a value (behind "about", "$", "x =", "a total of" and such), that value; else, where it tells
   more ("in 3 days she makes $18"), its last value that is no circumstance ("in 3 days", "per 2 weeks", "of 5").
7. A value behind it replaces it where the text says that it is the same one: "which rounds to", "or about", "that is",
   "which equals", "so"; or, behind "so", "but" or the like, where it is the first one rounded to a whole number.
8. Denied values do not count. Two different values joined ("18 or 20", "5, 6", "5 to 10") are no answer, and no other
   rule is asked.
9. Numbers in words count in statements without digits. A dozen is a unit ("5 dozen" is 5).

Values are compared exactly, as canonical strings.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from interp_xfer.tasks.problems import Extracted, Problem, Score
from interp_xfer.tasks.scoring.latex import JOINED_BOXES, Box, boxes
from interp_xfer.tasks.scoring.lm_eval_filters import lm_eval_flexible, lm_eval_normal, lm_eval_strict
from interp_xfer.tasks.scoring.maths_text import plain_maths
from interp_xfer.tasks.scoring.number_text import Mention, canonical_number, find_values
from interp_xfer.tasks.scoring.number_words import find_number_words
from interp_xfer.tasks.scoring.phrases import any_of
from interp_xfer.tasks.scoring.statements import (
    TAIL_CHARACTERS,
    Sentence,
    first_read,
    grouped,
    statements,
    tail,
    without_reasons,
    without_remarks,
)

NUMERIC_RULES = ("hash", "answer_is", "boxed", "last_number")
MANY = "several"
"""Read from a statement of several values; no number is spelt like it."""

_HASH = re.compile(r"####+(?P<line>[^\n]*)(?=(?P<next>(?:[ \t]*\n)+[^\n]*)?)")
_LABEL = re.compile(
    r"[ \t*_]*(?:the\s+)?(?:final\s+|correct\s+)?(?:answer|ans)\b[*_]*(?:\s+(?:is|=)(?!\w))?[\s*_:=]*", re.IGNORECASE
)
_HEADING = re.compile(r"[ \t*_(]*\d{1,3}(?:\s*[.):]+[*_]*\s+\S|\s*[-\u2013\u2014]\s+[A-Za-z])")
_BARE = re.compile(r"[ \t*_]*(\d{1,3})[ \t*_.):]*")
_HASH_LEAD = re.compile(
    r"(?:\W|\b(?:about|approximately|around|exactly|only|us|usd|rs|[a-z](?=\s*=))\b)*", re.IGNORECASE
)
_EQUALS = re.compile(r"(?<![<>!\u2260\u2264\u2265=])=+(?![>])|[\u2248\u21d2]")
_LEADING = any_of(
    "a, an, the, is, are, about, approximately, approx, around, roughly, nearly, almost, exactly, only, just, simply",
    "therefore, thus, then, so, hence, clearly, indeed, actually, now, equal, equals, to, given, by, found, be",
    "at, least",
    "most, total, sum, of, value, number, amount, rs, usd, us, eur, inr, it, that, this, ie",
)
_LEAD = re.compile(rf"(?:\W|\b{_LEADING}\b)*", re.IGNORECASE)
_CIRCUMSTANCES = any_of(
    "in, after, within, every, per, over, during, on, of, from, than, by, with, at, between, each, for"
)
_CIRCUMSTANCE = re.compile(rf"\b({_CIRCUMSTANCES})\s+(?:the\s+|all\s+|about\s+)?$", re.IGNORECASE)
_UNITS = r"(?:\s*[^\W\d_]+(?:/[^\W\d_]+)?){0,3}?"
_JOINT = re.compile(
    rf"(?!.*\b(?:round|approx|equal|which|that is|so\b|mean)){_UNITS}[\s*_$)(]*"
    r"(?:,|/|&|;|:|\bor\b|\band\b|\bnor\b|\bto\b|-|\u2013)[\s*_$)(/]*"
    r"(?:(?:or|and|maybe|perhaps|possibly|even|either)\b\s*)*[$\u20ac\u00a3\s(]*",
    re.IGNORECASE,
)
_ROUNDED = re.compile(
    r"(?:\bround\w*\b(?!\s+from)|\bapproximat\w+|,\s*(?:about|roughly)\b"
    r"|\bor\s+(?:about|around|roughly|nearly|almost|rather(?!\s+than)|better|precisely)\b)(?!.*\bnearest\W*$)",
    re.IGNORECASE,
)
_SAYS_SAME = any_of(
    r"i\.?e\.?, that is, that['\u2019]s, that means, that makes, which is, which equals, which makes, which gives",
    "which means, which is equal to, is equal to, equals?, equal to, in other words, namely, so, thus",
    "therefore, hence",
    "for a total of, totall?ing, giving, making, no",
)
_WE_HAVE = any_of(
    "it is, it['\u2019]s, that is, is, the answer is, a total of, (?:we|they|he|she|you) (?:need|get|ha)\\w*"
)
_SAME = re.compile(
    rf"{_UNITS}[\s,;:\u2014-]*{_SAYS_SAME}[,:]?\s*{_WE_HAVE}?[\s,:$\u20ac\u00a3*]*",
    re.IGNORECASE,
)
_MORE = any_of("more, less, fewer, times, percent, greater, larger, smaller, higher, lower, longer, of")
_COMPARED = re.compile(rf"(?:\s*%)?\s*{_MORE}\b", re.IGNORECASE)
_SO = re.compile(r"\b(?:so|but|thus|therefore|hence|mean\w*|which|then)\b", re.IGNORECASE)


def extract_number(text: str) -> Extracted:
    """The final number of a solution.

    Arguments:
        text: the answer (`Task.answer_text`).
    Returns: canonical number and rule name.
    Source: 2110.14168 for `####`; the other rules stand at the head of this module.
    """
    text = tail(text)
    for rule, find in (("hash", _hash), ("answer_is", _stated), ("boxed", _boxed)):
        found = find(text)
        if found is not None:
            return Extracted(None, None) if found == MANY else Extracted(found, rule)
    words = plain_maths(text)
    for group in reversed(grouped(words, find_values(words, calculate=False), _JOINT)):
        if not group.is_denied:
            return Extracted(group.members[-1].value, "last_number")
    return Extracted(None, None)


def _hash(text: str) -> str | None:
    found = [line.value for line in hash_lines(text) if line.value is not None]
    return found[-1] if found else None


class HashLine(NamedTuple):
    """A line `####`, and what it says."""

    value: str | None
    """None for a heading; `MANY` for several values."""
    is_labelled: bool
    is_count: bool
    """Nothing but the next number of 1, 2, 3 ...: this may be a heading."""
    end: int
    """Where the line that holds the value ends."""
    is_closed: bool
    """A line break follows."""


def hash_lines(text: str) -> Iterator[HashLine]:
    """The lines of a text that begin with `####`, in order; those that are longer than any answer are left out."""
    counted = 0
    for match in _HASH.finditer(text):
        line, end = match["line"], match.end("line")
        label = _LABEL.match(line)
        content = line[label.end() :] if label else line
        if not content.strip(" \t*_:") and match["next"]:  # the value stands on the next line
            content, end = match["next"].strip(), match.end("next")
        if len(content) > TAIL_CHARACTERS:
            continue
        bare = _BARE.fullmatch(content)
        is_count = label is None and bare is not None and int(bare[1]) == counted + 1
        counted += is_count
        if label is None and (_HEADING.match(content) or not _begins_with_value(content)):
            value = None
        else:
            value = read_value(content)
        yield HashLine(value, label is not None, is_count, end, end < len(text))


def _begins_with_value(content: str) -> bool:
    content = plain_maths(content)
    found = find_values(content)
    return bool(found) and _HASH_LEAD.fullmatch(content, 0, found[0].start) is not None


def _stated(text: str) -> str | None:
    for statement in reversed(statements(text)):
        value = read_value(statement.text)
        if value is not None:
            return value
    return None


def _boxed(text: str) -> str | None:
    found = boxes(text)
    return _boxed_value(text, found) if found else None


def _boxed_value(text: str, found: Sequence[Box]) -> str | None:
    """The value of the last box, or of the boxes that one sentence joins; denied ones do not count."""
    mentions = [Mention(read_value(box.content) or "", box.start, box.end) for box in found]
    asserted = [group for group in grouped(text, mentions, JOINED_BOXES) if not group.is_denied]
    if not asserted:
        return None
    values = {mention.value for mention in asserted[-1].members}
    return MANY if len(values) > 1 else values.pop() or None


def read_value(line: str) -> str | None:
    """The value that one line states, by rules 5 to 9.

    Arguments:
        line: a statement, the rest of a `####` line, or the content of a box.
    Returns: canonical number; `MANY` for several different ones; None where it states none.
    """
    found = read_with_sentence(line)
    return found[0] if found else None


def read_with_sentence(line: str) -> tuple[str, Sentence] | None:
    """`read_value` with the sentence that states it; its positions refer to the line as it is written."""
    return first_read(line, _sentence_value)


def _sentence_value(sentence: str) -> str | None:
    found = boxes(sentence)
    if found and (value := _boxed_value(sentence, found)) is not None:
        return value
    for box in found:  # denied, or empty
        sentence = sentence[: box.start] + " " * (box.end - box.start) + sentence[box.end :]
    sentence = plain_maths(sentence)
    values = find_values(sentence) or find_number_words(sentence)
    if not values:
        return None
    sentence = without_remarks(without_reasons(sentence, values[0].start), values[0].start)
    for start in (*(match.end() for match in reversed(list(_EQUALS.finditer(sentence)))), 0):
        value = _segment_value(sentence, start)
        if value is not None:
            return value
    return None


def _segment_value(sentence: str, start: int) -> str | None:
    """The value of what stands from `start` to the end of the sentence or the next sign of equality."""
    stop = _EQUALS.search(sentence, start)
    segment = sentence[start : stop.start() if stop else len(sentence)]
    values = find_values(segment) or find_number_words(segment)
    groups = [group.members for group in grouped(segment, values, _JOINT) if not group.is_denied]
    if not groups:
        return None
    if _LEAD.fullmatch(segment, 0, groups[0][0].start) or _is_denial(segment, values, groups[0][0]):
        chosen = groups[0]
        for before, group in zip(groups, groups[1:], strict=False):
            if _replaces(segment, chosen[-1], group[0], adjacent=before is chosen):
                chosen = group
    else:
        told = [group for group in groups if not _is_circumstance(segment, group[0].start)]
        chosen = (told or groups)[-1]
    different = {mention.value for mention in chosen}
    return MANY if len(different) > 1 else chosen[0].value


def _is_circumstance(segment: str, start: int) -> bool:
    """Whether a value only says when, where or of what; "for $18" is a price."""
    match = _CIRCUMSTANCE.search(segment, max(0, start - 30), start)
    return match is not None and not (match[1].casefold() == "for" and segment[start] in "$\u20ac\u00a3")


def _is_denial(segment: str, values: Sequence[Mention], first: Mention) -> bool:
    """Whether only denied values stand before the first that is not: "not 18 but 20"."""
    return bool(values) and values[0] != first


def _replaces(segment: str, old: Mention, new: Mention, adjacent: bool) -> bool:
    """Rule 7: whether the text says that a value is one before it, put in other words or rounded."""
    gap = segment[old.end : new.start]
    if adjacent and _SAME.fullmatch(gap):
        return not _COMPARED.match(segment, new.end)
    rounded = _ROUNDED.search(gap) is not None
    return (rounded and adjacent) or ((rounded or _SO.search(gap) is not None) and _is_rounding(old.value, new.value))


def _is_rounding(exact: str, whole: str) -> bool:
    if not whole.lstrip("-").isdigit() or max(len(exact), len(whole)) > 40:
        return False
    if exact.lstrip("-").isdigit():
        return False
    over, _, under = exact.partition("/")
    value = float(over) / float(under or 1)
    return abs(value - int(whole)) < 1


def judge_numbers(texts: Sequence[str], problems: Sequence[Problem]) -> list[Score]:
    """What each text answers, and whether that is the reference.

    Arguments:
        texts: answers, without private reasoning and what follows them.
        problems: one for each; `answer` is a number.
    Returns: readings in order. `extra`: the patterns of lm-eval's two filters on this text, which need not be the text
        that its own harness would have generated: `strict_pattern`, `flexible_pattern`.
    """
    readings = []
    for text, problem in zip(texts, problems, strict=True):
        parsed, rule = extract_number(text)
        gold, reference = canonical_number(problem.answer), lm_eval_normal(problem.answer)
        end = tail(text)
        readings.append(
            Score(
                parsed=parsed,
                correct=parsed is not None and parsed == gold,
                rule=rule,
                extra={
                    "strict_pattern": lm_eval_strict(end) == reference,
                    "flexible_pattern": lm_eval_flexible(end) == reference,
                },
            )
        )
    return readings
