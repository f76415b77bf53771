"""Two loads are one model when the content is the same, whatever they are called."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer

from interp_xfer.errors import FingerprintError
from interp_xfer.models import Fingerprint, require_same_model, wrap_model
from interp_xfer.models.fingerprint import chat_template_digest, tokenizer_digest, weights_digest


def fingerprint(model=None, tokenizer=None, reference="a", **options):
    model = hf_model("llama") if model is None else model
    return wrap_model(model, tokenizer or make_tokenizer(), reference=reference, **options).fingerprint


@pytest.fixture(scope="module")
def original():
    return fingerprint()


def test_names_do_not_matter(original):
    other = fingerprint(reference="some/where", revision="abc")
    assert other.digest == original.digest and other != original
    require_same_model(original, other, "the vectors")


def one_weight_changed():
    model = hf_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3, 4] += 1e-6
    return model


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (lambda: {"model": one_weight_changed()}, {"weights"}),
        (lambda: {"model": hf_model("llama", seed=1)}, {"weights"}),
        (lambda: {"model": hf_model("llama").bfloat16()}, {"weights", "dtype"}),
        (lambda: {"model": hf_model("mistral")}, {"architecture", "config"}),
        (lambda: {"tokenizer": make_tokenizer(corpus=OTHER_CORPUS)}, {"tokenizer"}),
        (lambda: {"tokenizer": make_tokenizer(chat=False)}, {"chat_template"}),
        (lambda: {"weight_processing": "hooked-transformer"}, {"weight_processing"}),
    ],
)
def test_whatever_changes_numbers_is_seen(original, changes, fields):
    other = fingerprint(**changes())
    assert {name for name, value in other.to_dict().items() if value != original.to_dict()[name]} == fields
    assert other.digest != original.digest
    with pytest.raises(FingerprintError) as caught:
        require_same_model(original, other, "the steering vectors")
    message = str(caught.value)
    assert message.startswith(f"the steering vectors: made for a [{original.digest}")
    assert f"[{other.digest}" in message and "or make the artifact again" in message
    for name in fields:
        assert f"{name} {getattr(original, name)} / {getattr(other, name)}" in message


def test_padding_and_truncation_are_no_part_of_a_tokenizer(original):
    tokenizer = make_tokenizer()
    tokenizer(["a", "a b c d e f"], padding=True, truncation=True, max_length=3)
    assert tokenizer_digest(tokenizer) == original.tokenizer


def test_digests_are_of_content_and_short():
    model = hf_model("gemma3")
    assert weights_digest(model) == weights_digest(hf_model("gemma3")) != weights_digest(model.bfloat16())
    assert len(weights_digest(model)) == 16
    assert chat_template_digest(make_tokenizer(chat=False)) is None
    assert len(chat_template_digest(make_tokenizer())) == 16


def test_round_trip(original):
    assert Fingerprint.from_dict(json.loads(json.dumps(original.to_dict()))) == original
    assert str(original) == f"a [{original.digest}: LlamaForCausalLM, 3 layers, d_model 32]"
    assert (original.n_layers, original.d_model, original.dtype) == (3, 32, "float32")
    require_same_model(original, replace(original, reference="b", revision="c"), "x")
