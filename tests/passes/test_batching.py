"""Batches of rows: each item once, in order, as full as the limit allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.passes.batching import filled_batches

ITEMS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 4)), max_size=20)


@given(items=ITEMS, most=st.integers(1, 80), by_length=st.booleans())
def test_batches_are_in_order_within_the_limit_and_no_fuller_ones_exist(items, most, by_length):
    lengths, rows = [length for length, _ in items], [n for _, n in items]

    def size(batch):
        return max(lengths[i] for i in batch) * sum(rows[i] for i in batch)

    found = list(filled_batches(lengths, most, rows, by_length=by_length))
    flat = [index for batch in found for index in batch]
    assert sorted(flat) == list(range(len(items)))
    assert flat == (sorted(flat, key=lambda index: (lengths[index], index)) if by_length else sorted(flat))
    for batch, following in zip(found, [*found, None][1:], strict=True):
        assert len(batch) == 1 or size(batch) <= most
        assert following is None or size([*batch, following[0]]) > most


@pytest.mark.parametrize(
    ("lengths", "by_length", "batches"),
    [
        ([], False, []),
        ([9], False, [[0]]),
        ([2, 2, 4, 1], False, [[0, 1], [2], [3]]),
        ([2, 2, 4, 1], True, [[3, 0], [1], [2]]),
    ],
)
def test_batches_of_at_most_four_positions(lengths, by_length, batches):
    assert list(filled_batches(lengths, 4, by_length=by_length)) == batches
