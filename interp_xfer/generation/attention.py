"""Attention of many rows over a prefix they share and over their own tokens, without copying the prefix.

For each row, softmax over [prefix keys, own keys] is computed in two parts and merged (as in flash decoding, arXiv
2205.14135): each part gives its unnormalised output o, the row maximum m and the row sum l, and

    out = (o_1 exp(m_1 - m) + o_2 exp(m_2 - m)) / (l_1 exp(m_1 - m) + l_2 exp(m_2 - m)),  m = max(m_1, m_2).

The prefix part is one matrix product for all rows of a prefix. Grouped keys and values, a sliding window and a soft cap
on the logits are covered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.generation.tiled_attention import tiled_attention

_CPU_SCORES = 2**18  # 1 MiB, which stays in its cache through the passes of a softmax
_GPU_SCORES = 2**28


@dataclass(frozen=True)
class AttentionSpec:
    """What an attention layer does to its logits."""

    scaling: float
    window: int | None = None
    """A query sees keys at most `window - 1` positions back; None: all."""
    softcap: float | None = None
    """Logits become softcap * tanh(logits / softcap)."""


class PartialAttention(NamedTuple):
    """Attention over some of the keys, not yet normalised."""

    output: Float[Tensor, "batch kv queries d_head"]
    maximum: Float[Tensor, "batch kv queries 1"]
    total: Float[Tensor, "batch kv queries 1"]


@dataclass(frozen=True)
class RowGroups:
    """Rows of a batch in groups that share something."""

    sizes: tuple[int, ...]
    """Rows of each group; may be 0."""
    order: Int[Tensor, " rows"] | None
    """The rows of the first group, of the second, ...; None: as they are, or `padded`."""
    padded: Int[Tensor, "groups largest"] | None = None
    """Rows of each group, filled up with row 0; None unless asked for."""
    place: Int[Tensor, " rows"] | None = None
    """Of each row in the flattened `padded`."""

    @classmethod
    def of(cls, groups: Sequence[int], n_groups: int, device: torch.device, *, multiple: int = 0) -> "RowGroups":
        """Rows by the number of their group, below `n_groups`; `padded` to a multiple of rows if that is not 0."""
        group = torch.tensor(groups)
        order = group.argsort(stable=True)
        sizes = group.bincount(minlength=n_groups)
        if multiple == 0:
            in_order = bool((order == torch.arange(len(groups))).all())
            return cls(tuple(sizes.tolist()), None if in_order else order.to(device))
        largest = -(-int(sizes.max()) // multiple) * multiple
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(groups)) - (sizes.cumsum(0) - sizes)[group[order]]
        place = group * largest + rank
        rows = torch.zeros(n_groups * largest, dtype=torch.long)
        rows[place] = torch.arange(len(groups))
        return cls(tuple(sizes.tolist()), None, rows.view(n_groups, largest).to(device), place.to(device))


def scores_at_once(device: torch.device) -> int:
    """Scores computed at once on a device."""
    return _CPU_SCORES if device.type == "cpu" else _GPU_SCORES


def partial_attention(
    query: Float[Tensor, "batch kv queries d_head"],
    key: Float[Tensor, "batch kv keys d_head"],
    value: Float[Tensor, "batch kv keys d_head"],
    spec: AttentionSpec,
    visible: Bool[Tensor, "#batch #kv #queries keys"] | None,
) -> PartialAttention:
    """Attention over one part of the keys.

    Arguments:
        query: queries of all heads of a key/value group side by side.
        key: keys of this part.
        value: values of this part.
        spec: scaling, soft cap (the window is in `visible`).
        visible: which keys each query sees; None: all. A query may see none.
    """
    batch, kv, queries, _ = query.shape
    n_scores = batch * kv * queries * key.shape[2]
    limit = scores_at_once(query.device)
    if spec.softcap is None and visible is None and queries > 1 and (flash := tiled_attention(query)):
        output, log_total = flash(query, key, value, spec.scaling)
        log_total = log_total.unsqueeze(-1).float()
        return PartialAttention(output.float(), log_total, torch.ones_like(log_total))
    if n_scores <= limit or batch * queries == 1:
        return _attend(query, key, value, spec, visible)
    # In pieces whose scores stay in the cache of the processor: rows first, then the queries of one row.
    dim = 0 if batch > 1 else 2
    size = max(1, query.shape[dim] * limit // n_scores)
    pieces = []
    for start in range(0, query.shape[dim], size):
        length = min(size, query.shape[dim] - start)
        k, v = (key, value) if dim == 2 else (key.narrow(0, start, length), value.narrow(0, start, length))
        seen = visible if visible is None or visible.shape[dim] == 1 else visible.narrow(dim, start, length)
        pieces.append(partial_attention(query.narrow(dim, start, length), k, v, spec, seen))
    return PartialAttention(*(torch.cat(parts, dim=dim) for parts in zip(*pieces, strict=True)))


def _attend(
    query: Float[Tensor, "batch kv queries d_head"],
    key: Float[Tensor, "batch kv keys d_head"],
    value: Float[Tensor, "batch kv keys d_head"],
    spec: AttentionSpec,
    visible: Bool[Tensor, "#batch #kv #queries keys"] | None,
) -> PartialAttention:
    scores = ((query * spec.scaling) @ key.mT).float()
    if spec.softcap is not None:
        scores = torch.tanh_(scores / spec.softcap).mul_(spec.softcap)
    if visible is not None:
        scores = scores.masked_fill_(~visible, float("-inf"))
    # A query that sees no key here gets weight exp(-inf) = 0 relative to the other part, not NaN.
    maximum = scores.amax(dim=-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min / 2)
    weights = scores.sub_(maximum).exp_()
    total = weights.sum(dim=-1, keepdim=True)
    return PartialAttention((weights.to(value.dtype) @ value).float(), maximum, total)


def merge(first: PartialAttention, second: PartialAttention) -> Float[Tensor, "batch kv queries d_head"]:
    """Attention over the keys of both parts."""
    maximum = torch.maximum(first.maximum, second.maximum)
    weight_1 = (first.maximum - maximum).exp_()
    weight_2 = (second.maximum - maximum).exp_()
    output = first.output * weight_1 + second.output * weight_2
    return output / (first.total * weight_1 + second.total * weight_2)


def prefix_attention(
    query: Float[Tensor, "batch kv queries d_head"],
    groups: RowGroups,
    keys: Sequence[Float[Tensor, "kv prefix d_head"]],
    values: Sequence[Float[Tensor, "kv prefix d_head"]],
    spec: AttentionSpec,
    positions: Int[Tensor, "batch queries"],
    last_position: int,
) -> PartialAttention:
    """Attention of every row over the prefix of its group: one matrix product per group.

    Arguments:
        query: as in `partial_attention`.
        groups: rows that share a prefix.
        keys: of each group.
        values: of each group.
        spec: scaling, window and soft cap.
        positions: absolute position of each query, prefix included.
        last_position: no query has a higher position.
    """
    batch, kv, queries, d_head = query.shape
    if groups.order is not None:
        query, positions = query[groups.order], positions[groups.order]
    # Rows of a group side by side: (kv, batch * queries, d_head).
    folded = query.transpose(0, 1).reshape(kv, batch * queries, d_head)
    parts = [
        partial_attention(part[None], k[None], v[None], spec, _in_window(where, k.shape[1], spec, last_position))
        for k, v, part, where in zip(
            keys,
            values,
            folded.split([size * queries for size in groups.sizes], dim=1),
            positions.split(groups.sizes),
            strict=True,
        )
    ]
    joined = parts[0] if len(parts) == 1 else PartialAttention(*(torch.cat(t, dim=2) for t in zip(*parts, strict=True)))
    rows = [t.view(kv, batch, queries, -1).transpose(0, 1) for t in joined]
    if groups.order is None:
        return PartialAttention(*rows)
    return PartialAttention(*(torch.empty_like(t).index_copy_(0, groups.order, t) for t in rows))


def stacked_prefix_attention(
    query: Float[Tensor, "batch kv queries d_head"],
    groups: RowGroups,
    keys: Float[Tensor, "groups kv prefix d_head"],
    values: Float[Tensor, "groups kv prefix d_head"],
    spec: AttentionSpec,
    positions: Int[Tensor, "batch queries"],
    last_position: int,
) -> PartialAttention:
    """As `prefix_attention`, one batched product for all groups (with `padded` rows)."""
    assert groups.padded is not None and groups.place is not None
    kv, queries, d_head = query.shape[1:]
    n_groups, largest = groups.padded.shape
    index = groups.padded.flatten()
    folded = query[index].view(n_groups, largest, kv, queries, d_head).transpose(1, 2)
    visible = _in_window(positions[index], keys.shape[2], spec, last_position)
    if visible is not None:
        visible = visible.view(n_groups, 1, largest * queries, -1)
    part = partial_attention(
        folded.reshape(n_groups, kv, largest * queries, d_head), keys, values, spec, visible
    )  # fmt: skip
    return PartialAttention(
        *(t.view(n_groups, kv, largest, queries, -1).transpose(1, 2).flatten(0, 1)[groups.place] for t in part)
    )


def _in_window(positions: Int[Tensor, "rows queries"], n_keys: int, spec: AttentionSpec, last: int) -> Tensor | None:
    """(1, 1, rows * queries, keys): which keys from position 0 on are in the window of each query; None: all."""
    if spec.window is None or last < spec.window:
        return None
    keys = torch.arange(n_keys, device=positions.device)
    return (positions.reshape(-1, 1) - keys < spec.window)[None, None]
