"""Streamed CKA: streaming = one pass, whatever the chunks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ShapeError
from interp_xfer.maths.cka import linear_cka
from interp_xfer.maths.hsic_sums import HsicSums


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def streamed(x: torch.Tensor, y: torch.Tensor, chunk: int) -> HsicSums:
    sums = HsicSums()
    for start in range(0, len(x), chunk):
        sums.add(x[start : start + chunk], y[start : start + chunk])
    return sums


@settings(max_examples=20, deadline=None)
@given(chunk=st.integers(1, 50), offset=st.sampled_from((0.0, 300.0)), seed=st.integers(0, 99))
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_chunks_equal_one_pass(estimator, chunk, offset, seed):
    x = normal(40, 6, seed=seed) + offset
    y = x[:, :4] + normal(40, 4, seed=seed + 1)
    assert streamed(x, y, chunk).cka(estimator) == pytest.approx(linear_cka(x, y, estimator), abs=1e-9)


def test_minibatch_averages_are_not_the_same():
    """Why sums and not averages: over small batches the mean of CKA is another number."""
    x = normal(60, 6)
    y = x[:, :4] + normal(60, 4, seed=1)
    batches = [linear_cka(x[i : i + 6], y[i : i + 6], "biased") for i in range(0, 60, 6)]
    assert abs(sum(batches) / 10 - linear_cka(x, y, "biased")) > 0.1


def test_constant_rows_have_no_similarity():
    assert math.isnan(streamed(torch.ones(8, 3), normal(8, 2), 4).cka())


def test_refusals():
    with pytest.raises(ShapeError, match="CKA needs at least 4 rows, got 3"):
        streamed(normal(3, 2), normal(3, 2), 3).cka()
    with pytest.raises(ShapeError, match="parent has 4 rows and the child 5"):
        HsicSums().add(normal(4, 2), normal(5, 2))
    with pytest.raises(ShapeError, match="child activations .* 1 NaN"):
        HsicSums().add(normal(1, 1), torch.full((1, 1), math.nan))
