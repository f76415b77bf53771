"""Pairing the tokens of one text under two tokenizers by the characters they end at.

A causal model knows a text up to the end of the current token, so two positions are comparable when their tokens end at
the same character. Special tokens cover no characters and pair with nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple


class TokenPair(NamedTuple):
    """Two positions of one text that end at the same character."""

    parent: int
    child: int


Offsets = Sequence[tuple[int, int]]
"""(start, end) of each token in characters, as fast tokenizers return them."""


def paired_positions(parent_offsets: Offsets, child_offsets: Offsets) -> list[TokenPair]:
    """Positions whose tokens end at the same character, in reading order.

    Where several tokens of one tokenizer end at one character (bytes of a rare symbol), the last is taken: only then is
    the character complete.
    """
    parent_ends = {end: position for position, (start, end) in enumerate(parent_offsets) if end > start}
    child_ends = {end: position for position, (start, end) in enumerate(child_offsets) if end > start}
    return [TokenPair(parent_ends[end], child_ends[end]) for end in sorted(parent_ends.keys() & child_ends.keys())]
