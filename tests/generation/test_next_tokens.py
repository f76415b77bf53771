"""The largest logit found in pieces of the vocabulary, against all logits at once."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import D_MODEL, FAST

from interp_xfer.generation import next_tokens
from interp_xfer.generation.next_tokens import greedy_tokens, next_logits


@pytest.fixture
def in_pieces(monkeypatch):
    """Seven columns a piece, for a vocabulary of 300."""
    monkeypatch.setattr(next_tokens, "_CPU_LOGITS", 1)
    monkeypatch.setattr(next_tokens, "_NARROWEST", 7)


def streams(n, seed=0):
    return torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("architecture", FAST)
@torch.inference_mode()
def test_same_token_as_from_all_logits(models, architecture, in_pieces):
    model, hidden = models[architecture], streams(50)
    found = greedy_tokens(model, hidden)
    expected = model.hf.get_output_embeddings()(hidden).argmax(dim=-1)
    assert torch.equal(found.ids, expected) and len(expected.unique()) > 20
    assert bool(found.finite.all())


@torch.inference_mode()
def test_the_soft_cap_is_that_of_the_model(models):
    """Gemma 2 caps its logits: cap * tanh(logits / cap)."""
    model, hidden = models["gemma2"], 100 * streams(3)
    cap = model.hf.config.final_logit_softcapping
    logits = model.hf.get_output_embeddings()(hidden)
    torch.testing.assert_close(next_logits(model, hidden), cap * torch.tanh(logits / cap))
    assert logits.abs().max() > cap > next_logits(model, hidden).abs().max() - 1e-3


@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 99))
@torch.inference_mode()
def test_any_width_of_a_piece(models, narrowest, at_once, seed):
    model, hidden = models["llama"], streams(4, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(next_tokens, "_CPU_LOGITS", at_once)
        patch.setattr(next_tokens, "_NARROWEST", narrowest)
        assert torch.equal(greedy_tokens(model, hidden).ids, next_logits(model, hidden).argmax(dim=-1))


@torch.inference_mode()
def test_of_equal_logits_the_first(models, in_pieces):
    assert greedy_tokens(models["llama"], torch.zeros(2, D_MODEL)).ids.tolist() == [0, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@torch.inference_mode()
def test_a_row_that_is_not_finite_is_marked(models, value, in_pieces):
    hidden = streams(3)
    hidden[1, 0] = value
    found = greedy_tokens(models["llama"], hidden)
    assert found.finite.tolist() == [True, False, True]
    assert torch.equal(found.ids[[0, 2]], greedy_tokens(models["llama"], hidden[[0, 2]]).ids)


@torch.inference_mode()
def test_a_hook_on_the_unembedding_changes_the_token(models, in_pieces):
    """It sees all logits at once, whichever way it is set."""
    model, hidden = models["llama"], streams(3)

    def only_token_5(logits, hook=None):
        out = torch.full_like(logits, -1.0)
        out[..., 5] = 1.0
        return out

    with model.bridge.hooks(fwd_hooks=[("unembed.hook_out", only_token_5)]):
        assert greedy_tokens(model, hidden).ids.tolist() == [5] * 3
    handle = model.hf.get_output_embeddings().register_forward_hook(lambda _, args, logits: only_token_5(logits))
    try:
        assert greedy_tokens(model, hidden).ids.tolist() == [5] * 3
    finally:
        handle.remove()
    assert greedy_tokens(model, hidden).ids.tolist() != [5] * 3
