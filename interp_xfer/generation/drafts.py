"""Drafts for a row of a sweep: what the neighbouring strength wrote.

Greedy texts of one prompt at neighbouring strengths resemble each other. A forward pass verifies several draft tokens
at once; those that agree with what the model writes are kept, and the text is the same as without drafts, up to ties
within rounding. Worth it where a pass over more tokens takes little longer (`memory.PassLimits.decode_tokens`): in
small batches.
"""

from collections.abc import Sequence

_MATCH = 3
"""A draft is read on from where the last tokens of a text last occurred in it."""
_MOST = 32
"""Draft tokens of a row in one pass."""
_ANCHOR_EVERY = 3


class Draft:
    """A finished text, ready to be read on from any place.

    Arguments:
        token_ids: the text.
        strength: at which it was written.
    """

    def __init__(self, token_ids: Sequence[int], strength: float) -> None:
        self.token_ids, self.strength = tuple(token_ids), strength
        self._places = {self.token_ids[i - _MATCH : i]: i for i in range(_MATCH, len(self.token_ids))}

    def after(self, text: Sequence[int], most: int) -> tuple[int, ...]:
        """Up to `most` tokens that may follow `text`; none where the draft holds nothing like its end."""
        if len(text) < _MATCH:
            begins_alike = tuple(text) == self.token_ids[: len(text)]
            start = len(text) if begins_alike else len(self.token_ids)
        else:
            start = self._places.get(tuple(text[-_MATCH:]), len(self.token_ids))
        return self.token_ids[start : start + most]


class DraftBook:
    """Finished texts of every prompt."""

    def __init__(self) -> None:
        self._of_prompt: dict[int, list[Draft]] = {}

    def add(self, prompt_index: int, strength: float, token_ids: Sequence[int]) -> None:
        """A finished text."""
        self._of_prompt.setdefault(prompt_index, []).append(Draft(token_ids, strength))

    def nearest(self, prompt_index: int, strength: float) -> Draft | None:
        """The text of this prompt at the strength nearest to this one; None if none is finished."""
        drafts = self._of_prompt.get(prompt_index, ())
        return min(drafts, key=lambda draft: abs(draft.strength - strength), default=None)


def draft_room(rows: int, tokens: int) -> int:
    """Draft tokens of each row, in a decode step of so many tokens."""
    return max(0, min(_MOST, tokens // rows - 1))


def anchors_first(strengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of strengths in two parts: about every third, and the others, each beside one of the first."""
    last = len(strengths) - 1
    first = [k for i, k in enumerate(strengths) if i % _ANCHOR_EVERY == 1 or (i == last and i % _ANCHOR_EVERY == 0)]
    return first, [k for k in strengths if k not in first]
