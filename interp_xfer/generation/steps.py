"""The three kinds of forward pass of a sweep, each an attention over a shared prefix and a row's own tokens.

- `PrefixStep`: the prefix alone; keeps its keys and values.
- `PromptStep`: the rest of the prompt of new rows, padded on the right; writes their slots of the cache.
- `DecodeStep`: the newest token of every active row, and draft tokens that are to be verified.

A step stands where transformers expects the key/value cache. The stock attention modules call `update`, which hands the
new keys and values back, and then `shared_prefix_attention`, which asks the current step to attend.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.generation.attention import AttentionSpec, PartialAttention, merge, partial_attention
from interp_xfer.generation.memory import head_size
from interp_xfer.generation.prefixes import PrefixKV, SharedPrefixes
from interp_xfer.models import LoadedModel

IMPLEMENTATION = "interp_xfer_shared_prefix"

current_step: ContextVar["Step"] = ContextVar("current_step")


class SlotCache:
    """Preallocated keys and values of the rows' own tokens, per layer (slots, kv, width, d_head).

    Arguments:
        model: whose layers write here.
        slots: rows.
        width: own tokens of a row.
        one_layer: all layers write to one place, for passes after which nothing is decoded.
    """

    def __init__(self, model: LoadedModel, slots: int, width: int, *, one_layer: bool = False) -> None:
        parameter = next(model.hf.parameters())
        shape = (slots, model.hf.config.num_key_value_heads, width, head_size(model))
        n, repeats = (1, model.n_layers) if one_layer else (model.n_layers, 1)
        # Zeros, not garbage: masked columns have weight 0, and 0 times a garbage NaN would be NaN.
        self._data = torch.zeros((n, 2, *shape), dtype=parameter.dtype, device=parameter.device)
        self.slots, self.width = slots, width
        self.keys, self.values = (
            [layer[part] for layer in self._data] * repeats for part in (0, 1)
        )  # fmt: skip

    def clear(self, slot: int, start: int = 0) -> None:
        """Zero a row from a token on that may be NaN, which later readers would mask but not erase."""
        self._data[:, :, slot, :, start:] = 0

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row over another."""
        self._data[:, :, target, :, :length] = self._data[:, :, source, :, :length]


@dataclass(frozen=True)
class PackedTokens:
    """The tokens of a decode step, those of a cache row one after another."""

    rows: int
    most: int
    """Tokens of a row."""
    width: int
    """Own tokens of the longest row, these included."""
    lengths: Int[Tensor, " rows"]
    """Own tokens of each row in the cache so far."""
    slots: Int[Tensor, " tokens"]
    """Row of each token."""
    ranks: Int[Tensor, " tokens"]
    """Of a token among those of its row."""
    positions: Int[Tensor, " tokens"]
    """Of a token among the own ones of its row."""

    @classmethod
    def of(cls, lengths: Sequence[int], counts: Sequence[int], device: torch.device) -> "PackedTokens":
        """So many tokens for each row."""
        before, count = torch.tensor(lengths), torch.tensor(counts)
        slots = torch.repeat_interleave(torch.arange(len(count)), count)
        ranks = torch.arange(len(slots)) - (count.cumsum(0) - count)[slots]
        on_device = (t.to(device) for t in (before, slots, ranks, before[slots] + ranks))
        return cls(len(counts), max(counts), int((before + count).max()), *on_device)

    @classmethod
    def one_each(cls, lengths: Int[Tensor, " rows"], width: int) -> "PackedTokens":
        """One token for each row, whose lengths may change later, up to a width."""
        slots = torch.arange(len(lengths), device=lengths.device)
        return cls(len(lengths), 1, width, lengths, slots, torch.zeros_like(slots), lengths)


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
    """Prefixes of one length alone.

    Arguments:
        model: whose layers run, some of the lowest perhaps not.
        length: of the prefixes.
        rows: prefixes; `kept` has one entry for each.
    """

    def __init__(self, model: LoadedModel, length: int, rows: int = 1) -> None:
        self.kept = [PrefixKV(length) for _ in range(rows)]
        self._n_layers = model.n_layers
        self._first: int | None = None
        self._data: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        """Causal attention; keys and values are kept."""
        if self._first is None:
            # One tensor for all layers of a prefix: many small ones that stay leave holes in the memory of a pass.
            self._first = layer
            self._data = [key.new_empty(self._n_layers - layer, 2, *key.shape[1:]) for _ in self.kept]
        for index, (kept, data) in enumerate(zip(self.kept, self._data, strict=True)):
            place = data[layer - self._first]
            place[0], place[1] = key[index], value[index]
            kept.keys.append(place[0])
            kept.values.append(place[1])
        length = query.shape[2]
        if spec.softcap is None and (spec.window is None or length <= spec.window):
            return F.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=spec.scaling, enable_gqa=query.shape[1] != key.shape[1]
            )
        folded = _fold_heads(query, key.shape[1])
        visible = _causal(length, spec.window, query.device)
        part = partial_attention(folded, key, value, spec, _for_heads(visible[None], query.shape[1] // key.shape[1]))
        return _unfold_heads(part.output / part.total, query)


class PromptStep(Step):
    """The rest of the prompt of new rows, which take the slots from `first_slot` on.

    Arguments:
        cache: where their keys and values go.
        first_slot: of the first row.
        prefixes: of each row; None: there are none.
        past_length: of the prefix.
    """

    def __init__(self, cache: SlotCache, first_slot: int, prefixes: SharedPrefixes | None, past_length: int) -> None:
        self._cache, self._first = cache, first_slot
        self._prefixes = prefixes
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
        if self._prefixes is None:
            return _unfold_heads(own.output / own.total, query)
        positions = self.past_length + torch.arange(pos, device=query.device).repeat(group)
        prefix = self._prefixes.attend(layer, folded, spec, positions.expand(batch, -1), self.past_length + pos - 1)
        return _unfold_heads(merge(prefix, own), query)


class DecodeStep(Step):
    """The next token of each of the first rows of a cache, or the next few where drafts are verified.

    Tokens are packed: each is a row of the pass with one position, those of a cache row one after another.

    Arguments:
        cache: of the rows.
        own: the tokens.
        prefixes: of each token; None: there are none.
        past_length: of the prefix.
    """

    def __init__(self, cache: SlotCache, own: PackedTokens, prefixes: SharedPrefixes | None, past_length: int) -> None:
        self._cache, self._own_tokens, self._prefixes = cache, own, prefixes
        self._prefix_length = past_length
        self.past_length = past_length + own.width - 1
        self._visible: dict[tuple[int | None, int], Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        """Attention over the prefix and the row's own tokens so far."""
        own_tokens = self._own_tokens
        heads, n_kv = query.shape[1], key.shape[1]
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        keys[own_tokens.slots, :, own_tokens.positions] = key[:, :, 0]
        values[own_tokens.slots, :, own_tokens.positions] = value[:, :, 0]
        group = heads // n_kv
        folded = _fold_heads(query, n_kv)
        seen = (slice(own_tokens.rows), slice(None), slice(own_tokens.width))
        own = self._own(folded, keys[seen], values[seen], spec)
        if self._prefixes is None:
            return _unfold_heads(own.output / own.total, query)
        positions = (self._prefix_length + own_tokens.positions)[:, None].expand(-1, group)
        prefix = self._prefixes.attend(layer, folded, spec, positions, self.past_length)
        return _unfold_heads(merge(prefix, own), query)

    def _own(self, query: Tensor, keys: Tensor, values: Tensor, spec: AttentionSpec) -> PartialAttention:
        """(tokens, kv, group, d_head) -> attention over the tokens of the same row."""
        tokens = self._own_tokens
        _, kv, group, d_head = query.shape
        visible = self._own_visible(spec.window, group)
        if tokens.most == 1:
            return partial_attention(query, keys, values, spec, visible)
        padded = query.new_zeros(tokens.rows, tokens.most, kv, group, d_head)
        padded[tokens.slots, tokens.ranks] = query
        side_by_side = padded.transpose(1, 2).reshape(tokens.rows, kv, tokens.most * group, d_head)
        part = partial_attention(side_by_side, keys, values, spec, visible)
        return PartialAttention(
            *(t.view(tokens.rows, kv, tokens.most, group, -1)[tokens.slots, :, tokens.ranks] for t in part)
        )

    def _own_visible(self, window: int | None, group: int) -> Tensor:
        """(rows, 1, tokens of a row * group or 1, keys)."""
        if (window, group) not in self._visible:
            tokens = self._own_tokens
            device = tokens.lengths.device
            last = tokens.lengths[:, None] + torch.arange(tokens.most, device=device)
            distance = last[:, :, None] - torch.arange(tokens.width, device=device)  # negative: not written yet
            visible = distance >= 0
            if window is not None:
                visible &= distance < window
            if tokens.most > 1:
                visible = visible.repeat_interleave(group, dim=1)
            self._visible[window, group] = visible[:, None]
        return self._visible[window, group]


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


def run_step(
    model: LoadedModel, step: Step, input_ids: Int[Tensor, "batch pos"], position_ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d_model"]:
    """One pass through the blocks of a model with our attention in place, to the stream after the final norm."""
    token = current_step.set(step)
    try:
        return model.hf.base_model(
            input_ids=input_ids, position_ids=position_ids, past_key_values=step, use_cache=True
        ).last_hidden_state
    finally:
        current_step.reset(token)


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
