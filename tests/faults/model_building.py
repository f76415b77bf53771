"""How damaged and hostile models are made: from a tiny model that works, by changing one thing.

Each function gives a builder: from an empty folder to the reference of the model in it.
"""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARKER = "INTERP_XFER_TEST_MARKER"
CODE = f"import os, pathlib\npathlib.Path(os.environ[{MARKER!r}]).touch()\n"


def base() -> Path:
    """The folder that works, made once for each process."""
    from tiny_files import save

    folder = Path(os.environ["INTERP_XFER_CACHE"]).parent / f"base-{os.getpid()}"
    if not folder.exists():
        save("llama", folder)
    return folder


def gguf_base() -> bytes:
    """The GGUF file that works."""
    from tiny_files import write_gguf

    path = base().parent / f"base-{os.getpid()}.gguf"
    if not path.exists():
        write_gguf(path)
    return path.read_bytes()


def folder(change: Callable[[Path], Any]) -> Callable[[Path], str]:
    """The working folder, changed."""

    def build(at: Path) -> str:
        shutil.copytree(base(), at, dirs_exist_ok=True)
        change(at)
        return str(at)

    return build


def edited(name: str, **values: Any) -> Callable[[Path], str]:
    """Some values of a JSON file replaced."""

    def change(at: Path) -> None:
        content = json.loads((at / name).read_text())
        (at / name).write_text(json.dumps({**content, **values}))

    return folder(change)


def config(**values: Any) -> Callable[[Path], str]:
    """Some values of config.json replaced."""
    return edited("config.json", **values)


def written(name: str, content: bytes | str) -> Callable[[Path], str]:
    """A file with other content."""
    data = content.encode() if isinstance(content, str) else content
    return folder(lambda at: (at / name).write_bytes(data))


def removed(*names: str) -> Callable[[Path], str]:
    """Without some files."""
    return folder(lambda at: [(at / name).unlink() for name in names])


def cut(name: str, keep: float) -> Callable[[Path], str]:
    """A file cut off after a share of its bytes."""

    def change(at: Path) -> None:
        data = (at / name).read_bytes()
        (at / name).write_bytes(data[: int(keep * len(data))])

    return folder(change)


def template(source: str) -> Callable[[Path], str]:
    """Another chat template."""
    return written("chat_template.jinja", source)


def with_code(change: Callable[[Path], str]) -> Callable[[Path], str]:
    """Python files that would leave a mark, under every name that a library might import."""

    def build(at: Path) -> str:
        reference = change(at)
        (at / "custom_generate").mkdir()
        for name in (
            "modeling_evil.py",
            "configuration_evil.py",
            "tokenization_evil.py",
            "custom_generate/generate.py",
        ):
            (at / name).write_text(CODE + "class Evil:\n    pass\n")
        return reference

    return build


AUTO_MAP = {
    "AutoConfig": "configuration_evil.Evil",
    "AutoModelForCausalLM": "modeling_evil.Evil",
    "AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"],
}


class _Evil:
    def __reduce__(self) -> Any:
        return (exec, (CODE,))


def pickled(at: Path) -> str:
    """Weights as a pickle that leaves a mark when it is loaded, and no others."""
    shutil.copytree(base(), at, dirs_exist_ok=True)
    (at / "model.safetensors").unlink()
    (at / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    return str(at)


def tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], str]:
    """Other weights."""

    def build(at: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(at / "model.safetensors")
        change(weights)
        save_file(weights, at / "model.safetensors", metadata={"format": "pt"})

    return folder(build)


def header(content: bytes, length: int | None = None) -> Callable[[Path], str]:
    """A safetensors file of this header alone."""
    return written("model.safetensors", struct.pack("<Q", len(content) if length is None else length) + content)


def gguf_file(change: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    """The working GGUF file, changed."""

    def build(at: Path) -> str:
        (at / "m.gguf").write_bytes(change(gguf_base()))
        return f"gguf:{at / 'm.gguf'}"

    return build


def gguf_header(n_tensors: int, n_fields: int, rest: bytes = b"") -> Callable[[Path], str]:
    """A GGUF file of this beginning alone."""
    return gguf_file(lambda data: b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_fields) + rest)


def gguf_field(kind: int, value: bytes, name: bytes = b"a") -> bytes:
    """One field of a GGUF header."""
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value


def gguf_beside_code(at: Path) -> str:
    """Beside the file lies a tokenizer_config.json that asks for code."""
    with_code(folder(lambda _: None))(at)
    (at / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Evil", "auto_map": AUTO_MAP}))
    return gguf_file(lambda data: data)(at)


def gguf_replaced(old: bytes, new: bytes) -> Callable[[Path], str]:
    """Some bytes of the header replaced by as many others."""
    assert len(old) == len(new)

    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return gguf_file(change)


def cached(change: Callable[[Path], Any]) -> Callable[[Path], str]:
    """The converted model in the cache is changed after it was made."""

    def build(at: Path) -> str:
        from interp_xfer.models.gguf import converted_gguf

        reference = gguf_file(lambda data: data)(at)
        converted, _ = converted_gguf(at / "m.gguf")
        change(converted)
        return reference

    return build


def flipped(path: Path) -> None:
    """One bit of a file."""
    data = bytearray(path.read_bytes())
    data[-9] ^= 4
    path.write_bytes(data)


def full_disk(at: Path) -> str:
    """No file may grow beyond ten thousand bytes while the model is converted."""
    import resource

    from interp_xfer.models.gguf import converted_gguf

    unlike = gguf_base() + b"\0" * 64  # not in the cache yet
    (at / "m.gguf").write_bytes(unlike)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        converted_gguf(at / "m.gguf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return f"gguf:{at / 'm.gguf'}"


def no_cache(at: Path) -> str:
    """The cache is a file."""
    (at / "file").write_text("")
    before = os.environ["INTERP_XFER_CACHE"]
    os.environ["INTERP_XFER_CACHE"] = str(at / "file")
    (at / "m.gguf").write_bytes(gguf_base())
    from interp_xfer.models.gguf import converted_gguf

    try:
        converted_gguf(at / "m.gguf")
    finally:
        os.environ["INTERP_XFER_CACHE"] = before
    return ""
