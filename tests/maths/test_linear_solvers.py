"""Linear algebra of the projections: known answers of the handbook (section 6), brute force, refusals."""

import pytest
import torch
from sklearn.linear_model import Ridge

from interp_xfer.errors import ShapeError
from interp_xfer.maths.linear_maps import random_orthogonal
from interp_xfer.maths.linear_solvers import leave_one_out_residuals


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_leave_one_out_equals_brute_force():
    """Handbook, section 6: LOO = brute force to 2e-14; scikit-learn agrees to the accuracy of its solver."""
    x, y = normal(15, 6), normal(15, 3, seed=1)
    found = leave_one_out_residuals(x, y, penalty=0.7)
    for row in range(15):
        keep = torch.arange(15) != row
        mean_x, mean_y = x[keep].mean(0), y[keep].mean(0)
        xc = x[keep] - mean_x
        weight = torch.linalg.solve(xc.T @ xc + 0.7 * torch.eye(6).double(), xc.T @ (y[keep] - mean_y))
        expected = y[row] - mean_y - (x[row] - mean_x) @ weight
        torch.testing.assert_close(found[row], expected, atol=2e-14, rtol=0)
        oracle = Ridge(alpha=0.7).fit(x[keep].numpy(), y[keep].numpy())
        torch.testing.assert_close(y[row] - found[row], torch.from_numpy(oracle.predict(x[[row]].numpy())[0]))


def test_rectangular_procrustes_without_reduction_misses_the_truth():
    """Handbook, section 6: a semi-orthogonal truth is missed by .15 (isotropic) to .37; hence PCA first."""
    truth = random_orthogonal(60, 20).weight
    for scales, low, high in ((torch.ones(60), 0.05, 0.25), (torch.linspace(0.5, 1.5, 60), 0.25, 0.5)):
        x = normal(1000, 60) * scales
        u, _, vt = torch.linalg.svd(x.T @ x @ truth, full_matrices=False)
        assert low < float((u @ vt - truth).norm() / truth.norm()) < high


def test_leave_one_out_refuses_what_has_nothing_to_predict():
    with pytest.raises(ShapeError, match="4 rows without a penalty leave nothing to predict in 3 dimensions"):
        leave_one_out_residuals(normal(4, 3), normal(4, 2), 0.0)
    with pytest.raises(ShapeError, match="parent has 4 rows and the child 5"):
        leave_one_out_residuals(normal(4, 3), normal(5, 2), 1.0)
