"""From two loaded models to layer maps and projections: streamed = collected at once, a rotation is recovered."""

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, OTHER_CORPUS, make_tokenizer, random_ids, rotated_llamas, tiny, unchecked

from interp_xfer.chat import tokens_with_offsets
from interp_xfer.errors import ArtifactError, ConfigError, DataError, LayerError, ShapeError
from interp_xfer.maths.layer_maps import LayerMap, greedy, proportional
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.maths.linear_maps import fit_ridge
from interp_xfer.maths.paired_sums import PairedSums
from interp_xfer.passes.activations import read_residuals
from interp_xfer.tasks import FitText, contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer import fit as model_maps
from interp_xfer.transfer.fit import ProjectionSet, fit_projection, map_layers, n_passes
from interp_xfer.transfer.token_pairing import paired_positions


@pytest.fixture(scope="module")
def texts():
    return projection_texts(get_task("sums"), load_problems("sums", "train", 40))


@pytest.fixture(scope="module")
def other_tokens():
    """A model of another family, width and depth, with another tokenizer."""
    tokenizer = make_tokenizer(chat=False, corpus=OTHER_CORPUS)
    return tiny("gemma3", 1, tokenizer, hidden_size=24, num_hidden_layers=3)


def rows(model, text, layer):
    """Every position of one text, read alone."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    return read_residuals(model, ids, torch.ones_like(ids), [layer], lambda h: h[0])[layer]


def collected(parent, child, texts, p, c):
    """Sums of the same rows, text by text, without batches."""
    sums = PairedSums(parent.d_model, child.d_model)
    for number, text in enumerate(texts):
        pairs = paired_positions(
            tokens_with_offsets(parent.tokenizer, text.text)[1], tokens_with_offsets(child.tokenizer, text.text)[1]
        )
        pairs = [pair for pair in pairs if pair.parent and pair.child]
        x, y = rows(parent, text.text, p), rows(child, text.text, c)
        sums.add(x[[pair.parent for pair in pairs]], y[[pair.child for pair in pairs]], number % 3)
    return sums


def test_streaming_equals_collecting(models, other_tokens, texts):
    parent, few = models["llama"], texts[:6]
    mapping = LayerMap((2, None, 0), N_LAYERS, "manual")
    found = fit_projection(parent, other_tokens, few, mapping)
    assert sorted(found.maps) == [0, 2]
    for p, c in mapping.pairs:
        sums = collected(parent, other_tokens, few, p, c)
        expected = fit_ridge(sums)
        assert found.maps[c].n_rows == sums.n_rows == found.corpus.n_rows
        assert found.maps[c].diagnostics["alpha"] == expected.diagnostics["alpha"]
        assert found.maps[c].diagnostics["r2"] == pytest.approx(expected.diagnostics["r2"], abs=1e-4)
        activation = rows(parent, few[0].text, p)[5].double()
        torch.testing.assert_close(
            found.maps[c].map_activation(activation), expected.map_activation(activation), atol=1e-3, rtol=1e-3
        )
    n_child = sum(len(other_tokens.tokenizer(text.text)["input_ids"]) for text in few)
    assert found.corpus.n_texts == 6 and 0 < found.corpus.paired_fraction < 1
    assert found.corpus.paired_fraction == pytest.approx(found.corpus.n_rows / n_child)
    assert found.prompts == PromptHashes.of(few) and found.kind == "ridge"


def test_passes_do_not_matter(models, texts, monkeypatch):
    """One pass over the corpus for each pair of layers where the sums of two do not fit in memory."""
    parent, child = models["llama"], models["mistral"]
    mapping = proportional(N_LAYERS, N_LAYERS)
    expected = fit_projection(parent, child, texts, mapping)
    assert n_passes(mapping, D_MODEL, D_MODEL) == 1
    for sums_bytes, passes in ((1, 3), (2 * 8 * 3 * 3 * D_MODEL**2, 2)):
        monkeypatch.setattr(model_maps, "_SUMS_BYTES", sums_bytes)
        assert n_passes(mapping, D_MODEL, D_MODEL) == passes
        done = []
        found = fit_projection(parent, child, texts, mapping, progress=done.append)
        assert sum(done) == passes * len(texts)
        for layer, projection in expected.maps.items():
            torch.testing.assert_close(found.maps[layer].weight, projection.weight, atol=2e-3, rtol=2e-3)
            assert found.maps[layer].n_rows == projection.n_rows


def test_a_rotation_of_the_stream_is_recovered(texts):
    """The same model in a rotated basis: same logits, and ridge finds the rotation at every layer."""
    parent, child, rotation = rotated_llamas()
    ids = random_ids(2, 12)
    torch.testing.assert_close(parent.hf(ids).logits, child.hf(ids).logits, atol=1e-3, rtol=1e-3)
    mapping = proportional(N_LAYERS, N_LAYERS)
    for kind, tolerance in (("ridge", 1e-2), ("procrustes", 1e-4)):
        found = fit_projection(parent, child, texts, mapping, kind)
        assert found.corpus.paired_fraction > 0.95, "every token but the first of each text"
        for layer in range(N_LAYERS):
            torch.testing.assert_close(found.maps[layer].weight, rotation.double(), atol=tolerance, rtol=0)
            assert found.maps[layer].diagnostics["r2"] > 0.999


@pytest.mark.parametrize("kind", sorted(name for name, kind in LINEAR_MAPS.items() if kind.needs_texts))
def test_kinds_of_fitted_maps(models, other_tokens, texts, kind):
    parent = models["llama"]
    found = fit_projection(parent, other_tokens, texts, proportional(N_LAYERS, 3), kind)
    assert found.kind == kind and {p.kind for p in found.maps.values()} == {kind}
    assert all(p.weight.shape == (D_MODEL, 24) for p in found.maps.values())
    assert (found.parent, found.child) == (parent.fingerprint, other_tokens.fingerprint)


def test_maps_that_are_not_fitted_read_no_text(models, other_tokens):
    mapping = proportional(N_LAYERS, N_LAYERS)
    found = fit_projection(models["llama"], models["mistral"], [], mapping, "identity")
    assert all(torch.equal(p.weight, torch.eye(D_MODEL).double()) for p in found.maps.values())
    assert found.corpus is None and found.prompts == PromptHashes()
    found = fit_projection(models["llama"], other_tokens, [], mapping, "random-orthogonal")
    weight = found.maps[0].weight
    torch.testing.assert_close(weight.T @ weight, torch.eye(24).double())
    with pytest.raises(ShapeError, match="the parent is 32 wide and the child 24; fit a ridge projection"):
        fit_projection(models["llama"], other_tokens, [], mapping, "identity")


def test_refusals(models, texts):
    parent, child = models["llama"], models["mistral"]
    mapping = proportional(N_LAYERS, N_LAYERS)
    with unchecked(), pytest.raises(ConfigError, match="unknown projection 'linear'; choose from ridge, procrustes"):
        fit_projection(parent, child, texts, mapping, "linear")
    with pytest.raises(DataError, match="a ridge projection needs texts to be fitted on"):
        fit_projection(parent, child, [], mapping)
    with pytest.raises(ShapeError):
        fit_projection(parent, child, [FitText("one", "a", "a")], mapping)
    with pytest.raises(LayerError, match="has no layer 3; its layers are 0 to 2"):
        fit_projection(parent, child, texts, greedy(4, 4))


@pytest.mark.parametrize("kind", ["ridge", "identity"])
def test_round_trip(models, texts, tmp_path, kind):
    """Weights are kept as float32; everything else as it is, and a second round trip changes nothing."""
    mapping = LayerMap((2, None, 0), N_LAYERS, "manual", scores=(0.5, None, 0.25))
    found = fit_projection(models["llama"], models["mistral"], texts, mapping, kind)
    loaded = ProjectionSet.load(found.save(tmp_path / "a"))
    for name in ("layer_map", "parent", "child", "kind", "corpus", "prompts"):
        assert getattr(found, name) == getattr(loaded, name), name
    assert list(loaded.maps) == [0, 2]
    for layer, projection in found.maps.items():
        other = loaded.maps[layer]
        assert torch.equal(projection.weight.float().double(), other.weight)
        assert torch.equal(projection.bias.float().double(), other.bias)
        assert (projection.kind, projection.n_rows) == (other.kind, other.n_rows)
        assert projection.diagnostics == other.diagnostics
    again = ProjectionSet.load(loaded.save(tmp_path / "b"))
    assert all(torch.equal(again.maps[layer].weight, loaded.maps[layer].weight) for layer in loaded.maps)
    with pytest.raises(ArtifactError, match="is no projection artifact"):
        ProjectionSet.load(tmp_path / "nowhere")


def test_layer_maps_by_name(models):
    parent, child = models["llama"], tiny("mistral", num_hidden_layers=5)
    assert map_layers(parent, child, strategy="greedy").parent_of == (0, 1, 2, None, None)
    assert map_layers(parent, child, strategy="proportional").parent_of == (0, 1, 1, 2, 2)
    controls = {map_layers(parent, child, strategy="random-monotone", seed=seed).parent_of for seed in range(8)}
    assert len(controls) > 1
    assert map_layers(parent, child, strategy="random-monotone", seed=3) == map_layers(
        parent, child, strategy="random-monotone", seed=3
    )
    with pytest.raises(ConfigError, match="unknown layer map 'nearest'; choose from cka, optimal-transport"):
        map_layers(parent, child, strategy="nearest")


def test_measured_layer_maps(models):
    """A model matched with itself, and with its rotated copy, gives the diagonal; both read every pair."""
    pairs = contrast_pairs(load_problems("sums", "train", 40))
    done = []
    for strategy in ("cka", "cka-argmax", "optimal-transport"):
        found = map_layers(models["llama"], models["llama"], pairs, strategy, progress=done.append)
        assert found.parent_of == (0, 1, 2) and found.strategy == strategy
    assert sum(done) == 3 * 4 * len(pairs)
    parent, child, _ = rotated_llamas()
    assert map_layers(parent, child, pairs).parent_of == (0, 1, 2)
    with pytest.raises(DataError, match="no contrast pairs"):
        map_layers(models["llama"], models["llama"], strategy="cka")
