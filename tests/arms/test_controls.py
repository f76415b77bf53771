"""Controls are steering vectors like the ones they control: child, layers, length, sign; and say what they are."""

import pytest
import torch
from tiny_models import N_LAYERS, OTHER_CORPUS, make_tokenizer, tiny

from interp_xfer.arms.controls import CONTROLS, ControlSources, make_control
from interp_xfer.concepts.extract import contrast_members, extract_concept
from interp_xfer.errors import ConfigError, FingerprintError, LayerError
from interp_xfer.maths.layer_maps import manual, other_layers
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.transfer.carry import calibrate, transfer_concept
from interp_xfer.transfer.fit import fit_projection

MAP = manual([0, None, 2, 2], N_LAYERS)


@pytest.fixture(scope="module")
def sources(models):
    parent = models["llama"]
    child = tiny("llama", 1, make_tokenizer(chat=False, corpus=OTHER_CORPUS), hidden_size=24, num_hidden_layers=4)
    problems = load_problems("sums", "train", 40)
    pairs, held, texts = problems[:12], problems[12:18], projection_texts(get_task("sums"), problems[18:])
    concept = extract_concept(parent, contrast_pairs(pairs))
    calibration = calibrate(child, contrast_pairs(held))
    projection = fit_projection(parent, child, texts, MAP)
    members = contrast_members(child, contrast_pairs(held))
    return ControlSources(
        controlled=transfer_concept(concept, projection, calibration),
        calibration=calibration,
        concept=concept,
        projection=projection,
        parent_members=contrast_members(parent, contrast_pairs(pairs)),
        child_activations=torch.cat(members, dim=1),
        shuffled_projection=fit_projection(parent, child, texts, MAP, "shuffled-pairs", seed=4),
        other_projection=fit_projection(parent, child, texts, other_layers(MAP)),
    )


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_same_child_layers_length_and_sign(sources, name, tmp_path):
    real, made = sources.controlled, make_control(name, sources, seed=7)
    assert isinstance(made, SteeringVectors)
    assert made.child == real.child and made.steered_layers == real.steered_layers == (0, 2, 3)
    torch.testing.assert_close(made.vectors.norm(dim=1), torch.tensor([1.0, 0, 1, 1]))
    assert torch.equal(made.residual_norms, real.residual_norms)
    assert made.strength_scales("relative") == real.strength_scales("relative")
    assert made.projection.kind == f"control:{name}"
    assert made.prompts.values >= real.prompts.values
    side = torch.einsum("lw,lw->l", made.vectors, sources.calibration.mean_differences)
    assert bool((side <= 0).all() if name == "negated" else (side >= 0).all())
    again = SteeringVectors.load(made.save(tmp_path / name))
    assert torch.equal(again.vectors, made.vectors) and again.projection == made.projection


@pytest.mark.parametrize("name", ["random-isotropic", "random-covariance", "shuffled-labels"])
def test_seeds(sources, name):
    first, same, other = (make_control(name, sources, seed).vectors for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    assert make_control(name, sources, 2).projection.seed == 2


def test_directions_are_what_they_say(sources):
    real = sources.controlled
    assert torch.equal(make_control("negated", sources).vectors, -real.vectors)
    flipped = make_control("negated", sources).flipped
    assert flipped == tuple(not value for value in real.flipped)
    copied = make_control("identity", sources).vectors
    expected = torch.nn.functional.normalize(sources.concept.vectors[2, :24], dim=0)
    torch.testing.assert_close((copied[3] @ expected).abs(), torch.tensor(1.0))
    wrong = make_control("wrong-layer", sources)
    assert wrong.layer_map.parent_of == other_layers(MAP).parent_of and wrong.projection.same_as_real == 0
    assert make_control("shuffled-pairs", sources).projection.seed == 4
    # Mean differences have their method in the concept's settings.
    mean = make_control("shuffled-labels", with_method(sources, "mean-difference"), 1).vectors
    assert not torch.allclose(mean, make_control("shuffled-labels", sources, 1).vectors)


def with_method(sources, method):
    from dataclasses import replace

    concept = sources.controlled.concept.model_copy(update={"method": method})
    return replace(sources, controlled=replace(sources.controlled, concept=concept))


def test_refusals(sources, models):
    from dataclasses import replace

    bare = ControlSources(sources.controlled, sources.calibration)
    for name, needed in (
        ("random-covariance", "child_activations"),
        ("shuffled-labels", "parent_members"),
        ("shuffled-pairs", "shuffled_projection"),
        ("wrong-layer", "other_projection"),
        ("identity", "concept"),
    ):
        with pytest.raises(ConfigError, match=f"control '{name}' needs {needed}; give it to ControlSources"):
            make_control(name, bare)
    with pytest.raises(ConfigError, match="unknown control 'zero'; choose from random-isotropic"):
        make_control("zero", sources)
    with pytest.raises(ConfigError, match="is of kind 'ridge'; fit one of kind 'shuffled-pairs'"):
        make_control("shuffled-pairs", replace(sources, shuffled_projection=sources.projection))
    with pytest.raises(FingerprintError, match="fitted for a manual-other-layers layer map"):
        make_control("shuffled-labels", replace(sources, projection=sources.other_projection))
    with pytest.raises(LayerError, match="the manual map equals the real one"):
        make_control("wrong-layer", replace(sources, other_projection=sources.projection))
    other = calibrate(models["llama"], contrast_pairs(load_problems("sums", "train", 4)))
    with pytest.raises(FingerprintError, match="the calibration"):
        make_control("negated", replace(sources, calibration=other))
