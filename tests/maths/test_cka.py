"""Similarity: known answers of the handbook (section 5), ckatorch as oracle, invariances, nulls, refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from ckatorch.core import cka_base
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ShapeError
from interp_xfer.maths.cka import centre, cka_matrix, paired_grams
from interp_xfer.maths.linear_maps import random_orthogonal


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def linear_cka(x: torch.Tensor, y: torch.Tensor, estimator: str = "unbiased") -> float:
    return float(cka_matrix([x], [y], estimator, normalize_rows=False))


def hsic(x: torch.Tensor, y: torch.Tensor, estimator: str = "unbiased") -> float:
    """<A, B> / (n (n - 3)) for U-centred A and B, <H K H, H L H> / (n - 1)²."""
    (a,), (b,) = paired_grams([x], [y], estimator, normalize_rows=False)
    n = len(a)
    return float((a * b).sum()) / (n * (n - 3) if estimator == "unbiased" else (n - 1) ** 2)


def biased_null(n: int, pr_x: float, pr_y: float) -> float:
    """The biased CKA of unrelated representations, from their participation ratios (see the module docstring)."""
    return (pr_x * pr_y / ((n - 1 + pr_x) * (n - 1 + pr_y))) ** 0.5


X, Y, Z = column(0, 1, 2, 3, 4), column(0, 1, 4, 9, 16), column(1, 0, 0, 1, 0)


def test_five_points_by_hand():
    """Handbook, section 5: x=0..4, y=x²; z=(1,0,0,1,0) is negative and not clamped."""
    assert hsic(X, Y) == pytest.approx(469 / 6)
    assert hsic(X, X) == pytest.approx(31 / 6)
    assert hsic(Y, Y) == pytest.approx(12769 / 10)
    assert linear_cka(X, Y) == pytest.approx(0.9623608, abs=5e-8)
    assert linear_cka(X, Y, "biased") == pytest.approx(0.9195402, abs=5e-8)
    assert hsic(X, Z) == pytest.approx(-7 / 30)
    assert linear_cka(X, Z) == pytest.approx(-0.3246172, abs=5e-8)


def closed_form(x: torch.Tensor, y: torch.Tensor) -> float:
    """The U-statistic as printed in arXiv 2010.15327, eq. 3."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    k.fill_diagonal_(0)
    m.fill_diagonal_(0)
    products = (k @ m).trace() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
    return float(products / (n * (n - 3)))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(4, 30), seed=st.integers(0, 999))
def test_u_centring_equals_the_closed_form(n, seed):
    """Handbook, section 5: U-centred = closed form to 1e-16 (relative to |A||B|)."""
    x, y = normal(n, 4, seed=seed), normal(n, 6, seed=seed + 1)
    scale = math.sqrt(hsic(x, x) * hsic(y, y))
    assert abs(hsic(x, y) - closed_form(x, y)) < 1e-13 * max(scale, 1)


def test_unbiased_mean_over_subsets_is_the_whole():
    """Handbook, section 5: mean over all size-4 subsets of n=9 = HSIC_u of the 9; the biased one fails at size 5."""
    generator = np.random.default_rng(0)
    generator.normal(size=(12, 5)), generator.normal(size=(12, 7))
    x = generator.normal(size=(9, 3))
    y = torch.from_numpy(x @ generator.normal(size=(3, 4)) + generator.normal(size=(9, 4)))
    x = torch.from_numpy(x)

    def over_subsets(size, estimator):
        subsets = list(itertools.combinations(range(9), size))
        return sum(hsic(x[list(s)], y[list(s)], estimator) for s in subsets) / len(subsets)

    assert hsic(x, y) == pytest.approx(3.374154104076898, abs=1e-12)
    assert over_subsets(4, "unbiased") == pytest.approx(hsic(x, y), abs=1e-12)
    assert over_subsets(5, "biased") == pytest.approx(8.21, abs=0.005)
    assert hsic(x, y, "biased") == pytest.approx(5.71, abs=0.005)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_matrix_equals_ckatorch_pair_by_pair(estimator):
    xs, ys = normal(3, 20, 8), [normal(20, 5, seed=1), normal(20, 5, seed=2)]
    found = cka_matrix(xs, ys, estimator, normalize_rows=False)
    for i, j in itertools.product(range(3), range(2)):
        oracle = cka_base(xs[i], ys[j], unbiased=estimator == "unbiased", method="fro_norm")
        assert float(found[i, j]) == pytest.approx(float(oracle), abs=1e-12)
        assert linear_cka(xs[i], ys[j], estimator) == pytest.approx(float(found[i, j]), abs=1e-12)


def test_blocks_equal_one_product(monkeypatch):
    monkeypatch.setattr("interp_xfer.maths.cka._BLOCK", 7)
    x, y = normal(23, 5), normal(23, 4, seed=1)
    k, m = (rows / rows.norm(dim=1, keepdim=True) for rows in (x, y))
    assert float(cka_matrix([x], [y])) == pytest.approx(linear_cka(k, m), abs=1e-12)
    left, right = paired_grams([x], [y], "unbiased", normalize_rows=False)
    torch.testing.assert_close(left, centre((x @ x.T)[None], "unbiased"))
    torch.testing.assert_close(right, centre((y @ y.T)[None], "unbiased"))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(0.01, 100), estimator=st.sampled_from(("unbiased", "biased")))
def test_invariances(seed, scale, estimator):
    """Handbook, section 5: CKA(X,X)=1; invariant to rotation, isotropic scale, shift; not to a general linear map."""
    x, y = normal(25, 6, seed=seed), normal(25, 6, seed=seed + 1) + normal(25, 6, seed=seed)
    moved = scale * random_orthogonal(6, 6, seed).map_direction(y) + 3.0
    assert linear_cka(x, x, estimator) == pytest.approx(1.0)
    assert linear_cka(x, moved, estimator) == pytest.approx(linear_cka(x, y, estimator), abs=1e-9)
    assert linear_cka(y, x, estimator) == pytest.approx(linear_cka(x, y, estimator), abs=1e-12)
    stretched = y * torch.tensor([30.0, 1, 1, 1, 1, 0.1])
    assert abs(linear_cka(x, stretched, estimator) - linear_cka(x, y, estimator)) > 1e-3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), estimator=st.sampled_from(("unbiased", "biased")))
def test_centring_is_idempotent_also_on_a_subset_of_prompts(seed, estimator):
    """A centred matrix restricted to some prompts centres to what those prompts alone would give."""
    gram = (normal(12, 5, seed=seed) @ normal(12, 5, seed=seed).T)[None]
    once, some = centre(gram, estimator), torch.tensor([0, 3, 4, 7, 8, 11])
    torch.testing.assert_close(centre(once, estimator), once, atol=1e-12, rtol=0)
    subset = centre(once[:, some][:, :, some], estimator)
    torch.testing.assert_close(subset, centre(gram[:, some][:, :, some], estimator), atol=1e-12, rtol=0)


def test_biased_null_of_isotropic_data_is_as_predicted_and_the_unbiased_is_zero():
    """Handbook, section 5: n=200, 5120 vs 1536 isotropic: biased .923 (formula .923), |unbiased| < .02."""
    x, y = normal(200, 5120), normal(200, 1536, seed=1)
    assert biased_null(200, 5120.0, 1536.0) == pytest.approx(0.923, abs=5e-4)
    assert linear_cka(x, y, "biased") == pytest.approx(0.923, abs=2e-3)
    assert abs(linear_cka(x, y)) < 0.02


def test_biased_null_depends_on_the_spectrum():
    """Handbook, section 5: PR 41 vs 34: .153 (formula .158), here with power-law spectra of those ratios."""
    decay_x, decay_y = torch.arange(1, 301.0) ** -0.4, torch.arange(1, 301.0) ** -0.429
    x, y = normal(200, 300) * decay_x.double(), normal(200, 300, seed=1) * decay_y.double()
    pr_x, pr_y = (float((d**2).sum() ** 2 / (d**4).sum()) for d in (decay_x, decay_y))
    assert linear_cka(x, y, "biased") == pytest.approx(biased_null(200, pr_x, pr_y), rel=0.1)
    assert abs(linear_cka(x, y)) < 0.02


def spiked(rows: torch.Tensor) -> torch.Tensor:
    """One row in a hundred gets a massive activation, a thousand in a fixed dimension."""
    rows = rows.clone()
    rows[::100, 3] += 1000
    return rows


def test_a_few_huge_rows_own_the_similarity_and_row_normalisation_restores_it():
    """Handbook, section 5: the same 1% of rows spiked x1000 in independent data: .002 -> .9997; one-sided spike on
    aligned data .835 -> .006, row normalisation restores .838."""
    x, y = normal(400, 50), normal(400, 60, seed=1)
    assert abs(linear_cka(x, y)) < 0.02
    assert linear_cka(spiked(x), spiked(y)) > 0.99
    assert abs(float(cka_matrix([spiked(x)], [spiked(y)]))) < 0.1
    aligned = x + 0.45 * normal(400, 50, seed=2)
    clean = linear_cka(x, aligned)
    assert clean > 0.6
    assert abs(linear_cka(spiked(x), aligned)) < 0.05
    assert float(cka_matrix([spiked(x)], [aligned])) == pytest.approx(clean, abs=0.05)


def test_a_zero_row_stays_zero_and_a_vanishing_self_term_is_nan():
    x = normal(10, 3)
    x[2] = 0
    assert bool(cka_matrix([x], [normal(10, 3, seed=1)]).isfinite().all())
    equal_distances = torch.eye(5).double()  # every pair of rows alike: the U-centred Gram matrix is zero
    assert math.isnan(linear_cka(equal_distances, normal(5, 2)))


REFUSALS = [
    ("unequal n", lambda: linear_cka(normal(6, 2), normal(7, 3)), "parent has 6 prompts and the child 7.*paired"),
    ("n < 4", lambda: linear_cka(normal(3, 2), normal(3, 2)), "CKA needs at least 4 prompts, got 3"),
    (
        "constant",
        lambda: linear_cka(normal(5, 2), torch.ones(5, 7)),
        "child layer 0 is constant: its 5 rows of width 7",
    ),
    ("NaN", lambda: cka_matrix([normal(5, 2), normal(5, 2) * math.nan], [normal(5, 2)]), "parent layer 1 .* 10 NaN"),
    ("no layers", lambda: cka_matrix([], [normal(5, 2)]), "at least one layer of both models, got 0 and 1"),
]


@pytest.mark.parametrize(("call", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, message):
    with pytest.raises(ShapeError, match=message):
        call()
