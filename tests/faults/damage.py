"""What becomes of damaged files: every kind that is kept, damaged in many ways, read by its public reader.

    count(full=False)  every 31st way       count(full=True)  all, for maintainers: python tests/faults/damage.py

A file may be damaged by an accident: then its checksums do not agree with it. Or somebody changes a value and makes the
checksums agree again ("forged"): then only what no value can be is refused, and a plausible one must be believed.

- clear error: one line, an InterpXferError that names the file;
- unread: what is read is the same as of the undamaged file;
- believed: forged, plausible and read as it stands;
- wrong: something else was read without a word; unclear: an error of many lines or without the name; traceback.
"""

import copy
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

sys.path[:0] = [str(folder) for folder in (*Path(__file__).parents[:3][::-1],)]  # as pytest does it
from examples import Kind, analyses_of, make_examples, plain  # noqa: E402

CLEAR, UNREAD, ABSENT, BELIEVED = "clear error", "unread", "said to be missing", "believed"
WRONG, UNCLEAR, TRACEBACK = "wrong", "unclear", "traceback"
OUTCOMES = (CLEAR, UNREAD, ABSENT, BELIEVED, WRONG, UNCLEAR, TRACEBACK)

_EVERY = 31
_LONGEST = 800  # characters of a message: one that lists all there is is no help


@dataclass(frozen=True)
class Damage:
    """One way to damage an example."""

    name: str
    apply: Callable[[Path], None]
    """To the root of the examples."""
    forged: bool = False
    """With checksums that agree."""
    impossible: bool = False
    """Forged, but no value that may be: it must be refused."""


def count(full: bool) -> dict[str, int]:
    """How many damaged files had each outcome."""
    counts = Counter(outcome for *_, outcome, _ in run(full))
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def run(full: bool) -> list[tuple[str, str, str, str]]:
    """Kind, damage, outcome and message of every one."""
    root = Path(tempfile.mkdtemp())
    try:
        kinds = make_examples(root)
        return [found for kind in kinds for found in _run_kind(kind, kinds, root, full)]
    finally:
        shutil.rmtree(root)


def _run_kind(kind: Kind, kinds: tuple[Kind, ...], root: Path, full: bool) -> Iterator[tuple[str, str, str, str]]:
    files = [root / name for name in (kind.path, kind.tensors) if name is not None]
    saved = {file: file.read_bytes() for file in files}
    original = plain(kind.read(root))
    in_run = kind.path.startswith("run/")
    page = plain(analyses_of(root)) if in_run else None
    for number, damage in enumerate(_damages(kind, kinds, root)):
        if not full and number % _EVERY:
            continue
        damage.apply(root)
        yield (kind.name, damage.name, *_outcome(kind, damage, lambda: kind.read(root), original, root))
        if in_run and number % (_EVERY * (5 if full else 20)) == 0:
            yield (kind.name, damage.name + ", report", *_outcome(kind, damage, lambda: analyses_of(root), page, root))
        for file, content in saved.items():
            _clear(file)
            file.write_bytes(content)


def _outcome(kind: Kind, damage: Damage, read: Callable[[], Any], original: Any, root: Path) -> tuple[str, str]:
    from interp_xfer.errors import InterpXferError

    try:
        found = plain(read())
    except InterpXferError as error:
        message = str(error)
        names = {Path(kind.path).name, Path(kind.path).parent.name, Path(kind.path).parts[0]}
        clear = "\n" not in message and len(message) < _LONGEST and any(name in message for name in names)
        return (CLEAR if clear else UNCLEAR), message
    except Exception as error:
        return TRACEBACK, f"{type(error).__name__}: {error}"
    fewer = kind.made_again and all(original.get(key) == value for key, value in found.items())
    if found in (plain(None), plain([])) and damage.name.endswith(" missing"):  # such a file need not be there
        return ABSENT, ""
    if found == original or fewer:
        return UNREAD, ""
    return (BELIEVED if damage.forged and not damage.impossible else WRONG), ""


def _damages(kind: Kind, kinds: tuple[Kind, ...], root: Path) -> Iterator[Damage]:
    path = root / kind.path
    yield from _file_damages(kind.path, path.read_bytes())
    for other in kinds:
        if other.path != kind.path:
            yield Damage(f"the file of a {other.name}", _writes(kind.path, (root / other.path).read_bytes()))
    if path.suffix == ".jsonl":
        yield from _line_damages(kind, path)
    else:
        yield from _value_damages(kind, json.loads(path.read_text(encoding="utf-8")))
    if kind.tensors is not None:
        yield from _file_damages(kind.tensors, (root / kind.tensors).read_bytes())
        yield from _tensor_damages(kind, root)


# ---- files ----


def _file_damages(name: str, content: bytes) -> Iterator[Damage]:
    size = len(content)
    for cut in sorted({0, 1, size // 3, size // 2, size - 20, size - 2, size - 1}):
        yield Damage(f"{name} cut to {cut} of {size} bytes", _writes(name, content[:cut]))
    for place in range(0, size, max(1, size // 24)):
        for bit in (0, 5):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            yield Damage(f"{name}, bit {bit} of byte {place}", _writes(name, bytes(flipped)))
    yield Damage(f"{name} doubled", _writes(name, content * 2))
    yield Damage(f"{name} binary", _writes(name, bytes(range(256)) * 20))
    yield Damage(f"{name} deeply nested", _writes(name, b'{"a":' * 100_000 + b"1" + b"}" * 100_000))
    yield Damage(f"{name} deep lists", _writes(name, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"))
    yield Damage(f"{name} a list", _writes(name, b"[1, 2]\n"))
    yield Damage(f"{name} a number with many digits", _writes(name, b'{"a": ' + b"9" * 10_000 + b"}\n"))
    yield Damage(f"{name} UTF-16", _writes(name, content.decode("utf-8", "replace").encode("utf-16")))
    yield Damage(f"{name} missing", lambda root: _clear(root / name))
    yield Damage(f"{name} a folder", lambda root: _replaced(root / name).mkdir())
    yield Damage(f"{name} a full folder", lambda root: (_replaced(root / name) / "x" / "y").mkdir(parents=True))
    yield Damage(f"{name} a link to itself", lambda root: _replaced(root / name).symlink_to(Path(name).name))
    yield Damage(f"{name} a link to nothing", lambda root: _replaced(root / name).symlink_to("nowhere"))
    yield Damage(f"{name} a link to a device", lambda root: _replaced(root / name).symlink_to("/dev/zero"))
    yield Damage(f"{name} a pipe", lambda root: os.mkfifo(_replaced(root / name)))


def _writes(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(content) and None


def _replaced(path: Path) -> Path:
    _clear(path)
    return path


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# ---- values ----


@dataclass(frozen=True)
class Change:
    """One value of a record changed."""

    words: str
    path: tuple[Any, ...]
    value: Any
    """`...`: removed."""
    impossible: bool
    """No such value may be."""

    def of(self, record: Any, forged: bool = False) -> Any:
        """The changed record; `forged` with a checksum that agrees."""
        if not self.path:
            return self.value
        changed = copy.deepcopy(record)
        place = _at(changed, self.path[:-1])
        if self.value is ...:
            del place[self.path[-1]]
        else:
            place[self.path[-1]] = self.value
        return {**changed, "checksum": _checksum(changed)} if forged else changed


def _value_damages(kind: Kind, record: Any) -> Iterator[Damage]:
    def written(make: Callable[[], Any]) -> Callable[[Path], None]:
        return lambda root: _writes(kind.path, _dumped(make()))(root)

    yield Damage("names in another order", written(lambda: dict(reversed(record.items()))))
    for change in _changes(record):
        yield Damage(change.words, written(lambda change=change: change.of(record)))
        if change.path and change.path[0] not in ("checksum", "tensors"):
            impossible = change.impossible and change.path[0] != kind.free
            forge = written(lambda change=change: change.of(record, forged=True))
            yield Damage(f"{change.words}, forged", forge, True, impossible)


def _line_damages(kind: Kind, path: Path) -> Iterator[Damage]:
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]

    def joined(kept: list[str]) -> Callable[[Path], None]:
        return _writes(kind.path, "".join(line + "\n" for line in kept).encode())

    for number in (0, len(lines) // 2, len(lines) - 1):
        before, after = lines[:number], lines[number + 1 :]
        yield Damage(f"line {number} missing", joined(before + after))
        yield Damage(f"line {number} twice", joined([*before, lines[number], *lines[number:]]))
        yield Damage(f"line {number} empty", joined([*before, "", *after]))
        yield Damage(f"line {number} torn", joined([*before, lines[number][:-9], *after]))
        record = json.loads(lines[number])
        for change in _changes(record):
            yield Damage(f"line {number}: {change.words}", joined([*before, json.dumps(change.of(record)), *after]))
    yield Damage("lines in another order", joined(lines[::-1]))


def _dumped(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _checksum(record: dict[str, Any]) -> str:
    from interp_xfer.files.records import checksum

    return checksum({name: value for name, value in record.items() if name not in ("checksum", "tensors")})


def _changes(record: Any) -> Iterator[Change]:
    for path in _paths(record):
        where = ".".join(map(str, path)) or "all"
        for words, other, impossible in _others(_at(record, path)):
            yield Change(f"{where}: {words}", path, other, impossible)
        if path and isinstance(path[-1], str):
            yield Change(f"{where} removed", path, ..., False)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every value of a record; of many alike the first and the last."""
    yield path
    if isinstance(value, dict):
        alike = len(value) > 3 and len({type(entry) for entry in value.values()} & {dict, list}) == 1
        alike = alike and all(isinstance(entry, dict | list) for entry in value.values())
        for name in [*value][:: max(len(value) - 1, 1)] if alike else value:
            yield from _paths(value[name], (*path, name))
    elif isinstance(value, list):
        for number in sorted({0, len(value) - 1} if len(value) > 2 else range(len(value))):
            yield from _paths(value[number], (*path, number))


def _others(value: Any) -> Iterator[tuple[str, Any, bool]]:
    if value is not None:
        yield "null", None, False
    match value:
        case bool():
            yield "turned", not value, False
            yield "text", str(value), True
            yield "number", int(value), True
        case int():
            yield "negative", -value - 1, False
            yield "huge", 10**30, False
            yield "text", str(value), True
            yield "fraction", value + 0.5, False
            yield "true", True, True
            yield "list", [value], True
            yield "NaN", float("nan"), True
            yield "next", value + 1, False
        case float():
            yield "negative", -value - 0.5, False
            yield "huge", 1e300, False
            yield "infinite", float("inf"), True
            yield "NaN", float("nan"), True
            yield "text", str(value), True
            yield "true", True, True
            yield "list", [value], True
            yield "a little more", value * 1.001 + 1e-6, False
        case str():
            yield "empty", "", False
            yield "other", value + "x", False
            yield "path", "../../x", False
            yield "number", 5, True
            yield "list", [value], True
            yield "surrogate", "\ud800", True
        case None:
            yield "zero", 0, False
            yield "object", {"a": 1}, False
        case list():
            yield "object", {"0": 1}, True
            yield "number", 3, True
            if value != value[::-1]:
                yield "in another order", value[::-1], False
            if value:
                yield "without the last", value[:-1], False
                yield "with the last twice", [*value, value[-1]], False
                yield "no entries", [], False
        case dict():
            yield "list", [1], True
            yield "text", "x", True
            yield "surplus", {**value, "surplus": 1}, False
            yield "no entries", {}, False


def _at(record: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        record = record[step]
    return record


# ---- tensors ----


def _tensor_damages(kind: Kind, root: Path) -> Iterator[Damage]:
    assert kind.tensors is not None
    tensors = load((root / kind.tensors).read_bytes())
    first, *_, last = tensors
    changes: list[tuple[str, dict[str, torch.Tensor], bool]] = [
        ("those of another of its kind", {name: t.roll(1, 0) for name, t in tensors.items()}, False),
        ("without " + last, {name: t for name, t in tensors.items() if name != last}, True),
        ("one more", {**tensors, "surplus": torch.zeros(2)}, True),
        ("none", {}, True),
    ]
    for name in (first, last):
        t = tensors[name]
        changes += [
            (f"{name} in float64", {**tensors, name: t.double()}, t.dtype != torch.float64),
            (f"{name} in float16", {**tensors, name: t.half()}, True),
            (f"{name} longer", {**tensors, name: torch.cat([t, t])}, True),
            (f"{name} empty", {**tensors, name: t[:0]}, True),
            (f"{name} of one more axis", {**tensors, name: t[None]}, True),
        ]
        if t.is_floating_point():
            for words, value in (("NaN", float("nan")), ("infinite", float("inf"))):
                # A mean difference explains no variance and has NaN there.
                may_be = kind.name == "concept" and words == "NaN" and "hook" not in name
                changes.append((f"{name} {words}", {**tensors, name: torch.full_like(t, value)}, not may_be))
            changes.append((f"{name} a hundred times as long", {**tensors, name: 100 * t}, "hook" in name))
            changes.append((f"{name} all zero", {**tensors, name: 0 * t}, "hook" in name))
    for words, changed, impossible in changes:
        content = save({name: t.contiguous() for name, t in changed.items()})
        yield Damage(f"tensors {words}", _writes(kind.tensors, content))
        yield Damage(f"tensors {words}, forged", _forged_tensors(kind, content), True, impossible)


def _forged_tensors(kind: Kind, content: bytes) -> Callable[[Path], None]:
    """Tensors whose digest is put into the description."""

    def apply(root: Path) -> None:
        assert kind.tensors is not None
        tensors, path = root / kind.tensors, root / kind.path
        tensors.write_bytes(content)
        record = json.loads(path.read_text(encoding="utf-8"))
        record["tensors"] = {tensors.name: hashlib.sha256(content).hexdigest()}
        path.write_text(json.dumps(record), encoding="utf-8")

    return apply


def main() -> None:
    """Counts by kind of all damages, and every one that is no clear error and not unread."""
    found = run("--sample" not in sys.argv)
    write = sys.stdout.write
    for kind in dict.fromkeys(kind for kind, *_ in found):
        counts = Counter(outcome for name, _, outcome, _ in found if name == kind)
        write(f"{kind:12} " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES) + "\n")
    write(f"{'all':12} {Counter(outcome for *_, outcome, _ in found)}\n")
    for kind, damage, outcome, message in found:
        if outcome in (WRONG, UNCLEAR, TRACEBACK) or (outcome == BELIEVED and "--believed" in sys.argv):
            write(f"{outcome}: {kind}, {damage}: {message[:300]}\n")


if __name__ == "__main__":
    main()
