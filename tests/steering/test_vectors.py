"""Steering vectors: shapes, units, and nothing lost on disk."""

import json
from dataclasses import fields, replace

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, random_steering, unchecked

from interp_xfer.errors import ArtifactError, ConfigError, ShapeError
from interp_xfer.files.artifacts import load_artifact, save_artifact
from interp_xfer.maths.layer_maps import LayerMap, greedy
from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks.prompt_hashes import PromptHashes


@pytest.fixture(params=[None, (0, 2)], ids=["all-layers", "two-layers"])
def steering(models, request):
    return replace(
        random_steering(models["llama"], layers=request.param),
        flipped=(True, False, False),
        concept=ConceptOrigin(kind="x", explained_variance=(0.5, None, 0.25)),
        projection=ProjectionOrigin(kind="ridge", fits={0: {"r2": 0.5}}),
    )


def test_round_trip_is_lossless(steering, tmp_path):
    loaded = SteeringVectors.load(steering.save(tmp_path / "t"))
    for field in fields(SteeringVectors):
        before, after = getattr(steering, field.name), getattr(loaded, field.name)
        if isinstance(before, torch.Tensor):
            assert torch.equal(before, after) and before.dtype == after.dtype, field.name
        else:
            assert before == after, field.name
    assert loaded.steered_layers == steering.steered_layers


def test_tensors_bear_the_names_of_their_hooks(steering, tmp_path):
    steering.save(tmp_path / "t")
    _, tensors = load_artifact(tmp_path / "t", "transfer")
    layers = {f"blocks.{layer}.hook_resid_post" for layer in steering.steered_layers}
    assert set(tensors) == {*layers, "residual_norms"}
    json.loads((tmp_path / "t" / "transfer.json").read_text())


def test_scales(models):
    """Raw: 1. Relative: m_l over the number of steered layers."""
    steering = random_steering(models["llama"], layers=(0, 2), norm=8.0)
    assert steering.strength_scales("raw") == (1.0, 1.0, 1.0)
    assert steering.strength_scales("relative") == (4.0, 6.0, 8.0)
    with unchecked(), pytest.raises(ConfigError, match="strength unit 'sigma' is not one of relative, raw"):
        steering.strength_scales("sigma")


def test_wrong_shapes_name_the_remedy(models):
    steering = random_steering(models["llama"])
    with pytest.raises(ShapeError) as caught:
        replace(steering, vectors=torch.zeros(N_LAYERS, 48))
    assert f"steering vectors have shape (3, 48) but tiny/llama-0 has 3 layers of d_model {D_MODEL}" in str(
        caught.value
    )
    assert "fit a projection first" in str(caught.value)
    with pytest.raises(
        ShapeError, match=r"layer map \(4\), residual norms \(3\) and signs \(3\) must have one entry for each of the 3"
    ):
        replace(steering, layer_map=greedy(4, 4))
    with unchecked(), pytest.raises(ShapeError, match=r"residual norms \(2\)"):
        replace(steering, residual_norms=torch.ones(2))


def test_layers_without_a_parent_are_not_steered(models):
    assert random_steering(models["llama"], layers=[1]).steered_layers == (1,)
    with pytest.raises(ShapeError, match="layer 0 has length 1 instead of 0. Scale it, or leave it out"):
        replace(random_steering(models["llama"]), layer_map=LayerMap((None, 2, None), 3, "manual"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"vectors": lambda s: s.vectors * 2},
            "steering vectors must have length 1.*layer 0 has length 2 instead of 1",
        ),
        ({"vectors": lambda s: s.vectors * float("nan")}, "steering vectors .* hold 96 NaN or infinite values"),
        ({"vectors": lambda s: s.vectors.double()}, "steering vectors are torch.float64; give them in float32"),
        ({"residual_norms": lambda s: s.residual_norms - 8}, "residual norms must be above 0, got 0"),
        ({"residual_norms": lambda s: s.residual_norms / 0}, "residual norms .* hold 3 NaN or infinite"),
        ({"flipped": lambda s: (True,)}, r"signs \(1\) must have one entry for each of the 3 child layers"),
        ({"layer_map": lambda s: LayerMap((0, 1, 2), 4, "manual")}, "map is from 4 layers, but tiny/parent has 3"),
    ],
)
def test_vectors_that_cannot_steer(models, changes, words):
    ((name, change),) = changes.items()
    with unchecked(), pytest.raises(ShapeError, match=words):
        replace(random_steering(models["llama"]), **{name: change(random_steering(models["llama"]))})


def test_a_digest_is_of_what_steers(models):
    """Vectors, norms, layers and child decide; where they come from does not. -0.0 is 0.0."""
    steering = random_steering(models["llama"], layers=(0, 2))
    same = replace(steering, prompts=PromptHashes(), flipped=(True,) * 3, concept=ConceptOrigin(kind="other"))
    assert same.digest == steering.digest == replace(steering, vectors=steering.vectors.neg().neg()).digest
    assert len(steering.digest) == 16
    others = [
        replace(steering, vectors=-steering.vectors),
        replace(steering, residual_norms=steering.residual_norms * 1.001),
        replace(steering, child=replace(steering.child, weights="0" * 16)),
        random_steering(models["llama"], layers=(0, 1)),
    ]
    assert len({steering.digest, *(other.digest for other in others)}) == 5


def test_tensors_of_another_artifact(models, tmp_path):
    """Same names and shapes, so that only the content tells."""
    one, other = (random_steering(models["llama"], seed).save(tmp_path / str(seed)) for seed in (0, 1))
    (other / "transfer.safetensors").replace(one / "transfer.safetensors")
    with pytest.raises(ArtifactError, match="transfer.safetensors is not what .* was written for"):
        SteeringVectors.load(one)


@pytest.mark.parametrize("entry", ["child", "layer_map", "prompts", "flipped"])
def test_damaged_descriptions(steering, tmp_path, entry):
    steering.save(tmp_path / "t")
    description, tensors = load_artifact(tmp_path / "t", "transfer")
    del description[entry]
    save_artifact(tmp_path / "t", "transfer", description, tensors)
    with pytest.raises(ArtifactError, match=f"t is damaged .{entry}: Field required.. Delete it and make it again"):
        SteeringVectors.load(tmp_path / "t")
