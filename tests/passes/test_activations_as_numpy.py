"""`activations` against TransformerLens's own `run_with_cache`, at every position, BOS or none."""

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, D_MODEL, N_LAYERS, unchecked

from interp_xfer.errors import ConfigError, DataError, LayerError
from interp_xfer.passes.activations import activations

TEXTS = ["There are 12 marbles", "a", "<s>The answer is 17.", "Mia has 3 apples and Omar gives her 4 more."]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # float32, fused against plain attention


@torch.inference_mode()
def cached(model, text, **options):
    _, cache = model.bridge.run_with_cache(text, **options)
    return np.stack([cache[f"blocks.{layer}.hook_resid_post"][0].numpy() for layer in range(N_LAYERS)])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_position_is_that_of_run_with_cache(models, architecture):
    """Architectures with BOS and without, and a text that holds one already."""
    model = models[architecture]
    expected = [cached(model, text) for text in TEXTS]
    for found, wanted in zip(activations(model, TEXTS, "all"), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, **CLOSE)
    for position, index in (("last", -1), ("first", 0), (0, 0), (-1, -1)):
        wanted = np.stack([rows[:, index] for rows in expected])
        found = activations(model, TEXTS, position)
        assert found.shape == (len(TEXTS), N_LAYERS, D_MODEL)
        np.testing.assert_allclose(found, wanted, **CLOSE)


@pytest.mark.parametrize("prepend_bos", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_bos_is_asked_for_as_in_transformer_lens(models, architecture, prepend_bos):
    model = models[architecture]
    expected = cached(model, TEXTS[0], prepend_bos=prepend_bos)
    (found,) = activations(model, TEXTS[0], "all", prepend_bos=prepend_bos)
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert found.shape[1] == len(model.token_ids(TEXTS[0], False)) + prepend_bos


def test_layers_in_the_order_wanted_and_progress(models):
    model, done = models["llama"], []
    everything = activations(model, TEXTS)
    np.testing.assert_allclose(activations(model, TEXTS, layers=[2, 0]), everything[:, [2, 0]], **CLOSE)
    activations(model, TEXTS, progress=done.append)
    assert sum(done) == len(TEXTS)


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ([], {}, DataError, "no texts"),
        (["a"], {"positions": "middle"}, ConfigError, "'middle' is not 'last', 'first', 'all' or an index"),
        (["a"], {"positions": True}, ConfigError, "True is not"),
        (["There are 12 marbles", "a"], {"positions": 3}, DataError, "text 1 has 2 tokens, so there is no position 3"),
        (["a"], {"positions": -3}, DataError, "no position -3"),
        (["a"], {"layers": [N_LAYERS]}, LayerError, "has no layer 3"),
        (["a " * 600], {}, DataError, "context"),
    ],
)
def test_refusals(models, texts, options, error, message):
    with unchecked(), pytest.raises(error, match=message):
        activations(models["llama"], texts, **options)
