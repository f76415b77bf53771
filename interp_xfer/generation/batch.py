"""The rows of a sweep in one batch: they enter with their prompts, grow token by token, and leave when finished."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp_xfer.generation.attention import PrefixSegment
from interp_xfer.generation.memory import head_size
from interp_xfer.generation.passes import SteeredPasses
from interp_xfer.generation.records import Generation, IsComplete, RowKey, StopReason, TokenPrompt, end_tokens
from interp_xfer.generation.sampling import Sampling, sample_tokens
from interp_xfer.generation.steps import DecodeStep, PrefixKV, PromptStep, SlotCache
from interp_xfer.steering import scope_positions

# New rows enter when this share of the batch is free: their prompts are then worth a forward pass of their own.
_REFILL_SHARE = 0.25
# Padded tokens of one pass over new prompts; bounds the attention scores.
_PROMPT_TOKENS = 1024


@dataclass
class Row:
    """One (prompt, strength) on its way."""

    prompt: TokenPrompt
    prompt_index: int
    strength: float
    strength_index: int
    key: RowKey
    stream: random.Random | None = None
    """Of random numbers, for sampled decoding."""
    token_ids: list[int] = field(default_factory=list)
    length: int = 0
    """Own tokens in the cache."""

    @property
    def last(self) -> int:
        """The newest token."""
        return self.token_ids[-1]


class RunningBatch:
    """One call of `SweepEngine.generate` for prefixes of one length: the rows waiting, in the batch, and finished."""

    def __init__(
        self,
        passes: SteeredPasses,
        waiting: list[Row],
        add: Callable[[Sequence[tuple[Row, Generation]]], None],
        slots: int,
        width: int,
        max_new_tokens: int,
        is_complete: IsComplete | None,
        sampling: Sampling | None,
    ) -> None:
        model = passes.model
        self._passes, self.model = passes, model
        self.waiting = waiting[::-1]  # taken from the end
        self.active: list[Row] = []  # row i has slot i
        self._add = add
        self._prefix_length = len(waiting[0].prompt.prefix)
        self._slots, self._max_new_tokens = slots, max_new_tokens
        self._is_complete, self._sampling = is_complete, sampling
        self._ends = end_tokens(model)
        parameter = next(model.hf.parameters())
        n_kv = model.hf.config.num_key_value_heads
        self._cache = SlotCache(model.n_layers, slots, n_kv, width, head_size(model), parameter.dtype, parameter.device)
        self._segments: list[list[PrefixSegment]] | None = None

    def admit(self) -> None:
        """Run the prompts of new rows into free slots, if enough are free."""
        while self.waiting:
            free = self._slots - len(self.active)
            if free == 0 or (self.active and free < self._slots * _REFILL_SHARE and free < len(self.waiting)):
                return
            self._admit_some(free)

    def _admit_some(self, free: int) -> None:
        new: list[Row] = []
        width = 0
        while self.waiting and len(new) < free:
            row = self.waiting[-1]
            width = max(width, len(row.prompt.suffix))
            if new and width * (len(new) + 1) > _PROMPT_TOKENS:
                break
            new.append(self.waiting.pop())
        device = self.model.device
        input_ids = torch.full((len(new), width), self.model.tokenizer.pad_token_id, device=device)
        lengths = torch.tensor([len(row.prompt.suffix) for row in new], device=device)
        for index, row in enumerate(new):
            input_ids[index, : len(row.prompt.suffix)] = torch.tensor(row.prompt.suffix, device=device)
        real = torch.arange(width, device=device) < lengths[:, None]
        step = PromptStep(self._cache, len(self.active), self._segments_of(new), self._prefix_length)
        position_ids = (self._prefix_length + torch.arange(width, device=device)).expand(len(new), -1)
        positions = scope_positions(self._passes.tokens, real, is_prompt=True)
        hidden = self._passes.forward(step, input_ids, position_ids, [row.strength for row in new], positions)
        for row in new:
            row.length = len(row.prompt.suffix)
        self.active += new
        self._segments = None
        self._accept(new, hidden[torch.arange(len(new), device=device), lengths - 1])

    def decode(self) -> None:
        """One token for every active row."""
        if not self.active:
            return
        device = self.model.device
        if self._segments is None:
            self._segments = self._segments_of(self.active)
        lengths = torch.tensor([row.length for row in self.active], device=device)
        longest = max(row.length for row in self.active)
        step = DecodeStep(self._cache, lengths, longest, self._segments, self._prefix_length)
        input_ids = torch.tensor([[row.last] for row in self.active], device=device)
        real = torch.ones_like(input_ids, dtype=torch.bool)
        positions = scope_positions(self._passes.tokens, real, is_prompt=False)
        hidden = self._passes.forward(
            step,
            input_ids,
            self._prefix_length + lengths[:, None],
            [row.strength for row in self.active],
            positions,
        )
        for row in self.active:
            row.length += 1
        self._accept(self.active, hidden[:, 0])

    def _accept(self, rows: list[Row], hidden: Tensor) -> None:
        """Append the next token of each row, and take finished rows out of the batch."""
        ids, finite = self._next_tokens(rows, hidden)
        for row, token in zip(rows, ids, strict=True):
            row.token_ids.append(token)
        texts = self.model.tokenizer.batch_decode([row.token_ids for row in rows], skip_special_tokens=True)
        done = []
        for row, text, is_finite in zip(rows, texts, finite, strict=True):
            if reason := self._stop_reason(row, text, is_finite):
                if not is_finite:  # the token chosen from NaN means nothing
                    row.token_ids.pop()
                    text = self.model.tokenizer.decode(row.token_ids, skip_special_tokens=True)
                    self._cache.clear(self.active.index(row))
                done.append((row, Generation(text, tuple(row.token_ids), reason)))
        if done:
            self._add(done)
            self._remove({id(row) for row, _ in done})

    def _next_tokens(self, rows: list[Row], hidden: Tensor) -> tuple[list[int], list[bool]]:
        """(rows, d_model) -> next token of each row, and whether its logits are finite."""
        logits = self._passes.next_logits(hidden)
        values, ids = logits.max(dim=-1)  # NaN wins a maximum
        if self._sampling is not None:
            ids = sample_tokens(logits, self._sampling, [row.stream for row in rows if row.stream is not None])
        return ids.tolist(), values.isfinite().tolist()

    def _stop_reason(self, row: Row, text: str, is_finite: bool) -> StopReason | None:
        if not is_finite:
            return "degenerate"
        if row.last in self._ends:
            return "eos"
        if self._is_complete is not None and self._is_complete(text):
            return "complete"
        return "length" if len(row.token_ids) >= self._max_new_tokens else None

    def _remove(self, done: set[int]) -> None:
        """Fill the slots of finished rows with rows from the end of the batch."""
        index = 0
        while index < len(self.active):
            if id(self.active[index]) not in done:
                index += 1
                continue
            last = self.active.pop()
            if index < len(self.active):
                # The row at the end may be finished too; then the next turn of the loop replaces it again.
                self._cache.move(len(self.active), index, last.length)
                self.active[index] = last
        self._segments = None

    def _segments_of(self, rows: list[Row]) -> list[list[PrefixSegment]]:
        """Per layer, which rows share which prefix."""
        groups: dict[int, tuple[PrefixKV, list[int]]] = {}
        for index, row in enumerate(rows):
            if row.prompt.prefix:
                kept = self._passes.prefix(row.prompt.prefix, row.strength)
                groups.setdefault(id(kept), (kept, []))[1].append(index)
        device = self.model.device
        indices = [
            None if len(members) == len(rows) else torch.tensor(members, device=device)
            for _, members in groups.values()
        ]
        return [
            [
                PrefixSegment(members, kept.keys[layer], kept.values[layer])
                for (kept, _), members in zip(groups.values(), indices, strict=True)
            ]
            for layer in range(self.model.n_layers if groups else 0)
        ]
