r"""Statements of an answer: "the answer is ...", where it ends, what it denies, and what it only discusses.

Rules (house rule, shared by all tasks; what counts as a value is each task's own):

1. A statement begins behind a marker: "answer is", "answer:", "answer to ... must be", a heading "Final answer", an
   `<answer>` tag; or it stands before one: "... is the answer". It ends at the next marker.
2. Its words are the first line that is not empty, cut into sentences at ".", "!", "?", ";" with space behind them (not
   after abbreviations, nor before a sign of calculation).
3. A sentence that is a question states nothing ("The answer is A?"), unless it asks for assent ("..., right?").
4. Reasons are no part of it: what follows "because", "since", "where", "if" ... behind a value, and brackets behind it.
5. A value is denied by "not", "n't", "cannot be", "rather than", "instead of", "neither ... nor" or "≠" directly in
   front of it, or by "is not", "is wrong", "is incorrect" directly behind it; a denial reaches the values joined to it.
6. Values are joined by "or", "and", "/", "&" or a comma with nothing but those words between them. What several joined
   values mean is the task's own.
7. The last statement that gives a value counts, corrections ("wait, it is ...", "no, ...") included.

A text is read from a bounded tail, and no part of it twice, so that reading takes linear time.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from interp_xfer.tasks.scoring.latex import FORMULA, JOINED_BOXES, boxes
from interp_xfer.tasks.scoring.number_text import Mention
from interp_xfer.tasks.scoring.phrases import any_of

TAIL_CHARACTERS = 12_000

_AUXILIARY = any_of("is, are, was, were, would, will, should, must, could, can, may, might, has, does, do")
_BE = any_of("would be, will be, should be, must be, could be, can be, may be, might be, has to be")
_VERB = re.compile(
    rf"""[\s*_"'`]*
    (?: (?P<denial> {_AUXILIARY}\s*(?:n['\u2019]t|\s+not|not)\b (?:\s+be\b)? | can['\u2019]t(?:\s+be\b)?
          | won['\u2019]t\s+be\b | never\b | {_AUXILIARY}\s+never\b(?:\s+be\b)? )
      | (?:is|are|was|were|equals|becomes)\b | {_BE}\b
      | comes\s+(?:out\s+)?to(?:\s+be)?\b | turns\s+out\s+to\s+be\b | [:=\u2192\u21d2\u2014] | [-=]+>
    ) [\s*_:]*""",
    re.VERBOSE | re.IGNORECASE,
)
_MARKER = re.compile(
    rf"""(?: \bans(?:wer)?s?\b (?:[*_`"'\u2019]|\s+(?:choice|option|value|key)\b)*
        (?: \s+(?:to|for|of|in|here|that|we|i|you|which|from)\b [^.\n:=?!]{{0,80}}? (?=[\s*_:=\u2192\u21d2\u2014-]) )?
        (?={_VERB.pattern})
      | ^[#*_> \t]{{0,12}}(?:the\s+)?(?:final\s+|correct\s+)?answer[*_\#]*[ \t]*$
      | <answer> )""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_IS_THE_ANSWER = re.compile(
    r"\b(?:is|are|must be|would be|should be)\s+(?:\w+ly\s+|thus\s+|therefore\s+|indeed\s+)?(?:the|our|my)\s+"
    r"(?:(?:final|correct|right|best)\s+)?(?:answer|choice|option)\b(?![*_\s]*(?::|=|(?:is|was|to|that)\b))",
    re.IGNORECASE,
)
_IT_IS = any_of("is, should be, must be, would be, has to be")
_CORRECTION = re.compile(
    r"(?:\b(?:wait|actually|sorry|correction|oops|hmm)\b[,.:;!\u2026\u2014-]+"
    r"|\bno(?:pe)?\b(?:[,:;!\u2014-]+|\.(?=\s*(?:it|that|this)\b)))\s*(?:(?:wait|no|actually|sorry)\b,?\s*)*"
    rf"(?:(?P<verb>(?:it|that|this)(?:['\u2019]s|\s+{_IT_IS})(?:\s+actually)?)\b)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<!\\)[.!?]+(?=[\s*_\"'`$)\]}>]|\\[)\]]|$)|(?<=\})\.|(?<=\}\$)\.|(?<!\\);|\u2026")
_ASSENT = re.compile(r",\s*(?:right|correct|no|ok|yes)\s*$", re.IGNORECASE)
_LOOK_BACK = 400
_SHORT = any_of("mr, mrs, ms, dr, st, vs, etc, approx, ca, no, sq, cu, oz, ft, lbs?, hrs?, mins?, avg, fig, eq")
_ABBREVIATION = re.compile(rf"(?:\b{_SHORT}|\b[a-z]\.[a-z])$", re.IGNORECASE)
_REASONS = any_of(
    "because, since, where, whereas, while, although, though, if, when, given, due to, assuming, provided, unlike",
    r"using, as (?!follows\b), by \w+ing, after \w+ing, for \$?[a-z]\s*=, with \$?[a-z]\s*=",
)
_REASON = re.compile(rf"(?<!but )\b{_REASONS}(?!\w)", re.IGNORECASE)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}|\. ")  # "$5; then $" is money, no formula
_REMARK = re.compile(r"(?<=[^\s+*/^=(\u2248-])\s+\([^()]*\)")
_FILLER = any_of(
    "be, been, being, going to be, equal to, actually, simply, just, really, the, a, an, option, choice, answer",
    r"number, either, exactly, about, it, is, boxed, fbox, \W",
)
_DENIALS = any_of(
    r"\bnot(?!\s+(?:only|just|more|less|fewer|greater)\b), n['\u2019]t, \bcannot, \bnever, \bneither, \bnor",
    r"\brather than, \binstead of, \bas opposed to, \bunlike, \bexcept(?: for)?, \u2260",
)
_DENIED_BEFORE = re.compile(rf"{_DENIALS}(?:\s*{_FILLER})*$", re.IGNORECASE)
_WRONG = any_of("wrong, incorrect, false, ruled out, eliminated, impossible, out")
_DENIED_AFTER = re.compile(
    r"[\s*_)\]\"'.:]*(?:(?:is|was|are|were|does|do|did|would|can|could)\s*(?:n['\u2019]t|not)\b"
    rf"|(?:is|was|are|were|seems)\s+(?:\w+ly\s+)?{_WRONG}\b|cannot\b|can['\u2019]t\b)",
    re.IGNORECASE,
)
_ALSO = any_of(r"\bor\b, \band\b, \bnor\b, \bmaybe\b, \bperhaps\b, \bpossibly\b, \beither\b, \boption\b, \bchoice\b")
JOINT = re.compile(
    r"[\s*_$)\](}{\[\"'.]*(?:,|/|&|\bor\b|\band\b|\bnor\b|\+)"
    rf"(?:[\s*_$)\](}}{{\[\"',/]|{_ALSO}|\bthe\b|\balso\b|\bboth\b)*",
    re.IGNORECASE,
)
"""What stands between joined values and nothing else; a task may have its own."""


class Statement(NamedTuple):
    """What follows a marker, or stands before one."""

    text: str
    """One line; begins with "not" where the verb denies."""
    start: int
    """Where the line (without that "not") begins in the text that was searched."""
    end: int
    kind: str
    """"after" or "before" the marker, or "correction"."""
    is_final: bool
    """The marker says "final"."""


class Group(NamedTuple):
    """Values that are joined to each other."""

    members: tuple[Mention, ...]
    is_denied: bool


Read = TypeVar("Read")


def tail(text: str) -> str:
    """The end of a text that is read, from a place between words; a word longer than that is not read at all.

    Arguments:
        text: an answer of any length.
    Returns: at most `TAIL_CHARACTERS` characters.
    """
    if len(text) <= TAIL_CHARACTERS:
        return text
    kept = text[-TAIL_CHARACTERS:]
    space = re.search(r"\s", kept)
    return kept[space.end() :] if space else ""


def statements(text: str, also: re.Pattern[str] | None = None) -> list[Statement]:
    """The statements of a text, in order.

    Arguments:
        text: an answer.
        also: further markers that statements stand behind.
    Returns: those behind "answer is" and before "is the answer", and corrections of them.
    Source: house rule, 1 and 7 at the head of this module.
    """
    marks = [(match.start(), match.end(), "after") for match in _MARKER.finditer(text)]
    marks += [(match.start(), match.end(), "after") for match in (also.finditer(text) if also else ())]
    marks += [(match.start(), match.end(), "before") for match in _IS_THE_ANSWER.finditer(text)]
    if not marks:
        return []
    verbs = {match.start(): match["verb"] for match in _CORRECTION.finditer(text, min(marks)[0])}
    marks += [(match.start(), match.end(), "correction") for match in _CORRECTION.finditer(text, min(marks)[0])]
    marks.sort()
    found = []
    for index, (start, end, kind) in enumerate(marks):
        stop = marks[index + 1][0] if index + 1 < len(marks) else len(text)
        is_final = "final" in text[max(0, start - 8) : end].casefold()
        if kind == "before":
            begin = max(marks[index - 1][1] if index else 0, start - _LOOK_BACK)
            line = before(text, begin, start)
            found.append(Statement(line, start - len(line), start, kind, is_final))
            continue
        denial, line, begin = _first_line(text[end:stop], verb=kind == "after")
        if kind == "after" or verbs[start] or _is_value_alone(line):
            found.append(Statement(denial + line, end + begin, end + begin + len(line), kind, is_final))
    return found


def before(text: str, begin: int, end: int) -> str:
    """The part of the sentence that stands before `end`, from `begin` on."""
    line = text[begin:end].rsplit("\n", 1)[-1]
    found = list(sentences(line))
    return found[-1].text if found else ""


def _is_value_alone(line: str) -> bool:
    """Whether a correction without a verb is a value and no more: "No, 20."."""
    sentence = next(sentences(line), None)
    return sentence is not None and len(sentence.text.split()) <= 3


def _first_line(text: str, verb: bool) -> tuple[str, str, int]:
    """What the line behind a marker begins with ("not " where the verb denies), that line, and where it begins."""
    match = _VERB.match(text) if verb else None
    begin = match.end() if match else 0
    begin += len(text[begin:]) - len(text[begin:].lstrip(" \t\r\n*_:>#"))
    return "not " if match and match["denial"] else "", text[begin:].split("\n", 1)[0], begin


class Sentence(NamedTuple):
    """A part of a line."""

    text: str
    end: int
    """Where it ends in the line, its stop included."""
    is_stopped: bool
    """A stop ends it, not the line."""
    is_question: bool


def sentences(line: str) -> Iterator[Sentence]:
    """The sentences of a line, by rules 2 and 3."""
    start = 0
    whole = [(box.start, box.end) for box in boxes(line)] if "box" in line else []
    if ";" in line:
        whole += [match.span() for match in FORMULA.finditer(line) if not _WORD.search(match[0])]
    for match in _SENTENCE_END.finditer(line):
        mark, rest = match[0], line[match.end() : match.end() + 8]
        if any(begin < match.start() < end for begin, end in whole):
            continue
        if mark == "." and _ABBREVIATION.search(line, max(0, match.start() - 12), match.start()):
            continue
        if re.match(r"\s*[=+*/^\u2248<>]\s", rest):
            continue
        text = line[start : match.start()]
        if text.strip():
            question = "?" in mark and not _ASSENT.search(text[-12:])
            yield Sentence(text, match.end(), True, question)
        start = match.end()
    if line[start:].strip(" \t*_\"'`$)]}>"):
        yield Sentence(line[start:], len(line), False, False)


def without_reasons(sentence: str, first_value: int) -> str:
    """A sentence up to its first reason behind a value (rule 4)."""
    reason = _REASON.search(sentence, first_value)
    return sentence[: reason.start()] if reason else sentence


def without_remarks(sentence: str, first_value: int) -> str:
    """A sentence with the brackets behind its first value blanked out, unless they are calculated with (rule 4)."""
    return _REMARK.sub(lambda match: " " * len(match[0]) if match.start() >= first_value else match[0], sentence)


def grouped(sentence: str, mentions: Sequence[Mention], joint: re.Pattern[str] = JOINT) -> list[Group]:
    """The values of a sentence in groups of joined ones, each asserted or denied (rules 5 and 6)."""
    groups: list[Group] = []
    end = 0
    for mention in mentions:
        gap = sentence[end : mention.start]
        denied = _DENIED_BEFORE.search(gap[-80:]) is not None
        if groups and joint.fullmatch(gap):
            last = groups.pop()
            groups.append(Group((*last.members, mention), last.is_denied))
        else:
            groups.append(Group((mention,), denied))
        end = mention.end
    return [
        Group(group.members, group.is_denied or _DENIED_AFTER.match(sentence, group.members[-1].end) is not None)
        for group in groups
    ]


def first_read(line: str, read: Callable[[str], Read | None]) -> tuple[Read, Sentence] | None:
    """What `read` finds in the first sentence of a line in which it finds something; questions are passed over."""
    for sentence in sentences(line):
        if not sentence.is_question and (found := read(sentence.text)) is not None:
            return found, sentence
    return None


def boxed_answer_end(text: str, accept: Callable[[str], bool]) -> int | None:
    r"""Where the first sentence "the final answer is \boxed{...}" ends that is closed and names what is accepted.

    Arguments:
        text: an answer, so far or whole.
        accept: whether the content of a box is an answer.
    Returns: the end of that sentence, the same for every longer text; None where there is none.
    """
    if "boxed" not in text and "fbox" not in text:
        return None
    for statement in statements(text):
        if not statement.is_final or statement.kind != "after":
            continue
        offset = statement.end - len(statement.text)
        for sentence in sentences(statement.text):
            found = boxes(sentence.text)
            if not found:
                continue
            mentions = [Mention(box.content, box.start, box.end) for box in found]
            groups = grouped(sentence.text, mentions, JOINED_BOXES)
            end = offset + sentence.end
            closed = sentence.is_stopped or text[end : end + 1] == "\n"
            if closed and not any(group.is_denied for group in groups) and all(accept(box.content) for box in found):
                return end
            break
    return None
