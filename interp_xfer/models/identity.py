"""What a model reference names now, known without loading the model.

A folder can be written again and a branch of a repository moves on; the name stays. What goes into the key of a result
is therefore the content: the pinned digest of a bundled model, the digest of a GGUF file or of the files of a folder,
the commit of a hub repository.
"""

import hashlib
import os
import re
from functools import cache
from pathlib import Path

from interp_xfer.errors import ModelError
from interp_xfer.models.bundled import BUNDLED
from interp_xfer.models.gguf import file_sha256
from interp_xfer.models.references import ModelReference, parse_reference
from interp_xfer.words import unknown

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEXTS_FOR_PEOPLE = (".md", "LICENSE", "NOTICE")


def model_identity(reference: str) -> str:
    """Sixteen hex digits over the content that a reference names now.

    Arguments:
        reference: any form that `load_model` takes.
    Raises: ModelError if nothing is there, or the commit of a hub repository cannot be found out.
    """
    parsed = parse_reference(reference)
    match parsed.kind:
        case "bundled":
            if parsed.name not in BUNDLED:
                raise ModelError(unknown("bundled model", parsed.name, sorted(BUNDLED)))
            content = f"gguf {BUNDLED[parsed.name].sha256}"
        case "gguf":
            content = f"gguf {_file_digest(Path(parsed.name))}"
        case "folder":
            content = _folder_content(Path(parsed.name))
        case "hub":
            content = f"commit {hub_commit(parsed)}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def hub_commit(reference: ModelReference) -> str:
    """The commit that a branch or tag of a hub repository points to: asked of the hub, else of the local cache.

    Raises: ModelError if neither knows it.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    if reference.revision is not None and _COMMIT.fullmatch(reference.revision):
        return reference.revision
    reason = "the hub gave no commit"
    try:
        found = HfApi().model_info(reference.name, revision=reference.revision, timeout=10).sha
        if found:
            return found
    except Exception as error:  # of the client and of its HTTP library: no network, no repository, no access
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    cached = try_to_load_from_cache(reference.name, "config.json", revision=reference.revision)
    if isinstance(cached, str):
        return Path(cached).parent.name  # .../snapshots/<commit>/config.json
    raise ModelError(
        f"cannot find out which commit {reference} is: {reason}. Check the spelling and your network; gated models "
        f"need `hf auth login`. Without a hub, give a folder, gguf:PATH, or one of `interp-xfer models`."
    ) from None


def _folder_content(folder: Path) -> str:
    """A line for every file that may matter: notes for people are left out, hidden files and folders too."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise ModelError(f"cannot read the model folder {folder}: {error.strerror or error}.") from None
    kept = [path for path in files if not path.name.endswith(_TEXTS_FOR_PEOPLE)]
    return "\n".join(f"{path.name} {_file_digest(path)}" for path in kept)


def _file_digest(path: Path) -> str:
    try:
        found = os.stat(path)
        return _digest_of(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}.") from None


@cache
def _digest_of(path: Path, stamp: tuple[int, ...]) -> str:
    """Weights are read once a process; a file that changes gets another stamp."""
    return file_sha256(path)
