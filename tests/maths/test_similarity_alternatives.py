"""Alternatives to linear CKA: oracles (scikit-learn, scipy, statsmodels, ckatorch), nulls, refusals."""

import numpy as np
import pytest
import torch
from ckatorch.core import cka_base
from scipy.spatial import procrustes
from sklearn.neighbors import NearestNeighbors
from statsmodels.multivariate.cancorr import CanCorr

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.linear_maps import random_orthogonal
from interp_xfer.maths.similarity_alternatives import mutual_knn, procrustes_distance, rbf_cka, score_correlation, svcca


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mutual_knn_equals_neighbours_of_scikit_learn():
    x, y = normal(40, 6), normal(40, 6) + normal(40, 6, seed=1)
    sets = [
        NearestNeighbors(n_neighbors=5, metric="cosine").fit(rows.numpy()).kneighbors(return_distance=False)
        for rows in (x, y)
    ]
    expected = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(*sets, strict=True)])
    assert mutual_knn(x, y, k=5) == pytest.approx(expected)
    assert mutual_knn(x, 3 * x, k=5) == 1.0


def test_mutual_knn_of_unrelated_rows_is_its_null():
    """Handbook, section 5: mKNN null 10/511 = .0196, within four standard errors (sd .0019 over 5120 neighbours)."""
    assert mutual_knn(normal(512, 30), normal(512, 20, seed=1)) == pytest.approx(10 / 511, abs=0.008)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_rbf_cka_equals_ckatorch(estimator):
    x, y = normal(25, 4), normal(25, 4) + normal(25, 4, seed=1)
    oracle = cka_base(x, y, kernel="rbf", unbiased=estimator == "unbiased", threshold=0.8)
    assert rbf_cka(x, y, bandwidth=0.8, estimator=estimator) == pytest.approx(float(oracle), abs=1e-9)


def test_svcca_of_all_variance_is_the_mean_canonical_correlation_of_statsmodels():
    x, y = normal(60, 4), normal(60, 3, seed=1) + normal(60, 4)[:, :3]
    oracle = CanCorr((y - y.mean(0)).numpy(), (x - x.mean(0)).numpy()).cancorr
    assert svcca(x, y, variance=1.0) == pytest.approx(float(np.mean(oracle)), abs=1e-10)


def test_svcca_drops_small_components():
    shared = normal(80, 3)
    x, y = (torch.cat([3 * shared, 0.05 * normal(80, 5, seed=s)], dim=1) for s in (1, 2))
    assert svcca(x, y, variance=0.99) > 0.99
    assert svcca(x, y, variance=1.0) < 0.8


def test_procrustes_distance_equals_scipy():
    """scipy also fits the scale: its disparity is 1 - |XᵀY|_*²."""
    x, y = normal(30, 5), normal(30, 5) + normal(30, 5, seed=1)
    nuclear = (1 - procrustes(x.numpy(), y.numpy())[2]) ** 0.5
    assert procrustes_distance(x, y) == pytest.approx(2 - 2 * nuclear, abs=1e-10)


def test_procrustes_distance_ignores_shift_scale_rotation_and_width():
    x = normal(20, 4)
    moved = 5 * random_orthogonal(4, 50).map_direction(x) + 7
    assert procrustes_distance(x, moved) == pytest.approx(0, abs=1e-9)
    assert 0.5 < procrustes_distance(x, normal(20, 50, seed=1)) < 2


def test_score_correlation_finds_shared_scores_across_widths():
    shared = normal(300)
    v, w = normal(8, seed=1), normal(5, seed=2)
    x = torch.outer(shared, v) + normal(300, 8, seed=3) * 0.1
    y = torch.outer(-shared, w) + normal(300, 5, seed=4) * 0.1 + 9
    found = score_correlation(x, v, y, 4 * w)
    assert found == pytest.approx(float(np.corrcoef((x @ v).numpy(), (y @ w).numpy())[0, 1]), abs=1e-12)
    assert found < -0.95


X = normal(6, 3)
REFUSALS = [
    ("unpaired", lambda: mutual_knn(X, normal(7, 3)), ShapeError, "parent has 6 prompts and the child 7"),
    ("few", lambda: mutual_knn(X, X, k=6), ShapeError, "6 nearest neighbours needs at least 7 prompts, got 6"),
    ("bandwidth", lambda: rbf_cka(X, X, bandwidth=0.0), ConfigError, "bandwidth must be positive, got 0.0"),
    ("duplicates", lambda: rbf_cka(torch.ones(6, 2), X), ShapeError, "half of the 6 rows are equal"),
    ("overlap", lambda: svcca(X, X), ShapeError, r"3 \+ 3 components of 6 prompts overlap whatever the data"),
    ("constant", lambda: procrustes_distance(torch.ones(6, 2), X), ShapeError, "all 6 rows of width 2 are equal"),
    (
        "scores",
        lambda: score_correlation(X, torch.zeros(3), X, torch.ones(3)),
        ShapeError,
        "scores of 6 prompts .* equal",
    ),
    ("NaN", lambda: procrustes_distance(X, X * float("inf")), ShapeError, "child activations of shape"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
