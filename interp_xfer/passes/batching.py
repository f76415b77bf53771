"""Which rows go through a model together."""

from collections.abc import Iterator, Sequence


def filled_batches(
    lengths: Sequence[int], most: int, rows: Sequence[int] | None = None, *, by_length: bool = False
) -> Iterator[list[int]]:
    """Indices of items, each once, in batches that hold at most `most` positions, padding included.

    Arguments:
        lengths: of the longest row of each item.
        most: a batch of one item may exceed it.
        rows: of each item; None: one.
        by_length: short ones first, so that little is padded; else in the order given.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__) if by_length else range(len(lengths))
    batch: list[int] = []
    width = height = 0
    for index in order:
        width, height = max(width, lengths[index]), height + (1 if rows is None else rows[index])
        if batch and width * height > most:
            yield batch
            batch, width, height = [], lengths[index], 1 if rows is None else rows[index]
        batch.append(index)
    if batch:
        yield batch
