"""Keys and values of prefixes, and which rows of a forward pass share one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_xfer.generation.attention import (
    AttentionSpec,
    PartialAttention,
    RowGroups,
    prefix_attention,
    stacked_prefix_attention,
)


class PrefixKV:
    """Keys and values of a prefix, per layer (kv, prefix, d_head)."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    @property
    def n_bytes(self) -> int:
        """Size of all layers."""
        return sum(t.nbytes for t in (*self.keys, *self.values))


class SharedPrefixes:
    """The prefixes of the rows of a forward pass, all of one length.

    On a CPU, attention is one matrix product per prefix. Elsewhere launching one takes longer than computing it:
    there the prefixes are stacked and all rows are one batched product.

    Arguments:
        of_rows: the prefix of each row; rows that share one hold the same object.
        before: of an earlier pass, whose stack is used again if it holds these prefixes.
        stack: whether to stack them; default: unless on a CPU.
    """

    def __init__(
        self, of_rows: Sequence[PrefixKV], before: "SharedPrefixes | None" = None, *, stack: bool | None = None
    ) -> None:
        kept = list({id(prefix): prefix for prefix in of_rows}.values())
        device = kept[0].keys[0].device
        self._stack: dict[int, tuple[Tensor, Tensor]] | None = None
        if device.type != "cpu" if stack is None else stack:
            known = [] if before is None else before._kept
            if before is not None and {id(prefix) for prefix in kept} <= {id(prefix) for prefix in known}:
                kept, self._stack = known, before._stack
            else:
                self._stack = {}
        self._kept = kept
        numbers = {id(prefix): number for number, prefix in enumerate(kept)}
        groups = [numbers[id(prefix)] for prefix in of_rows]
        self._groups = RowGroups.of(groups, len(kept), device, padded=self._stack is not None)

    def attend(
        self, layer: int, query: Tensor, spec: AttentionSpec, positions: Tensor, last_position: int
    ) -> PartialAttention:
        """(batch, kv, queries, d_head) -> attention of every row over its prefix; see `prefix_attention`."""
        if self._stack is None:
            keys = [prefix.keys[layer] for prefix in self._kept]
            values = [prefix.values[layer] for prefix in self._kept]
            return prefix_attention(query, self._groups, keys, values, spec, positions, last_position)
        if layer not in self._stack:
            self._stack[layer] = (
                _stacked([prefix.keys[layer] for prefix in self._kept]),
                _stacked([prefix.values[layer] for prefix in self._kept]),
            )
        return stacked_prefix_attention(query, self._groups, *self._stack[layer], spec, positions, last_position)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))
