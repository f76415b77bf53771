r"""The rules of `numeric_answer.py` once more, from their text and by other means: tokens instead of patterns.

Slow, and for a small language only: the words below, decimal numbers, `####`, `\boxed{}` and the signs of arithmetic.
"""

from oracle_numbers import tokens_of, values_of

LEAD = set("a an the is are about exactly only total of it that this to equal by found be so then thus hence".split())
FILLER = set("be a an the about exactly it is answer number either boxed".split())
DENIALS = {("not",), ("rather", "than"), ("instead", "of"), ("cannot",), ("never",)}
CIRCUMSTANCES = set("in after within every per over during on of from than by with at between each for".split())
REASONS = {"because", "since", "when", "if"}
BLOCKED = ("round", "which", "mean", "equal", "approx")
SEVERAL = "several"


def read(text):
    """(canonical fraction or None, rule or None), as the documented rules say."""
    for rule, find in (("hash", by_hash), ("answer_is", by_statement), ("boxed", by_box)):
        found = find(text)
        if found is not None:
            return (None, None) if found == SEVERAL else (found, rule)
    groups = grouped(text, values_of(text, whole=False))
    for members, denied in reversed(groups):
        if not denied:
            return members[-1].value, "last_number"
    return None, None


# --- the four places -----------------------------------------------------------------------------------------------


def by_hash(text):
    found = None
    lines = text.split("\n")
    for number, line in enumerate(lines):
        at = line.find("####")
        while at >= 0:
            begin = at + 4
            while begin < len(line) and line[begin] == "#":
                begin += 1
            value = hash_line(line[begin:], lines[number + 1 :])
            found = value if value is not None else found
            at = line.find("####", begin)
            if at >= 0:  # one line, one answer: what follows belongs to it
                break
    return found


def hash_line(content, following):
    words = [token for token in tokens_of(content)]
    labelled = False
    index = 0
    for word in ("the", "final", "correct"):
        if index < len(words) and words[index].text.lower() == word:
            index += 1
    if index < len(words) and words[index].text.lower() == "answer":
        labelled = True
        end = words[index].end
        if index + 1 < len(words) and words[index + 1].text.lower() == "is":
            end = words[index + 1].end
        content = content[end:].lstrip(" *_:=")
    if not content.strip(" *_:"):
        rest = [line for line in following if line.strip()]
        if not following or not any(following):
            return None
        content = rest[0].strip() if rest else ""
    if labelled:
        return value_of_line(content)
    if is_heading(content):
        return None
    values = values_of(content)
    words = {token.text.lower() for token in tokens_of(content[: values[0].start if values else 0])}
    if not values or any(word.isalpha() and word not in ("about", "exactly", "only") for word in words):
        return None
    return value_of_line(content)


def is_heading(content):
    rest = content.lstrip(" *_(")
    digits = 0
    while digits < len(rest) and rest[digits].isdigit():
        digits += 1
    if not 1 <= digits <= 3:
        return False
    rest = rest[digits:].lstrip()
    if rest[:1] in (".", ")", ":"):
        after = rest.lstrip(".):").lstrip("*_")
        return after[:1].isspace() and after.strip() != ""
    return rest[:1] == "-" and rest[1:2] == " " and rest[1:].strip()[:1].isalpha()


def by_statement(text):
    found = None
    starts = []
    lower = text.lower()
    at = lower.find("answer")
    while at >= 0:
        end = at + len("answer")
        rest = lower[end:].lstrip()
        if lower[at - 1 : at].isalnum() or lower[end : end + 1].isalnum():
            pass
        elif rest.startswith(":") or rest.startswith("=") or (rest.startswith("is") and not rest[2:3].isalnum()):
            starts.append((at, end))
        at = lower.find("answer", end)
    for index, (_, end) in enumerate(starts):
        stop = starts[index + 1][0] if index + 1 < len(starts) else len(text)
        part = text[end:stop].lstrip()
        denied = False
        if part[:1] in ":=":
            part = part[1:]
        else:
            part = part[2:]
            denied = part.lstrip().lower().startswith("not") and not part.lstrip()[3:4].isalnum()
            if denied:
                part = part.lstrip()[3:]
        line = part.lstrip(" \n*_:>#").split("\n")[0]
        value = value_of_line(("not " if denied else "") + line)
        found = value if value is not None else found
    return found


def by_box(text):
    boxes = [token for token in tokens_of(text) if token.kind == "box"]
    return of_boxes(text, boxes) if boxes else None


def of_boxes(text, boxes):
    groups = []
    for box in boxes:
        before = groups[-1][0][-1].end if groups else 0
        if groups and joins_boxes(text[before : box.start]):
            groups[-1][0].append(box)
        else:
            groups.append([[box], is_denied(text, before, box.start)])
    asserted = [members for members, denied in groups if not denied]
    if not asserted:
        return None
    values = {value_of_line(box.text) for box in asserted[-1]}
    if len(values) > 1:
        return SEVERAL
    return values.pop()


def joins_boxes(gap):
    tokens = tokens_of(gap)
    while tokens and tokens[0].text in ("$", "*", "&"):
        tokens = tokens[1:]
    if "\n" in gap[: tokens[0].start] if tokens else True:
        return False
    return all(token.text.lower() in (",", ";", "and", "or", "$", "*", "&") for token in tokens) and (
        tokens[0].text.lower() in (",", ";", "and", "or")
    )


# --- what a line says ----------------------------------------------------------------------------------------------


def value_of_line(line):
    for sentence, question in sentences_of(line):
        value = None if question else value_of_sentence(sentence)
        if value is not None:
            return value
    return None


def sentences_of(line):
    found, start, at = [], 0, 0
    while at < len(line):
        if line.startswith(r"\boxed{", at):
            at = line.find("}", at) if "}" in line[at:] else at + 1
            continue
        end = at
        if line[at] in ".!?":
            while end < len(line) and line[end] in ".!?":
                end += 1
            closes = end == len(line) or line[end] in " \t\n*_\"'`$)]}>" or line[at - 1 : at] == "}"
        elif line[at] == ";":
            end, closes = at + 1, True
        else:
            closes = False
        rest = line[end:].lstrip()
        if closes and not (rest[:1] and rest[0] in "=+*/^<>" and rest[1:2].isspace()):
            if line[start:at].strip():
                found.append((line[start:at], "?" in line[at:end]))
            start = end
        at = max(end, at + 1)
    if line[start:].strip(" \t*_\"'`$)]}>"):
        found.append((line[start:], False))
    return found


def value_of_sentence(sentence):
    boxes = [token for token in tokens_of(sentence) if token.kind == "box"]
    if boxes:
        value = of_boxes(sentence, boxes)
        if value is not None:
            return value
    for box in boxes:
        sentence = sentence[: box.start] + " " * (box.end - box.start) + sentence[box.end :]
    values = values_of(sentence)
    if not values:
        return None
    sentence = without_remarks(without_reasons(sentence, values[0].start), values[0].start)
    ends = [token.end for token in tokens_of(sentence) if token.text == "="]
    for begin in [*reversed(ends), 0]:
        later = [end for end in ends if end > begin]
        segment = sentence[begin : later[0] - 1] if later else sentence[begin:]
        value = value_of_segment(segment)
        if value is not None:
            return value
    return None


def without_reasons(sentence, first):
    for token in tokens_of(sentence):
        if token.start >= first and token.kind == "word" and token.text.lower() in REASONS:
            if not sentence[: token.start].lower().endswith("but "):
                return sentence[: token.start]
    return sentence


def without_remarks(sentence, first):
    at = sentence.find("(")
    while at >= 0:
        close, again = sentence.find(")", at), sentence.find("(", at + 1)
        before = sentence[:at].rstrip()
        spaced = at > len(before)
        inside = close >= 0 and not (0 <= again < close)
        if inside and spaced and before and before[-1] not in "+*/^=(-" and len(before) >= first:
            sentence = sentence[: len(before)] + " " * (close + 1 - len(before)) + sentence[close + 1 :]
        at = sentence.find("(", at + 1)
    return sentence


def value_of_segment(segment):
    values = values_of(segment)
    groups = [members for members, denied in grouped(segment, values) if not denied]
    if not groups:
        return None
    if groups[0][0] is not values[0] or only_lead(segment[: groups[0][0].start]):
        chosen = groups[0]
        for index, group in enumerate(groups[1:]):
            if replaces(segment, chosen[-1], group[0], groups[index] is chosen):
                chosen = group
    else:
        told = [group for group in groups if not is_circumstance(segment, group[0].start)]
        chosen = (told or groups)[-1]
    return SEVERAL if len({value.value for value in chosen}) > 1 else chosen[0].value


def only_lead(text):
    return all(
        token.kind == "sign" or (token.kind == "word" and token.text.lower() in LEAD) for token in tokens_of(text)
    )


def is_circumstance(segment, start):
    words = tokens_of(segment[:start])
    if words and words[-1].text.lower() in ("the", "all", "about"):
        words = words[:-1]
    if not words or not segment[words[-1].end : start].strip("thealbou ") == "":
        return False
    word = words[-1].text.lower()
    return word in CIRCUMSTANCES and not (word == "for" and segment[start] == "$") and segment[words[-1].end] == " "


def replaces(segment, old, new, adjacent):
    gap = segment[old.end : new.start]
    words = [token.text.lower() for token in tokens_of(gap)]
    pairs = list(zip(words, words[1:], strict=False))
    rounded = any(word.startswith("round") for word in words) or ("or", "about") in pairs or (",", "about") in pairs
    if adjacent and (rounded or says_same(words)):
        return True
    connected = rounded or any(word in ("so", "but", "which", "then", "thus") for word in words)
    return connected and old.value.denominator > 1 and new.value.denominator == 1 and abs(old.value - new.value) < 1


def says_same(words):
    for units in range(4):
        rest = words[units:]
        if any(not word.isalpha() for word in words[:units]):
            break
        while rest and rest[0] in (",", ";", ":"):
            rest = rest[1:]
        for phrase in (["that", "is"], ["so"], ["which", "is"], ["equal", "to"]):
            if rest[: len(phrase)] == phrase:
                end = rest[len(phrase) :]
                end = end[1:] if end[:1] in ([","], [":"]) else end
                for then in ([], ["that", "is"], ["is"], ["it", "is"], ["a", "total", "of"], ["the", "answer", "is"]):
                    if end[: len(then)] == then and all(word in (",", ":", "$", "*") for word in end[len(then) :]):
                        return True
    return False


def grouped(text, values):
    groups = []
    for value in values:
        before = groups[-1][0][-1].end if groups else 0
        if groups and joins(text[before : value.start]):
            groups[-1][0].append(value)
        else:
            groups.append([[value], is_denied(text, before, value.start)])
    return [(members, denied) for members, denied in groups]


def joins(gap):
    words = [token.text.lower() for token in tokens_of(gap)]
    if any(word.startswith(BLOCKED) or word == "so" for word in words) or "that is" in " ".join(gap.split()):
        return False
    for units in range(4):
        if any(not word.isalpha() for word in words[:units]):
            break
        rest = words[units:]
        while rest and rest[0] in ("$", "*", ")", "("):
            rest = rest[1:]
        if not rest or rest[0] not in (",", "/", "&", ";", ":", "or", "and", "nor", "to", "-"):
            continue
        rest = rest[1:]
        while rest and rest[0] in ("$", "*", ")", "(", "/"):
            rest = rest[1:]
        while rest and rest[0] in ("or", "and", "maybe", "perhaps", "even", "either"):
            rest = rest[1:]
        if all(word in ("$", "(") for word in rest):
            return True
    return False


def is_denied(text, begin, start):
    tokens = tokens_of(text[begin:start])
    while tokens:
        words = tuple(token.text.lower() for token in tokens)
        if any(words[-len(denial) :] == denial for denial in DENIALS):
            return True
        if tokens[-1].kind != "sign" and words[-1] not in FILLER:
            return False
        tokens = tokens[:-1]
    return False
