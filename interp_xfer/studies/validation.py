"""What is wrong with settings, in one line: every wrong key, what was found, what is allowed."""

from collections.abc import Iterable

from pydantic import ValidationError

from interp_xfer.words import did_you_mean, shown


def settings_problems(error: ValidationError, names: Iterable[str]) -> str:
    """All problems of a validation, separated by semicolons.

    Arguments:
        error: of pydantic.
        names: the settings there are, to suggest the one that was meant.
    """
    known = list(names)
    out = []
    for found in error.errors():
        place = ".".join(str(part) for part in found["loc"]) or "all"
        if not place.isprintable() or len(place) > 60:
            place = shown(place)
        message = found["msg"].removeprefix("Value error, ").removesuffix(".")
        if found["type"] == "extra_forbidden":
            hint = did_you_mean(found["loc"][-1], known).removesuffix(" ")
            message = f"{message}; {hint}" if hint else message
        elif found["type"] not in ("missing", "value_error"):
            message = f"{message}, not {shown(found['input'])}"
        out.append(f"{place}: {message}")
    return "; ".join(out)
