"""Sampled decoding in which a row draws the same numbers in any batch."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.errors import ConfigError
from interp_xfer.generation.records import RowKey
from interp_xfer.streams import word_stream

_AT_ONCE = 2**21
"""Logits whose distribution is in memory at once: in float64 and several times."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Greedy decoding is None in its place."""

    temperature: float = 1.0
    top_p: float = 1.0
    """Only the smallest set of tokens with at least this probability can be drawn (arXiv 1904.09751)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(
                f"temperature {self.temperature} must be above 0; for greedy decoding leave sampling out."
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p {self.top_p} must be above 0 and at most 1.")

    def stream(self, key: RowKey) -> random.Random:
        """The random numbers of one row: one for each token, whatever else is in the batch."""
        return word_stream(self.seed, "sampling", key.row)


def sample_tokens(
    logits: Float[Tensor, "rows vocab"], sampling: Sampling, streams: Sequence[random.Random]
) -> Int[Tensor, " rows"]:
    """One token of each row, by inversion of the cumulative distribution. Rows that are not finite draw token 0."""
    drawn = torch.tensor([stream.random() for stream in streams], dtype=torch.float64, device=logits.device)
    at_once = max(1, _AT_ONCE // logits.shape[1])
    pieces = zip(logits.split(at_once), drawn.split(at_once), strict=True)
    return torch.cat([_invert(part, sampling, numbers) for part, numbers in pieces])


def _invert(
    logits: Float[Tensor, "rows vocab"], sampling: Sampling, drawn: Float[Tensor, " rows"]
) -> Int[Tensor, " rows"]:
    probabilities = torch.softmax(logits.nan_to_num(nan=0.0).double() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(dim=-1) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(1, index, ordered.masked_fill(outside, 0.0))
    cumulative = probabilities.cumsum(dim=-1)
    # right=True: a token of probability 0 is never drawn.
    ids = torch.searchsorted(cumulative, drawn[:, None] * cumulative[:, -1:], right=True)[:, 0]
    last = (probabilities > 0).double().cumsum(dim=-1).argmax(dim=-1)  # of the tokens that can be drawn
    return torch.minimum(ids, last)
