r"""Multiple-choice answers in generated text.

An option is named by its label or its text (`choice_mentions.py`). The answer is found by the first of these rules that
gives one (the rule is part of the score):

1. `answer_is`: the last statement of the answer (`statements.py`), "the correct option is ..." included; called `boxed`
   where the statement holds its option in a box.
2. `boxed`: the last `\boxed{}`.
3. `chosen`: the last "I choose ...", "I would go with ...".
4. `called_correct`: "C is correct", if one option only is called so.
5. `conclusion`: the last "therefore C", "so it must be (C)".
6. `closing`: the last line is a label, alone or with the option's own text, and no line of a list.
7. `leading`: the text begins with a label ("B. ...", "(B) ..."), and no other part of it does.
8. `single`: one label, and no other, stands alone in the text, and is not only discussed ("let us look at A").
9. `option_text`: the last line, or else the whole text, has the text of one option and of no other.

What a sentence says:

10. Where an answer is stated (rules 1 to 4), lower case counts too: "the answer is b".
11. Denied options do not count ("not A but C", "rather than B", "A is wrong").
12. Two different options joined ("A or C", "both A and C", "A, B") are no answer, and no other rule is asked.
13. A sentence that begins with an option names that one; one that tells more names its last.
"""

import re
from collections.abc import Callable, Sequence

from interp_xfer.tasks.problems import Choice, Extracted
from interp_xfer.tasks.scoring.choice_mentions import (
    Choices,
    exact_text,
    find_choices,
    label_mentions,
    label_of,
    text_mentions,
)
from interp_xfer.tasks.scoring.latex import JOINED_BOXES, boxes, strip_wrapping
from interp_xfer.tasks.scoring.literals import plain
from interp_xfer.tasks.scoring.number_text import Mention
from interp_xfer.tasks.scoring.phrases import any_of
from interp_xfer.tasks.scoring.statements import (
    before,
    first_read,
    grouped,
    sentences,
    statements,
    tail,
    without_reasons,
)

SEVERAL = "several"
"""Read from a sentence that names several options; no label is spelt like it."""

_REACH = 240
"""Characters behind "therefore" or "I choose" in which the option is looked for."""
_IS = any_of("is, would be, must be, should be, has to be")
_OPTION_IS = re.compile(
    r"\b(?:(?:correct|best|right|only|final|my)\s+(?:one|statement|letter|pick|selection|response|option|choice)|"
    r"option|choice)\b[*_]*(?:\s+(?:that|to|which|here|for|in|among|from|of)\b[^.\n:=?!]{0,60}?)?"
    rf"(?=[\s*_]*(?:{_IS}(?:n['\u2019]t|\s+not)?\b|:[ \t*_]*\S))",
    re.IGNORECASE,
)
_CHOICES = any_of(
    "choose, chose, pick, picked, select, selected, opt for, settle on, go with, going with, went with, vote for",
    r"lean(?:ing)? towards?, (?:\bI|my|would|['\u2019]d) (?:answer|guess|say)",
)
_CHOOSE = re.compile(rf"(?<!not )(?<!n't )(?<!n\u2019t )\b{_CHOICES}\b:?", re.IGNORECASE)
_CALLED_CORRECT = re.compile(
    r"\bis\s+(?:\w+ly\s+|also\s+)?(?:the\s+)?(?:most\s+)?(?:correct|right|true|accurate|best)\b", re.IGNORECASE
)
_ASKED = re.compile(r"\b(?:which|what|whether|if|none)\b", re.IGNORECASE)
_CONCLUDING = any_of(
    "therefore, thus, so, hence, consequently, accordingly, in conclusion, conclusion, in summary, overall, finally",
    "this leaves, that leaves, which leaves, leaving, leaves",
)
_CONCLUSION = re.compile(rf"\b{_CONCLUDING}\b[,:]?\s*", re.IGNORECASE)
_CONCLUDED = re.compile(r"[\s*_)\]\"'.,:;!$]*(?:$|because|since|as\b|\n|it is|is the answer|is correct)", re.IGNORECASE)
_LEADING = any_of(
    "is, are, be, it, it['\u2019]s, that, this, must, should, would, has, have, to, the, a, an, option, choice, letter",
    "answer, number, statement, label, labell?ed, definitely, probably, likely, most, clearly, therefore, thus",
    "so, hence",
    "indeed, simply, just, best, correct, right, one, only, we, i, choose, select, pick, get, us, with, either, both",
    "between, text, final, in",
)
_LEAD = re.compile(rf"(?:\W|\b{_LEADING}\b)*", re.IGNORECASE)
_DISCUSSING = any_of(
    r"consider, look(?:ing)? at, examin\w+, analy[sz]\w+, evaluat\w+, check\w*, start(?:ing)? with, discuss\w*, about",
    r"compar\w+, eliminat\w+, rul\w+ out, exclud\w+, says?, states?, mentions?, describes?, with",
)
_DISCUSSED = re.compile(
    rf"\b{_DISCUSSING}\s+(?:the\s+)?(?:option|choice|answer|statement)?\s*[*_(\[\"']*$", re.IGNORECASE
)
_SUBJECT = re.compile(
    r"[*_)\]\"'.:]*\s+(?:is|are|was|has|have|would|will|could|can|does|describes|says|states|refers)\b"
)
_TEX_WORDS = re.compile(r"\\(?:text(?:bf|rm|it)?|math(?:rm|bf)|mbox)\s*\{([^{}]*)\}")
_HEAD = re.compile(r"\s*[*_>#-]*\s*(?:\(([A-Za-z]|\d)\)|([A-Z]|\d)(?:[*_]*[.):,](?!\d)|[*_\s]*$))")
_PART = re.compile(r"\n|(?<=[.;!?])\s+(?=\W{0,6}\w\W{0,6}[.):]\s)")
_EMPHASIS = " \t*_\"'`$()[]{}.:,>#-"


def extract_choice(text: str, choices: Sequence[Choice]) -> Extracted:
    """The label of the option that a text chooses.

    Arguments:
        text: the answer (`Task.answer_text`).
        choices: the options of the item.
    Returns: one of the item's labels, and the rule that found it.
    Source: 1803.05457 for the form of the items; the rules are ours and stand at the head of this module.
    """
    text, options = tail(plain(text)).strip(), tuple(choices)
    for rule, find in _RULES.items():
        found = find(text, options)
        if found is not None:
            return Extracted(None, None) if found.answer == SEVERAL else Extracted(found.answer, found.rule or rule)
    return Extracted(None, None)


def _answer_is(text: str, choices: Choices) -> Extracted | None:
    for statement in reversed(statements(text, also=_OPTION_IS)):
        label = _stated(statement.text, choices)
        if label is not None:
            return Extracted(label, "boxed" if boxes(statement.text) else None)
    return None


def _boxed(text: str, choices: Choices) -> Extracted | None:
    found = [Mention(_of_box(box.content, choices) or "", box.start, box.end) for box in boxes(text)]
    asserted = [group for group in grouped(text, found, JOINED_BOXES) if not group.is_denied]
    labels = {mention.value for mention in asserted[-1].members} if asserted else set()
    return None if not any(labels) else _one_of(labels)


def _of_box(content: str, choices: Choices) -> str | None:
    content = strip_wrapping(content)
    return exact_text(content, choices) or _stated(content, choices)


def _chosen(text: str, choices: Choices) -> Extracted | None:
    for match in reversed(list(_CHOOSE.finditer(text))):
        label = _stated(text[match.end() : match.end() + _REACH].split("\n", 1)[0], choices)
        if label is not None:
            return Extracted(label, None)
    return None


def _called_correct(text: str, choices: Choices) -> Extracted | None:
    labels: set[str] = set()
    end = 0
    for match in _CALLED_CORRECT.finditer(text):
        sentence = before(text, max(end, match.start() - _REACH), match.start())
        groups = [group for group in grouped(sentence, find_choices(sentence, choices, True))]
        if groups and not groups[-1].is_denied and not _ASKED.search(sentence):
            labels |= {mention.value for mention in groups[-1].members}
        end = match.end()
    return Extracted(labels.pop(), None) if len(labels) == 1 else None


def _conclusion(text: str, choices: Choices) -> Extracted | None:
    for match in reversed(list(_CONCLUSION.finditer(text))):
        line = text[match.end() : match.end() + _REACH].split("\n", 1)[0]
        sentence = next((sentence.text for sentence in sentences(line)), "")
        groups = grouped(sentence, find_choices(sentence, choices, False))
        if not groups or groups[0].is_denied:
            continue
        members = groups[0].members
        if _LEAD.fullmatch(sentence, 0, members[0].start) and _CONCLUDED.match(sentence, members[-1].end):
            return _one_of({mention.value for mention in members})
    return None


def _closing(text: str, choices: Choices) -> Extracted | None:
    lines = [line for line in text.splitlines() if line.strip(_EMPHASIS)]
    if len(lines) < 2:
        return None
    label, above = _headed(lines[-1], choices), _headed(lines[-2], choices)
    alone = _alone(lines[-1], choices)
    if alone is not None:
        return Extracted(alone, None) if _alone(lines[-2], choices) is None else None
    if label is None or above is not None:
        return None
    rest = lines[-1].strip(_EMPHASIS)[1:].strip(_EMPHASIS)
    return Extracted(label, None) if exact_text(rest, choices) == label else None


def _leading(text: str, choices: Choices) -> Extracted | None:
    heads = [_headed(part, choices) for part in _PART.split(text)]
    if heads[0] is None or len({head for head in heads if head is not None}) > 1:
        return None
    return Extracted(heads[0], None)


def _single(text: str, choices: Choices) -> Extracted | None:
    labels: set[str] = set()
    for sentence in (part for line in text.splitlines() for part in sentences(line)):
        for group in grouped(sentence.text, label_mentions(sentence.text, choices, False)):
            named = [] if group.is_denied else group.members
            if any(_is_discussed(sentence.text, each) or sentence.is_question for each in named):
                return None
            labels |= {mention.value for mention in named}
    return Extracted(labels.pop(), None) if len(labels) == 1 else None


def _option_text(text: str, choices: Choices) -> Extracted | None:
    lines = [line for line in text.splitlines() if line.strip()]
    is_list = len([line for line in lines if _headed(line, choices) is not None]) > 1
    for part in ([] if is_list else lines[-1:], lines):
        mentioned: set[str] = set()
        asserted: set[str] = set()
        for sentence in (sentence.text for line in part for sentence in sentences(line)):
            for group in grouped(sentence, text_mentions(sentence, choices)):
                mentioned |= {mention.value for mention in group.members}
                if not group.is_denied and not _DISCUSSED.search(sentence, *_look_back(group.members[0])):
                    asserted |= {mention.value for mention in group.members}
        if len(mentioned) == len(asserted) == 1:
            return Extracted(asserted.pop(), None)
    return None


def _stated(line: str, choices: Choices) -> str | None:
    """The option that one line states, by rules 10 to 13; `SEVERAL` for several different ones."""
    found = first_read(_TEX_WORDS.sub(r"\1", line), lambda sentence: _named(sentence, choices))
    return found[0] if found else None


def _named(sentence: str, choices: Choices) -> str | None:
    exact = exact_text(sentence, choices)
    if exact is not None:
        return exact
    mentions = find_choices(sentence, choices, True)
    if not mentions:
        return None
    sentence = without_reasons(sentence, mentions[0].start)
    mentions = [mention for mention in mentions if mention.end <= len(sentence)]
    groups = [group for group in grouped(sentence, mentions) if not group.is_denied]
    if not groups:
        return None
    # "A and B are light, so C": what is talked about is not chosen.
    groups = [group for group in groups if not _SUBJECT.match(sentence, group.members[-1].end)] or groups
    first = groups[0].members[0]
    begins = first is not mentions[0] or _LEAD.fullmatch(sentence, 0, first.start)
    return _one_of({mention.value for mention in (groups[0] if begins else groups[-1]).members}).answer


def _one_of(labels: set[str]) -> Extracted:
    return Extracted(SEVERAL if len(labels) > 1 else next(iter(labels)), None)


def _headed(line: str, choices: Choices) -> str | None:
    """The label with which a line begins: "B. ...", "(B) ...", or "B" alone."""
    match = _HEAD.match(line)
    token = (match[1] or match[2]).upper() if match else ""
    return label_of(token, choices) if _can_head(token, choices) else None


def _alone(line: str, choices: Choices) -> str | None:
    """The label that is all of a line."""
    bare = re.sub(r"^(?:option|choice|answer)\s+", "", line.strip(_EMPHASIS), flags=re.IGNORECASE).strip(_EMPHASIS)
    return label_of(bare, choices) if len(bare) == 1 and _can_head(bare, choices) else None


def _can_head(token: str, choices: Choices) -> bool:
    """Whether a line can begin with this label: "1." before a step is none of A-D."""
    return token.isupper() or any(token == choice.label for choice in choices)


def _is_discussed(sentence: str, label: Mention) -> bool:
    return bool(_DISCUSSED.search(sentence, *_look_back(label)) or _SUBJECT.match(sentence, label.end))


def _look_back(mention: Mention) -> tuple[int, int]:
    return max(0, mention.start - 60), mention.start


_RULES: dict[str, Callable[[str, Choices], Extracted | None]] = {
    "answer_is": _answer_is,
    "boxed": _boxed,
    "chosen": _chosen,
    "called_correct": _called_correct,
    "conclusion": _conclusion,
    "closing": _closing,
    "leading": _leading,
    "single": _single,
    "option_text": _option_text,
}
CHOICE_RULES = tuple(_RULES)
