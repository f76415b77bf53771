"""The seed of a study reaches everything that is drawn: the same data and models, another seed, other numbers."""

import pytest
import torch

from interp_xfer.arms.controls import ControlSources, make_control
from interp_xfer.concepts.extract import contrast_members, extract_concept
from interp_xfer.measures.component_alignment import ComponentAlignment
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies import layer_measurements
from interp_xfer.studies.alignment import align_components
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import read_contents, study_keys
from interp_xfer.studies.layer_measurements import LayerSlices, MeasureSettings, measure_layers
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.sensitivity import make_candidates
from interp_xfer.studies.steps import silent_step
from interp_xfer.studies.study_data import load_data
from interp_xfer.studies.study_models import StudyModels
from interp_xfer.studies.transfers import make_transfers
from interp_xfer.transfer.carry import calibrate, transfer_concept
from interp_xfer.transfer.fit import fit_projection, map_layers


@pytest.fixture(scope="module")
def base(folders):
    return Study(
        parent=str(folders / "parent"), child=str(folders / "child"), dataset="sums", n_pairs=12, n_fit_texts=10,
        n_calibration=4, n_aligned=8, n_validation=1, n_test=1, dtype="float32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(base):
    return load_data(base)


@pytest.fixture(scope="module")
def loaded(base):
    return StudyModels(base, silent_step)


def keys_of(study, data):
    return study_keys(study, read_contents(study, data))


def make_steering(study, data, models, store):
    keys = keys_of(study, data)
    assert make_transfers([(study, keys)], data, models, store).failed == {}
    return SteeringVectors.load(store.transfer(keys.transfer))


DRAWN = [
    {"projection": "random-orthogonal"},
    {"projection": "shuffled-pairs"},
    {"layer_map": "random-monotone"},
    {"centering": "repe"},
]


@pytest.mark.parametrize("changes", DRAWN, ids=lambda changes: "-".join(changes.values()))
def test_studies_draw_the_same_with_a_seed_and_another_with_another(base, data, loaded, tmp_path, changes):
    """And what one draws does not depend on what others of the same run draw."""
    vectors = {}
    for number, seed in enumerate((0, 1, 1)):
        study = base.model_copy(update={**changes, "seed": seed})
        other = study.model_copy(update={"layer_map": "cka"})
        alone = make_steering(study, data, loaded, RunStore(tmp_path / f"alone-{number}"))
        store = RunStore(tmp_path / f"with-another-{number}")
        assert make_transfers([(one, keys_of(one, data)) for one in (other, study)], data, loaded, store).failed == {}
        together = SteeringVectors.load(store.transfer(keys_of(study, data).transfer))
        torch.testing.assert_close(alone.vectors, together.vectors)
        assert alone.projection.corpus == together.projection.corpus
        assert vectors.setdefault(seed, alone.vectors) is alone.vectors or torch.equal(vectors[seed], alone.vectors)
    assert not torch.allclose(vectors[0], vectors[1])


def test_a_study_makes_what_the_public_functions_make(base, data, loaded, tmp_path):
    """Concept, map, projection and calibration one after another, as a notebook would."""
    parent, child = loaded.get(base.parent), loaded.get(base.child)
    concept = extract_concept(parent, data.pairs, method=base.method)
    mapping = map_layers(parent, child, strategy=base.layer_map)
    projection = fit_projection(parent, child, data.fit_texts, mapping, base.projection, along=concept)
    expected = transfer_concept(concept, projection, calibrate(child, data.calibration))
    made = make_steering(base, data, loaded, RunStore(tmp_path))
    torch.testing.assert_close(made.vectors, expected.vectors)
    assert (made.flipped, made.layer_map, made.concept) == (expected.flipped, expected.layer_map, expected.concept)


def test_each_layer_has_a_random_map_of_its_own(base, data, loaded):
    parent, child = loaded.get(base.parent), loaded.get(base.child)
    from interp_xfer.maths.layer_maps import manual

    made = [
        fit_projection(parent, child, [], manual(layers, 3), "random-orthogonal", seed=2)
        for layers in ([0, 1, 2], [0, None, 2], [2, 1, 2])
    ]
    weights = [made[0].maps[c].weight for c in range(3)]
    assert not any(torch.allclose(weights[i], weights[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(made[1].maps[2].weight, weights[2]) and torch.equal(made[2].maps[1].weight, weights[1])


def test_measured_chance_and_random_components(base, data, loaded, tmp_path):
    """R² of wrongly paired rows, and the random directions beside carried components."""
    shuffled, nulls = [], []
    for seed in (0, 1):
        study = base.model_copy(update={"seed": seed})
        store = RunStore(tmp_path / str(seed))
        made = make_steering(study, data, loaded, store)
        align_components(study, keys_of(study, data), data, loaded, store)
        shuffled.append(made.projection.fits[1]["shuffled_r2"])
        found = ComponentAlignment.load(store.alignment(keys_of(study, data).alignment))
        assert found.carried is not None
        nulls.append(found.carried.null)
    assert shuffled[0] != shuffled[1]
    assert not torch.allclose(*nulls)


def test_layers_and_sensitivity(base, data, loaded, tmp_path, monkeypatch):
    parent, child = loaded.get(base.parent), loaded.get(base.child)
    slices = LayerSlices(data.pairs, data.calibration, data.fit_texts, data.calibration)
    drawn = {}
    score = layer_measurements.score_members

    def kept(model, pairs, directions, progress):
        drawn[seed] = directions
        return score(model, pairs, directions, progress)

    monkeypatch.setattr(layer_measurements, "score_members", kept)
    nulls = {}
    for seed in (0, 1):
        settings = MeasureSettings(seed=seed, n_random=2, n_permutations=19, n_bootstrap=1)
        nulls[seed] = measure_layers(parent, child, slices, settings).tensors["null_max_raw"]
    assert not torch.equal(nulls[0], nulls[1])
    for name in ("random-isotropic-1", "random-covariance-1", "shuffled-labels-1", "shuffled-pairs-1"):
        assert not torch.allclose(drawn[0][name], drawn[1][name]), name
        assert torch.allclose(drawn[0]["native"], drawn[1]["native"])
    steering = make_steering(base, data, loaded, RunStore(tmp_path))
    randoms = [
        make_candidates(base.model_copy(update={"seed": seed}), data, child, steering, 2, silent_step).random
        for seed in (0, 1)
    ]
    for kind in randoms[0]:
        assert not torch.allclose(randoms[0][kind], randoms[1][kind])
        assert not torch.allclose(*randoms[0][kind])
        # The draw of a layer is the same in both verbs.
        torch.testing.assert_close(randoms[0][kind][1].double(), drawn[0][f"{kind}-1"])


def test_shuffled_labels_reach_the_swaps_of_repe(base, data, loaded, tmp_path):
    """Two seeds with the same shuffle of labels: only the swaps within pairs are left to differ."""
    import interp_xfer.arms.controls as control_vectors

    parent, child = loaded.get(base.parent), loaded.get(base.child)
    study = base.model_copy(update={"centering": "repe"})
    steering = make_steering(study, data, loaded, RunStore(tmp_path))
    projection = fit_projection(parent, child, data.fit_texts, steering.layer_map)
    sources = ControlSources(
        steering,
        calibrate(child, data.calibration),
        projection=projection,
        parent_members=contrast_members(parent, data.pairs),
    )
    shuffle = control_vectors.shuffled_label_differences
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_vectors, "shuffled_label_differences", lambda p, n, seed, draw: shuffle(p, n, 0, 0))
        made = [make_control("shuffled-labels", sources, seed).vectors for seed in (0, 1)]
    assert not torch.allclose(*made)
