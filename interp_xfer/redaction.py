"""What may be said in a message, and what may stand in a file that is passed on.

No secret is shown anywhere: values of environment variables that are called a token, key or password, tokens of the
Hugging Face hub, and names and passwords in addresses. Files that are passed on hold no path of this machine either.
"""

import os
import re

_MASK = "***"
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_SHORTEST = 8  # shorter values are words such as "true"
_SECRET_FORMS = (
    re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]*(?=@)"),
    re.compile(r"(?<=[Bb]earer )[\w.~+/=-]{8,}"),
)
# Two parts or more, so that "/2" stays; not inside an address or a relative path.
_PATH = re.compile(r"(?<![\w./~-])~?(?:/[^\s/'\"<>|:;,()\[\]{}]+){2,}/?")


def without_secrets(text: str) -> str:
    """The text with every secret that is known here replaced by `***`."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name):
            text = text.replace(value, _MASK)
    for form in _SECRET_FORMS:
        text = form.sub(_MASK, text)
    return text


def shareable(text: str) -> str:
    """The text for a file that others may read: without secrets, paths cut to their last part, and valid UTF-8."""
    text = _PATH.sub(lambda match: match[0].rstrip("/").rpartition("/")[2], without_secrets(text))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
