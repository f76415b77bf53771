"""Principal angles and their nulls: known angles, invariances, an independent oracle, rates."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import t as student
from tiny_models import unchecked

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.subspaces import cosine_threshold, orthonormal_bases, overlap, principal_cosines


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def overlaps(xs: torch.Tensor, ys: torch.Tensor) -> torch.Tensor:
    return overlap(orthonormal_bases("parent", xs), orthonormal_bases("child", ys))


def test_known_angles():
    """A plane turned by 30 degrees about one of its own axes: cosines 1 and cos 30."""
    angle = math.radians(30)
    plane = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0]]])
    turned = torch.tensor([[[5.0, 0, 0, 0], [1, math.cos(angle), math.sin(angle), 0]], [[0, 0, 1, 0], [0, 0, 0, -2]]])
    found = principal_cosines(plane, turned)
    torch.testing.assert_close(found, torch.tensor([[[1, math.cos(angle)], [0, 0]]]).double(), atol=1e-7, rtol=0)
    torch.testing.assert_close(
        overlaps(plane, turned), torch.tensor([[(1 + 0.75) / 2, 0.0]]).double(), atol=1e-7, rtol=0
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(k=st.integers(1, 4), d=st.integers(4, 9), seed=st.integers(0, 10**6))
def test_against_scipy_and_whatever_the_basis(k, d, seed):
    xs, ys = normal(2, k, d, seed=seed), normal(3, k, d, seed=seed + 1)
    found = principal_cosines(xs, ys)
    for p in range(2):
        for c in range(3):
            expected = torch.from_numpy(subspace_angles(xs[p].T.numpy(), ys[c].T.numpy())).cos().flip(0)
            torch.testing.assert_close(found[p, c], expected, atol=1e-7, rtol=0)
    torch.testing.assert_close(overlaps(xs, ys), found.square().mean(dim=2))
    mixed = normal(k, k, seed=seed + 2) + 4 * torch.eye(k)  # another basis of the same span, other signs and lengths
    torch.testing.assert_close(principal_cosines(-(mixed @ xs), ys), found, atol=1e-7, rtol=0)
    rotation = torch.linalg.qr(normal(d, d, seed=seed + 3)).Q
    torch.testing.assert_close(principal_cosines(xs @ rotation, ys @ rotation), found, atol=1e-7, rtol=0)
    torch.testing.assert_close(overlaps(xs, xs).diagonal(), torch.ones(2).double())


def test_random_spans_overlap_by_k_over_d():
    """Mean over 2,500 pairs of spans, standard error below .001."""
    found = overlaps(normal(50, 3, 30), normal(50, 3, 30, seed=1))
    assert float(found.mean()) == pytest.approx(3 / 30, abs=0.004)


def test_threshold_is_that_of_the_correlation_test():
    """A correlation over n prompts, t = r sqrt((n-2)/(1-r²)), is a cosine in n - 1 dimensions."""
    for n in (4, 24, 300):
        critical = student.isf(0.025, n - 2)
        assert cosine_threshold(n - 1) == pytest.approx(critical / math.sqrt(n - 2 + critical**2), abs=1e-10)
    # Two-sided normal quantile over sqrt(d) in many dimensions; Sidak by hand.
    assert cosine_threshold(1_000_000) == pytest.approx(1.959964e-3, abs=1e-7)
    assert cosine_threshold(23, 0.05, 540) == pytest.approx(cosine_threshold(23, 1 - 0.95 ** (1 / 540)), abs=1e-12)
    # sd 1/sqrt(1536) = .0255: .05 for one cosine, and the largest of 1,120 is mostly below .11.
    assert cosine_threshold(1536) == pytest.approx(1.96 * 1536**-0.5, abs=1e-4)
    assert 0.1 < cosine_threshold(1536, n_tests=1120) < 0.11


def test_thresholds_hold_at_their_rate():
    """4,000 random cosines, and the largest of each 20 of them: 5 % and 5 %, five standard errors allowed."""
    units = torch.nn.functional.normalize(normal(4000, 12), dim=1)
    cosines = units[:, 0].abs()
    single = float((cosines > cosine_threshold(12)).double().mean())
    assert single == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / 4000))
    largest = cosines.reshape(200, 20).max(dim=1).values
    search = float((largest > cosine_threshold(12, n_tests=20)).double().mean())
    assert search == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / 200))


def test_refusals():
    with unchecked(), pytest.raises(ShapeError, match=r"spans of shape \(2, 5\) and \(2, 6\) .* carry one side into"):
        principal_cosines(normal(1, 2, 5), normal(1, 2, 6))
    with pytest.raises(ShapeError, match="4 directions of width 3 are linearly dependent; take at most 3"):
        orthonormal_bases("parent", normal(1, 4, 3))
    twice = normal(3, 1, 5).expand(3, 2, 5)
    with pytest.raises(ShapeError, match=r"the 2 directions of child layers \[0, 1, 2\] are linearly dependent"):
        orthonormal_bases("child", twice)
    with pytest.raises(ShapeError, match="child directions of shape .* hold 1 NaN"):
        orthonormal_bases("child", torch.tensor([[[float("nan"), 1.0]]]))
    for d, alpha, n_tests in ((1, 0.05, 1), (5, 0.0, 1), (5, 0.05, 0)):
        with pytest.raises(ConfigError, match="a threshold needs d >= 2"):
            cosine_threshold(d, alpha, n_tests)
