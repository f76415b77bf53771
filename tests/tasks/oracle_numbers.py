"""The numbers and calculations of `numbers.py` once more, for `numeric_oracle.py`."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass
class Token:
    kind: str  # number, word, sign, box
    text: str
    start: int
    end: int


@dataclass
class Value:
    value: Fraction
    start: int
    end: int


def tokens_of(text):
    found, at = [], 0
    while at < len(text):
        end = at + 1
        if text.startswith(r"\boxed{", at) and "}" in text[at:]:
            end = text.index("}", at) + 1
            found.append(Token("box", text[at + 7 : end - 1], at, end))
        elif spaced := spaced_thousands(text, at):
            end = spaced
            found.append(Token("number", text[at:end].replace(" ", ""), at, end))
        elif text[at].isdigit() or (text[at] == "." and text[end : end + 1].isdigit()):
            while end < len(text) and (text[end].isdigit() or is_separator(text, at, end)):
                end += 1
            found += number_tokens(text[at:end], at)
        elif text[at].isalpha():
            while end < len(text) and text[end].isalpha():
                end += 1
            found.append(Token("word", text[at:end], at, end))
        elif not text[at].isspace():
            found.append(Token("sign", text[at], at, end))
        at = end
    return found


def spaced_thousands(text, at):
    """The end of a number such as "12 500" that begins here, or 0."""
    end = at
    while text[end : end + 1].isdigit():
        end += 1
    if not 1 <= end - at <= 3 or text[at] == "0":
        return 0
    first = end
    while text[end : end + 1] == " " and text[end + 1 : end + 4].isdigit() and len(text[end + 1 : end + 4]) == 3:
        if text[end + 4 : end + 5].isdigit() or text[end + 4 : end + 5] == "-":
            break
        end += 4
    return end if end > first else 0


def is_separator(text, start, at):
    if not text[at + 1 : at + 2].isdigit():
        return False
    return text[at] in ",." and "." not in text[start:at]


def number_tokens(text, start):
    whole, point, decimals = text.partition(".")
    pieces = whole.split(",")
    if len(pieces) > 1 and len(pieces[0]) <= 3 and pieces[0][0] != "0" and all(len(p) == 3 for p in pieces[1:]):
        pieces = ["".join(pieces)]
        return [Token("number", pieces[0] + point + decimals, start, start + len(text))]
    found = []
    for piece in pieces[:-1]:
        found.append(Token("number", piece, start, start + len(piece)))
        start += len(piece) + 1
    last = pieces[-1] + point + decimals
    return [*found, Token("number", last, start, start + len(last))]


def values_of(text, whole=True):
    """The values of a text: calculations where `whole`, else numbers as written."""
    tokens = [token for token in tokens_of(text.replace(r"\boxed{", "      (").replace("}", ")"))]
    found, at = [], 0
    while at < len(tokens):
        reader = Reader(tokens, at, whole)
        value = reader.expression() if reader.may_begin() else None
        if value is None:
            at += 1
        else:
            found.append(Value(value, tokens[at].start, tokens[reader.at - 1].end))
            at = reader.at
    return found


class Reader:
    def __init__(self, tokens, at, whole):
        self.tokens, self.at, self.whole = tokens, at, whole

    def peek(self, ahead=0):
        index = self.at + ahead
        return self.tokens[index] if 0 <= index < len(self.tokens) else Token("end", "", -1, -1)

    def may_begin(self):
        token, before = self.peek(), self.peek(-1)
        if token.text == "-":
            glued = before.end == token.start and (before.kind in ("number", "word") or before.text in ("%", ")"))
            return not glued and self.peek(1).start == token.end
        return token.kind == "number" or token.text == "$" or (token.text == "(" and self.whole)

    def expression(self):
        value = self.product()
        while value is not None and self.whole and self.peek().text in ("+", "-"):
            at, sign, before, after = self.at, self.peek(), self.peek(-1), self.peek(1)
            spaces = (before.end < sign.start, sign.end < after.start)
            glued_range = spaces == (False, False) and before.kind == after.kind == "number"
            if sign.text == "-" and (
                spaces[0] != spaces[1] or (glued_range and value == number(before) and number(before) < number(after))
            ):
                break
            self.at += 1
            right = self.product()
            if right is None:
                self.at = at
                break
            value = value + right if sign.text == "+" else value - right
        return value

    def product(self):
        value = self.factor()
        while value is not None and self.peek().text in ("*", "/"):
            at, sign = self.at, self.peek().text
            self.at += 1
            right = self.factor()
            written = sign == "/" and self.at - at == 2
            if right in (None, 0) or not (self.whole or written):
                self.at = at
                break
            value = value * right if sign == "*" else value / right
        return value

    def factor(self):
        token, after = self.peek(), self.peek(1)
        if token.text in ("-", "+") and after.start == token.end:
            self.at += 1
            value = self.factor()
            return None if value is None else -value if token.text == "-" else value
        if token.text == "$":
            self.at += 1
            return self.factor()
        value = self.atom()
        if value is None:
            return None
        if self.peek().text == "^":
            at = self.at
            self.at += 1
            power = self.literal() if self.peek().kind == "number" else self.atom()
            if power is None:
                self.at = at
            else:
                value = value ** int(power)
        if self.peek().text == "%":
            self.at += 1
        elif self.peek().text.lower() == "million":
            self.at += 1
            value *= 10**6
        return value

    def literal(self):
        self.at += 1
        return number(self.peek(-1))

    def atom(self):
        token = self.peek()
        if token.kind == "number":
            self.at += 1
            value = number(token)
            over, slash, under = self.peek(), self.peek(1), self.peek(2)
            mixed = value.denominator == 1 and [over.kind, slash.text, under.kind] == ["number", "/", "number"]
            if mixed and over.start == token.end + 1 and under.start == over.end + 1 and number(under) != 0:
                self.at += 3
                value += number(over) / number(under)
            return value
        if token.text == "(":
            at, self.at, whole, self.whole = self.at, self.at + 1, self.whole, True
            value = self.expression()
            self.whole = whole
            if value is not None and self.peek().text == ")":
                self.at += 1
                return value
            self.at = at
        return None


def number(token):
    return Fraction(token.text)
