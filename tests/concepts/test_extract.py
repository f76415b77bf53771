"""Algorithm 1 on loaded models: equal to scikit-learn, signed by labels, lossless on disk; and the trap of centring
ordered differences, on planted and on real activations. Handbook, section 2."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.decomposition import PCA
from tiny_models import D_MODEL, N_LAYERS, make_tokenizer, tiny

from interp_xfer.concepts.extract import ConceptVectors, concept_from_differences, contrast_differences, extract_concept
from interp_xfer.concepts.methods import Extraction
from interp_xfer.errors import ArtifactError, ConfigError, DataError, ShapeError
from interp_xfer.maths.directions import pca_directions
from interp_xfer.steering.origins import ConceptSettings
from interp_xfer.tasks import contrast_pairs, load_problems
from interp_xfer.tasks.prompt_hashes import PromptHashes


@pytest.fixture(scope="module")
def pairs():
    return contrast_pairs(load_problems("sums", "train", 24))


@pytest.fixture(scope="module")
def differences(models, pairs):
    return contrast_differences(models["llama"], pairs)


@pytest.fixture(scope="module")
def concept(models, pairs):
    return extract_concept(models["llama"], pairs)


def swapped(pairs):
    return [replace(pair, positive=pair.negative, negative=pair.positive) for pair in pairs]


def plant(shift, n=512, d=256):
    """A concept axis, and differences of one layer along it, an orthogonal nuisance axis of spread 1.5, and noise."""
    generator = torch.Generator().manual_seed(0)
    concept_axis, nuisance = torch.linalg.qr(torch.randn(d, 2, generator=generator)).Q.T
    noise = 0.3 * torch.randn(n, d, generator=generator)
    planted = shift * concept_axis + 1.5 * torch.randn(n, 1, generator=generator) * nuisance + noise
    return concept_axis, planted[None]


@pytest.mark.parametrize("chat", [True, False])
def test_members_are_read_at_their_last_character(chat, pairs):
    """By hand: both members rendered, run alone through the plain model, read at the last token."""
    from tiny_models import hf_model

    model = tiny("qwen3", tokenizer=make_tokenizer(chat))
    found = contrast_differences(model, pairs[:3])
    plain = hf_model("qwen3")
    for index, pair in enumerate(pairs[:3]):
        members = []
        for answer in (pair.positive, pair.negative):
            if chat:
                text = f"<|im_start|>user\n{pair.prompt}<|im_end|>\n<|im_start|>assistant\n{answer}"
            else:
                text = f"Question: {pair.prompt}\nAnswer: {answer}"
            ids = torch.tensor([model.tokenizer(text, add_special_tokens=not chat)["input_ids"]])
            members.append(
                torch.stack(plain(input_ids=ids, output_hidden_states=True).hidden_states)[1:N_LAYERS, 0, -1]
            )
        torch.testing.assert_close(found[:-1, index], members[0] - members[1], atol=1e-4, rtol=1e-4)


def test_directions_equal_scikit_learn(concept, differences):
    """PCA of the points +d/2 and -d/2, whose mean is zero."""
    for layer in range(N_LAYERS):
        rows = differences[layer].double().numpy()
        oracle = PCA(n_components=1).fit(torch.cat([differences[layer], -differences[layer]]).double().numpy() / 2)
        cosine = abs(float(oracle.components_[0] @ concept.vectors[layer].double().numpy()))
        assert cosine == pytest.approx(1, abs=1e-6)
        assert float(concept.explained_variance[layer]) == pytest.approx(oracle.explained_variance_ratio_[0], abs=1e-5)
        mean = torch.tensor(rows).mean(0)
        assert float(concept.mean_cosine[layer]) == pytest.approx(
            float(mean @ concept.vectors[layer].double() / mean.norm()), abs=1e-5
        )
    torch.testing.assert_close(concept.vectors.norm(dim=1), torch.ones(N_LAYERS))


def test_positive_members_lie_on_the_positive_side(models, pairs, concept, differences):
    for vectors in (concept.vectors, extract_concept(models["llama"], pairs, method="mean-difference").vectors):
        scores = torch.einsum("lnd,ld->ln", differences, vectors)
        assert (scores.mean(dim=1) > 0).all()
        assert ((scores > 0).float().mean(dim=1) > 0.5).all()


def test_swapping_the_members_turns_every_vector_round(models, pairs, concept):
    model = models["llama"]
    for options in ({}, {"method": "mean-difference"}, {"centering": "repe", "seed": 3}, {"centering": "ordered"}):
        straight = extract_concept(model, pairs, **options)
        turned = extract_concept(model, swapped(pairs), **options)
        torch.testing.assert_close(turned.vectors, -straight.vectors, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(turned.explained_variance, straight.explained_variance, equal_nan=True)


def test_order_of_pairs_does_not_matter(models, pairs, concept):
    turned = extract_concept(models["llama"], pairs[::-1])
    torch.testing.assert_close(turned.vectors, concept.vectors, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "recovered"),
    [
        ({"centering": "symmetric"}, True),
        ({"centering": "repe"}, True),
        ({"method": "mean-difference"}, True),
        ({"centering": "ordered"}, False),
        ({"centering": "symmetric", "normalize_differences": True}, True),
        ({"centering": "ordered", "normalize_differences": True}, False),
    ],
)
def test_the_trap_on_planted_differences(models, pairs, options, recovered):
    """Handbook, section 2, test (b), shift 3."""
    axis, planted = plant(shift=3.0)
    one_layer = replace(models["llama"].fingerprint, n_layers=1, d_model=256)
    found = concept_from_differences(planted, pairs, one_layer, Extraction(**options))
    cosine = float(found.vectors[0] @ axis)
    assert cosine > 0.99 if recovered else abs(cosine) < 0.05


def test_the_trap_on_activations_of_a_model(models, pairs, concept, differences):
    """Ordered and centred, the mean of the differences is gone: every other preparation agrees with it better."""
    trap = extract_concept(models["llama"], pairs, centering="ordered")
    assert (trap.mean_cosine.abs() < concept.mean_cosine).all()
    for layer in range(N_LAYERS):
        centred = differences[layer].double() - differences[layer].double().mean(0)
        component = pca_directions(centred, 1).directions[0]
        assert abs(float(component @ trap.vectors[layer].double())) == pytest.approx(1, abs=1e-5)


def test_what_is_recorded(models, pairs, concept):
    assert concept.model == models["llama"].fingerprint
    assert concept.settings == ConceptSettings(
        kind="reasoning-vs-answer", n_pairs=24, method="pca", centering="symmetric", normalize_differences=False, seed=0
    )
    assert concept.prompts == PromptHashes.of(pairs)
    assert concept.vectors.shape == (N_LAYERS, D_MODEL) and concept.vectors.dtype == torch.float32
    assert (concept.cosine_spread > 0).all() and (concept.cosine_spread < 1).all()
    mean = extract_concept(models["llama"], pairs, method="mean-difference")
    assert mean.explained_variance.isnan().all() and mean.settings.centering is None
    torch.testing.assert_close(mean.mean_cosine, torch.ones(N_LAYERS))


def test_progress_counts_members(models, pairs):
    done = []
    extract_concept(models["llama"], pairs, progress=done.append)
    assert sum(done) == 2 * len(pairs)


@pytest.mark.parametrize("method", ["pca", "mean-difference"])
def test_round_trip_is_lossless(models, pairs, tmp_path, method):
    concept = extract_concept(models["llama"], pairs, method=method)
    loaded = ConceptVectors.load(concept.save(tmp_path / "concept"))
    for name in ("vectors", "explained_variance", "mean_cosine", "cosine_spread"):
        a, b = getattr(concept, name), getattr(loaded, name)
        assert a.dtype == b.dtype and torch.equal(a.nan_to_num(nan=-7), b.nan_to_num(nan=-7))
    for name in ("model", "settings", "prompts"):
        assert getattr(concept, name) == getattr(loaded, name)
    with pytest.raises(ArtifactError, match="is no transfer artifact"):
        from interp_xfer.steering.vectors import SteeringVectors

        SteeringVectors.load(tmp_path / "concept")


def test_an_artifact_with_a_layer_missing(concept, tmp_path):
    from interp_xfer.files.artifacts import load_artifact, save_artifact

    concept.save(tmp_path / "c")
    description, tensors = load_artifact(tmp_path / "c", "concept")
    del tensors["blocks.1.hook_resid_post"]
    save_artifact(tmp_path / "c", "concept", description, tensors)
    with pytest.raises(ArtifactError, match="is damaged .tensor blocks.1.hook_resid_post is missing"):
        ConceptVectors.load(tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vectors": lambda c: c.vectors * 1.1}, r"concept vectors must have length 1.*layer 0 has length 1\.1"),
        ({"vectors": lambda c: c.vectors / 0}, "concept vectors .* hold .* NaN or infinite"),
        ({"vectors": lambda c: c.vectors.double()}, "concept vectors are torch.float64"),
        ({"vectors": lambda c: c.vectors[:, :8]}, r"shape \(3, 8\), but tiny/llama-0 has 3 layers of d_model 32"),
        ({"mean_cosine": lambda c: c.mean_cosine + 3}, "mean_cosine must have one value from -1 to 1"),
        ({"explained_variance": lambda c: c.explained_variance - 2}, "explained_variance must have one value from 0"),
    ],
)
def test_vectors_that_are_no_concept(concept, changes, words):
    from tiny_models import unchecked

    ((name, change),) = changes.items()
    with unchecked(), pytest.raises(ShapeError, match=words):
        replace(concept, **{name: change(concept)})


def test_refusals(models, pairs):
    model = models["llama"]
    with pytest.raises(DataError, match="no contrast pairs"):
        extract_concept(model, [])
    same = [replace(pairs[0], negative=pairs[0].positive)]
    with pytest.raises(ShapeError, match="length 0"):
        extract_concept(model, same)
    from tiny_models import unchecked

    with unchecked(), pytest.raises(ConfigError, match="unknown method 'probe'; choose from pca, mean-difference"):
        extract_concept(model, pairs, method="probe")
    assert math.isfinite(float(extract_concept(model, pairs[:1]).explained_variance[0]))
