"""The text of a row that grows token by token, without decoding all of it again each time."""

from collections.abc import Sequence
from typing import Any

_EVERY = 8
"""Tokens after which a part of the text is final."""
_HALF_A_CHARACTER = "\ufffd"


class GrowingText:
    """Equal to decoding all tokens, at the cost of the last few.

    What a token adds can depend on the one before it (a tokenizer may drop the space at the beginning), so the newest
    tokens are decoded together with some whose text is known.
    """

    def __init__(self) -> None:
        self._text = ""  # of the first `_known` tokens
        self._start = self._known = 0
        self._overlap = ""  # of the tokens from `_start` to `_known`

    def read(self, tokenizer: Any, token_ids: Sequence[int]) -> str:
        """The text of these tokens, which begin with those of the last call; special tokens left out."""
        newest = _decoded(tokenizer, token_ids[self._start :])
        if not newest.startswith(self._overlap):
            return _decoded(tokenizer, token_ids)
        text = self._text + newest[len(self._overlap) :]
        if len(token_ids) >= self._known + _EVERY and not newest.endswith(_HALF_A_CHARACTER):
            overlap = _decoded(tokenizer, token_ids[self._known :])
            if overlap:  # special tokens alone say nothing of what stands before the next word
                self._text, self._overlap = text, overlap
                self._start, self._known = self._known, len(token_ids)
        return text


def _decoded(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """As `tokenizer.decode`, which takes three times as long to look at the ids."""
    if tokenizer.is_fast and not tokenizer.clean_up_tokenization_spaces:
        return tokenizer.backend_tokenizer.decode(token_ids, skip_special_tokens=True)
    return tokenizer.decode(token_ids, skip_special_tokens=True)
