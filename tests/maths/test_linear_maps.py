"""Projections: known answers of the handbook (sections 6 and 7), scikit-learn as oracle, controls, refusals."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.linear_maps import (
    ALPHAS,
    Projection,
    fit_low_rank,
    fit_procrustes,
    fit_ridge,
    identity,
    random_orthogonal,
    ridge_r2_along,
)
from interp_xfer.maths.paired_sums import PairedSums


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sums_of(x, y, n_folds=3):
    sums = PairedSums(x.shape[1], y.shape[1], n_folds)
    sums.add(x, y, torch.arange(len(x)) % n_folds)
    return sums


def rotation(d: int, seed: int = 0) -> torch.Tensor:
    return random_orthogonal(d, d, seed).weight


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_ridge_recovers_an_affine_map_and_directions_ignore_its_bias():
    """Handbook, section 6: Y=XA+b: A exact, `map_direction` ignores b."""
    x, a, b = normal(200, 8) + 5, normal(8, 6, seed=1), normal(6, seed=2)
    found = fit_ridge(sums_of(x, x @ a + b), alphas=[0.0])
    torch.testing.assert_close(found.weight, a, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.bias, b, atol=1e-10, rtol=0)
    v = normal(8, seed=3)
    torch.testing.assert_close(found.map_direction(v), v @ a, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.map_activation(v), v @ a + b, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.map_direction(torch.zeros(8)), torch.zeros(6).double())
    assert found.diagnostics["r2"] == pytest.approx(1.0)
    assert found.n_rows == 200


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(-5, 5), seed=st.integers(0, 99))
def test_directions_map_linearly_and_are_differences_of_mapped_activations(scale, seed):
    projection = replace(random_orthogonal(6, 9, seed), bias=normal(9, seed=seed))
    v, h = normal(6, seed=seed + 1), normal(3, 4, 6, seed=seed + 2)
    torch.testing.assert_close(projection.map_direction(scale * v), scale * projection.map_direction(v))
    moved = projection.map_activation(h + v) - projection.map_activation(h)
    torch.testing.assert_close(moved, projection.map_direction(v).expand(3, 4, 9))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_ridge_equals_scikit_learn(alpha):
    x, y = normal(60, 7) * torch.arange(1, 8), normal(60, 4, seed=1)
    penalty = alpha * float((x - x.mean(0)).square().sum()) / 7
    oracle = Ridge(alpha=penalty).fit(x.numpy(), y.numpy())
    found = fit_ridge(sums_of(x, y), alphas=[alpha])
    torch.testing.assert_close(found.weight, torch.from_numpy(oracle.coef_.T), atol=1e-10, rtol=0)
    torch.testing.assert_close(found.bias, torch.from_numpy(oracle.intercept_), atol=1e-10, rtol=0)


def test_ridge_shrinks_by_one_half_where_the_penalty_equals_the_variance():
    """Handbook, section 6: s²=a: shrink exactly .5. All singular values are equal, so alpha=1 is a=s²."""
    x = torch.cat([rotation(5), -rotation(5)])
    found = fit_ridge(sums_of(x, x), alphas=[1.0])
    torch.testing.assert_close(found.weight, torch.eye(5).double() / 2, atol=1e-12, rtol=0)


def test_on_an_eigenvector_ridge_shrinks_the_norm_and_keeps_the_direction():
    """Handbook, section 6: v_p an eigenvector of the covariance: only the norm changes, by s²/(s²+a)."""
    x, y = normal(80, 6) * torch.arange(1, 7), normal(80, 5, seed=1)
    xc = x - x.mean(0)
    variances, axes = torch.linalg.eigh(xc.T @ xc)
    least_squares, shrunk = (fit_ridge(sums_of(x, y), alphas=[alpha]) for alpha in (0.0, 0.5))
    penalty = 0.5 * variances.sum() / 6
    for variance, axis in zip(variances, axes.T, strict=True):
        expected = least_squares.map_direction(axis) * variance / (variance + penalty)
        torch.testing.assert_close(shrunk.map_direction(axis), expected, atol=1e-10, rtol=0)


def test_cross_validation_chooses_little_for_clean_and_much_for_noisy_data():
    x = normal(120, 40)
    clean = fit_ridge(sums_of(x, x @ normal(40, 10, seed=1)))
    noisy = fit_ridge(sums_of(x, 0.1 * x @ normal(40, 10, seed=1) + 2 * normal(120, 10, seed=2)))
    assert clean.diagnostics["alpha"] == min(ALPHAS)
    assert noisy.diagnostics["alpha"] >= 1.0
    assert clean.diagnostics["r2"] > 0.999 > 0.2 > noisy.diagnostics["r2"]
    assert clean.diagnostics["rows_per_width"] == 3.0


def test_the_strength_chosen_on_a_sketch_is_that_of_all_dimensions(monkeypatch):
    x = normal(90, 30)
    y = x @ normal(30, 300, seed=1) * 0.2 + normal(90, 300, seed=2)
    sketched = fit_ridge(sums_of(x, y))
    monkeypatch.setattr("interp_xfer.maths.linear_maps._SKETCH", 300)
    assert sketched.diagnostics == fit_ridge(sums_of(x, y)).diagnostics


def test_shuffled_pairs_explain_nothing():
    """Handbook, section 6: shuffled pairs R² <= 0."""
    x = normal(150, 20)
    y = x @ normal(20, 12, seed=1) + 0.1 * normal(150, 12, seed=2)
    shuffled = sums_of(x, y[torch.randperm(150, generator=torch.Generator().manual_seed(0))])
    found = fit_ridge(sums_of(x, y), shuffled=shuffled)
    assert found.diagnostics["r2"] > 0.99
    assert found.diagnostics["shuffled_r2"] <= 0


def test_r2_along_a_direction_tells_carried_from_lost_directions():
    x = normal(200, 6)
    y = torch.cat([x[:, :2], normal(200, 2, seed=1)], dim=1)
    found = fit_ridge(sums_of(x, y))
    alpha = found.diagnostics["alpha"]
    axes = torch.eye(4).double()
    assert ridge_r2_along(sums_of(x, y), alpha, found.map_direction(torch.eye(6)[0])) > 0.95
    assert ridge_r2_along(sums_of(x, y), alpha, axes[3]) < 0.05
    single = fit_ridge(sums_of(x, y[:, :1]), alphas=[alpha]).diagnostics["r2"]
    assert ridge_r2_along(sums_of(x, y), alpha, 7 * axes[0]) == pytest.approx(single)


def test_procrustes_finds_a_square_rotation():
    """Handbook, section 6: square rotation to 1e-14, here with a scale of 3 and a shift."""
    x, q = normal(100, 7), rotation(7, seed=1)
    found = fit_procrustes(sums_of(x, 3 * x @ q + 1))
    torch.testing.assert_close(found.weight / 3, q, atol=2e-14, rtol=0)
    assert found.diagnostics["scale"] == pytest.approx(3.0)
    assert found.diagnostics["r2"] == pytest.approx(1.0)


@pytest.mark.parametrize(("d_parent", "d_child"), [(12, 30), (30, 12)])
def test_reduced_procrustes_recovers_shared_components_across_widths(d_parent, d_child):
    """Both sides are isometric images of the same 5 components: the map between them is exact."""
    shared = normal(400, 5) * torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    x, y = random_orthogonal(5, d_parent).map_direction(shared), random_orthogonal(5, d_child, 1).map_direction(shared)
    found = fit_procrustes(sums_of(x, y))
    assert found.diagnostics["n_components"] == 5
    assert found.diagnostics["r2"] > 1 - 1e-9
    torch.testing.assert_close(found.map_direction(x), y, atol=1e-9, rtol=0)


def test_low_rank_is_exact_at_the_rank_of_the_data_and_least_squares_at_full_rank():
    x = normal(90, 8)
    square = fit_low_rank(sums_of(x, x @ normal(8, 8, seed=2)), ranks=[8])
    torch.testing.assert_close(square.weight, normal(8, 8, seed=2), atol=1e-10, rtol=0)
    shared = normal(90, 4) * torch.tensor([8.0, 4.0, 2.0, 1.0])
    wide = sums_of(random_orthogonal(4, 40).map_direction(shared), random_orthogonal(4, 20, 1).map_direction(shared))
    found = fit_low_rank(wide, ranks=[1, 2, 4])
    assert found.diagnostics["rank"] == 4
    assert found.diagnostics["r2"] > 1 - 1e-9


def test_rank_regularises_where_rows_are_few():
    shared = normal(60, 3)
    x = random_orthogonal(3, 50).map_direction(shared) * 5 + normal(60, 50, seed=1)
    y = random_orthogonal(3, 30, 1).map_direction(shared) * 5 + normal(60, 30, seed=2)
    ranks = {k: fit_low_rank(sums_of(x, y), ranks=[k]).diagnostics["r2"] for k in (1, 2, 3, 30)}
    assert max(ranks, key=ranks.__getitem__) == 3
    assert fit_low_rank(sums_of(x, y), ranks=[1, 3, 30]).diagnostics == {
        "rank": 3.0,
        "r2": pytest.approx(ranks[3]),
        "rows_per_width": 1.2,
    }


@pytest.mark.parametrize(("d_parent", "d_child"), [(5, 9), (9, 5), (6, 6)])
def test_random_orthogonal_keeps_what_it_can_and_repeats_with_its_seed(d_parent, d_child):
    weight = random_orthogonal(d_parent, d_child, seed=3).weight
    small = weight @ weight.T if d_parent <= d_child else weight.T @ weight
    torch.testing.assert_close(small, torch.eye(min(d_parent, d_child)).double())
    assert torch.equal(weight, random_orthogonal(d_parent, d_child, seed=3).weight)
    assert not torch.equal(weight, random_orthogonal(d_parent, d_child, seed=4).weight)


def test_identity_copies_cuts_and_pads_only_when_asked():
    v = torch.arange(1.0, 4.0)
    assert identity(3, 3).map_direction(v).tolist() == [1, 2, 3]
    assert identity(3, 3).kind == "identity"
    assert identity(3, 2, cut_or_pad=True).map_direction(v).tolist() == [1, 2]
    assert identity(3, 4, cut_or_pad=True).map_direction(v).tolist() == [1, 2, 3, 0]
    assert identity(3, 4, cut_or_pad=True).kind == "identity-cut-or-pad"


def test_the_leak_fitting_on_the_contrast_pairs_reproduces_the_childs_own_direction():
    """Handbook, section 7: unrelated Gaussian models, 240 rows, 512->300: cosine 1.000 on the pairs, .07 disjoint."""
    pairs_x, pairs_y = normal(240, 512) + 0.1, normal(240, 300, seed=1) + 0.1
    own, direction = pairs_y.mean(0), pairs_x.mean(0)
    leaked = Projection(torch.linalg.pinv(pairs_x) @ pairs_y, torch.zeros(300).double(), "pinv")
    assert cosine(leaked.map_direction(direction), own) == pytest.approx(1.0, abs=1e-10)
    with pytest.raises(ShapeError, match="240 rows and no regularisation cannot fix a map from 512 dimensions"):
        fit_ridge(sums_of(pairs_x, pairs_y), alphas=[0.0])
    disjoint = fit_ridge(sums_of(normal(2000, 512, seed=2), normal(2000, 300, seed=3)), alphas=[0.0])
    assert abs(cosine(disjoint.map_direction(direction), own)) < 0.25  # sd 1/sqrt(300) = .058


def constant_parent():
    fit_ridge(sums_of(torch.ones(9, 2), normal(9, 2)), alphas=[1.0])


def collinear():
    fit_ridge(sums_of(torch.zeros(50, 3) + normal(50, 1), normal(50, 2)), alphas=[0.0])


NAN = torch.full((2,), math.nan)
REFUSALS = [
    (
        "identity",
        lambda: identity(640, 576),
        ShapeError,
        "parent is 640 wide and the child 576; fit a ridge.*cut_or_pad",
    ),
    ("width", lambda: identity(3, 3).map_direction(torch.zeros(4)), ShapeError, r"shape \(4,\) do not fit .*\(3, 3\)"),
    ("width h", lambda: identity(3, 3).map_activation(torch.zeros(2, 4)), ShapeError, "use vectors of the parent"),
    ("NaN", lambda: Projection(torch.eye(2), NAN, "x"), ShapeError, "projection biases .* 2 NaN"),
    ("no alphas", lambda: fit_ridge(sums_of(normal(9, 2), normal(9, 2)), []), ConfigError, "must be 0 or more, got"),
    ("alpha", lambda: fit_ridge(sums_of(normal(9, 2), normal(9, 2)), [-1.0]), ConfigError, r"got \[-1.0\]"),
    ("constant", constant_parent, ShapeError, "parent activations of all 9 rows are equal.*skip it"),
    ("collinear", collinear, ShapeError, "50 rows span fewer than 3 dimensions, so alpha=0"),
    ("rank", lambda: fit_low_rank(sums_of(normal(9, 4), normal(9, 3)), [4]), ShapeError, "rank 4 .* allow at most 3"),
    (
        "no ranks",
        lambda: fit_low_rank(sums_of(normal(9, 4), normal(9, 3)), [0]),
        ConfigError,
        "ranks must be 1 or more",
    ),
    (
        "procrustes",
        lambda: fit_procrustes(sums_of(normal(6, 9), normal(6, 9))),
        ShapeError,
        "over 9 dimensions.*6 rows",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
