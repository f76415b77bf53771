"""What a user can hand over wrong: files of every kind, rows, settings, options. Counts what came of each.

`count(full=True)` goes through every case, `count(full=False)` through a sample of them. A case is a call that must end
in one clear error, or in what the input says. Models are never loaded: a call that gets so far took its input for good.

    clear error   exit code 1 or 2 and a message, or an `InterpXferError`
    read right    accepted, and what was read is what was written
    read wrong    accepted although it should not be, or read as something else
    traceback     any other exception, or a message that is none
    hangs         no end within some seconds
"""

import contextlib
import io
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

OUTCOMES = ("clear error", "read right", "read wrong", "traceback", "hangs")
SECONDS = 30
LONGEST = 8000  # characters of a message; it quotes paths as they were given
SAMPLE = 12  # every so manieth case

GSM8K = {"question": "How many legs have two cats?", "answer": "2 * 4 = 8\n#### 8"}
MATH = {"problem": "What is $1+1$?", "solution": r"It is $\boxed{2}$.", "unique_id": "a/1.json"}
ARC = {
    "id": "Item_1",
    "question": "Which one is heavy?",
    "choices": {"text": ["a feather", "a truck"], "label": ["A", "B"]},
    "answerKey": "B",
}
ROWS = {"gsm8k": GSM8K, "math": MATH, "arc_challenge": ARC}


class Reached(BaseException):
    """A model would be loaded now."""


class Hang(BaseException):
    """A call did not come to an end."""


@dataclass(frozen=True)
class Case:
    """One thing that a user does."""

    name: str
    call: Callable[[Path], str]
    """In an empty folder, which is the working directory; returns the outcome."""


def count(full: bool) -> dict[str, int]:
    """How many cases came to each outcome."""
    found = Counter(outcome for _, outcome in outcomes(full))
    return {outcome: found[outcome] for outcome in OUTCOMES}


def outcomes(full: bool) -> Iterator[tuple[str, str]]:
    """Name and outcome of every case, or of a sample."""
    for case in cases() if full else list(cases())[::SAMPLE]:
        with tempfile.TemporaryDirectory() as folder, _guarded(Path(folder)):
            try:
                outcome = case.call(Path(folder))
            except Hang:
                outcome = "hangs"
        yield case.name, outcome


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _file_cases()
    yield from _option_cases()
    yield from _setting_cases()
    yield from _row_cases()


# --- files in place of files ------------------------------------------------------------------------------------------


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(path))
    listener.close()


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


FILES: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": _pipe,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
    "circle": lambda path: path.symlink_to(path),
    "dead link": lambda path: path.symlink_to("nowhere"),
    "huge": _sparse,
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b" \n\r\n\t"),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "NULs": lambda path: path.write_bytes(b"\0" * 5000),
    "latin 1": lambda path: path.write_bytes("caf\u00e9: 1\n".encode("latin-1")),
    "UTF-16": lambda path: path.write_bytes("parent: a\n".encode("utf-16")),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "deep objects": lambda path: path.write_bytes(b'{"a":' * 50_000),
    "half a character": lambda path: path.write_bytes(rb'{"question": "\ud800", "answer": "\ud800#### 1"}'),
    "list": lambda path: path.write_bytes(b"[1, 2]\n"),
    "torn": lambda path: path.write_bytes(b'{"question": "How ma'),
    "not a number": lambda path: path.write_bytes(b'{"a": NaN, "b": 1e999}\n'),
    "long number": lambda path: path.write_bytes(b'{"a": ' + b"9" * 5000 + b"}\n"),
    "laughs": lambda path: path.write_bytes(b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
}
PLACES = {"below a file": "file/x", "long name": "x" * 300, "long path": "/".join(["y" * 100] * 60)}
TEXT_FILES = ("binary", "NULs", "latin 1", "UTF-16")  # of those with content, no text
ANY_TEXT = {name for name, make in FILES.items() if name not in TEXT_FILES} - {
    "missing", "folder", "pipe", "socket", "device", "unreadable", "circle", "dead link", "huge", "empty", "blank"
}  # fmt: skip

STEERED = ("--child", "nowhere", "--steering", "nowhere", "--dataset", "sums", "--out", "out")
EXTRACT = ("extract", "--parent", "nowhere", "--out", "out")
STUDY_FILES: dict[str, tuple[str, ...]] = {
    "run STUDY": ("run", "{}", "--dry-run"),
    "compare STUDY": ("compare", "{}", "--dry-run"),
}
FILE_ARGUMENTS: dict[str, tuple[str, ...]] = {
    **STUDY_FILES,
    "search --few-shot": ("search", *STEERED[:4], "--dataset", "gsm8k", "--out", "out", "--few-shot", "{}"),
    "run few_shot": ("run", "study.yaml", "--set", "few_shot={}", "--set", "dataset=gsm8k"),
    "extract --rationales": (*EXTRACT, "--dataset", "gsm8k", "--data-dir", "data", "--n-pairs", "2", "--rationales",
                             "{}"),
    "evaluate --search": ("evaluate", *STEERED, "--search", "{}"),
    "project --map": ("project", "--parent", "nowhere", "--child", "nowhere", "--map", "{}", "--dataset", "sums",
                      "--out", "out"),
    "search --steering": ("search", *STEERED[:2], "--steering", "{}", *STEERED[4:]),
    "transfer --concept": ("transfer", "--concept", "{}", "--map", "nowhere", "--projection", "nowhere", "--child",
                           "nowhere", "--out", "out"),
    "report RUN": ("report", "{}"),
    "analyse RUN": ("analyse", "flips", "{}"),
    "sensitivity RUN": ("sensitivity", "{}"),
    "extract --data-dir": (*EXTRACT, "--dataset", "gsm8k", "--data-dir", "{}"),
}  # fmt: skip
PROMPT_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "search --system-prompt": ("search", *STEERED, "--system-prompt", "{}"),
    "run system_prompt": ("run", "study.yaml", "--set", "system_prompt={}"),
}


def _file_cases() -> Iterator[Case]:
    for (argument, command), kind in product({**FILE_ARGUMENTS, **PROMPT_ARGUMENTS}.items(), (*FILES, *PLACES)):
        good = argument in PROMPT_ARGUMENTS and kind in ANY_TEXT  # any text is a prompt

        def call(folder: Path, command: tuple[str, ...] = command, kind: str = kind, good: bool = good) -> str:
            name = PLACES.get(kind, "input")
            _study(folder)
            _rows(folder, "gsm8k", [json.dumps({**GSM8K, "question": f"{n}?"}) for n in range(40)])
            (folder / "file").write_text("")
            if kind in FILES:
                FILES[kind](folder / name)
            if good and "search" in command:
                return "read right" if _read_prompt(folder / name) else "read wrong"
            return _command([part.replace("{}", name) for part in command], good)

        yield Case(f"{argument}: {kind}", call)
    for kind in (*FILES, "below a file"):

        def rows(folder: Path, kind: str = kind) -> str:
            (folder / "data").mkdir()
            place = folder / "data" / "gsm8k"
            if kind == "below a file":
                place.write_text("")
            else:
                place.mkdir()
                FILES[kind](place / "train.jsonl")
            return _command([*EXTRACT, "--dataset", "gsm8k", "--data-dir", "data"], False)

        yield Case(f"rows: {kind}", rows)


def _read_prompt(path: Path) -> bool:
    from interp_xfer.tasks import load_system_prompt

    return load_system_prompt(path) == path.read_text(encoding="utf-8").strip()


# --- options ----------------------------------------------------------------------------------------------------------

NUMBERS = (
    "-1",
    "-999999999999",
    "1000000000",
    "1" + "0" * 26,
    "9" * 5000,
    "x",
    "1.5",
    "nan",
    "",
    " ",
    "0x10",
    "\u0661e9",
)
SEEDS = tuple(number for number in NUMBERS if number != "1000000000")
STRENGTHS = (
    "", " ", ",", "0.1,", "nan", "inf", "-inf", "0.1,inf", "1e400", "-0", "0", "0.0,1", "0.1,0.1", "0.1,0.10000000001",
    "1e39", "1e-50", "a,b", "0.1;0.2", "1" * 5000, ",".join(str(n) for n in range(1, 5000)), "1_0,1_0", "\u0661,1",
)  # fmt: skip
NAMES = ("", " ", "gsm9k", "../x", "a\nb", "\x1b[31m", "x" * 5000, "\udcff", "\u202e", "None", "-")
MODELS = ("", " ", "../x", "/nowhere", "~/nowhere", "~nobody/x", "a\nb", "\x1b[31m", "x" * 5000, "/" + "x" * 300,
          "a/b/c", "bundled:", "bundled:x", "gguf:", "gguf:nowhere", "gguf:.", "gguf:" + "x" * 300, "gguf:/dev/zero",
          ".", "a b", "\udcff", "https://me:word@host/a", "@main")  # fmt: skip
FLOATS = ("nan", "inf", "1e400", "x", "", "1e39", "1e-50", "9" * 5000)
ALWAYS: dict[str, tuple[str, ...]] = {
    "search": ("search", *STEERED),
    "evaluate": ("evaluate", *STEERED, "--strength", "0.1"),
    "extract": (*EXTRACT, "--dataset", "sums"),
    "map": ("map", "--parent", "nowhere", "--child", "nowhere", "--out", "out", "--dataset", "sums"),
    "project": ("project", "--parent", "nowhere", "--child", "nowhere", "--map", "map", "--out", "out"),
    "transfer": ("transfer", "--concept", "x", "--map", "x", "--projection", "x", "--child", "nowhere", "--out", "out"),
    "crosscheck": ("crosscheck", "--child", "nowhere", "--dataset", "sums"),
    "layers": ("layers", "--parent", "nowhere", "--child", "nowhere", "--out", "out", "--dataset", "sums"),
    "rationales": ("rationales", "--parent", "nowhere", "--dataset", "sums", "--out", "out"),
    "sensitivity": ("sensitivity", "nowhere"),
    "compare": ("compare", "study.yaml", "--dry-run"),
    "demo": ("demo",),
    "run": ("run", "study.yaml", "--dry-run"),
}  # fmt: skip
OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "search": {"--n": (*NUMBERS, "0"), "--n-shots": NUMBERS, "--max-new-tokens": (*NUMBERS, "0"), "--seed": SEEDS,
               "--max-memory": (*NUMBERS, "0"), "--grid": STRENGTHS, "--unit": NAMES, "--operator": NAMES,
               "--tokens": NAMES, "--scoring": NAMES, "--dtype": NAMES, "--dataset": NAMES, "--out": ("", " ")},
    "evaluate": {"--n": (*NUMBERS, "0"), "--strength": FLOATS, "--grid": STRENGTHS, "--search": ("",)},
    "extract": {"--n-pairs": (*NUMBERS, "0", "1"), "--offset": NUMBERS, "--seed": SEEDS, "--dataset": NAMES,
                "--pairs": NAMES, "--method": NAMES, "--centering": NAMES, "--weight-processing": NAMES,
                "--parent": MODELS, "--data-dir": ("", " "), "--rationales": ("",), "--out": ("",)},
    "map": {"--strategy": NAMES, "--n-pairs": NUMBERS, "--pairs": NAMES},
    "project": {"--kind": NAMES, "--n-texts": (*NUMBERS, "0"), "--offset": NUMBERS},
    "transfer": {"--n-calibration": (*NUMBERS, "0"), "--offset": NUMBERS, "--seed": SEEDS, "--concept": ("",)},
    "crosscheck": {"--n": (*NUMBERS, "0"), "--strength": FLOATS, "--n-shots": NUMBERS, "--steering": ("", "nowhere")},
    "layers": {"--n-pairs": (*NUMBERS, "0"), "--n-calibration": NUMBERS, "--n-fit-texts": NUMBERS, "--seed": SEEDS,
               "--n-held-out": NUMBERS, "--n-random": (*NUMBERS, "0"), "--dataset": NAMES, "--pairs": NAMES},
    "rationales": {"--limit": (*NUMBERS, "0"), "--split": NAMES, "--n-shots": NUMBERS, "--dataset": NAMES},
    "sensitivity": {"--questions": (*NUMBERS, "0"), "--strengths": STRENGTHS, "--window": (*NUMBERS, "1"),
                    "--random": (*NUMBERS, "0"), "--generated": (*NUMBERS, "0"), "--cell": NAMES},
    "compare": {"--layer-maps": NAMES, "--projections": NAMES, "--units": NAMES},
    "run": {"--set": ("", " ", "x", "=3", " =3", "n_test=[1", "n_test={a: 1", "n_test=*a", "n_test=!!python/none x",
                      "n_test=2024-13-45", "lamda=1", "a\nb=1", "\udcff=1", "parent=\udcff", "n_test=@x", "n_test=`",
                      "n_test=\t1", "strengths=[[1]]", "strengths={a: 1}", "strengths=[.nan]", "strengths=[.inf]",
                      'parent="\\ud800"', 'parent="a\\0b"', 'few_shot="a\\0b"', "data_dir=https://me:word@host/x",
                      "__class__=1", "model_config=1", "cell_key=1", "dataset=[sums]", "dataset=", "parent=~",
                      "with_its=perhaps", "n_test=" + "[" * 5000, "n_test=" + "9" * 5000, "n_test=1e9", "--out=")},
    "demo": {"--set": ("n_test=[1", "n_test=1000000000", "seed=-1"), "--out": ("", " ")},
}  # fmt: skip
UNKNOWN = (
    (), ("search",), ("nothing",), ("run",), ("analyse",), ("analyse", "flipz", "nowhere"), ("analyse", "", "nowhere"),
    ("analyse", "flips", "nowhere", "--image", "gif"), ("--version-of-nothing",), ("run", "study.yaml", "--seed", "1"),
    ("report", "nowhere", "more"), ("extract", "--parent", "bundled:smollm", "--out", "out", "--dataset", "sums"),
)  # fmt: skip


def _option_cases() -> Iterator[Case]:
    for verb, options in OPTIONS.items():
        for option, values in options.items():
            for value in values:

                def call(folder: Path, verb: str = verb, option: str = option, value: str = value) -> str:
                    _study(folder)
                    return _command([*ALWAYS[verb], option, value], False)

                yield Case(f"{verb} {option} {value[:20]!r}", call)
    for arguments in UNKNOWN:

        def unknown(folder: Path, arguments: tuple[str, ...] = arguments) -> str:
            _study(folder)
            return _command(list(arguments), False)

        yield Case(f"{' '.join(arguments)!r}", unknown)


# --- settings of a study ----------------------------------------------------------------------------------------------

STUDY: dict[str, Any] = {"parent": "org/a", "child": "org/b", "dataset": "sums"}
COUNTS = ("n_pairs", "n_fit_texts", "n_calibration", "n_aligned", "n_validation", "n_test", "n_shots", "max_new_tokens")
WRONG_COUNTS = ("-1", "1000000000", "1" + "0" * 26, "x", "1.5", "[1]", "{a: 1}", "2024-01-01", ".nan", ".inf", "''")
TEXTS = ("parent", "child", "dataset", "pairs", "data_dir", "few_shot", "system_prompt", "rationales")
WRONG_TEXTS = ("''", "' '", "1", "yes", "[a]", "{a: b}", '"\\ud800"', '"a\\0b"', '"a\\nb"', "x" * 5000, ".nan",
               "http://a:b@c/d")  # fmt: skip
CLOSED = ("dtype", "weight_processing", "method", "centering", "layer_map", "projection", "scoring", "unit", "operator",
          "tokens")  # fmt: skip
WRONG_CLOSED = ("''", "'cka '", "1", "[ridge]", "nearest", "true")
FLAGS = ("normalize_differences", "enable_thinking", "with_its")
RIGHT: dict[str, tuple[tuple[str, Any], ...]] = {
    "n_test": (("1", 1), ("1_000", 1000), ("null", None), ("7.0", 7)),
    "seed": (("0", 0), ("4294967295", 2**32 - 1)),
    "parent": (("2024-01-01", "2024-01-01"), ("'1'", "1"), ("caf\u00e9", "caf\u00e9"), ("a b", "a b"), ("'*a'", "*a")),
    "strengths": (("[0.1, 2]", (0.1, 2.0)), ("[1e-3]", (0.001,)), ("[-1.5]", (-1.5,))),
    "with_its": (("no", False),),
}
WRONG_STRENGTHS = ("[]", "0.1", "[0]", "[-0.0]", "[.nan]", "[-.inf]", "[1.0e+39]", "[1.0e-50]", "[0.1, 0.1]", "[x]",
                   "[[1]]", "{a: 1}", "null", f"[{', '.join(str(n) for n in range(1, 2000))}]")  # fmt: skip
TEXT_OF_STUDIES = (
    "parent: a\nparent: b\n", "1: 2\n", "yes: 1\n", "? [a]\n: 1\n", "a: &x 1\nb: *x\n", "--- 1\n--- 2\n", "%YAML 9\n",
    "parent: !!str a\n", "!!python/object:os.system {}\n", "\tparent: a\n", "parent: 'a\n", "- parent\n", "parent\n",
    "null\n",
    "lamda: 1\n", "__init__: 1\n", "parent: a\nchild: [\n", "parent: a: b\n", "a" * 300_000, "<<: {parent: a}\n",
)  # fmt: skip


def _setting_cases() -> Iterator[Case]:
    wrong = [
        *product(COUNTS, WRONG_COUNTS), *product(TEXTS, WRONG_TEXTS), *product(CLOSED, WRONG_CLOSED),
        *product(FLAGS, ("maybe", "2", "[]", "''")), *product(("strengths",), WRONG_STRENGTHS),
        *product(("seed",), (*set(WRONG_COUNTS) - {"1000000000"}, "4294967296")),
    ]  # fmt: skip
    for name, value in wrong:
        text = "".join(f"{key}: {value if key == name else old}\n" for key, old in {**STUDY, name: value}.items())
        yield Case(f"study {name}: {value[:20]}", lambda folder, text=text: _load_study(folder, text, None))
    for name, values in RIGHT.items():
        for value, meant in values:
            text = "".join(f"{key}: {value if key == name else old}\n" for key, old in {**STUDY, name: value}.items())
            yield Case(
                f"study {name}: {value[:20]}",
                lambda folder, text=text, name=name, meant=meant: _load_study(folder, text, (name, meant)),
            )
    for text in TEXT_OF_STUDIES:
        yield Case(f"study {text[:20]!r}", lambda folder, text=text: _load_study(folder, text, None))
    for head in ("\ufeff", "", "# note\r\n"):
        text = head + "parent: org/c\r\nchild: org/b\r\ndataset: sums\r\n"
        yield Case(f"study {head!r}", lambda folder, text=text: _load_study(folder, text, ("parent", "org/c")))


def _load_study(folder: Path, text: str, meant: tuple[str, Any] | None) -> str:
    from interp_xfer.studies.config import load_study

    (folder / "s.yaml").write_bytes(text.encode())
    return _library(lambda: load_study(folder / "s.yaml"), meant and (lambda s: getattr(s, meant[0]) == meant[1]))


# --- rows of data -----------------------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, "", " ", "\u2003\u00a0", 0, 1, -1, 10**30, 1.5, True, [], {}, ["x"], {"x": 1}, "x", "caf\u00e9 \U0001f600",
    "a\u2028b", "\r\n", "a\r\nb", "\x07", "a\0b", "\ud800", "x\udfffy", "x" * 100_000, "9" * 20_000, "1e999", "#### 1",
    "#### NaN", "#### 1/0", r"\boxed{", r"\boxed{\boxed{1}}", r"\boxed{" * 2000, "{" * 5000, "<|im_end|>", "</s>",
)  # fmt: skip
LINES: dict[str, bytes] = {
    "nothing": b"", "blank": b" \n\r\n", "BOM": b"\xef\xbb\xbf", "two on a line": b"{}{}", "comma": b"{},",
    "null": b"null",
    "number": b"1", "string": b'"a"', "list": b"[]", "empty": b"{}", "single quotes": b"{'question': 'a'}",
    "invalid": b'{"question": "\xff"}', "half": b'{"question": "\xf0\x9f"}', "overlong": b"\xc0\x80",
    "torn": b'{"question',
    "NaN": b'{"question": NaN}', "huge number": b'{"question": 1e999}', "digits": b'{"id": ' + b"9" * 5000 + b"}",
    "deep": b"[" * 100_000, "deep objects": b'{"a":' * 100_000, "key twice": b'{"question": "a", "question": "b"}',
    "surrogate": rb'{"question": "\ud800\ud800"}', "surrogate key": rb'{"\udc00": 1}', "NULs": b"\0" * 100,
    "long": b'{"question": "' + b"x" * (17 * 2**20),
    "keys": b'{"' + b'":1,"'.join(b"%d" % n for n in range(20_000)) + b'":1}',
}  # fmt: skip


def _row_cases() -> Iterator[Case]:
    for task, row in ROWS.items():
        places = [(name,) for name in (*row, "id", "extra")]
        places += [("choices", "text"), ("choices", "label")] if task == "arc_challenge" else []
        for place, value in product(places, VALUES):
            changed = _changed(row, place, value)
            yield Case(
                f"{task} {'.'.join(place)} {str(value)[:20]!r}",
                lambda folder, t=task, r=changed: _load_row(folder, t, r),
            )
        for name, line in LINES.items():
            good = name in ("nothing", "blank", "BOM")

            def lines(folder: Path, task: str = task, line: bytes = line, row: Any = row, good: bool = good) -> str:
                _rows(folder, task, [])
                whole = json.dumps(row).encode()
                content = line + whole + b"\r\n" if good else line + b"\n" + whole
                (folder / "data" / task / "train.jsonl").write_bytes(content)
                return _load(folder, task, row if good else None)

            yield Case(f"{task} line: {name}", lines)

        def twice(folder: Path, task: str = task, row: Any = row) -> str:
            _rows(folder, task, [json.dumps({"id": "a", **row})] * 2)
            return _load(folder, task, None)

        yield Case(f"{task}: the same id twice", twice)


def _changed(row: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    name, *rest = place
    return {**row, name: _changed(row[name], tuple(rest), value) if rest else value}


def _load_row(folder: Path, task: str, row: dict[str, Any]) -> str:
    _rows(folder, task, [json.dumps(row)])
    return _load(folder, task, row)


def _load(folder: Path, task: str, row: dict[str, Any] | None) -> str:
    """Reading one row; what is accepted must hold the row's texts, writable, with an answer that can be scored."""
    from interp_xfer.tasks import contrast_pairs, get_task, load_few_shot, read_rows
    from interp_xfer.tasks.rows import checked

    def read() -> Any:
        rows = checked(read_rows(get_task(task), "train", folder / "data"), "raise")
        examples = load_few_shot(get_task(task), folder / "data" / task / "train.jsonl")
        made = [pair for kind in ("correct-vs-incorrect", "instruction") for pair in contrast_pairs(rows, kind)]
        return rows, examples, made

    def right(found: Any) -> bool:
        (problem,), (example,), pairs = found
        texts = [problem.id, problem.text, problem.reasoning or "", problem.answer]
        texts += [text for pair in pairs for text in (pair.prompt, pair.positive, pair.negative)]
        for text in texts:
            text.encode("utf-8")
        assert row is not None
        question = row["problem" if task == "math" else "question"]
        return problem.question == example.question == question.strip() and "\0" not in "".join(texts)

    return _library(read, right if row is not None else None)


# --- how a call ends --------------------------------------------------------------------------------------------------


def _command(arguments: list[str], good: bool) -> str:
    """The outcome of a command line in this process."""
    from interp_xfer_cli.main import main

    code, said, err = 0, io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["interp-xfer", *arguments]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        except Reached:
            pass
        except Exception:
            return "traceback"
    text = err.getvalue()
    if code == 0:
        return "read right" if good else "read wrong"
    ours = code == 1 and text.startswith("error: ") and len(text) < LONGEST
    usage = code == 2 and "Usage" in said.getvalue() + text
    return "clear error" if (ours or usage) and "Traceback" not in text and not good else "traceback"


def _library(call: Callable[[], Any], right: Callable[[Any], bool] | None) -> str:
    """The outcome of a call of the library; `right` None: it should be refused."""
    from interp_xfer.errors import InterpXferError

    try:
        found = call()
        return "read right" if right is not None and right(found) else "read wrong"
    except InterpXferError as error:
        text = str(error)
        return "clear error" if text and len(text) < LONGEST and "Traceback" not in text else "traceback"
    except Exception:
        return "traceback"


@contextlib.contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """In a folder of its own, without models and data of this machine, with an end of time and of memory."""
    import interp_xfer_cli.main  # noqa: F401  (imports take long, and are no part of a case)

    from interp_xfer.models.bundled import bundled_folder
    from interp_xfer.models.references import parse_reference
    from interp_xfer.studies import layer_study, study_models

    def reached(reference: str, **_: Any) -> None:
        if parse_reference(reference).kind == "bundled":
            bundled_folder(reference.removeprefix("bundled:"))
        raise Reached

    def hang(*_: Any) -> None:
        raise Hang

    here, handler = os.getcwd(), signal.signal(signal.SIGALRM, hang)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with contextlib.ExitStack() as stack:
        for module in ("interp_xfer", "interp_xfer.models"):
            stack.enter_context(mock.patch(f"{module}.load_model", reached))
        for module in (layer_study, study_models):
            stack.enter_context(mock.patch.object(module, "load_model", reached))
        stack.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "200"}))
        os.environ.pop("INTERP_XFER_DATA", None)
        try:
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, limits[1]))
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, limits)
            signal.signal(signal.SIGALRM, handler)
            os.chdir(here)


def _study(folder: Path) -> None:
    """A study of two folders that pass for models until one is loaded."""
    for name in ("parent", "child"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(f'{{"name": "{name}"}}')
    (folder / "study.yaml").write_text("parent: ./parent\nchild: ./child\ndataset: sums\n")


def _rows(folder: Path, task: str, lines: list[str]) -> None:
    place = folder / "data" / task
    place.mkdir(parents=True)
    (place / "train.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
