"""What is looked at in a model's files before transformers reads them: sizes, kinds of files, weights without code.

A model folder comes from anybody. None of its files may run code, fill memory or be read for ever.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from interp_xfer.errors import InterpXferError, ModelError

T = TypeVar("T")

_MAX_BYTES = {"tokenizer.json": 2**29, "vocab.json": 2**28, "model.safetensors.index.json": 2**28}
_MAX_JSON = 2**24  # of every other .json and .jinja
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_COUNTED = re.compile(r"(num|n)_(\w+_)?(layers?|blocks?|experts?)|layers|depth")
_MAX_COUNT = 2**12  # layers, or experts: each is an object that is built
_MAX_PRODUCT = 2**16  # of both
_KERNEL = re.compile("implementation|kernel")  # of attention, fetched from a repository
_SIZED = re.compile(r"(^|_)(size|dim|rank|heads?|embd|inner|width)(_|$)")
_MAX_SIZE = 2**24  # of one axis; the largest vocabularies have 2**18 entries


def check_folder(folder: Path, name: str) -> None:
    """Raise ModelError unless a folder holds ordinary files of ordinary size, and weights that are no pickles.

    Raises: ModelError naming the file.
    """
    try:
        entries = sorted(folder.iterdir())
        for path in entries:
            if not path.exists():
                raise ModelError(f"{name}: {path.name} is a link to nothing. Get a complete copy.")
            if path.is_dir():
                continue
            if not path.is_file():
                raise ModelError(f"{name}: {path.name} is no ordinary file; it will not be read. Remove it.")
            limit = _MAX_BYTES.get(path.name, _MAX_JSON)
            if path.suffix in (".json", ".jinja") and path.stat().st_size > limit:
                raise ModelError(
                    f"{name}: {path.name} has {path.stat().st_size} bytes, more than the {limit} that such a file may "
                    f"have; it is damaged or hostile."
                )
    except OSError as error:
        raise ModelError(f"{name} cannot be read: {error.strerror or error}.") from None
    pickled = [path.name for path in entries if path.suffix in _PICKLED]
    if pickled and not any(path.suffix == ".safetensors" for path in entries):
        raise ModelError(
            f"{name} has its weights as a pickle ({pickled[0]}), which can run code when it is loaded; not supported. "
            f"Save them as safetensors (save_pretrained does)."
        )
    _check_index(folder, name)
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{name} is an adapter for another model; merge it (merge_and_unload) and save the result.")


def _check_index(folder: Path, name: str) -> None:
    """Raise ModelError unless the shards that an index names lie in the folder; it may name any path."""
    path = folder / "model.safetensors.index.json"
    if not path.exists() or (folder / "model.safetensors").exists():  # which transformers reads first
        return
    try:
        shards = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
        missing = [str(shard) for shard in shards if Path(shard).name != shard or not (folder / shard).is_file()]
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{name}: {path.name} cannot be read ({type(error).__name__}). Get a complete copy.") from None
    if missing:
        raise ModelError(f"{name}: {path.name} names {min(missing)[:80]}, which is no file of it. Get a complete copy.")


def check_config(config: object, name: str) -> None:
    """Raise ModelError unless the numbers could be those of a model; transformers builds what they say.

    Arguments:
        config: the content of config.json.
        name: of the model, for messages.
    Raises: ModelError naming the field.
    """
    if not isinstance(config, dict):
        raise ModelError(f"{name}: config.json holds a {type(config).__name__}, not an object; it is damaged.")
    if kernel := next((text for key, text in _values(config, str) if _KERNEL.search(key) and "/" in text), None):
        raise ModelError(f"{name} needs code of its own ({kernel[:80]}); not supported. Nothing of it was run.")
    counts = [1, 1]
    for key, value in _values(config, int):
        if _COUNTED.fullmatch(key):
            counts.append(abs(value))
        *_, second, first = sorted(counts)
        if first > _MAX_COUNT or first * second > _MAX_PRODUCT or (_SIZED.search(key) and abs(value) > _MAX_SIZE):
            raise ModelError(
                f"{name}: config.json says {key} is {str(value)[:20]}; no model has so many. It is damaged or hostile."
            )


def _values(config: object, kind: type[T], key: str = "") -> Iterator[tuple[str, T]]:
    """(key, value) of every value of a kind, however deep."""
    if isinstance(config, dict):
        for name, inner in config.items():
            yield from _values(inner, kind, str(name))
    elif isinstance(config, list):
        for inner in config:
            yield from _values(inner, kind, key)
    elif isinstance(config, kind) and not isinstance(config, bool):
        yield key, config


def read_config(folder: Path, name: str) -> object:
    """The content of config.json.

    Raises: ModelError if it is not JSON.
    """
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name}: config.json cannot be read: {_first_line(error)}. Get a complete copy.") from None


@contextmanager
def library_errors(name: str, remedy: str) -> Iterator[None]:
    """Around calls into libraries that read a model's files: what they raise is about the files.

    Raises: ModelError with the first line of the reason; for a model that comes with code, that this is not supported.
    """
    try:
        yield
    except InterpXferError:
        raise
    except MemoryError:
        raise ModelError(f"cannot load {name}: it does not fit into memory. Use a smaller one, or bfloat16.") from None
    except BaseException as error:
        # Rust libraries raise their panics past Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{name} needs code of its own; not supported. Nothing of it was run. Use a model that transformers "
                f"knows."
            ) from None
        raise ModelError(f"cannot load {name}: {_first_line(error)} {remedy}") from error


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), "")[:400]
    if isinstance(error, OSError | ValueError) and line:
        return line
    return f"{type(error).__name__}{': ' if line else ''}{line}"
