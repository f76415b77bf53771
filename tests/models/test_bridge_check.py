"""The bridge is compared with Hugging Face at load; what differs or overflows is refused by its layer."""

import math

import pytest
import torch
from tiny_models import ARCHITECTURES, config, hf_model, make_tokenizer, random_steering, tiny, token_prompts

from interp_xfer.errors import ModelError, SteeringError
from interp_xfer.evaluation.answers import answer_problems, make_engine
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.generation import SweepEngine, TokenPrompt
from interp_xfer.models import bridge_check, loading, wrap_model
from interp_xfer.passes.activations import last_token_activations
from interp_xfer.steering.hooks import steer
from interp_xfer.tasks import Choice, Problem

RARE = "%"  # a token that the probe does not hold


def wrapped(model):
    return wrap_model(model, make_tokenizer(), reference="tiny/checked")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bridges_of_all_architectures_pass_by_far(architecture, dtype, monkeypatch):
    """With a fraction of the tolerance, so that a slow drift is seen before users see it."""
    monkeypatch.setattr(
        bridge_check, "_TOLERANCE", {kind: limit / 5 for kind, limit in bridge_check._TOLERANCE.items()}
    )
    assert wrapped(hf_model(architecture).to(dtype)).n_layers == 3


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_bridge_that_computes_something_else_is_refused(layer, monkeypatch):
    """One weight of one block is changed while the bridge is made."""
    bridge = loading._bridge

    def changed(hf_model, tokenizer, reference):
        made = bridge(hf_model, tokenizer, reference)
        for name, parameter in made.blocks[layer].original_component.named_parameters():
            if "down_proj" in name:
                parameter.data.mul_(1.05)
        return made

    monkeypatch.setattr(loading, "_bridge", changed)
    with pytest.raises(ModelError, match=rf"hook blocks.{layer}.hook_resid_post differs .* TransformerLens does not"):
        wrapped(hf_model("llama"))


def test_hooks_of_another_layer_are_refused(monkeypatch):
    expected = bridge_check.hidden_states
    monkeypatch.setattr(loading, "hidden_states", lambda *a: expected(*a)[::-1])
    with pytest.raises(ModelError, match=r"hook blocks.0.hook_resid_post differs"):
        wrapped(hf_model("qwen3"))


def test_a_hook_that_does_not_fire_is_refused(monkeypatch):
    monkeypatch.setattr(bridge_check, "_read_hooks", lambda *_: {0: torch.zeros(9, 32)})
    monkeypatch.setattr(bridge_check, "_difference", lambda *_: 0.0)
    with pytest.raises(ModelError, match=r"hook blocks.1.hook_resid_post does not fire"):
        wrapped(hf_model("llama"))


def overflowing(dtype):
    """A model whose stream exceeds 65504 after layer 1."""
    model = hf_model("llama")
    model.model.layers[1].mlp.down_proj.weight.data.mul_(1e6).clamp_(-6e4, 6e4)
    return model.to(dtype)


def test_a_model_that_overflows_in_float16_is_refused_at_load():
    with pytest.raises(ModelError) as caught:
        wrapped(overflowing(torch.float16))
    message = str(caught.value)
    assert "the residual stream after layer 1 is not finite in float16: float16 ends at 65504" in message
    assert "load it with dtype bfloat16 or float32" in message
    assert wrapped(overflowing(torch.float32)).n_layers == 3


def test_damaged_weights_are_refused_at_load():
    model = hf_model("llama")
    model.model.layers[1].self_attn.q_proj.weight.data[3] = math.nan
    with pytest.raises(ModelError, match="after layer 1 is not finite in float32: its weights are damaged"):
        wrapped(model)


@pytest.fixture(scope="module")
def rarely():
    """Loads, and overflows where one token stands, which is at the end of float16 before the first block."""
    model = hf_model("llama").half()
    with torch.no_grad():
        model.model.embed_tokens.weight[make_tokenizer().convert_tokens_to_ids(RARE)] = 65504
        model.model.layers[0].mlp.down_proj.weight.mul_(20)
    return wrapped(model)


def test_a_token_that_overflows_later_names_its_layer(rarely):
    prompt = TokenPrompt("q", (), tuple(rarely.token_ids(f"a {RARE}")))
    layer = r"the residual stream after layer \d is not finite in float16"
    with pytest.raises(ModelError, match=layer):
        last_token_activations(rarely, [f"a {RARE}"], add_special_tokens=True)
    for steering in (None, random_steering(rarely)):
        with pytest.raises(ModelError, match=layer):
            SweepEngine(rarely, steering).generate([prompt], [0.0], max_new_tokens=3)
    item = Problem(
        "arc_challenge/1", f"Is {RARE} heavy?", None, "A", (Choice("A", "yes"), Choice("B", "no")), "arc_challenge"
    )
    settings = GenerationSettings(n_shots=0, scoring="likelihood")
    with pytest.raises(ModelError, match=layer):
        answer_problems(make_engine(rarely, None, settings), [item], [0.0], settings)
    with pytest.raises(SteeringError, match="gives no finite logits in float16"):
        rarely.generate([f"a {RARE}"], max_new_tokens=3)


def test_a_model_steered_too_far_is_degenerate_and_no_error(rarely):
    prompts = token_prompts([3])
    found = SweepEngine(rarely, random_steering(rarely)).generate(prompts, [0.0, 1e6], max_new_tokens=3)
    assert found[0][0].stop_reason == "length" and found[1][0].stop_reason == "degenerate"
    with steer(rarely, random_steering(rarely), strength=1e6), pytest.raises(SteeringError, match="steered too far"):
        rarely.generate(["a"], max_new_tokens=2)


def test_in_float32_what_is_not_finite_stays_a_number_of_the_record():
    model = tiny("llama")
    model.hf.get_output_embeddings().weight.data[5] = math.nan
    assert SweepEngine(model).generate(token_prompts([3]), [0.0], max_new_tokens=2)[0][0].stop_reason == "degenerate"


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(ModelError, match=r"gives \[0, .* and the model has 40 tokens; they do not belong together"):
        wrapped(hf_model("llama", vocab_size=40))
    assert config("llama").vocab_size == 300
