"""A model folder from anybody: what is looked at before a library reads it."""

import json
import os

import pytest
from tiny_models import config

from interp_xfer.errors import ModelError
from interp_xfer.models.files import check_config, check_folder, library_errors, read_config


@pytest.fixture
def folder(tmp_path):
    for name, text in (("config.json", "{}"), ("model.safetensors", "x"), ("tokenizer.json", "{}")):
        (tmp_path / name).write_text(text)
    (tmp_path / "onnx").mkdir()
    return tmp_path


def test_an_ordinary_folder(folder):
    check_folder(folder, "m")
    (folder / "pytorch_model.bin").write_text("beside safetensors it is not read")
    check_folder(folder, "m")


def test_files_that_are_none(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="m: tokenizer.json is no ordinary file; it will not be read"):
        check_folder(folder, "m")
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer.json is no ordinary file"):
        check_folder(folder, "m")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer.json"):
        check_folder(folder, "m")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("blob")
    with pytest.raises(ModelError, match=r"tokenizer.json is a link to nothing. Get a complete copy"):
        check_folder(folder, "m")
    (folder / "blob").write_text("{}")  # as in the cache of the hub
    check_folder(folder, "m")
    with pytest.raises(ModelError, match="m cannot be read: No such file"):
        check_folder(folder / "none", "m")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "chat_template.jinja", "tokenizer.json"])
def test_huge_files_are_not_read(folder, name):
    with (folder / name).open("wb") as file:
        file.truncate(2**29 + 1)  # holes take no room
    with pytest.raises(ModelError, match=f"m: {name} has 536870913 bytes, more than"):
        check_folder(folder, "m")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt", "model.pkl"])
def test_pickles_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(
        ModelError, match=rf"weights as a pickle \({name}\), which can run code.*Save them as safetensors"
    ):
        check_folder(folder, "m")


def test_adapters_are_refused(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/other"}')
    with pytest.raises(ModelError, match="m is an adapter for another model; merge it"):
        check_folder(folder, "m")


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt_neox", "phi3"])
def test_configurations_of_models_pass(architecture):
    check_config(config(architecture).to_dict(), "m")


@pytest.mark.parametrize(
    "values",
    [
        {"num_hidden_layers": 126, "vocab_size": 262144, "hidden_size": 16384, "max_position_embeddings": 10**7},
        {"num_hidden_layers": 61, "n_routed_experts": 384, "num_experts_per_tok": 8, "num_nextn_predict_layers": 1},
        {
            "block_size": 8192,
            "layer_norm_eps": 1e-5,
            "layers_block_type": ["mamba"] * 90,
            "time_step_limit": [0, 1e999],
        },
        {"text_config": {"num_hidden_layers": 62, "sliding_window": 4096}, "image_token_id": 262144},
    ],
)
def test_published_sizes_pass(values):
    check_config(values, "m")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; no model has so many"),
        ({"n_layer": -(10**9)}, "n_layer is -1000000000"),
        ({"num_hidden_layers": 4000, "num_experts": 4000}, "num_experts is 4000"),
        ({"text_config": {"decoder": {"num_decoder_layers": 10**6}}}, "num_decoder_layers is 1000000"),
        ({"hidden_size": 10**12}, "hidden_size is 1000000000000"),
        ({"head_dim": 2**40}, "head_dim is"),
        ({"num_attention_heads": 10**400}, "num_attention_heads is 1000"),
        ([1, 2], "config.json holds a list, not an object"),
        ("text", "config.json holds a str"),
    ],
)
def test_numbers_that_no_model_has(values, message):
    with pytest.raises(ModelError, match=f"m: .*{message}") as caught:
        check_config(values, "m")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 10**5, b"", b'{"a": ' * 10**5])
def test_a_config_that_is_no_json(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"m: config.json cannot be read: .*Get a complete copy"):
        read_config(tmp_path, "m")
    (tmp_path / "config.json").write_text(json.dumps({"a": 1}))
    assert read_config(tmp_path, "m") == {"a": 1}


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation_internal", "kernel_config"])
def test_kernels_from_a_repository_are_code(key):
    with pytest.raises(ModelError, match=r"m needs code of its own \(evil/kernel\); not supported"):
        check_config({"text_config": {key: "evil/kernel"}}, "m")
    check_config({key: "flash_attention_2", "_name_or_path": "org/name"}, "m")


class PanicException(BaseException):
    """As pyo3 names what it raises when Rust panics."""


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (OSError("no file\nand more"), "cannot load m: no file Look."),
        (KeyError("model"), "cannot load m: KeyError: 'model' Look."),
        (AttributeError(), "cannot load m: AttributeError Look."),
        (PanicException("index out of range"), "cannot load m: PanicException: index out of range Look."),
        (MemoryError(), "cannot load m: it does not fit into memory. Use a smaller one, or bfloat16."),
        (ValueError("pass the argument `trust_remote_code=True`"), "m needs code of its own; not supported."),
    ],
)
def test_what_a_library_raises_about_a_model_is_one_line(raised, message):
    with pytest.raises(ModelError) as caught, library_errors("m", "Look."):
        raise raised
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_other_ends_are_not_about_the_model():
    for kind in (KeyboardInterrupt, SystemExit):
        with pytest.raises(kind), library_errors("m", "Look."):
            raise kind
    with pytest.raises(ModelError, match="^as it was$"), library_errors("m", "Look."):
        raise ModelError("as it was")
