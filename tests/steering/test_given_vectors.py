"""Vectors from anywhere: unit length, checked, and the same steering as by hand."""

import numpy as np
import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, random_steering, unchecked

from interp_xfer.errors import LayerError, ShapeError, SteeringError
from interp_xfer.steering.hooks import steer
from interp_xfer.steering.vectors import NORM_TEXTS, SteeringVectors

DIRECTION = torch.arange(1.0, D_MODEL + 1)
TEXT = "There are 12 marbles"


@torch.inference_mode()
def logits(model, text=TEXT):
    return model.bridge(model.encode([text])["input_ids"])


@pytest.mark.parametrize("given", [3 * DIRECTION, DIRECTION.double().numpy(), DIRECTION.tolist()], ids=type)
def test_unit_length_whatever_the_type(models, given):
    found = SteeringVectors.of(models["llama"], {1: given}, residual_norms=torch.ones(N_LAYERS))
    torch.testing.assert_close(found.vectors[1], DIRECTION / DIRECTION.norm())
    assert found.steered_layers == (1,) and not found.vectors[[0, 2]].any()
    assert found.parent == found.child == models["llama"].fingerprint


def test_norms_are_medians_over_tokens_of_the_texts(models):
    """Against TransformerLens's own cache, text by text, the first token left out."""
    model = models["llama"]
    texts = ["There are 12 marbles on a table", "The answer is 17.", "a b c"]
    lengths = [[] for _ in range(N_LAYERS)]
    for text in texts:
        with torch.inference_mode():
            _, cache = model.bridge.run_with_cache(text)
        for layer in range(N_LAYERS):
            lengths[layer].append(cache[f"blocks.{layer}.hook_resid_post"][0, 1:].norm(dim=-1))
    expected = torch.stack([torch.cat(found).median() for found in lengths])
    found = SteeringVectors.of(model, {0: DIRECTION}, texts=texts).residual_norms
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(SteeringVectors.of(model, {0: DIRECTION}).residual_norms, expected), "NORM_TEXTS differ"
    assert len(NORM_TEXTS) == len(set(NORM_TEXTS))


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        ({}, LayerError, "no vectors; give one"),
        ({N_LAYERS: DIRECTION}, LayerError, "has no layer 3; its layers are 0 to 2"),
        ({-1: DIRECTION}, LayerError, "has no layer -1"),
        ({1: DIRECTION[:-1]}, ShapeError, r"vector for blocks.1.hook_resid_post has shape \(31,\), but .* d_model 32"),
        ({1: DIRECTION[None]}, ShapeError, r"has shape \(1, 32\)"),
        ({1: 0 * DIRECTION}, ShapeError, "length 0"),
        ({1: DIRECTION / 0}, ShapeError, "NaN or infinite"),
    ],
)
def test_refusals(models, vectors, error, message):
    with unchecked(), pytest.raises(error, match=message):
        SteeringVectors.of(models["llama"], vectors)


def test_a_mapping_steers_as_by_hand(models):
    """Unit raw: the stream moves by strength times the unit vector."""
    model = models["llama"]

    def add(residual, hook):
        return residual + 2.5 * DIRECTION / DIRECTION.norm()

    with model.bridge.hooks(fwd_hooks=[("blocks.1.hook_resid_post", add)]):
        expected = logits(model)
    with steer(model, {1: DIRECTION}, strength=2.5, unit="raw"):
        found = logits(model)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - logits(model)).abs().max() > 0.1
    made = SteeringVectors.of(model, {1: np.asarray(DIRECTION)})
    with steer(model, {1: DIRECTION}, strength=0.3), torch.inference_mode():
        relative = logits(model)
    with steer(model, made, strength=0.3):
        torch.testing.assert_close(logits(model), relative)


def test_chosen_layers_alone_are_steered(models):
    model = models["llama"]
    steering = random_steering(model)
    alone = random_steering(model, layers=[2])
    for unit in ("raw", "relative"):
        with steer(model, alone, strength=0.5, unit=unit):
            expected = logits(model)
        with steer(model, steering, strength=0.5, unit=unit, layers=[2]):
            torch.testing.assert_close(logits(model), expected, rtol=0, atol=0)
        with steer(model, steering, strength=0.5, unit=unit):
            assert (logits(model) - expected).abs().max() > 0.01
    assert steering.at([0, 2]).steered_layers == (0, 2) and steering.steered_layers == (0, 1, 2)
    assert steering.at([2]).digest == alone.digest


def test_layers_without_a_vector_are_refused(models):
    steering = random_steering(models["llama"], layers=[0, 2])
    with pytest.raises(LayerError, match=r"layer 1 has no steering vector; there are \[0, 2\]"):
        steering.at([0, 1])
    with pytest.raises(LayerError, match=r"no layers to steer; name some of \[0, 2\]"):
        steering.at([])
    nothing = random_steering(models["llama"], layers=[])
    with pytest.raises(SteeringError), steer(models["llama"], nothing, strength=1.0):
        pass


def test_given_vectors_are_kept(models, tmp_path):
    made = SteeringVectors.of(models["llama"], {1: DIRECTION}, name="probe")
    found = SteeringVectors.load(made.save(tmp_path / "vectors"))
    assert found.digest == made.digest and found.concept.kind == "probe" and found.layer_map.strategy == "probe"
