"""The damaged and hostile models, by name, and what must come of each."""

import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from model_building import (
    AUTO_MAP,
    CODE,
    MARKER,
    cached,
    config,
    cut,
    edited,
    flipped,
    folder,
    full_disk,
    gguf_beside_code,
    gguf_field,
    gguf_file,
    gguf_header,
    gguf_replaced,
    header,
    no_cache,
    pickled,
    removed,
    template,
    tensors,
    with_code,
    written,
)

WORKS, ERROR, ANY = "works", "clear error", "any"


class Case(NamedTuple):
    """One model."""

    name: str
    build: Callable[[Path], str]
    """Makes the model in an empty folder, and gives its reference."""
    expected: str


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OWN = {"model_type": "evil", "auto_map": AUTO_MAP}
EVIL_TOKENIZER = {"tokenizer_class": "EvilTokenizer", "auto_map": AUTO_MAP}


def cases(full: bool) -> list[Case]:
    """All of them, in an order that never changes."""
    table = [
        *_code(),
        *_weights(),
        *_configurations(),
        *_tokenizers(),
        *_templates(),
        *_ggufs(),
        *_caches(),
        *(_random() if full else ()),
    ]
    assert len({case.name for case in table}) == len(table)
    return table


def _code() -> Iterator[Case]:
    yield Case("a model that works", folder(lambda _: None), WORKS)
    yield Case("code beside a model", with_code(folder(lambda _: None)), WORKS)
    yield Case("a model of its own code", with_code(config(**OWN)), ERROR)
    yield Case("code that a known model does not need", with_code(config(auto_map=AUTO_MAP)), WORKS)
    yield Case(
        "code in another repository", with_code(config(model_type="evil", auto_map={"AutoConfig": "e/e--a.B"})), ERROR
    )
    yield Case("a tokenizer of its own code", with_code(edited("tokenizer_config.json", **EVIL_TOKENIZER)), ERROR)
    yield Case("code for a known tokenizer", with_code(edited("tokenizer_config.json", auto_map=AUTO_MAP)), WORKS)
    yield Case("attention from a repository", config(attn_implementation="evil/kernel"), ERROR)
    yield Case("a model that also sees", config(architectures=["LlavaForConditionalGeneration"]), WORKS)
    yield Case("an architecture that is another", config(architectures=["OpenELMForCausalLM"]), WORKS)
    yield Case("an adapter", written("adapter_config.json", '{"base_model_name_or_path": "e/e"}'), ERROR)


def _weights() -> Iterator[Case]:
    yield Case("pickled weights", pickled, ERROR)
    yield Case("pickled weights by name", config(transformers_weights="evil.bin"), ERROR)
    yield Case("weights from outside", config(transformers_weights="../../x.safetensors"), ERROR)
    yield Case("no weights", removed("model.safetensors"), ERROR)
    for keep in (0, 0.001, 0.3, 0.99):
        yield Case(f"weights cut off at {keep}", cut("model.safetensors", keep), ERROR)
    yield Case("weights that are text", written("model.safetensors", "no weights"), ERROR)
    yield Case("a header without end", header(b"", 2**62), ERROR)
    yield Case("a header of a gigabyte", header(b"{", 2**30), ERROR)
    yield Case("a header that is no JSON", header(b"[" * 9000), ERROR)
    huge = b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'
    yield Case("a tensor of four terabytes", header(huge), ERROR)
    yield Case("weights missing", tensors(lambda w: w.pop("model.norm.weight")), ERROR)
    yield Case("weights of other shapes", config(intermediate_size=96), ERROR)
    yield Case("NaN", tensors(lambda w: w["model.layers.1.mlp.up_proj.weight"].fill_(float("nan"))), ERROR)
    yield Case("an index beside all weights", folder(lambda at: _index(at, {"a": "gone.safetensors"})), WORKS)
    yield Case("shards that are not there", _sharded({"model.norm.weight": "gone.safetensors"}), ERROR)
    yield Case("shards from outside", _sharded({"model.norm.weight": "../../../dev/zero"}), ERROR)
    yield Case("an index of other types", _sharded([1, 2]), ERROR)


def _index(at: Path, weight_map: Any) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (at / "model.safetensors.index.json").write_text(json.dumps(index))


def _sharded(weight_map: Any) -> Callable[[Path], str]:
    return folder(lambda at: ((at / "model.safetensors").unlink(), _index(at, weight_map)))


def _configurations() -> Iterator[Case]:
    for name, content in {
        "empty": "",
        "no JSON": "{",
        "a list": "[]",
        "a text": '"llama"',
        "nothing in it": "{}",
        "binary": b"\xff\xfe\x00",
        "deep": "[" * 100_000,
        "deep objects": '{"a": ' * 100_000,
    }.items():
        yield Case(f"config.json: {name}", written("config.json", content), ERROR)
    yield Case("config.json: huge", folder(lambda at: os.truncate(at / "config.json", 2**31)), ERROR)
    yield Case(
        "config.json: a pipe", folder(lambda at: ((at / "config.json").unlink(), os.mkfifo(at / "config.json"))), ERROR
    )
    yield Case("config.json: endless", folder(lambda at: _link(at / "config.json", "/dev/zero")), ERROR)
    yield Case("config.json: a circle", folder(lambda at: _link(at / "config.json", "config.json")), ERROR)
    yield Case(
        "config.json: a folder", folder(lambda at: ((at / "config.json").unlink(), (at / "config.json").mkdir())), ERROR
    )
    for key, value in {
        "num_hidden_layers": [10**9, -1, 0, 2.5, "3", None, [3], {}],
        "hidden_size": [10**12, 0, -32, "32", 33],
        "num_attention_heads": [0, 10**9, 3, -4, "4"],
        "num_key_value_heads": [0, 3, 10**9],
        "vocab_size": [10**12, 0, 10],
        "head_dim": [10**10, 0, "8"],
        "intermediate_size": [10**9, 0],
        "rms_norm_eps": ["a", None, 10**30],
        "model_type": [None, 7, "none-such", "t5", "vit"],
        "hidden_act": ["evil", 3],
        "dtype": ["evil", 3],
        "rope_parameters": [7, {"rope_type": "evil"}, {"rope_type": "longrope"}, {"rope_theta": "a"}],
        "max_position_embeddings": [0, "long"],
        "quantization_config": [{"quant_method": "evil"}, {"quant_method": "bitsandbytes"}, 3],
        "tie_word_embeddings": ["maybe"],
        "torch_dtype": [[]],
    }.items():
        for number, each in enumerate(value):
            yield Case(
                f"config.json: {key} {number}", config(**{key: each}), WORKS if (key, number) in _IGNORED else ERROR
            )
    yield Case("generation_config.json: no JSON", written("generation_config.json", "{"), WORKS)
    yield Case("generation_config.json: end", edited("generation_config.json", eos_token_id="evil"), ERROR)
    yield Case("generation_config.json: ends", edited("generation_config.json", eos_token_id=[1, [2]]), ERROR)


# What transformers passes over.
_IGNORED = {("dtype", 1), ("torch_dtype", 0), ("quantization_config", 0), ("quantization_config", 1)}


def _link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _tokenizers() -> Iterator[Case]:
    yield Case("tokenizer: missing", removed("tokenizer.json"), ERROR)
    yield Case("tokenizer: missing with its settings", removed("tokenizer.json", "tokenizer_config.json"), ERROR)
    for name, content in {
        "empty": "",
        "no JSON": "{",
        "a list": "[]",
        "nothing in it": "{}",
        "deep": "[" * 10**5,
    }.items():
        yield Case(f"tokenizer.json: {name}", written("tokenizer.json", content), ERROR)
        yield Case(f"tokenizer_config.json: {name}", written("tokenizer_config.json", content), _SETTINGS[name])
    yield Case("tokenizer.json: endless", folder(lambda at: _link(at / "tokenizer.json", "/dev/zero")), ERROR)
    yield Case("tokenizer.json: other model", edited("tokenizer.json", model={"type": "Evil"}), ERROR)
    yield Case(
        "tokenizer.json: no vocabulary",
        edited("tokenizer.json", model={"type": "BPE", "vocab": {}, "merges": []}),
        ERROR,
    )
    yield Case("tokenizer.json: huge ids", folder(_huge_ids), ERROR)
    yield Case("tokenizer_config.json: no class", edited("tokenizer_config.json", tokenizer_class="os.system"), WORKS)
    yield Case("tokenizer_config.json: class of a number", edited("tokenizer_config.json", tokenizer_class=7), ERROR)
    yield Case("tokenizer_config.json: end of a number", edited("tokenizer_config.json", eos_token=7), ERROR)
    yield Case("tokenizer_config.json: no special tokens", folder(_no_special), WORKS)


_SETTINGS = {"empty": ERROR, "no JSON": ERROR, "a list": ERROR, "nothing in it": WORKS, "deep": ERROR}


def _huge_ids(at: Path) -> None:
    content = json.loads((at / "tokenizer.json").read_text())
    content["model"]["vocab"] = {token: 10**6 + i for token, i in content["model"]["vocab"].items()}
    (at / "tokenizer.json").write_text(json.dumps(content))


def _no_special(at: Path) -> None:
    content = json.loads((at / "tokenizer_config.json").read_text())
    kept = {key: value for key, value in content.items() if not key.endswith("_token")}
    (at / "tokenizer_config.json").write_text(json.dumps(kept))


def _templates() -> Iterator[Case]:
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    for name, source in {
        "two loops": loop,
        "power": "{{ 9 ** (9 ** 9) }}",
        "loop for one text": "{% if 'Be brief.' in messages[0].content %}" + loop + "{% endif %}" + CHATML,
        "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(99) }}",
        "memory": "{{ 'a' * 10 ** 11 }}",
        "output": "{% for i in range(99999) %}{{ 'a' * 9999 }}{% endfor %}",
        "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "syntax": "{% if",
        "refuses": "{{ raise_exception('no') }}",
        "undefined": "{{ messages.no.more }}",
        "drops": "nothing",
        "shouts": "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "escapes": "{{ ''.__class__.__mro__[1].__subclasses__()[0] }}",
        "imports": "{{ cycler.__init__.__globals__.os.system('touch $" + MARKER + "') }}",
        "files": "{% include '/etc/passwd' %}",
    }.items():
        yield Case(f"template: {name}", template(source), ERROR)
    for name, source in {
        "ordinary": CHATML,
        "refuses options": "{% if enable_thinking is defined %}{{ raise_exception('what?') }}{% endif %}" + CHATML,
        "no system turns": "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML,
        "date": "{{ strftime_now('%d %b %Y') }}" + CHATML,
        "empty": "",
    }.items():
        yield Case(f"template: {name}", template(source), WORKS)
    yield Case("template: huge", folder(lambda at: os.truncate(at / "chat_template.jinja", 2**30)), ERROR)
    yield Case("template: endless", folder(lambda at: _link(at / "chat_template.jinja", "/dev/zero")), ERROR)
    settings = "tokenizer_config.json"
    for name, value in {"number": 7, "list": [1], "names": {"rag": CHATML}, "deep": {"default": [CHATML]}}.items():
        build = edited(settings, chat_template=value)
        yield Case(f"template: {name}", _without_jinja(build), ERROR)
    yield Case("template: default", _without_jinja(edited(settings, chat_template={"default": CHATML})), WORKS)
    older = json.dumps({"chat_template": CHATML})
    yield Case("template: beside", _without_jinja(written("chat_template.json", older)), WORKS)
    yield Case("template: beside, no JSON", _without_jinja(written("chat_template.json", "{")), ERROR)


def _without_jinja(build: Callable[[Path], str]) -> Callable[[Path], str]:
    def change(at: Path) -> str:
        reference = build(at)
        (at / "chat_template.jinja").unlink(missing_ok=True)
        return reference

    return change


def _ggufs() -> Iterator[Case]:
    yield Case("gguf: works", gguf_file(lambda data: data), WORKS)
    yield Case("gguf: beside code", gguf_beside_code, WORKS)
    for keep in (0, 4, 23, 24, 100, 5000, 40_000):
        yield Case(f"gguf: cut off at {keep}", gguf_file(lambda data, keep=keep: data[:keep]), ERROR)
    yield Case("gguf: last byte missing", gguf_file(lambda data: data[:-33]), ERROR)
    yield Case("gguf: text", gguf_file(lambda data: b"no model at all" * 10), ERROR)
    yield Case("gguf: version 99", gguf_file(lambda data: data[:4] + struct.pack("<I", 99) + data[8:]), ERROR)
    yield Case("gguf: 2^62 fields", gguf_header(1, 2**62), ERROR)
    yield Case("gguf: 2^62 tensors", gguf_header(2**62, 0), ERROR)
    yield Case("gguf: no tensors", gguf_header(0, 0), ERROR)
    for name, value in {
        "numbers": struct.pack("<IQ", 4, 2**62),
        "bytes": struct.pack("<IQ", 0, 2**62),
        "texts": struct.pack("<IQ", 8, 2**62),
        "lists": struct.pack("<IQ", 9, 2**62),
        "nothing known": struct.pack("<IQ", 77, 1),
    }.items():
        yield Case(f"gguf: endless list of {name}", gguf_header(0, 1, gguf_field(9, value) + b"\0" * 99), ERROR)
    yield Case("gguf: text without end", gguf_header(0, 1, gguf_field(8, struct.pack("<Q", 2**63))), ERROR)
    yield Case("gguf: name without end", gguf_header(0, 1, struct.pack("<Q", 2**63)), ERROR)
    yield Case("gguf: unknown value", gguf_header(0, 1, gguf_field(99, b"\0" * 99)), ERROR)
    far = struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, 2**40, 0, 2**50)
    yield Case("gguf: tensor beyond the end", gguf_header(1, 0, far), ERROR)
    bomb = b"".join(struct.pack("<Q", 2) + b"%02d" % n + struct.pack("<IQIQ", 1, 400, 0, 0) for n in range(90))
    yield Case("gguf: tensors in one place", gguf_header(90, 0, bomb + b"\0" * 4000), ERROR)
    dims = struct.pack("<Q", 1) + b"t" + struct.pack("<I", 2**31)
    yield Case("gguf: many dimensions", gguf_header(1, 0, dims + b"\0" * 99), ERROR)
    yield Case(
        "gguf: unknown architecture", gguf_replaced(b"\x05\0\0\0\0\0\0\0qwen2", b"\x05\0\0\0\0\0\0\0evil2"), ERROR
    )
    layers = b"qwen2.block_count" + struct.pack("<I", 4)
    yield Case(
        "gguf: 10^9 layers", gguf_replaced(layers + struct.pack("<I", 3), layers + struct.pack("<I", 10**9)), ERROR
    )
    yield Case(
        "gguf: one layer more", gguf_replaced(layers + struct.pack("<I", 3), layers + struct.pack("<I", 4)), ERROR
    )


def _caches() -> Iterator[Case]:
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        yield Case(f"cache: bit of {name}", cached(lambda at, name=name: flipped(at / name)), WORKS)
        yield Case(f"cache: {name} missing", cached(lambda at, name=name: (at / name).unlink()), WORKS)
        yield Case(f"cache: {name} cut off", cached(lambda at, name=name: os.truncate(at / name, 99)), WORKS)
    yield Case("cache: code added", cached(lambda at: (at / "modeling_evil.py").write_text(CODE)), WORKS)
    yield Case("cache: disk full", full_disk, ERROR)
    yield Case("cache: a file", no_cache, ERROR)


def _random() -> Iterator[Case]:
    """Bytes of a GGUF header, values of a configuration, places where a file ends; the same every time."""
    rng = random.Random(0)
    for number in range(300):
        at, value = rng.randrange(4, 9000), rng.randrange(256)
        change = lambda data, at=at, value=value: data[:at] + bytes([value]) + data[at + 1 :]  # noqa: E731
        yield Case(f"random gguf byte {number}", gguf_file(change), ANY)
    for number in range(100):
        keep = rng.random()
        yield Case(f"random gguf end {number}", gguf_file(lambda data, k=keep: data[: int(k * len(data))]), ERROR)
    values = [0, -1, 1, 7, 2**31, 2**63, 1.5, "x", "", None, [], {}, True, [[]], "\ud800", 10**30]
    keys = [
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
        "head_dim",
        "intermediate_size",
        "max_position_embeddings",
        "rope_parameters",
        "hidden_act",
        "model_type",
        "attention_bias",
        "eos_token_id",
        "bos_token_id",
        "pad_token_id",
        "architectures",
        "dtype",
        "rms_norm_eps",
        "tie_word_embeddings",
        "mlp_bias",
        "pretraining_tp",
        "initializer_range",
        "attention_dropout",
        "use_cache",
        "transformers_version",
    ]
    for key in keys:
        for number, value in enumerate(values):
            yield Case(f"random config {key} {number}", config(**{key: value}), ANY)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.jinja"):
        for number in range(20):
            yield Case(f"random end of {name} {number}", cut(name, rng.random()), ANY)
