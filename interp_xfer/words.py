"""Names and texts of a user in messages: cut where they are long, the nearest valid name beside a wrong one."""

from collections.abc import Iterable
from difflib import get_close_matches


def shown(value: object, limit: int = 60) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def unknown(what: str, name: object, valid: Iterable[str]) -> str:
    """The message about a name that does not exist, with the nearest one that does and all there are.

    Arguments:
        what: what the name should be of, such as "task".
        name: as the user wrote it.
        valid: the names there are.
    """
    names = list(valid)
    return f"unknown {what} {shown(name)}; {did_you_mean(name, names)}choose from {', '.join(names)}."


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """A question such as "did you mean 'gsm8k'? ", or nothing where no valid name is near."""
    near = get_close_matches(str(name)[:100], list(valid), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def why_no_text(text: str) -> str | None:
    """Why a string is no text that can be written, tokenised and shown; None if it is.

    JSON and YAML can spell half of a character pair (a lone surrogate), which no UTF-8 file can hold, and a NUL.
    """
    if "\0" in text:
        return f"holds a NUL at character {text.index(chr(0)) + 1}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds half of a character (\\u{ord(text[error.start]):04x}) at character {error.start + 1}"
    return None
