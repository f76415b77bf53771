"""Sampled decoding against the distribution it should follow."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from interp_xfer.errors import ConfigError
from interp_xfer.generation import Sampling
from interp_xfer.generation.sampling import sample_tokens

LOGITS = torch.tensor([2.0, -1.0, 0.5, float("-inf"), 1.0])


def draw(logits, sampling, n=4000, seed=0):
    stream = random.Random(seed)
    return sample_tokens(logits.expand(n, -1), sampling, [stream] * n)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_those_of_the_softmax(temperature):
    counts = torch.bincount(draw(LOGITS, Sampling(temperature)), minlength=5)
    expected = torch.softmax(LOGITS.double() / temperature, 0) * 4000
    assert counts[3] == 0
    possible = expected > 0
    assert chisquare(counts[possible].numpy(), expected[possible].numpy()).pvalue > 0.001


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    """Probabilities .5, .3, .2: .5 keeps one token, .51 two, in proportion 5 : 3."""
    logits = torch.tensor([0.2, 0.5, 0.3]).log()
    assert set(draw(logits, Sampling(top_p=0.5)).tolist()) == {1}
    counts = torch.bincount(draw(logits, Sampling(top_p=0.51)), minlength=3)
    assert counts[0] == 0
    assert chisquare(counts[1:].numpy(), [2500, 1500]).pvalue > 0.001


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8), st.floats(0.05, 1), st.integers(0, 99))
def test_a_drawn_token_can_be_drawn(logits, top_p, seed):
    values = torch.tensor([*logits, float("-inf")])
    ids = draw(values, Sampling(top_p=top_p), 20, seed)
    assert ids.max() < len(logits)
    # The most likely token is always in the set.
    likeliest = draw(values, Sampling(top_p=1e-9), 3, seed)
    # Logits that differ by less than rounding are equally likely.
    assert bool((values[likeliest] > values.max() - 1e-6).all())


def test_pieces_of_a_batch_draw_what_the_whole_does(monkeypatch):
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    whole = sample_tokens(logits, Sampling(top_p=0.9), [random.Random(i) for i in range(20)])
    monkeypatch.setattr("interp_xfer.generation.sampling._AT_ONCE", 15)
    assert torch.equal(sample_tokens(logits, Sampling(top_p=0.9), [random.Random(i) for i in range(20)]), whole)
    assert len(whole.unique()) > 1


def test_rows_that_are_not_finite_do_not_break_the_others():
    logits = torch.stack([LOGITS, torch.full((5,), float("nan"))])
    ids = sample_tokens(logits, Sampling(1e-4), [random.Random(0), random.Random(1)])
    assert ids[0] == 0


@pytest.mark.parametrize(("bad", "message"), [
    ({"temperature": 0.0}, "temperature 0.0 must be above 0"), ({"temperature": float("nan")}, "temperature nan"),
    ({"top_p": 0.0}, "top_p 0.0"), ({"top_p": 1.1}, "top_p 1.1"),
])  # fmt: skip
def test_bad_settings(bad, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**bad)
