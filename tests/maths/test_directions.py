"""Directions: known answers of the handbook (section 2), scikit-learn as oracle, symmetries, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from interp_xfer.errors import ShapeError
from interp_xfer.maths.directions import (
    difference_cosines,
    further_components,
    mean_difference,
    pca_directions,
    resolve_sign,
    resolve_signs,
)

CENTERINGS = ("symmetric", "repe", "ordered")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planted(shift: float, n_pairs: int = 512, d_model: int = 256, seed: int = 0) -> torch.Tensor:
    """Concept on axis 0, orthogonal noise axis 1 with s.d. 1.5, isotropic noise .3."""
    differences = 0.3 * normal(n_pairs, d_model, seed=seed)
    differences[:, 0] += shift
    differences[:, 1] += 1.5 * normal(n_pairs, seed=seed + 1)
    return differences


def test_two_pairs_by_hand():
    """Handbook, section 2 (a): D=[[2,1],[2,-1]]: symmetric PC1=(1,0), share .8; ordered PC1=(0,1)."""
    differences = torch.tensor([[2.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    symmetric = pca_directions(differences)
    torch.testing.assert_close(symmetric.directions, torch.tensor([[1.0, 0.0]]).double())
    torch.testing.assert_close(symmetric.explained_variance, torch.tensor([0.8]).double())
    ordered = pca_directions(differences, centering="ordered")
    torch.testing.assert_close(ordered.directions, torch.tensor([[0.0, 1.0]]).double())


@pytest.mark.parametrize("shift", [3.0, 10.0])
@pytest.mark.parametrize("normalize", [False, True])
def test_ordered_centring_loses_the_concept_and_the_others_keep_it(shift, normalize):
    """Handbook, section 2 (b): |cos| < .05 for the trap (with and without unit norm), > .99 where recovered."""
    differences = planted(shift)
    found = {
        centering: pca_directions(differences, centering=centering, normalize_differences=normalize).directions[0, 0]
        for centering in CENTERINGS
    }
    assert abs(found["ordered"]) < 0.05
    assert abs(found["symmetric"]) > 0.99
    assert abs(found["repe"]) > 0.99
    assert mean_difference(differences)[0] > 0.99


def test_a_stronger_nuisance_axis_beats_pca_but_not_the_mean_difference():
    """Handbook, section 2 (b), shift 1: 1 < 2.25, so PC1 is the noise axis by design; mean difference .975."""
    differences = planted(1.0)
    assert abs(pca_directions(differences).directions[0, 1]) > 0.95
    assert mean_difference(differences)[0] > 0.95


def test_symmetric_is_the_pca_of_the_half_differences_and_their_negatives():
    differences = normal(20, 7) + 1.0
    oracle = PCA(n_components=3).fit(torch.cat([differences, -differences]).div(2).numpy())
    ours = pca_directions(differences, n_components=3)
    agreement = (ours.directions @ torch.from_numpy(oracle.components_).T).abs()
    torch.testing.assert_close(agreement, torch.eye(3).double(), atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.explained_variance, torch.from_numpy(oracle.explained_variance_ratio_))


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (12, 12)])
def test_ordered_equals_scikit_learn_up_to_sign(shape):
    differences = normal(*shape) + 0.5
    oracle = PCA(n_components=4).fit(differences.numpy())
    ours = pca_directions(differences, n_components=4, centering="ordered")
    agreement = (ours.directions @ torch.from_numpy(oracle.components_).T).abs()
    torch.testing.assert_close(agreement, torch.eye(4).double(), atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.explained_variance, torch.from_numpy(oracle.explained_variance_ratio_))


def test_unit_differences_are_the_pca_of_scaled_rows():
    differences = normal(15, 6) + 1.0
    scaled = differences / differences.norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        pca_directions(differences, normalize_differences=True).directions, pca_directions(scaled).directions
    )


@settings(max_examples=25, deadline=None)
@given(n_pairs=st.integers(3, 20), d_model=st.integers(2, 30), seed=st.integers(0, 1000))
def test_directions_are_orthonormal_and_shares_sum_to_one(n_pairs, d_model, seed):
    rank = min(n_pairs, d_model)
    found = pca_directions(normal(n_pairs, d_model, seed=seed), n_components=rank)
    torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(rank).double(), atol=1e-10, rtol=0)
    assert float(found.explained_variance.sum()) == pytest.approx(1.0)
    assert bool((found.explained_variance.diff() <= 1e-12).all())


@settings(max_examples=25, deadline=None)
@given(centering=st.sampled_from(("symmetric", "ordered")), seed=st.integers(0, 1000))
def test_swapping_members_flips_signed_vectors_and_permuting_pairs_changes_nothing(centering, seed):
    """Handbook, section 2 (c)."""
    differences = normal(9, 14, seed=seed) + 0.7

    def signed(d):
        direction = pca_directions(d, centering=centering).directions[0]
        return torch.stack([resolve_sign(direction, d) * direction, mean_difference(d)])

    torch.testing.assert_close(signed(-differences), -signed(differences), atol=1e-8, rtol=0)
    shuffled = differences[torch.randperm(9, generator=torch.Generator().manual_seed(seed))]
    torch.testing.assert_close(signed(shuffled), signed(differences), atol=1e-8, rtol=0)


def test_repe_repeats_with_its_seed_and_moves_little_with_another():
    """Handbook, section 2 (c): permuting pairs under `repe` changes nothing but noise."""
    differences = planted(3.0)
    first, again, other = (pca_directions(differences, centering="repe", seed=s).directions[0] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(float(first @ other)) > 0.98


def test_sign_of_a_tie_is_positive():
    differences = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert resolve_sign(torch.tensor([1.0, 0.0]), differences) == 1.0
    assert resolve_sign(torch.tensor([-1.0, 0.0]), differences) == 1.0


def test_signs_of_a_stack_are_the_signs_one_by_one():
    directions, differences = normal(6, 5), normal(6, 4, 5, seed=1)
    expected = [resolve_sign(v, d) for v, d in zip(directions, differences, strict=True)]
    assert resolve_signs(directions, differences).tolist() == expected
    assert set(expected) == {1.0, -1.0}


def test_cosines_with_the_mean_difference_or_a_given_direction():
    differences = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])
    found = difference_cosines(differences, torch.tensor([0.0, 5.0]))
    torch.testing.assert_close(found, torch.tensor([0.8, 0.0, 1.0]).double())
    by_mean = difference_cosines(differences, mean_difference(differences))
    torch.testing.assert_close(difference_cosines(differences), by_mean)


REFUSALS = [
    ("NaN", torch.tensor([[1.0, float("nan")], [1.0, 2.0]]), {}, r"1 NaN or infinite values \(rows 0\)"),
    ("constant layer", torch.zeros(3, 4), {}, "do not vary under centering 'symmetric'.*check the pairs"),
    ("one pair, centred", torch.ones(1, 4), {"centering": "ordered"}, "do not vary under centering 'ordered'"),
    ("rank", torch.eye(4)[:2], {"n_components": 3}, r"3 components .* rank 2 .*ask for 1 to 2"),
    ("none asked", torch.eye(4), {"n_components": 0}, "0 components were asked for"),
    ("zero row", torch.eye(3) * torch.tensor([[1], [0], [1]]), {"normalize_differences": True}, r"first: pair 1"),
    ("no pairs", torch.zeros(0, 4), {}, "at least 1 pairs, got 0"),
]


@pytest.mark.parametrize(("differences", "options", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals_of_pca(differences, options, message):
    with pytest.raises(ShapeError, match=message):
        pca_directions(differences, **options)


def test_refusal_of_a_mean_of_length_zero():
    with pytest.raises(ShapeError, match="2 differences cancel.*check the labels"):
        mean_difference(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))


@pytest.mark.parametrize("centering", ["symmetric", "repe", "ordered"])
@pytest.mark.parametrize("normalize", [False, True])
def test_further_components_of_the_first_are_the_next_ones(centering, normalize):
    """Deflation by the first component gives components 2 and 3, however the differences are prepared."""
    differences = torch.randn(2, 30, 12, generator=torch.Generator().manual_seed(3)).double() + 0.4
    expected = torch.stack([pca_directions(d, 3, centering, normalize, 5).directions for d in differences])
    found = further_components(2 * expected[:, 0], differences, 2, centering, normalize, 5)
    torch.testing.assert_close(found[:, 0], expected[:, 0])
    torch.testing.assert_close((found * expected).sum(dim=2).abs(), torch.ones(2, 3).double(), atol=1e-8, rtol=0)


def test_further_components_stand_at_right_angles_to_any_direction():
    differences = torch.randn(3, 20, 8, generator=torch.Generator().manual_seed(4)).double()
    found = further_components(differences.mean(dim=1), differences, 3)
    torch.testing.assert_close(found @ found.mT, torch.eye(4).double().expand(3, 4, 4), atol=1e-10, rtol=0)
    assert further_components(differences.mean(dim=1), differences, 0).shape == (3, 1, 8)
