"""Reading the residual stream: the right site for the last layer too, the right token, padded or not.
Handbook, section 3."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import ARCHITECTURES, D_MODEL, N_LAYERS, hf_model, random_ids, tiny

from interp_xfer.errors import DataError, LayerError, ShapeError
from interp_xfer.passes import activations
from interp_xfer.passes.activations import (
    batches,
    last_token_activations,
    last_tokens_and_norms,
    read_residuals,
)

CLOSE = {"atol": 1e-4, "rtol": 1e-4}  # float32, fused against plain attention
TEXTS = [
    "Mia has 3 apples and Omar gives her 4 more.",
    "There are 12 marbles",
    "The answer is 17.",
    "Question: How many apples does she have now? Answer: 3 + 4 = 7. In all there are 12 + 5 = 17 marbles.",
    "a",
]


@torch.inference_mode()
def hidden_states(architecture, ids, mask=None):
    """Of a plain Hugging Face model with the same weights."""
    return hf_model(architecture)(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hooks_read_block_outputs(models, architecture):
    """hook(l) = hidden_states[l+1] below the last layer; there Hugging Face has applied the final norm, we have not."""
    model, ids = models[architecture], random_ids(3, 14)
    mask = torch.ones_like(ids)
    mask[0, 9:], mask[1, 13:] = 0, 0
    kept = read_residuals(model, ids, mask, range(N_LAYERS), lambda residual: residual[mask.bool()])
    hidden = [states[mask.bool()] for states in hidden_states(architecture, ids, mask)]
    for layer in range(N_LAYERS - 1):
        torch.testing.assert_close(kept[layer], hidden[layer + 1], **CLOSE)
    last = kept[N_LAYERS - 1]
    assert (last - hidden[N_LAYERS]).abs().max() > 1
    base = model.hf.base_model
    norm = base.final_layer_norm if architecture == "gpt_neox" else base.norm
    with torch.inference_mode():
        torch.testing.assert_close(norm(last), hidden[N_LAYERS], **CLOSE)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_last_token_of_ragged_texts(models, architecture, monkeypatch):
    """Batched = one by one = the last position of a plain forward pass, whatever the batches are."""
    model = models[architecture]
    expected = torch.empty(N_LAYERS - 1, len(TEXTS), D_MODEL)
    for index, text in enumerate(TEXTS):
        ids = torch.tensor([model.tokenizer(text, add_special_tokens=True)["input_ids"]])
        for layer, states in enumerate(hidden_states(architecture, ids)[1:N_LAYERS]):
            expected[layer, index] = states[0, -1]
    for positions in (1, 60, 4096):
        monkeypatch.setattr(activations, "POSITIONS_PER_BATCH", positions)
        done = []
        found = last_token_activations(model, TEXTS, add_special_tokens=True, progress=done.append)
        assert found.shape == (N_LAYERS, len(TEXTS), D_MODEL) and found.dtype == torch.float32
        torch.testing.assert_close(found[:-1], expected, **CLOSE)
        assert sum(done) == len(TEXTS)


def test_stopping_after_the_last_layer_that_is_read_changes_nothing(models):
    model = models["gemma3"]
    everything = last_token_activations(model, TEXTS, add_special_tokens=False)
    for layers in ([0], [1], [2], [0, 2], [2, 0]):
        found = last_token_activations(model, TEXTS, layers, add_special_tokens=False)
        assert torch.equal(found, everything[layers])


def test_layers_above_are_not_computed():
    model = tiny("llama")
    model.hf.base_model.layers[2].register_forward_pre_hook(lambda *_: pytest.fail("layer 2 was computed"))
    last_token_activations(model, TEXTS, [0, 1], add_special_tokens=True)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20), limit=st.integers(1, 80))
def test_batches_hold_every_text_once_within_the_limit(models, lengths, limit):
    model, texts = models["llama"], ["a" * length for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activations, "POSITIONS_PER_BATCH", limit)
        seen = []
        for chosen, input_ids, mask in batches(model, texts, add_special_tokens=False):
            seen += chosen
            assert len(chosen) == 1 or input_ids.numel() <= limit
            assert mask[:, 0].all() and (mask.diff(dim=1) <= 0).all(), "padded on the right"
            for row, index in enumerate(chosen):
                ids = model.tokenizer(texts[index], add_special_tokens=False)["input_ids"]
                assert input_ids[row][mask[row].bool()].tolist() == ids
    assert sorted(seen) == list(range(len(texts)))


def test_median_norms_leave_the_first_token_out(models, monkeypatch):
    model, texts = models["llama"], TEXTS[:4]
    norms = []
    for text in texts:
        ids = torch.tensor([model.tokenizer(text, add_special_tokens=True)["input_ids"]])
        mask = torch.ones_like(ids)
        kept = read_residuals(model, ids, mask, range(N_LAYERS), lambda residual: residual[0, 1:])
        norms.append(torch.stack([kept[layer].norm(dim=-1) for layer in range(N_LAYERS)]))
    expected = torch.cat(norms, dim=1).median(dim=1).values
    for positions in (1, 50, 4096):
        monkeypatch.setattr(activations, "POSITIONS_PER_BATCH", positions)
        done = []
        found = last_tokens_and_norms(model, texts, add_special_tokens=True, progress=done.append)
        torch.testing.assert_close(found.median_norms, expected, **CLOSE)
        assert torch.equal(found.last, last_token_activations(model, texts, add_special_tokens=True))
        assert sum(done) == len(texts)


def test_refusals(models):
    model = models["llama"]
    with pytest.raises(DataError, match="text 1 of 2 has no tokens for tiny/llama-0; drop it"):
        last_token_activations(model, ["a", ""], add_special_tokens=False)
    with pytest.raises(DataError, match="text 0 has 600 tokens, more than the context of tiny/llama-0 .512.. Shorten"):
        last_token_activations(model, ["?" * 600], add_special_tokens=False)
    with pytest.raises(LayerError, match="tiny/llama-0 has no layer 3; its layers are 0 to 2"):
        last_token_activations(model, ["a"], [3], add_special_tokens=False)
    with pytest.raises(LayerError, match="no layer -1"):
        last_token_activations(model, ["a"], [-1], add_special_tokens=False)
    with pytest.raises(DataError, match="at least two tokens"):
        last_tokens_and_norms(model, ["a"], add_special_tokens=False)


def test_a_hook_that_does_not_fire_is_an_error_and_attention_is_put_back(models, monkeypatch):
    model, ids = models["llama"], random_ids(1, 5)
    monkeypatch.setattr(model.hf.base_model, "forward", lambda **_: None)
    with pytest.raises(ShapeError, match="hook blocks.1.hook_resid_post of tiny/llama-0 did not fire"):
        read_residuals(model, ids, torch.ones_like(ids), [1, 2], lambda residual: residual[:, -1])
    for block in model.bridge.blocks:
        assert block.original_component.self_attn is block.attn
    assert model.hf.config._attn_implementation == "eager"
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())
