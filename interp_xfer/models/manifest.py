"""What a folder in the cache must hold: sizes and sha256 of its files, noted when it is made, compared when it is read.

A disk that was full, a copy that was cut off and a flipped bit look like another model otherwise.
"""

import json
from pathlib import Path

from interp_xfer.files.reading import file_sha256

NAME = "interp-xfer-files.json"


def write_manifest(folder: Path) -> None:
    """Note size and sha256 of every file of a folder, in the folder."""
    files = {path.name: [path.stat().st_size, file_sha256(path)] for path in sorted(folder.iterdir())}
    (folder / NAME).write_text(json.dumps(files, indent=1), encoding="utf-8")


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that `write_manifest` has described; None if nothing is."""
    try:
        files = json.loads((folder / NAME).read_text(encoding="utf-8"))
        for name, (size, sha256) in files.items():
            path = folder / Path(name).name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes, not {size}"
            if file_sha256(path) != sha256:
                return f"{name} has other content than was written"
        extra = {path.name for path in folder.iterdir()} - {*files, NAME}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return f"{NAME} cannot be read ({type(error).__name__})"
    return f"{min(extra)} was added" if extra else None
