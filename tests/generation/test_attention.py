"""Attention in two parts, merged, against one softmax over all keys."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.generation.attention import (
    AttentionSpec,
    RowGroups,
    merge,
    partial_attention,
    prefix_attention,
    stacked_prefix_attention,
)

SPECS = [(None, None), (3, None), (None, 0.7), (4, 0.7)]


def plain(query, key, value, scaling, softcap, visible):
    """One softmax in float64; every query sees at least one key."""
    scores = (query.double() @ key.double().mT) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    return scores.masked_fill(~visible, float("-inf")).softmax(dim=-1) @ value.double()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows_of=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    prefix=st.integers(1, 9),
    own=st.integers(1, 6),
    spec=st.sampled_from(SPECS),
    size=st.sampled_from([1.0, 60.0]),
    seed=st.integers(0, 999),
)
def test_two_parts_equal_one_softmax(rows_of, prefix, own, spec, size, seed):
    """Rows of several prefixes in one batch, interleaved; grouped heads; window and soft cap; large logits too."""
    window, softcap = spec
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    batch, kv, group, d_head = sum(rows_of), 2, 2, 4
    query = normal(batch, kv, group * own, d_head) * size
    key, value = normal(batch, kv, own, d_head), normal(batch, kv, own, d_head)
    shuffled = torch.randperm(batch, generator=generator)
    of_row, keys, values, start = [0] * batch, [], [], 0
    prefix_keys, prefix_values = torch.empty(batch, kv, prefix, d_head), torch.empty(batch, kv, prefix, d_head)
    for number, count in enumerate(rows_of):
        rows = shuffled[start : start + count]
        start += count
        keys.append(normal(kv, prefix, d_head))
        values.append(normal(kv, prefix, d_head))
        prefix_keys[rows], prefix_values[rows] = keys[-1], values[-1]
        for row in rows.tolist():
            of_row[row] = number
    positions = (prefix + torch.arange(own)).repeat(group).expand(batch, -1)
    distance = positions[0][:, None] - torch.arange(prefix + own)
    visible = (distance >= 0) & (distance < (window or 99))
    settings_ = AttentionSpec(0.3, window, softcap)
    last = prefix + own - 1
    groups = RowGroups.of(of_row, len(keys), query.device)
    padded = RowGroups.of(of_row, len(keys), query.device, multiple=2)
    first = prefix_attention(query, groups, keys, values, settings_, positions, last)
    stacked = stacked_prefix_attention(
        query, padded, torch.stack(keys), torch.stack(values), settings_, positions, last
    )  # fmt: skip
    second = partial_attention(query, key, value, settings_, visible[:, prefix:].expand(batch, 1, -1, -1))
    expected = plain(
        query, torch.cat([prefix_keys, key], 2), torch.cat([prefix_values, value], 2), 0.3, softcap, visible
    )
    torch.testing.assert_close(merge(first, second).double(), expected, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(merge(stacked, second).double(), expected, atol=2e-5, rtol=2e-5)


def test_a_query_that_sees_no_key_of_a_part_ignores_it():
    """A sliding window may end inside the row's own tokens; the unseen prefix must add neither weight nor NaN."""
    query, key, value = (torch.randn(1, 1, 2, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    nothing = partial_attention(query, key * 50, value, AttentionSpec(1.0), torch.zeros(1, 1, 2, 2, dtype=torch.bool))
    own = partial_attention(query, key, value, AttentionSpec(1.0), None)
    assert nothing.total.isfinite().all()
    torch.testing.assert_close(merge(nothing, own), own.output / own.total)
    torch.testing.assert_close(merge(own, nothing), own.output / own.total)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_inputs_are_summed_in_float32(dtype):
    query, key, value = (
        torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(i)).to(dtype) for i in range(3)
    )
    part = partial_attention(query, key, value, AttentionSpec(0.5), None)
    assert part.output.dtype == part.total.dtype == torch.float32
    expected = plain(query, key, value, 0.5, None, torch.ones(3, 3).bool())
    torch.testing.assert_close((part.output / part.total).double(), expected, atol=2e-2, rtol=2e-2)
