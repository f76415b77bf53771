r"""Multiple-choice answers in generated text.

An option is named by its label, alone or in brackets ("C", "(C)", "C."), or by its text. Labels are the item's own, A-D
or 1-4, three to five of them; a letter where the item has numbers, or a number where it has letters, counts by
position. Where an answer is stated (rules 1 to 3) lower case counts too ("the answer is b").

The answer is found by the first of these rules that gives one (the rule is part of the score):

1. `answer_is`: the last statement of the answer (`statements.py`), "the correct option is ..." included.
2. `boxed`: the last `\boxed{}`.
3. `chosen`: the last "I choose ...", "I would go with ...".
4. `called_correct`: "C is correct", if one option only is called so.
5. `conclusion`: the last "therefore C", "so it must be (C)".
6. `closing`: the last line is a label, alone or with the option's own text, and no line of a list.
7. `leading`: the text begins with a label ("B. ...", "(B) ..."), and no other part of it does.
8. `single`: one label, and no other, stands alone in the text, and is not only discussed ("let us look at A").
9. `option_text`: the last line, or else the whole text, has the text of one option and of no other.

What a sentence says:

10. Denied options do not count ("not A but C", "rather than B", "A is wrong").
11. Two different options joined ("A or C", "both A and C", "A, B") are no answer, and no other rule is asked.
12. A sentence that begins with an option names that one; one that tells more names its last.
13. "A" before a word is the article, "A heavy one"; before a word that no noun begins with ("rather", "because", "is") or
    at the end of a phrase it is the option. A digit before a word is a quantity.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from interp_xfer.tasks.latex import JOINED_BOXES, boxes, strip_wrapping
from interp_xfer.tasks.literals import plain
from interp_xfer.tasks.numbers import Mention
from interp_xfer.tasks.records import Choice, Extracted
from interp_xfer.tasks.statements import before, first_read, grouped, sentences, statements, tail, without_reasons

CHOICE_RULES = (
    "answer_is",
    "boxed",
    "chosen",
    "called_correct",
    "conclusion",
    "closing",
    "leading",
    "single",
    "option_text",
)
SEVERAL = "several"
"""Read from a sentence that names several options; no label is spelt like it."""

_LETTERS, _DIGITS = "ABCDE", "12345"
_NO_NOUN = (
    r"(?:rather|but|because|since|as|and|or|nor|not|which|that|who|is|was|are|were|has|have|had|would|will|could|can|"
    r"cannot|should|must|may|might|does|do|did|makes|fits|works|seems|matches|due|for|so|if|when|while|where|whereas|with|"
    r"in|on|by|from|instead|over|than|then|to|at|given|based|though|although|it|they|we|you|he|she|this|these|those|only|"
    r"here|also|too|again|best|correctly|there|using|i|alone)\b"
)
_OPTION_IS = re.compile(
    r"\b(?:(?:correct|best|right|only|final|my)\s+(?:one|statement|letter|pick|selection|response|option|choice)|"
    r"option|choice)\b[*_]*(?:\s+(?:that|to|which|here|for|in|among|from|of)\b[^.\n:=?!]{0,60}?)?"
    r"(?=[\s*_]*(?:(?:is|would be|must be|should be|has to be)(?:n['\u2019]t|\s+not)?\b|:[ \t*_]*\S))",
    re.IGNORECASE,
)
_CHOOSE = re.compile(
    r"(?<!not )(?<!n't )(?<!n\u2019t )\b(?:choose|chose|pick|picked|select|selected|opt for|settle on|go with|going with|"
    r"went with|vote for|lean(?:ing)? towards?|(?:\bI|my)\s+(?:answer|guess|say))\b:?",
    re.IGNORECASE,
)
_CALLED_CORRECT = re.compile(
    r"\bis\s+(?:\w+ly\s+|also\s+)?(?:the\s+)?(?:most\s+)?(?:correct|right|true|accurate|best)\b", re.IGNORECASE
)
_CONCLUSION = re.compile(
    r"\b(?:therefore|thus|so|hence|consequently|accordingly|in conclusion|conclusion|in summary|overall|finally|"
    r"this leaves|that leaves|which leaves|leaving|leaves)\b[,:]?\s*",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:\W|\b(?:is|are|be|it|it['\u2019]s|that|this|must|should|would|has|have|to|the|a|an|option|choice|letter|answer|"
    r"number|statement|label|labell?ed|definitely|probably|likely|most|clearly|therefore|thus|so|hence|indeed|simply|just|"
    r"best|correct|right|one|only|we|i|choose|select|pick|get|us|with|either|both|between|text|final|in)\b)*",
    re.IGNORECASE,
)
_AFTER_CONCLUSION = re.compile(
    r"[\s*_)\]\"'.,:;!$]*(?:$|because|since|as\b|\n|it is|is the answer|is correct)", re.IGNORECASE
)
_JOINT = re.compile(
    r"[\s*_$)\](}{\[\"'.]*(?:,|/|&|\bor\b|\band\b|\band/or\b|\bnor\b|\+)(?:[\s*_$)\](}{\[\"',]|\bor\b|\band\b|\bnor\b|"
    r"\bmaybe\b|\bperhaps\b|\bpossibly\b|\beither\b|\boption\b|\bchoice\b|\bthe\b|\balso\b|\bboth\b)*",
    re.IGNORECASE,
)
_DISCUSSED = re.compile(
    r"\b(?:consider|look(?:ing)? at|examin\w+|analy[sz]\w+|evaluat\w+|check\w*|start(?:ing)? with|discuss\w*|about|compar\w+|"
    r"eliminat\w+|rul\w+ out|exclud\w+|says?|states?|mentions?|describes?|with)\s+(?:the\s+)?(?:option|choice|answer|statement)?\s*[*_(\[\"']*$",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"[*_)\]\"'.:]*\s+(?:is|are|was|has|have|would|will|could|can|does|describes|says|states|refers)\b"
)
_TEX_WORDS = re.compile(r"\\(?:text(?:bf|rm|it)?|math(?:rm|bf)|mbox)\s*\{([^{}]*)\}")
_EMPHASIS = " \t*_\"'`$()[]{}.:,>#-"


class _Patterns(NamedTuple):
    """How the options of one item are found."""

    mention: re.Pattern[str]
    exact: dict[str, str]
    folded: dict[str, str | None]
    """Words of an option -> its label; None where several options have these words."""
    leading_number: dict[str, str | None]


def extract_choice(text: str, choices: Sequence[Choice]) -> Extracted:
    """The label of the option that a text chooses.

    Arguments:
        text: the answer (`Task.answer_text`).
        choices: the options of the item.
    Returns: one of the item's labels, and the rule that found it.
    Source: 1803.05457 for the form of the items; the rules are ours and stand at the head of this module.
    """
    text, choices = tail(plain(text)).strip(), tuple(choices)
    for rule, find in _RULES.items():
        found = find(text, choices)
        if found is not None:
            return Extracted(None, None) if found == SEVERAL else Extracted(found, rule)
    return Extracted(None, None)


def name_choice(line: str, choices: Sequence[Choice]) -> str | None:
    """The option that one line states, by rules 10 to 13; `SEVERAL` for several different ones."""
    found = read_choice(line, choices)
    return found[0] if found else None


def read_choice(line: str, choices: Sequence[Choice]):
    """`name_choice`, with the sentence that states it."""
    options = tuple(choices)
    return first_read(line, lambda sentence: _named(sentence, options))


def _answer_is(text: str, choices: tuple[Choice, ...]) -> str | None:
    return _last(statements(text, also=_OPTION_IS), choices)


def _last(found, choices: tuple[Choice, ...]) -> str | None:
    for statement in reversed(found):
        label = name_choice(statement.text, choices)
        if label is not None:
            return label
    return None


def _boxed(text: str, choices: tuple[Choice, ...]) -> str | None:
    found = [Mention(_boxed_label(box.content, choices) or "", box.start, box.end) for box in boxes(text)]
    asserted = [group for group in grouped(text, found, JOINED_BOXES) if not group.is_denied]
    if not asserted:
        return None
    labels = {mention.value for mention in asserted[-1].members}
    return SEVERAL if len(labels) > 1 else labels.pop() or None


def _boxed_label(content: str, choices: tuple[Choice, ...]) -> str | None:
    content = strip_wrapping(content)
    return _exact_text(content, choices) or name_choice(content, choices)


def _chosen(text: str, choices: tuple[Choice, ...]) -> str | None:
    for match in reversed(list(_CHOOSE.finditer(text))):
        label = name_choice(text[match.end() :].split("\n", 1)[0], choices)
        if label is not None:
            return label
    return None


def _called_correct(text: str, choices: tuple[Choice, ...]) -> str | None:
    labels = set()
    end = 0
    for match in _CALLED_CORRECT.finditer(text):
        sentence = before(text, max(end, match.start() - 300), match.start())
        groups = [group for group in _groups(sentence, choices, True) if not group.is_denied]
        if groups and not re.search(r"\b(?:which|what|whether|if|none)\b", sentence, re.IGNORECASE):
            labels.add(SEVERAL if len(groups[-1].members) > 1 else groups[-1].members[0].value)
        end = match.end()
    return labels.pop() if len(labels) == 1 else None


def _conclusion(text: str, choices: tuple[Choice, ...]) -> str | None:
    for match in reversed(list(_CONCLUSION.finditer(text))):
        line = text[match.end() :].split("\n", 1)[0]
        sentence = next((sentence for sentence in sentences(line)), None)
        groups = _groups(sentence.text, choices, False) if sentence else []
        if not groups or sentence is None or groups[0].is_denied:
            continue
        first, last = groups[0].members[0], groups[0].members[-1]
        if _LEAD.fullmatch(sentence.text, 0, first.start) and _AFTER_CONCLUSION.match(sentence.text, last.end):
            labels = {mention.value for mention in groups[0].members}
            return SEVERAL if len(labels) > 1 else first.value
    return None


def _closing(text: str, choices: tuple[Choice, ...]) -> str | None:
    lines = [line for line in text.splitlines() if line.strip(_EMPHASIS)]
    if len(lines) < 2:
        return None
    headed = [_headed(line, choices) for line in lines[-2:]]
    if headed[1] is None or headed[0] is not None:
        alone = _alone_on_line(lines[-1], choices)
        return alone if alone is not None and _alone_on_line(lines[-2], choices) is None else None
    rest = lines[-1].strip(_EMPHASIS)[1:].strip(_EMPHASIS)
    return headed[1] if not rest or _exact_text(rest, choices) == headed[1] else None


def _leading(text: str, choices: tuple[Choice, ...]) -> str | None:
    heads = [_headed(part, choices) for part in re.split(r"\n|(?<=[.;!?])\s+(?=\W*\w\W*[.):]\s)", text)]
    if not heads or heads[0] is None or len({head for head in heads if head is not None}) != 1:
        return None
    return heads[0]


def _headed(line: str, choices: tuple[Choice, ...]) -> str | None:
    match = re.match(r"\s*[*_>#-]*\s*(?:\(([A-Za-z]|\d)\)|([A-Z]|\d)(?:[*_]*[.):,](?!\d)|[*_\s]*$))", line)
    return _label((match[1] or match[2]).upper(), choices) if match else None


def _alone_on_line(line: str, choices: tuple[Choice, ...]) -> str | None:
    bare = re.sub(r"^(?:option|choice|answer)\s+", "", line.strip(_EMPHASIS), flags=re.IGNORECASE).strip(_EMPHASIS)
    return _label(bare, choices) if len(bare) == 1 and not bare.islower() else None


def _single(text: str, choices: tuple[Choice, ...]) -> str | None:
    own = {choice.label for choice in choices}
    labels, discussed = set(), set()
    for sentence in (part for line in text.splitlines() for part in sentences(line)):
        for group in grouped(sentence.text, _label_mentions(sentence.text, choices, False), _JOINT):
            for mention in group.members:
                if mention.value not in own or group.is_denied:
                    continue
                labels.add(mention.value)
                talked_of = _DISCUSSED.search(sentence.text, 0, mention.start) or sentence.is_question
                if talked_of or _SUBJECT.match(sentence.text, mention.end):
                    discussed.add(mention.value)
    return labels.pop() if len(labels) == 1 and not discussed else None


def _option_text(text: str, choices: tuple[Choice, ...]) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    is_list = len([line for line in lines if _headed(line, choices) is not None]) > 1
    for part in ([] if is_list else lines[-1:], lines):
        mentioned: set[str] = set()
        asserted: set[str] = set()
        for sentence in (sentence for line in part for sentence in sentences(line)):
            for group in grouped(sentence.text, _text_mentions(sentence.text, choices), _JOINT):
                mentioned |= {mention.value for mention in group.members}
                if not group.is_denied and not _DISCUSSED.search(sentence.text, 0, group.members[0].start):
                    asserted |= {mention.value for mention in group.members}
        if len(mentioned) == len(asserted) == 1:
            return asserted.pop()
    return None


def _named(sentence: str, choices: tuple[Choice, ...]) -> str | None:
    """The option that a sentence states."""
    sentence = _TEX_WORDS.sub(r"\1", sentence)
    exact = _exact_text(sentence, choices)
    if exact is not None:
        return exact
    mentions = _mentions(sentence, choices, True)
    if not mentions:
        return None
    sentence = without_reasons(sentence, mentions[0].start)
    kept = [mention for mention in mentions if sentence[mention.start : mention.end].strip()]
    groups = [group for group in grouped(sentence, kept, _JOINT) if not group.is_denied]
    if not groups:
        return None
    begins = kept[0] is not groups[0].members[0] or _LEAD.fullmatch(sentence, 0, groups[0].members[0].start)
    labels = {mention.value for mention in (groups[0] if begins else groups[-1]).members}
    return SEVERAL if len(labels) > 1 else labels.pop()


def _groups(sentence: str, choices: tuple[Choice, ...], lower: bool):
    return grouped(sentence, _mentions(sentence, choices, lower), _JOINT)


def _mentions(sentence: str, choices: tuple[Choice, ...], lower: bool) -> list[Mention]:
    """The options that a sentence names, by text or label, in order; texts go before labels within them."""
    texts = _text_mentions(sentence, choices)
    labels = [
        label
        for label in _label_mentions(sentence, choices, lower)
        if not any(text.start <= label.start < text.end for text in texts)
    ]
    return sorted([*texts, *labels], key=lambda mention: mention.start)


def _text_mentions(sentence: str, choices: tuple[Choice, ...]) -> list[Mention]:
    patterns = _patterns(choices)
    found = []
    for match in patterns.mention.finditer(sentence):
        label = patterns.exact.get(match[0]) or patterns.folded.get(_words(match[0]))
        if label is not None:
            found.append(Mention(label, match.start(), match.end()))
    return found


_BRACKETED = re.compile(r"[(\[]\s*[*_]*([A-Za-z]|\d)[*_]*\s*[)\]]")
_TOKEN = re.compile(r"(?<![\w'\u2019-])(?<!\d[.,])([A-Ea-e]|\d)(?![\w'\u2019])(?!-\w)(?![.,]\d)")


def _label_mentions(sentence: str, choices: tuple[Choice, ...], lower: bool) -> list[Mention]:
    """The labels that stand alone in a sentence (rule 13); `lower` takes those in lower case too."""
    found: dict[int, Mention] = {}
    for match in _BRACKETED.finditer(sentence):
        label = _label(match[1].upper(), choices)
        if label is not None:
            found[match.start(1)] = Mention(label, match.start(), match.end())
    for match in _TOKEN.finditer(sentence):
        token = match[1]
        if match.start() in found or (token.islower() and not lower):
            continue
        word = re.match(r"\s+(?=[a-z])", sentence[match.end() :])
        follows = re.compile(_NO_NOUN, re.IGNORECASE).match(sentence, match.end() + word.end()) if word else None
        if word and follows is None and (token in "Aa" or token.isdigit()):
            continue
        label = _label(token.upper(), choices)
        if label is not None:
            found[match.start()] = Mention(label, match.start(), match.end())
    return sorted(found.values(), key=lambda mention: mention.start)


def _exact_text(text: str, choices: tuple[Choice, ...]) -> str | None:
    """The option whose text this is, word for word; an option that reads like a label ("3" of 1-4) is left to labels."""
    patterns = _patterns(choices)
    bare = text.strip(" .*_\"'$")
    return patterns.exact.get(bare) or patterns.folded.get(_words(bare)) or None


@lru_cache(maxsize=4096)
def _patterns(choices: tuple[Choice, ...]) -> _Patterns:
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


def _label(token: str, choices: Sequence[Choice]) -> str | None:
    labels = [choice.label for choice in choices]
    if token in labels:
        return token
    if token.isdigit() and (number := _patterns(tuple(choices)).leading_number.get(token)):
        return number
    for alphabet in (_LETTERS, _DIGITS):
        if token in alphabet and alphabet.index(token) < len(labels) and labels[0] not in alphabet:
            return labels[alphabet.index(token)]
    return None


def _words(text: str) -> str:
    return " ".join(re.findall(r"(?:(?<!\w)-(?=\d))?\w+(?:[.,]\d+)*", text.casefold()))


_RULES = {
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
assert tuple(_RULES) == CHOICE_RULES
