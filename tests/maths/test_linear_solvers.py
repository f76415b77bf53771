"""Linear algebra of the projections: known answers of the handbook (section 6), brute force, refusals."""

import torch

from interp_xfer.maths.linear_maps import random_orthogonal


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rectangular_procrustes_without_reduction_misses_the_truth():
    """Handbook, section 6: a semi-orthogonal truth is missed by .15 (isotropic) to .37; hence PCA first."""
    truth = random_orthogonal(60, 20).weight
    for scales, low, high in ((torch.ones(60), 0.05, 0.25), (torch.linspace(0.5, 1.5, 60), 0.25, 0.5)):
        x = normal(1000, 60) * scales
        u, _, vt = torch.linalg.svd(x.T @ x @ truth, full_matrices=False)
        assert low < float((u @ vt - truth).norm() / truth.norm()) < high
