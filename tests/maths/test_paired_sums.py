"""Streamed sums: streaming = one pass, residuals without rows, grouping, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths import paired_sums
from interp_xfer.maths.linear_solvers import ridge_weight
from interp_xfer.maths.paired_sums import PairedSums, out_of_fold_r2


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sums_of(x, y, fold=0, n_folds=3, chunk=1000):
    sums = PairedSums(x.shape[1], y.shape[1], n_folds)
    for start in range(0, len(x), chunk):
        part = slice(start, start + chunk)
        sums.add(x[part], y[part], fold if isinstance(fold, int) else fold[part])
    return sums


@settings(max_examples=20, deadline=None)
@given(chunk=st.integers(1, 60), block=st.integers(1, 9), offset=st.sampled_from((0.0, 1e4)), seed=st.integers(0, 99))
def test_chunks_equal_one_pass(chunk, block, offset, seed):
    """Any chunking and block size; a large common offset (as residual streams have) costs no digits."""
    x, y = normal(60, 7, seed=seed) + offset, normal(60, 5, seed=seed + 1) - offset
    fold = torch.arange(60) % 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paired_sums, "_BLOCK", block)
        moments = sums_of(x, y, fold, chunk=chunk).moments([0, 2], with_yy=True)
    keep = fold != 1
    xc, yc = x[keep] - x[keep].mean(0), y[keep] - y[keep].mean(0)
    assert moments.n == int(keep.sum())
    for found, expected in (
        (moments.mean_x, x[keep].mean(0)),
        (moments.mean_y, y[keep].mean(0)),
        (moments.xx, xc.T @ xc),
        (moments.xy, xc.T @ yc),
        (moments.yy, yc.T @ yc),
    ):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-12)


def test_float32_chunks_are_summed_in_float64():
    x, y = normal(50, 4).float(), normal(50, 3).float()
    found = sums_of(x, y, chunk=7).moments()
    expected = sums_of(x.double(), y.double()).moments()
    torch.testing.assert_close(found.xy, expected.xy, atol=1e-12, rtol=1e-12)


def test_residual_without_rows_equals_the_residual_of_the_rows():
    x, y = normal(30, 6) + 3, normal(30, 4, seed=1) - 2
    fold = torch.arange(30) % 2
    weight, bias = normal(6, 4, seed=2), normal(4, seed=3)
    sums = sums_of(x, y, fold, n_folds=2, chunk=11)
    for number in (0, 1):
        inside = fold == number
        expected = (y[inside] - x[inside] @ weight - bias).square().sum()
        assert sums.residual(number, weight, bias) == pytest.approx(float(expected), rel=1e-12)
        assert sums.residual(number, None, bias) == pytest.approx(float((y[inside] - bias).square().sum()), rel=1e-12)


def test_projected_outputs_equal_sums_of_projected_rows():
    x, y, matrix = normal(40, 5), normal(40, 6, seed=1) + 1, normal(6, 2, seed=2)
    fold = torch.arange(40) % 3
    found = sums_of(x, y, fold).project_outputs(matrix)
    expected = sums_of(x, y @ matrix, fold)
    for key in ("mean_y", "xy", "yy"):
        left, right = getattr(found.moments(with_yy=True), key), getattr(expected.moments(with_yy=True), key)
        torch.testing.assert_close(left, right, atol=1e-11, rtol=1e-11)


def test_out_of_fold_r2_equals_fitting_and_predicting_rows():
    x = normal(45, 4)
    y = x @ normal(4, 3, seed=1) + normal(45, 3, seed=2)
    fold = torch.arange(45) // 15
    residual = total = 0.0
    for number in range(3):
        train, test = fold != number, fold == number
        xc, yc = x[train] - x[train].mean(0), y[train] - y[train].mean(0)
        penalty = 0.1 * float(xc.square().sum()) / 4
        weight = torch.linalg.solve(xc.T @ xc + penalty * torch.eye(4).double(), xc.T @ yc)
        residual += float((y[test] - y[train].mean(0) - (x[test] - x[train].mean(0)) @ weight).square().sum())
        total += float((y[test] - y[train].mean(0)).square().sum())
    found = out_of_fold_r2(sums_of(x, y, fold), lambda train: iter([(0.1, ridge_weight(train, 0.1))]))
    assert found == {0.1: pytest.approx(1 - residual / total, rel=1e-10)}


def test_folds_that_split_prompts_flatter_the_map():
    """Rows of one prompt are near copies: split over folds they leak, grouped they show that nothing was learnt."""
    x = normal(20, 30).repeat_interleave(6, dim=0) + 0.01 * normal(120, 30, seed=1)
    y = normal(20, 5, seed=2).repeat_interleave(6, dim=0)

    def r2(fold):
        return out_of_fold_r2(sums_of(x, y, fold), lambda m: iter([(1e-4, ridge_weight(m, 1e-4))]))[1e-4]

    prompt = torch.arange(120) // 6
    assert r2(torch.arange(120) % 3) > 0.8
    assert r2(prompt % 3) < 0


def refuse_unpaired():
    PairedSums(3, 2).add(normal(4, 3), normal(5, 2))


def refuse_constant_child():
    sums = sums_of(normal(9, 2), torch.ones(9, 2), torch.arange(9) % 3)
    out_of_fold_r2(sums, lambda m: iter([(1.0, ridge_weight(m, 1.0))]))


REFUSALS = [
    ("unpaired", refuse_unpaired, ShapeError, "parent has 4 rows and the child 5; rows must be paired"),
    ("width", lambda: PairedSums(3, 2).add(normal(4, 5), normal(4, 2)), ShapeError, "widths 3 -> 2 got rows of 5 -> 2"),
    (
        "NaN",
        lambda: PairedSums(1, 1).add(torch.tensor([[float("nan")]]), normal(1, 1)),
        ShapeError,
        "parent activations",
    ),
    (
        "fold",
        lambda: PairedSums(1, 1).add(normal(2, 1), normal(2, 1), 3),
        ConfigError,
        "fold 3 does not exist.* 0 to 2",
    ),
    ("no folds", lambda: PairedSums(1, 1, 0), ConfigError, "at least one fold, got 0"),
    ("empty", lambda: PairedSums(3, 2).moments(), ShapeError, "from 3 to 2 needs paired rows, got 0"),
    (
        "one fold",
        lambda: out_of_fold_r2(sums_of(normal(9, 2), normal(9, 2)), iter),
        ShapeError,
        "9 rows are in one fold",
    ),
    ("constant", refuse_constant_child, ShapeError, "child activations of all 9 rows are equal"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
