"""What a user may write to name a model, and what it means.

| written | meaning |
|---|---|
| `org/name` or `org/name@revision` | a repository of the Hugging Face hub |
| `./folder`, `/folder` | a folder in the Hugging Face layout |
| `gguf:PATH` | a GGUF file, converted once and cached |
| `bundled:NAME` | a model that reaches offline machines through the Python package index (`bundled.py`) |
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interp_xfer.errors import ModelError
from interp_xfer.words import shown

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LONGEST = 200  # characters of a hub id with its revision; the hub allows fewer


@dataclass(frozen=True)
class ModelReference:
    """A parsed model reference."""

    kind: Literal["hub", "folder", "gguf", "bundled"]
    """Where the model comes from."""
    name: str
    """Hub id, path or bundled name, without prefix and revision."""
    revision: str | None = None
    """Branch, tag or commit; hub only."""

    def __str__(self) -> str:
        prefix = {"gguf": "gguf:", "bundled": "bundled:"}.get(self.kind, "")
        return f"{prefix}{self.name}" + (f"@{self.revision}" if self.revision else "")


def parse_reference(text: str) -> ModelReference:
    """The reference that `text` names.

    An existing folder wins over a hub id of the same spelling.

    Raises: ModelError if the text is none of the four forms, or names a path that is not there.
    """
    if text.startswith("bundled:"):
        return ModelReference("bundled", text.removeprefix("bundled:"))
    if text.startswith("gguf:"):
        path = _path(text.removeprefix("gguf:"))
        if not os.path.isfile(path):
            raise ModelError(f"model {shown(text, 200)}: there is no file {path}. Give the path of a .gguf file.")
        return ModelReference("gguf", str(path))
    folder = _path(text)
    if text and os.path.isdir(folder):  # Path("") is the working directory
        if not os.path.isfile(folder / "config.json"):
            raise ModelError(
                f"model {text!r}: the folder has no config.json. Give a folder written by save_pretrained, "
                f"or a GGUF file as gguf:PATH."
            )
        return ModelReference("folder", str(folder))
    if text.startswith((".", "/", "~")):
        raise ModelError(f"model {shown(text, 200)}: there is no such folder.")
    name, _, revision = text.partition("@")
    if not _HUB_ID.fullmatch(name) or len(text) > _LONGEST:
        raise ModelError(
            f"model {shown(text, 200)} is not a reference. Write org/name[@revision], a folder, gguf:PATH or "
            f"bundled:NAME."
        )
    return ModelReference("hub", name, revision or None)


def _path(text: str) -> Path:
    """A path that a user wrote; `~` is the home folder, and stays as it is where there is no such user."""
    return Path(os.path.expanduser(text))
