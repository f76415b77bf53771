"""Readout: scikit-learn as oracle, coverage of the interval, what cancels, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from interp_xfer.errors import ShapeError
from interp_xfer.readout import difference_readout, member_readout, paired_auroc


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), seed=st.integers(0, 99), levels=st.sampled_from((1, 3, 100)))
def test_area_equals_scikit_learn_ties_included(n, seed, levels):
    positive, negative = ((normal(n, seed=s) * levels).round() / levels for s in (seed, seed + 1))
    labels, scores = [1] * n + [0] * n, torch.cat([positive, negative]).tolist()
    found = paired_auroc(positive, negative)
    assert found.estimate == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    flipped = paired_auroc(negative, positive)
    assert flipped == pytest.approx((1 - found.estimate, 1 - found.high, 1 - found.low))


def test_perfect_separation_still_has_an_interval():
    found = paired_auroc(torch.ones(20), torch.zeros(20))
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 0.1611, abs=1e-3)  # Wilson, 20 of 20


@pytest.mark.parametrize(("shift", "shared"), [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0), (2.5, 0.0)])
def test_interval_covers_with_and_without_dependent_members(shift, shared):
    """300 draws of 40 pairs; nominal 95%, so that 90% or less has a probability below 1e-3."""
    truth = norm.cdf(shift / (2 + 2 * shared**2) ** 0.5)
    covered = 0
    for seed in range(300):
        draws = normal(3, 40, seed=seed)
        found = paired_auroc(draws[0] + shared * draws[2] + shift, draws[1] + shared * draws[2])
        covered += found.low <= truth <= found.high
    assert covered / 300 > 0.9


def test_differences_cancel_the_question_and_members_do_not():
    """A question effect along the direction hides the concept from members, not from differences."""
    question, direction = 5 * normal(60, 1), torch.tensor([1.0, 0.0])
    positive = torch.cat([question + 1, normal(60, 1, seed=1)], dim=1)
    negative = torch.cat([question, normal(60, 1, seed=2)], dim=1)
    members = member_readout(direction, positive, negative)
    differences = difference_readout(direction, positive - negative)
    assert members.auroc.estimate < 0.65
    assert differences.auroc.estimate == 1.0
    assert members.pair_accuracy == differences.pair_accuracy
    assert differences.n_pairs == 60


def test_length_does_not_matter_and_sign_does():
    rows = normal(30, 4) + 0.3
    one, long, back = (difference_readout(k * torch.ones(4), rows) for k in (1.0, 99.0, -1.0))
    assert one.auroc == pytest.approx(long.auroc)
    assert back.auroc.estimate == pytest.approx(1 - one.auroc.estimate)
    assert one.auroc.estimate > 0.5


REFUSALS = [
    ("zero", lambda: difference_readout(torch.zeros(3), normal(5, 3)), "direction has length 0 and reads nothing"),
    ("few", lambda: difference_readout(torch.ones(3), normal(1, 3)), "at least 2 pairs, got 1"),
    (
        "unpaired",
        lambda: member_readout(torch.ones(3), normal(5, 3), normal(6, 3)),
        "5 members and the negative side 6",
    ),
    ("NaN", lambda: difference_readout(torch.ones(3), normal(5, 3) * float("nan")), "activations .* 15 NaN"),
]


@pytest.mark.parametrize(("call", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(call, message):
    with pytest.raises(ShapeError, match=message):
        call()
