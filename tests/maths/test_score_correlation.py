"""Correlation of scores: copies, rotated copies and noise; what each view sees; thresholds at their rate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import unchecked

from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.maths.score_correlation import VIEWS, MatrixNull, score_null, subspace_null
from interp_xfer.maths.subspaces import cosine_threshold


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def score_correlation(parent: torch.Tensor, child: torch.Tensor, view: str = "differences") -> torch.Tensor:
    return score_null(parent, child, view, 19).observed


def seen_by_numpy(scores: np.ndarray, view: str) -> np.ndarray:
    """(layers, 2, pairs) -> rows of the view, written apart from the code under test."""
    positive, negative = scores[:, 0], scores[:, 1]
    match view:
        case "differences":
            return positive - negative
        case "within-class":
            return np.hstack([side - side.mean(axis=1, keepdims=True) for side in (positive, negative)])
    return np.hstack([positive, negative])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 30), view=st.sampled_from(VIEWS))
def test_against_numpy_and_invariances(seed, n, view):
    parent, child = normal(3, 2, n, seed=seed) + 5, normal(2, 2, n, seed=seed + 1)
    found = score_correlation(parent, child, view)
    rows = [seen_by_numpy(scores.numpy(), view) for scores in (parent, child)]
    expected = np.corrcoef(np.vstack(rows))[:3, 3:]
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-10, rtol=0)
    # Shift and scale of a layer cancel, its sign does not; the order of the pairs does not matter.
    torch.testing.assert_close(score_correlation(7 * parent - 3, child, view), found, atol=1e-9, rtol=0)
    torch.testing.assert_close(score_correlation(-parent, child, view), -found, atol=1e-9, rtol=0)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(score_correlation(parent[..., order], child[..., order], view), found, atol=1e-9, rtol=0)
    torch.testing.assert_close(score_correlation(parent, parent, view).diagonal(), torch.ones(3).double())


def test_two_models_that_separate_the_classes_correlate_over_all_members_alone():
    """The trap: no pair is ordered alike, and yet r is .9 over both classes; its null says so, the other views too."""
    classes = torch.tensor([3.0, -3.0])[:, None]
    parent, child = normal(4, 2, 60) + classes, normal(5, 2, 60, seed=1) + classes
    naive = score_null(parent, child, "all-members", 199)
    assert naive.observed.min() > 0.85 and not naive.beyond.any() and naive.search_threshold > 0.85
    for view in ("differences", "within-class"):
        null = score_null(parent, child, view, 199)
        assert null.observed.abs().max() < 0.5 and not null.beyond.any() and null.p_value > 0.05


def test_the_question_cancels_in_differences_alone():
    """Both models score the same questions high in both members: no concept, but r is high within each class."""
    question = normal(1, 1, 80)
    parent, child = question * 3 + normal(2, 2, 80, seed=1), question * 3 + normal(2, 2, 80, seed=2)
    assert score_null(parent, child, "within-class", 199).beyond.all()
    assert not score_null(parent, child, "differences", 199).beyond.any()


def test_a_shared_difference_is_found_among_layers_of_noise():
    shared = normal(40)
    parent, child = normal(6, 2, 40, seed=1), normal(7, 2, 40, seed=2)
    parent[2, 0] += 4 * shared
    child[5, 0] -= 4 * shared  # the sign does not matter
    null = score_null(parent, child, "differences", 199)
    assert null.beyond.nonzero().tolist() == [[2, 5]] and null.observed[2, 5] < -0.7
    assert null.p_value == pytest.approx(1 / 200)
    assert (null.entry_threshold < null.search_threshold).all()


def test_thresholds_hold_at_their_rate():
    """Independent noise, 250 studies of 3 x 4 layers and 12 pairs: 5 % per entry and 5 % per search, and the analytic
    threshold agrees; bounds are five standard errors of the searches (.069) or wider."""
    entry, search, analytic = [], [], []
    for study in range(250):
        scores = normal(7, 2, 12, seed=study)
        null = score_null(scores[:3], scores[3:], "differences", 99, seed=study)
        sizes = null.observed.abs()
        entry.append((sizes > null.entry_threshold).double().mean())
        search.append(null.beyond.any().double())
        analytic.append((sizes > cosine_threshold(11)).double().mean())
    assert float(torch.stack(entry).mean()) == pytest.approx(0.05, abs=0.02)
    assert float(torch.stack(analytic).mean()) == pytest.approx(0.05, abs=0.02)
    assert float(torch.stack(search).mean()) == pytest.approx(0.05, abs=0.069)
    assert float(torch.stack(search).mean()) < 0.12 < float(1 - 0.95**12), "an unadjusted search errs in .46 of studies"


def test_a_layer_without_spread_says_nothing():
    parent, child = normal(2, 2, 10), normal(2, 2, 10, seed=1)
    parent[1] = 4.2
    null = score_null(parent, child, "differences", 19)
    assert null.observed.isnan().tolist() == [[False, False], [True, True]]
    components = normal(2, 2, 2, 10, seed=2)
    components[0, :, 1] = 2 * components[0, :, 0]
    spans = subspace_null(components, normal(2, 2, 2, 10, seed=3), 19)
    assert spans.observed.isnan().tolist() == [[True, True], [False, False]] and spans.p_value > 0
    assert null.entry_threshold[1].tolist() == [0, 0] and not null.beyond[1].any() and 0 < null.p_value <= 1


def test_spans_of_component_scores():
    """The same three scores in another basis overlap fully; unrelated ones by about k / (n - 1)."""
    mix = normal(3, 3, seed=9) + 3 * torch.eye(3)
    parent = normal(4, 2, 3, 40)
    child = torch.einsum("ab,lmbn->lman", mix, parent) + 100
    null = subspace_null(parent, child, 99)
    torch.testing.assert_close(null.observed.diagonal(), torch.ones(4).double())
    assert null.beyond.tolist() == torch.eye(4).bool().tolist()
    assert float(null.null.mean()) == pytest.approx(3 / 39, abs=0.005)
    unrelated = subspace_null(parent, normal(4, 2, 3, 40, seed=5), 99)
    assert not unrelated.beyond.any() and unrelated.p_value > 0.05
    # One component: the squared correlation of differences.
    one = subspace_null(parent[:, :, :1], child[:, :, :1], 19)
    torch.testing.assert_close(one.observed, score_correlation(parent[:, :, 0], child[:, :, 0]).square())


def test_p_value_counts_draws():
    null = torch.arange(1, 20).double().reshape(19, 1, 1) / 20
    found = MatrixNull(torch.tensor([[0.7]]).double(), null, 0.05)
    assert found.search_threshold == pytest.approx(0.95) and float(found.entry_threshold) == pytest.approx(0.95)
    assert found.p_value == pytest.approx((1 + 6) / 20)  # .70 to .95


def test_refusals():
    parent, child = normal(2, 2, 10), normal(2, 2, 10, seed=1)
    with pytest.raises(ShapeError, match="the parent has 10 pairs and the child 9"):
        score_correlation(parent, child[..., :9])
    with pytest.raises(ShapeError, match="at least 4 pairs, got 3"):
        score_correlation(parent[..., :3], child[..., :3])
    with pytest.raises(ConfigError, match="18 permutations cannot give a threshold at level 0.05; use at least 19"):
        score_null(parent, child, n_permutations=18)
    with pytest.raises(ShapeError, match="scores of 3 components and the child of 2"):
        subspace_null(normal(2, 2, 3, 10), normal(2, 2, 2, 10))
    with pytest.raises(ShapeError, match="the overlap of spans of 3 components' scores needs at least 5 pairs, got 4"):
        subspace_null(normal(2, 2, 3, 4), normal(2, 2, 3, 4))
    with unchecked():
        with pytest.raises(ShapeError, match="must hold positive and negative members along axis 1"):
            score_correlation(parent[:, :1], child)
        with pytest.raises(ConfigError, match="view 'x' is not one of differences, within-class, all-members"):
            score_correlation(parent, child, "x")
