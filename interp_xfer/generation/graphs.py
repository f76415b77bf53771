"""Decode steps recorded as CUDA graphs, and replayed.

A decode step of a small model is a thousand small kernels; launching them from Python takes longer than running them.
A graph launches them at once. It holds addresses, so a recorded step reads its inputs from tensors of its own, and has
one shape: rows are filled up to one of a few sizes with rows that use free slots of the cache, and own keys are read to
the full width of the cache under a mask.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.generation.passes import SteeredPasses
from interp_xfer.generation.prefixes import SharedPrefixes
from interp_xfer.generation.steps import DecodeStep, PackedTokens, SlotCache
from interp_xfer.models import LoadedModel
from interp_xfer.steering.hooks import SteeredPositions

_WAITING_ROTARY = ("dynamic", "longrope")
"""Rotary embeddings that look at the positions from Python, which a graph cannot."""
GROUP_MULTIPLE = 16
"""Rows that share a prefix are filled up to a multiple of this, so that few shapes are recorded."""
_SMALLEST = 16
"""A step of so many rows or fewer is not recorded again for half of them."""


def graph_problem(model: LoadedModel) -> str | None:
    """Why the decode steps of this model cannot be recorded now; None if they can."""
    if model.device.type != "cuda":
        return "the model is not on a CUDA device"
    rotary = (getattr(model.hf.config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotary in _WAITING_ROTARY:
        return f"rotary embedding {rotary!r} waits for positions"
    if observed(model):
        return "hooks are set, which a recorded step would not call"
    return None


def observed(model: LoadedModel) -> bool:
    """Whether anybody has set a hook on this model; those that the libraries wire for themselves do not count."""
    if any(point.fwd_hooks for point in model.bridge.hook_dict.values()):
        return True
    hooks = [
        hook
        for module in {*model.bridge.modules(), *model.hf.modules()}
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    return any(
        not str(getattr(hook, "__module__", "")).startswith(("transformer_lens.", "transformers.")) for hook in hooks
    )


class RecordingError(Exception):
    """A model does something in its forward pass that no graph can hold."""


@dataclass
class _Recorded:
    """A graph, and every tensor it reads: it holds their addresses, not them."""

    graph: Any
    input_ids: Int[Tensor, "size 1"]
    lengths: Int[Tensor, " size"]
    steered: SteeredPositions | None
    prefixes: SharedPrefixes | None
    hidden: Float[Tensor, "size d_model"]
    read: tuple[Any, ...]


class DecodeGraphs:
    """The recorded steps of one cache.

    Arguments:
        passes: of the model; use inside `active`.
        cache: of the rows.
        past_length: of the prefix.
    """

    def __init__(self, passes: SteeredPasses, cache: SlotCache, past_length: int) -> None:
        self._passes, self._cache, self._past_length = passes, cache, past_length
        self._recorded: dict[tuple[int, int, int], _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def forward(
        self,
        tokens: Sequence[int],
        lengths: Sequence[int],
        strengths: Sequence[float],
        steered: torch.Tensor,
        prefixes: SharedPrefixes | None,
    ) -> Float[Tensor, "rows d_model"]:
        """One token of each of the first rows, as `SteeredPasses.forward` with a `DecodeStep`.

        Arguments:
            tokens: the newest of each row.
            lengths: own tokens of each row in the cache so far.
            strengths: of each row.
            steered: (rows, 1), which of these tokens are steered; on the CPU.
            prefixes: of each row.
        Raises: RecordingError if the step cannot be recorded; the cache is as before.
        """
        rows, size = len(tokens), self._size(len(tokens))
        key = (size, 0, 0) if prefixes is None else (size, *prefixes.stack_key)
        if key not in self._recorded:
            if any(known[1] != key[1] for known in self._recorded):
                self._recorded.clear()  # the prefixes they read are gone, and with the last graph its pool
                self._pool = torch.cuda.graph_pool_handle()
            self._recorded[key] = self._record(size, prefixes)  # which counts as the pass that is replayed below
        else:
            self._passes.count(size)
        step = self._recorded[key]
        step.input_ids[:rows, 0] = torch.tensor(tokens, device=step.input_ids.device)
        step.lengths[:rows] = torch.tensor(lengths, device=step.lengths.device)
        step.lengths[rows:] = 0
        if step.steered is not None:
            planned = self._passes.plan([*strengths, *[0.0] * (size - rows)], _filled_up(steered, size))
            assert planned is not None
            step.steered.take(planned)
        if step.prefixes is not None and prefixes is not None:
            step.prefixes.take_rows(prefixes)
        step.graph.replay()
        return step.hidden[:rows]

    def _size(self, rows: int) -> int:
        """Rows of the recorded step for so many: all slots, half of them, a quarter, ..."""
        size = self._cache.slots
        while size > _SMALLEST and -(-size // 2) >= rows:
            size = -(-size // 2)
        return size

    def _record(self, size: int, prefixes: SharedPrefixes | None) -> _Recorded:
        device = self._passes.model.device
        input_ids = torch.zeros(size, 1, dtype=torch.long, device=device)
        lengths = torch.zeros(size, dtype=torch.long, device=device)
        own = PackedTokens.one_each(lengths, self._cache.width)
        steered = self._passes.plan([0.0] * size, torch.ones(size, 1, dtype=torch.bool))
        prefixes = None if prefixes is None else prefixes.for_recording(size)
        step = DecodeStep(self._cache, own, prefixes, self._past_length)
        position_ids = torch.empty_like(input_ids)
        graph = torch.cuda.CUDAGraph()
        # `torch.cuda.graph` would empty the allocator's cache and collect garbage each time, which takes longer.
        stream = _recording_stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                torch.add(lengths[:, None], self._past_length, out=position_ids)
                hidden = self._passes.forward(step, input_ids, position_ids, steered)[:, 0]
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # an operation that waits for the device
                with suppress(RuntimeError):  # the recording is void, and ending it says so once more
                    graph.capture_end()
                raise RecordingError(str(error).strip().partition("\n")[0]) from error
            graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(stream)
        return _Recorded(graph, input_ids, lengths, steered, prefixes, hidden, (step, position_ids))


@cache
def _recording_stream(device: torch.device) -> Any:
    """One for all recordings: libraries keep a workspace for every stream they have seen."""
    return torch.cuda.Stream(device)


def _filled_up(steered: Tensor, size: int) -> Tensor:
    return torch.cat([steered, steered.new_zeros(size - len(steered), 1)])
