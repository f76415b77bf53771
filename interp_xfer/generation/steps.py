"""The three kinds of forward pass of a sweep, each an attention over a shared prefix and a row's own tokens.

- `PrefixStep`: the prefix alone; keeps its keys and values.
- `PromptStep`: the rest of the prompt of new rows, padded on the right; writes their slots of the cache.
- `DecodeStep`: one token for every active row.

A step stands where transformers expects the key/value cache. The stock attention modules call `update`, which hands the
new keys and values back, and then `shared_prefix_attention`, which asks the current step to attend.
"""

from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.generation.attention import (
    AttentionSpec,
    PrefixSegment,
    merge,
    partial_attention,
    prefix_attention,
)

IMPLEMENTATION = "interp_xfer_shared_prefix"

current_step: ContextVar["Step"] = ContextVar("current_step")


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


class SlotCache:
    """Preallocated keys and values of the rows' own tokens, per layer (slots, kv, width, d_head)."""

    def __init__(
        self, n_layers: int, slots: int, n_kv: int, width: int, d_head: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (slots, n_kv, width, d_head)
        # Zeros, not garbage: masked columns have weight 0, and 0 times a garbage NaN would be NaN.
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(n_layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(n_layers)]

    def clear(self, slot: int) -> None:
        """Zero one row that may hold NaN, which the row that takes its place would mask but not erase."""
        for tensor in (*self.keys, *self.values):
            tensor[slot] = 0

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row over another."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]


class Step:
    """Base of the three passes; stands in for a transformers cache."""

    past_length: int = 0

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by attention modules; new keys and values go on unchanged."""
        return key, value

    def get_seq_length(self, layer: int = 0) -> int:
        """Tokens before this pass, as transformers asks."""
        return self.past_length

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        """(batch, heads, pos, d_head) queries, (batch, kv, pos, d_head) new keys and values -> outputs like queries."""
        raise NotImplementedError


class PrefixStep(Step):
    """A prefix alone, batch of one."""

    def __init__(self, length: int) -> None:
        self.kept = PrefixKV(length)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        """Causal attention; keys and values are kept."""
        self.kept.keys.append(key[0].clone())
        self.kept.values.append(value[0].clone())
        length = self.kept.length
        if spec.softcap is None and (spec.window is None or length <= spec.window):
            return F.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=spec.scaling, enable_gqa=query.shape[1] != key.shape[1]
            )
        folded = _fold_heads(query, key.shape[1])
        visible = _causal(length, spec.window, query.device)
        part = partial_attention(folded, key, value, spec, _for_heads(visible[None], query.shape[1] // key.shape[1]))
        return _unfold_heads(part.output / part.total, query)


class PromptStep(Step):
    """The rest of the prompt of new rows, which take the slots from `first_slot` on."""

    def __init__(
        self, cache: SlotCache, first_slot: int, segments: list[list[PrefixSegment]], past_length: int
    ) -> None:
        self._cache, self._first = cache, first_slot
        self._segments = segments
        self.past_length = past_length

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        """Attention over the prefix and, causally, over the new tokens; padding on the right is never seen."""
        batch, heads, pos, _ = query.shape
        n_kv = key.shape[1]
        slots = slice(self._first, self._first + batch)
        self._cache.keys[layer][slots, :, :pos] = key
        self._cache.values[layer][slots, :, :pos] = value
        group = heads // n_kv
        folded = _fold_heads(query, n_kv)
        visible = _for_heads(_causal(pos, spec.window, query.device)[None], group)
        own = partial_attention(folded, key, value, spec, visible)
        if not self._segments:
            return _unfold_heads(own.output / own.total, query)
        positions = self.past_length + torch.arange(pos, device=query.device).repeat(group)
        prefix = prefix_attention(folded, self._segments[layer], spec, positions.expand(batch, -1))
        return _unfold_heads(merge(prefix, own), query)


class DecodeStep(Step):
    """One token for each of the first `len(lengths)` slots."""

    def __init__(
        self,
        cache: SlotCache,
        lengths: Int[Tensor, " rows"],
        longest: int,
        segments: list[list[PrefixSegment]],
        past_length: int,
    ) -> None:
        self._cache, self._lengths, self._longest = cache, lengths, longest
        self._segments = segments
        self._prefix_length = past_length
        self.past_length = past_length + longest
        self._rows = torch.arange(len(lengths), device=lengths.device)
        columns = torch.arange(longest + 1, device=lengths.device)
        self._distance = lengths[:, None] - columns  # of each own key from the query; negative: not written yet
        self._visible: dict[int | None, Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        """Attention over the prefix and the row's own tokens so far."""
        batch, heads, _, _ = query.shape
        n_kv = key.shape[1]
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        keys[self._rows, :, self._lengths] = key[:, :, 0]
        values[self._rows, :, self._lengths] = value[:, :, 0]
        group = heads // n_kv
        folded = _fold_heads(query, n_kv)
        width = self._longest + 1
        own = partial_attention(
            folded, keys[:batch, :, :width], values[:batch, :, :width], spec, self._own(spec.window)
        )
        if not self._segments:
            return _unfold_heads(own.output / own.total, query)
        positions = (self._prefix_length + self._lengths)[:, None].expand(-1, group)
        prefix = prefix_attention(folded, self._segments[layer], spec, positions)
        return _unfold_heads(merge(prefix, own), query)

    def _own(self, window: int | None) -> Tensor:
        if window not in self._visible:
            visible = self._distance >= 0
            if window is not None:
                visible &= self._distance < window
            self._visible[window] = visible[:, None, None]  # (rows, 1, 1, keys)
        return self._visible[window]


def shared_prefix_attention(
    module: Any,
    query: Float[Tensor, "batch heads pos d_head"],
    key: Float[Tensor, "batch kv pos d_head"],
    value: Float[Tensor, "batch kv pos d_head"],
    attention_mask: Any,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "batch pos heads d_head"], None]:
    """The attention function registered with transformers; the mask is the current step's business."""
    spec = AttentionSpec(scaling, sliding_window, softcap)
    output = current_step.get().attend(module.layer_idx, query, key, value, spec)
    return output.to(query.dtype).transpose(1, 2).contiguous(), None


def register() -> None:
    """Make `shared_prefix_attention` known to transformers."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if IMPLEMENTATION not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, shared_prefix_attention)


def _fold_heads(query: Tensor, n_kv: int) -> Tensor:
    """(batch, heads, pos, d) -> (batch, kv, heads/kv * pos, d): all queries of a key/value group side by side."""
    batch, heads, pos, d_head = query.shape
    return query.reshape(batch, n_kv, heads // n_kv * pos, d_head)


def _unfold_heads(output: Tensor, query: Tensor) -> Tensor:
    """Inverse of `_fold_heads`, to the shape of `query`."""
    return output.reshape(query.shape)


def _causal(length: int, window: int | None, device: torch.device) -> Tensor:
    """(queries, keys): True where a key is visible."""
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)


def _for_heads(visible: Tensor, group: int) -> Tensor:
    """(batch, queries, keys) -> (batch, 1, group * queries, keys), the order of `_fold_heads`."""
    return visible.repeat(1, group, 1)[:, None]
