r"""Which part of a text is its mathematical answer.

The answer is found by the first of these rules that gives one (the rule is part of the score):

1. `boxed`: the last `\boxed{}` whose braces balance (2103.03874); boxes that one sentence joins ("\boxed{1}, \boxed{2},
   and \boxed{3}") are a list. Denied boxes do not count.
2. `answer_is`: the last statement of the answer (`statements.py`): its first formula, or the formulas that it joins,
   which are a list; without a formula its words, up to a reason. Denied ones do not count. "I hope it is correct", with
   which the four-shot prompt of 2206.14858 ends, is no part of it.
3. `last_formula`: the last formula `$...$`, `\(...\)` or `\[...\]` that is more than a letter and is not denied.
4. `last_number`: the last number of the text, as written, that is not denied.
"""

import re
from collections.abc import Sequence

from interp_xfer.tasks.problems import Extracted
from interp_xfer.tasks.scoring.latex import FORMULA, JOINED_BOXES, Box, boxes, replace_boxes
from interp_xfer.tasks.scoring.maths_text import plain_maths
from interp_xfer.tasks.scoring.number_text import Mention, find_values
from interp_xfer.tasks.scoring.phrases import any_of
from interp_xfer.tasks.scoring.statements import first_read, grouped, statements, tail, without_reasons, without_remarks

MATH_RULES = ("boxed", "answer_is", "last_formula", "last_number")

_CLOSING = re.compile(r"[\s.]*\bI hope (?:it|this) is correct\b.*$", re.IGNORECASE | re.DOTALL)
_LEADING = any_of(
    "the, a, an, is, are, be, equal, equals, to, given, by, about, approximately, exactly, simply, just",
    "therefore, thus, so",
    "then, hence, clearly, indeed, actually, either, both, it, that, this, find, found, value, of, set, point, list",
    "interval, not",
)
_LEAD = re.compile(rf"(?:\W|\b{_LEADING}\b)*", re.IGNORECASE)
_LEADING_WORDS = any_of(
    "the, a, an, is, are, equal to, given by, about, approximately, exactly, simply, just, therefore, thus, so",
    "then, hence",
    "clearly, indeed, actually",
)
_WORDS_LEAD = re.compile(rf"(?:[\s*_:,`\"']|\b{_LEADING_WORDS}\b(?!\s*[\\=]))*", re.IGNORECASE)
_JOINT = re.compile(
    r"[\s*_)\](\[]*(?:,|;|/|&|\bor\b|\band\b|\bnor\b)(?:[\s*_,)\](\[/]|\b(?:or|and|nor|also|the|either|both)\b)*",
    re.IGNORECASE,
)
_UNITS = any_of(
    "dollars?, cents?, euros?, pounds?, hours?, minutes?, seconds?, days?, weeks?, months?, years?, degrees?, radians?",
    "percent, units?, (?:centi|milli|kilo)?met(?:er|re)s?, cm, mm, km, m, inch(?:es)?, feet, foot, ft, yards?",
    "miles?, mph",
    "grams?, kg, liters?, gallons?",
)
_UNIT = re.compile(rf"\s*(?P<unit>(?:square |cubic |sq\.? )?{_UNITS}(?:\^\{{?[23]\}}?)?)\b")


def extract_formula(text: str) -> Extracted:
    """The part of a solution that holds its answer, as LaTeX, and the rule that chose it.

    Arguments:
        text: the answer (`Task.answer_text`).
    Returns: LaTeX and rule name; an empty box is an answer of no characters.
    Source: 2103.03874 for the box; the rules stand at the head of this module.
    """
    text = tail(text)
    found = boxes(text)
    if found and (boxed := joined_content(text, found)) is not None:
        return Extracted(boxed, "boxed")
    for statement in reversed(statements(text)):
        read = first_read(_CLOSING.sub("", statement.text), _stated)
        if read is not None:
            return Extracted(read[0], "answer_is")
    for group in reversed(grouped(text, _formulas(text), _JOINT)):
        last = group.members[-1].value.strip()
        if not group.is_denied and (len(last) > 1 or last.isdigit()):
            return Extracted(last, "last_formula")
    words = plain_maths(text)
    for group in reversed(grouped(words, find_values(words, calculate=False))):
        if not group.is_denied:
            return Extracted(group.members[-1].value, "last_number")
    return Extracted(None, None)


def joined_content(text: str, found: Sequence[Box]) -> str | None:
    """The content of the last box that is not denied, or of the boxes joined to it, with commas between."""
    mentions = [Mention(replace_boxes(box.content).strip(), box.start, box.end) for box in found]
    asserted = [group for group in grouped(text, mentions, JOINED_BOXES) if not group.is_denied]
    return ", ".join(dict.fromkeys(member.value for member in asserted[-1].members)) if asserted else None


def _formulas(text: str) -> list[Mention]:
    """The formulas of a text; a unit behind one belongs to it."""
    found = []
    for match in FORMULA.finditer(text):
        content = match["display"] or match["inline"] or match["round"] or match["square"]
        if (
            match["inline"]
            and content[0].isdigit()
            and content[-1].isspace()
            and text[match.end() : match.end() + 1].isdigit()
        ):
            continue  # "$5 and $6": two sums of money
        unit = _UNIT.match(text, match.end())
        value = f"{content.strip()}\\text{{ {unit['unit']}}}" if unit else content.strip()
        found.append(Mention(value, match.start(), unit.end() if unit else match.end()))
    return found


def _stated(sentence: str) -> str | None:
    """What one sentence of a statement names."""
    if (found := boxes(sentence)) and (boxed := joined_content(sentence, found)) is not None:
        return boxed
    formulas = _formulas(sentence)
    if not formulas:
        return _words(sentence)
    sentence = without_remarks(without_reasons(sentence, formulas[0].start), formulas[0].start)
    formulas = [formula for formula in formulas if sentence[formula.start : formula.end].strip()]
    groups = grouped(sentence, formulas, _JOINT)
    asserted = [group for group in groups if not group.is_denied]
    if not asserted:
        return None
    begins = groups[0].is_denied or _LEAD.fullmatch(sentence, 0, formulas[0].start)
    members = (asserted[0] if begins else asserted[-1]).members
    return ", ".join(dict.fromkeys(member.value for member in members)).rstrip(". ") or None


def _words(sentence: str) -> str | None:
    """A sentence without formulas: its last value where one is denied, else all its words up to a reason."""
    values = find_values(plain := plain_maths(sentence))
    groups = grouped(plain, values)
    if any(group.is_denied for group in groups):
        asserted = [group for group in groups if not group.is_denied]
        return ", ".join(dict.fromkeys(each.value for each in asserted[0].members)) if asserted else None
    digit = re.search(r"\d", sentence)
    first = digit.start() if digit else len(sentence)
    sentence = without_remarks(without_reasons(sentence, first), first)
    lead = _WORDS_LEAD.match(sentence)
    words = sentence[lead.end() if lead else 0 :].strip().strip("*_`$").strip(". ")
    return words if re.search(r"\w|\\", words) and not words.casefold().startswith("not ") else None
