"""Keys and values of prefixes, and which rows of a forward pass share one."""

from collections.abc import Sequence
from copy import copy

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
        multiple: rows of a prefix in the batched product are filled up to a multiple of this.
    """

    def __init__(
        self,
        of_rows: Sequence[PrefixKV],
        before: "SharedPrefixes | None" = None,
        *,
        stack: bool | None = None,
        multiple: int = 1,
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
        self._groups = RowGroups.of(groups, len(kept), device, multiple=0 if self._stack is None else multiple)

    @property
    def stack_key(self) -> tuple[int, int]:
        """Equal for passes that read the same stack in the same shape."""
        assert self._groups.padded is not None
        return id(self._stack), self._groups.padded.shape[1]

    def for_recording(self, rows: int) -> "SharedPrefixes":
        """The same stack, for any rows in the same shape, which `take_rows` puts in."""
        assert self._groups.padded is not None and self._groups.place is not None
        for layer in range(len(self._kept[0].keys)):
            self._stacked(layer)
        out = copy(self)
        out._groups = RowGroups(
            (), None, torch.zeros_like(self._groups.padded), self._groups.place.new_zeros(rows)
        )  # fmt: skip
        return out

    def take_rows(self, other: "SharedPrefixes") -> None:
        """Copy which of the first rows share which prefix."""
        mine, its = self._groups, other._groups
        assert mine.padded is not None and mine.place is not None and its.padded is not None and its.place is not None
        mine.padded.copy_(its.padded)
        mine.place[: len(its.place)] = its.place

    def attend(
        self, layer: int, query: Tensor, spec: AttentionSpec, positions: Tensor, last_position: int
    ) -> PartialAttention:
        """(batch, kv, queries, d_head) -> attention of every row over its prefix; see `prefix_attention`."""
        if self._stack is None:
            keys = [prefix.keys[layer] for prefix in self._kept]
            values = [prefix.values[layer] for prefix in self._kept]
            return prefix_attention(query, self._groups, keys, values, spec, positions, last_position)
        return stacked_prefix_attention(query, self._groups, *self._stacked(layer), spec, positions, last_position)

    def _stacked(self, layer: int) -> tuple[Tensor, Tensor]:
        assert self._stack is not None
        if layer not in self._stack:
            keys = [prefix.keys[layer] for prefix in self._kept]
            values = [prefix.values[layer] for prefix in self._kept]
            self._stack[layer] = _joined(keys), _joined(values)
        return self._stack[layer]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))
