"""Prefixes stacked for one batched product, as accelerators have them, against one product each."""

import torch

from interp_xfer.generation.attention import AttentionSpec
from interp_xfer.generation.prefixes import PrefixKV, SharedPrefixes

LENGTH, KV, D_HEAD, QUERIES = 6, 2, 8, 3


def prefix(seed):
    generator = torch.Generator().manual_seed(seed)
    out = PrefixKV(LENGTH)
    for tensors in (out.keys, out.values):
        tensors += [torch.randn(KV, LENGTH, D_HEAD, generator=generator) for _ in range(2)]
    return out


def attend(shared, n_rows, layer=1):
    query = torch.randn(n_rows, KV, QUERIES, D_HEAD, generator=torch.Generator().manual_seed(9))
    positions = torch.full((n_rows, QUERIES), LENGTH)
    part = shared.attend(layer, query, AttentionSpec(0.3), positions, LENGTH)
    return part.output / part.total, part.maximum + part.total.log()


def assert_same(stacked, plain, n_rows):
    for a, b in zip(attend(stacked, n_rows), attend(plain, n_rows), strict=True):
        torch.testing.assert_close(a, b)


def test_a_stack_is_used_again_by_fewer_rows_of_fewer_prefixes():
    a, b, c = (prefix(seed) for seed in range(3))
    first = SharedPrefixes([b, a, c, a, b], stack=True)
    assert_same(first, SharedPrefixes([b, a, c, a, b]), 5)
    fewer = SharedPrefixes([c, b], first, stack=True, multiple=4)
    assert fewer.stack_key == (first.stack_key[0], 4)
    assert_same(fewer, SharedPrefixes([c, b]), 2)
    other = SharedPrefixes([c, prefix(4)], first, stack=True)
    assert other.stack_key[0] != first.stack_key[0]


def test_what_is_recorded_takes_other_rows_in():
    a, b = prefix(0), prefix(1)
    before = SharedPrefixes([a, b, a, b, b], stack=True, multiple=4)
    recorded = before.for_recording(rows=5)
    for rows in ([b, b, a], [a, b, a, b, b], [a]):
        recorded.take_rows(SharedPrefixes(rows, before, stack=True, multiple=4))
        found = [t[: len(rows)] for t in attend(recorded, 5)]
        plain = SharedPrefixes(rows)
        query = torch.randn(5, KV, QUERIES, D_HEAD, generator=torch.Generator().manual_seed(9))[: len(rows)]
        part = plain.attend(
            1, query, AttentionSpec(0.3), torch.full((len(rows), QUERIES), LENGTH), LENGTH
        )  # fmt: skip
        torch.testing.assert_close(found[0], part.output / part.total)
