"""From a concept in the parent to steering vectors in the child: linear part only, unit length, sign from labels, and
every refusal. Handbook, sections 6 and 7."""

from dataclasses import replace

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, rotated_llamas, tiny

from interp_xfer.concepts.extract import ConceptVectors, contrast_differences, extract_concept
from interp_xfer.errors import DataError, FingerprintError, LeakError, ShapeError
from interp_xfer.maths.layer_maps import LayerMap, greedy, proportional
from interp_xfer.maths.linear_maps import Projection
from interp_xfer.passes.activations import last_token_activations, read_residuals
from interp_xfer.steering.hooks import steer
from interp_xfer.tasks import contrast_pairs, get_task, load_problems, projection_texts, render_pair
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.carry import Calibration, calibrate, native_steering, require_fit, transfer_concept
from interp_xfer.transfer.fit import fit_projection

SAME = proportional(N_LAYERS, N_LAYERS)
N_PAIRS, N_CALIBRATION, N_TEXTS = 20, 10, 30


@pytest.fixture(scope="module")
def problems():
    return load_problems("sums", "train", N_PAIRS + N_CALIBRATION + N_TEXTS)


@pytest.fixture(scope="module")
def pairs(problems):
    return contrast_pairs(problems[:N_PAIRS])


@pytest.fixture(scope="module")
def calibration_pairs(problems):
    return contrast_pairs(problems[N_PAIRS : N_PAIRS + N_CALIBRATION])


@pytest.fixture(scope="module")
def texts(problems):
    return projection_texts(get_task("sums"), problems[N_PAIRS + N_CALIBRATION :])


@pytest.fixture(scope="module")
def rotated(pairs, calibration_pairs, texts):
    """A model and its copy in a rotated basis: concept, ridge projection and calibration."""
    parent, child, rotation = rotated_llamas()
    return {
        "parent": parent,
        "child": child,
        "rotation": rotation,
        "concept": extract_concept(parent, pairs),
        "projection": fit_projection(parent, child, texts, SAME),
        "calibration": calibrate(child, calibration_pairs),
    }


def transferred(rotated, **changes):
    parts = {**rotated, **changes}
    return transfer_concept(parts["concept"], parts["projection"], parts["calibration"])


def test_identity_between_copies_returns_the_concept(models, pairs, calibration_pairs):
    """The same weights under another name: the concept itself, no layer turned round."""
    model, copy = models["llama"], tiny("llama", reference="tiny/copy")
    concept = extract_concept(model, pairs)
    projection = fit_projection(model, copy, [], SAME, "identity")
    found = transfer_concept(concept, projection, calibrate(copy, calibration_pairs))
    torch.testing.assert_close(found.vectors, concept.vectors, atol=1e-6, rtol=0)
    assert found.flipped == (False,) * N_LAYERS
    native = native_steering(concept, calibrate(model, calibration_pairs))
    torch.testing.assert_close(found.vectors, native.vectors, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.residual_norms, native.residual_norms)


def test_a_rotated_copy_gets_its_own_direction(rotated, pairs):
    """Fitted on other texts than the pairs: cosine with the child's native direction above .99 at every layer."""
    found = transferred(rotated)
    native = extract_concept(rotated["child"], pairs)
    cosines = (found.vectors * native.vectors).sum(dim=1)
    assert (cosines > 0.99).all()
    turned = rotated["concept"].vectors @ rotated["rotation"]
    assert ((found.vectors * turned).sum(dim=1) > 0.99).all()
    untransferred = (rotated["concept"].vectors * native.vectors).sum(dim=1)
    assert (untransferred.abs() < 0.6).all(), "without the map the coordinates mean nothing"
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(N_LAYERS))


def test_steering_with_it_steers_like_the_native_vector(rotated, pairs, calibration_pairs):
    native = native_steering(extract_concept(rotated["child"], pairs), rotated["calibration"])
    ids = torch.arange(10, 30)[None]
    logits = []
    for steering in (transferred(rotated), native):
        with torch.inference_mode(), steer(rotated["child"], steering, strength=0.5):
            logits.append(rotated["child"].bridge(ids))
    plain = rotated["child"].bridge(ids)
    assert (logits[0] - logits[1]).norm() < 0.2 * (logits[1] - plain).norm()


def test_sign_is_settled_in_the_child(rotated):
    """A concept that points the wrong way, at some layers or at all, is turned round there; nothing else changes."""
    straight = transferred(rotated)
    signs = torch.tensor([[-1.0], [1.0], [-1.0]])
    turned = transferred(rotated, concept=replace(rotated["concept"], vectors=rotated["concept"].vectors * signs))
    assert torch.equal(turned.vectors, straight.vectors)
    assert straight.flipped == (False, False, False) and turned.flipped == (True, False, True)
    # Turning the labels round turns the vectors.
    calibration = rotated["calibration"]
    opposite = replace(calibration, mean_differences=-calibration.mean_differences)
    against = transferred(rotated, calibration=opposite)
    assert torch.equal(against.vectors, -straight.vectors) and against.flipped == (True, True, True)


def test_the_bias_never_enters_a_direction(rotated):
    projection = rotated["projection"]
    maps = {layer: replace(p, bias=p.bias + 1e6) for layer, p in projection.maps.items()}
    assert torch.equal(
        transferred(rotated, projection=replace(projection, maps=maps)).vectors, transferred(rotated).vectors
    )


def test_length_of_the_map_does_not_matter(rotated):
    projection = rotated["projection"]
    maps = {layer: replace(p, weight=p.weight * 1e-3) for layer, p in projection.maps.items()}
    torch.testing.assert_close(
        transferred(rotated, projection=replace(projection, maps=maps)).vectors, transferred(rotated).vectors
    )


def test_child_layers_beyond_the_parent_get_nothing(models, pairs, calibration_pairs, texts):
    """Greedy map into a deeper, narrower child: rows of zero, not among the steered layers."""
    parent, child = models["llama"], tiny("mistral", hidden_size=24, num_hidden_layers=5)
    mapping = greedy(N_LAYERS, 5)
    projection = fit_projection(parent, child, texts, mapping)
    found = transfer_concept(extract_concept(parent, pairs), projection, calibrate(child, calibration_pairs))
    assert found.vectors.shape == (5, 24) and found.steered_layers == (0, 1, 2)
    assert not found.vectors[3:].any() and found.flipped[3:] == (False, False)
    torch.testing.assert_close(found.vectors[:3].norm(dim=1), torch.ones(3))
    assert found.layer_map.parent_of == (0, 1, 2, None, None)
    differences = contrast_differences(child, calibration_pairs).mean(dim=1)
    assert ((found.vectors[:3] * differences[:3]).sum(dim=1) > 0).all()


def test_what_is_recorded(rotated, pairs, calibration_pairs, texts):
    found = transferred(rotated)
    assert (found.parent, found.child) == (rotated["parent"].fingerprint, rotated["child"].fingerprint)
    expected = PromptHashes.of(pairs) | PromptHashes.of(texts) | PromptHashes.of(calibration_pairs)
    assert found.prompts == expected
    assert found.concept.kind == "reasoning-vs-answer" and len(found.concept.explained_variance) == N_LAYERS
    assert found.projection.kind == "ridge" and found.projection.calibration_pairs == N_CALIBRATION
    assert found.projection.corpus.n_texts == N_TEXTS
    assert set(found.projection.fits) == {0, 1, 2} and found.projection.fits[1]["r2"] > 0.999


def test_native_vectors_need_no_projection(rotated, pairs, calibration_pairs):
    concept = extract_concept(rotated["child"], pairs, method="mean-difference")
    found = native_steering(concept, rotated["calibration"])
    assert torch.equal(found.vectors, concept.vectors) and found.parent == found.child == concept.model
    assert found.layer_map.strategy == "native" and found.layer_map.parent_of == (0, 1, 2)
    assert found.concept.explained_variance == (None,) * N_LAYERS, "NaN is no JSON"
    assert found.prompts == PromptHashes.of(pairs) | PromptHashes.of(calibration_pairs)


def test_calibration_measures_the_child(models, calibration_pairs):
    model = models["qwen2"]
    done = []
    found = calibrate(model, calibration_pairs, progress=done.append)
    rendered = [render_pair(model.tokenizer, pair) for pair in calibration_pairs]
    positive = last_token_activations(model, [r.positive for r in rendered], add_special_tokens=False)
    negative = last_token_activations(model, [r.negative for r in rendered], add_special_tokens=False)
    torch.testing.assert_close(found.mean_differences, (positive - negative).mean(dim=1), atol=1e-4, rtol=1e-4)
    norms = []
    for text in [member for pair in rendered for member in pair]:
        ids = torch.tensor([model.tokenizer(text, add_special_tokens=False)["input_ids"]])
        kept = read_residuals(
            model, ids, torch.ones_like(ids), range(N_LAYERS), lambda h: h[0, 1:].norm(dim=-1)[:, None]
        )
        norms.append(torch.stack([kept[layer][:, 0] for layer in range(N_LAYERS)]))
    torch.testing.assert_close(found.residual_norms, torch.cat(norms, dim=1).median(dim=1).values, atol=1e-3, rtol=1e-4)
    assert found.n_pairs == N_CALIBRATION and found.child == model.fingerprint
    assert sum(done) == 4 * N_CALIBRATION
    with pytest.raises(DataError, match="no contrast pairs"):
        calibrate(model, [])


@pytest.mark.parametrize("by", ["id", "text"])
def test_a_map_fitted_on_the_contrast_pairs_is_refused(rotated, problems, texts, by):
    """Handbook, section 7: it would reproduce the child's own vector."""
    leaked = projection_texts(get_task("sums"), problems[:2])
    if by == "id":
        leaked = [replace(text, text="Something else.", question="Something else.") for text in leaked]
    else:
        leaked = [replace(text, id=f"elsewhere/{i}") for i, text in enumerate(leaked)]
    projection = fit_projection(rotated["parent"], rotated["child"], [*texts, *leaked], SAME)
    with pytest.raises(LeakError) as caught:
        transferred(rotated, projection=projection)
    assert "2 ids or texts of the projection corpus are also contrast pairs" in str(caught.value)
    assert "reproduce the" in str(caught.value) and "other texts" in str(caught.value)


def test_calibration_on_the_contrast_pairs_is_allowed(rotated, pairs):
    """Both are labelled training pairs; only the corpus of the map must be apart."""
    found = transferred(rotated, calibration=calibrate(rotated["child"], pairs))
    torch.testing.assert_close(found.vectors, transferred(rotated).vectors)


def test_another_layer_map_is_refused(rotated):
    other = LayerMap((0, 0, 2), N_LAYERS, "manual")
    with pytest.raises(FingerprintError, match="fitted for a proportional layer map, not for this manual one"):
        require_fit(rotated["concept"], other, rotated["projection"])


def test_parts_of_other_models_are_refused(models, rotated, pairs, calibration_pairs):
    strangers = {
        "concept": (extract_concept(models["llama"], pairs), "the projection (parent side): made for tiny/plain"),
        "calibration": (
            calibrate(models["llama"], calibration_pairs),
            "the projection (child side): made for tiny/rot",
        ),
    }
    for name, (part, start) in strangers.items():
        with pytest.raises(FingerprintError) as caught:
            transferred(rotated, **{name: part})
        message = str(caught.value)
        assert message.startswith(start) and f"used with {models['llama'].fingerprint}" in message
    with pytest.raises(FingerprintError, match="the native concept: made for tiny/plain"):
        native_steering(rotated["concept"], rotated["calibration"])


def test_a_direction_mapped_to_nothing_is_refused(rotated):
    projection = rotated["projection"]
    nothing = Projection(torch.zeros(D_MODEL, D_MODEL).double(), torch.ones(D_MODEL).double(), "ridge")
    with pytest.raises(ShapeError, match="parent layer 1 is mapped to zero at child layer 1; use another map"):
        transferred(rotated, projection=replace(projection, maps={**projection.maps, 1: nothing}))


def test_a_tie_keeps_the_direction(rotated):
    calibration = rotated["calibration"]
    none = Calibration(torch.zeros(N_LAYERS, D_MODEL), calibration.residual_norms, calibration.child, PromptHashes(), 1)
    found = transferred(rotated, calibration=none)
    assert found.flipped == (False,) * N_LAYERS
    assert isinstance(rotated["concept"], ConceptVectors)
