"""The rows of a sweep in one batch: they enter with their prompts, grow token by token, and leave when finished."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp_xfer.generation.drafts import DraftBook, draft_room
from interp_xfer.generation.graphs import GROUP_MULTIPLE, DecodeGraphs, RecordingError
from interp_xfer.generation.growing_text import GrowingText
from interp_xfer.generation.memory import BatchPlan
from interp_xfer.generation.next_tokens import greedy_tokens, next_logits
from interp_xfer.generation.passes import SteeredPasses
from interp_xfer.generation.prefixes import PrefixKV, SharedPrefixes
from interp_xfer.generation.records import Generation, IsComplete, RowKey, StopReason, TokenPrompt
from interp_xfer.generation.sampling import Sampling, sample_tokens
from interp_xfer.generation.steps import DecodeStep, PackedTokens, PromptStep, SlotCache
from interp_xfer.steering.hooks import scope_positions

# New rows enter when this share of the batch is free: their prompts are then worth a forward pass of their own.
_REFILL_SHARE = 0.25


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
    text: GrowingText = field(default_factory=GrowingText)
    prefix: PrefixKV | None = None
    """Keys and values, from when the row enters the batch."""
    length: int = 0
    """Own tokens in the cache."""
    drafted: bool = True
    """False once logits after draft tokens were not finite."""

    @property
    def last(self) -> int:
        """The newest token."""
        return self.token_ids[-1]


@dataclass(frozen=True)
class Decoding:
    """How rows are decoded, and until when."""

    max_new_tokens: int
    is_complete: IsComplete | None
    sampling: Sampling | None
    drafts: DraftBook | None
    recorded: bool
    """Decode steps are CUDA graphs."""


class RunningBatch:
    """One call of `SweepEngine.generate` for prefixes of one length: the rows waiting, in the batch, and finished."""

    def __init__(
        self,
        passes: SteeredPasses,
        waiting: list[Row],
        add: Callable[[Sequence[tuple[Row, Generation]]], None],
        plan: BatchPlan,
        width: int,
        decoding: Decoding,
    ) -> None:
        model = passes.model
        self._passes, self.model = passes, model
        self.waiting = waiting[::-1]  # taken from the end
        self.active: list[Row] = []  # row i has slot i
        self._add = add
        self._prefix_length = len(waiting[0].prompt.prefix)
        self._plan, self._decoding = plan, decoding
        self._ends = model.end_tokens
        self._cache = SlotCache(model, plan.rows, width)
        self._prefixes: SharedPrefixes | None = None
        self._graphs = DecodeGraphs(passes, self._cache, self._prefix_length) if decoding.recorded else None

    def admit(self) -> None:
        """Run the prompts of new rows into free slots, if enough are free."""
        while self.waiting:
            free = self._plan.rows - len(self.active)
            if free == 0 or (self.active and free < self._plan.rows * _REFILL_SHARE and free < len(self.waiting)):
                return
            if not self._admit_some(free):
                return

    def _admit_some(self, free: int) -> bool:
        """Some rows for so many free slots; whether there were any that may enter now."""
        new: list[Row] = []
        in_use = {(row.prompt.prefix, row.strength) for row in self.active} if self._prefix_length else set()
        width = 0
        limit = self._plan.prompt_tokens
        while self.waiting and len(new) < free:
            row = self.waiting[-1]
            width = max(width, len(row.prompt.suffix))
            if self._prefix_length:
                in_use.add((row.prompt.prefix, row.strength))
            if new and width * (len(new) + 1) > limit:
                break
            if len(in_use) > 2 * self._plan.prefixes and (new or self.active):
                break  # more prefixes than were planned to be in memory
            new.append(self.waiting.pop())
        if not new:
            return False
        if self._prefix_length:
            wanted = [(row.prompt.prefix, row.strength) for row in new]
            kept = self._passes.prefixes(wanted, self._plan.kept_bytes, self._plan.prompt_tokens)
            for row, prefix in zip(new, kept, strict=True):
                row.prefix = prefix
        self._shared_prefixes([*self.active, *new])  # the stack of both, if there is one, serves the next steps too
        device = self.model.device
        input_ids, _ = self.model.padded([row.prompt.suffix for row in new], "right")
        lengths = torch.tensor([len(row.prompt.suffix) for row in new])
        step = PromptStep(self._cache, len(self.active), self._shared_prefixes(new), self._prefix_length)
        index = torch.arange(input_ids.shape[1])
        position_ids = (self._prefix_length + index.to(device)).expand(len(new), -1)
        positions = scope_positions(self._passes.tokens, index < lengths[:, None], is_prompt=True)
        planned = self._passes.plan([row.strength for row in new], positions)
        hidden = self._passes.forward(step, input_ids, position_ids, planned)
        for row in new:
            row.length = len(row.prompt.suffix)
        self.active += new
        last = hidden[torch.arange(len(new), device=device), lengths.to(device) - 1]
        self._accept(new, [()] * len(new), last)
        return True

    def decode(self) -> None:
        """The next token of every active row, and more where a draft agrees."""
        if not self.active:
            return
        rows = self.active
        proposed = self._proposals(rows)
        counts = [1 + len(tokens) for tokens in proposed]
        per_token = [row for row, count in zip(rows, counts, strict=True) for _ in range(count)]
        tokens = [token for row, draft in zip(rows, proposed, strict=True) for token in (row.last, *draft)]
        lengths, strengths = [row.length for row in rows], [row.strength for row in per_token]
        real = torch.ones(len(tokens), 1, dtype=torch.bool)
        steered = scope_positions(self._passes.tokens, real, is_prompt=False)
        prefixes = self._shared_prefixes(per_token, multiple=1 if self._graphs is None else GROUP_MULTIPLE)
        hidden = None
        if self._graphs is not None:
            try:
                hidden = self._graphs.forward(tokens, lengths, strengths, steered, prefixes)
            except RecordingError as error:
                self._graphs, self._passes.not_recordable = None, str(error)
        if hidden is None:
            own = PackedTokens.of(lengths, counts, self.model.device)
            step = DecodeStep(self._cache, own, prefixes, self._prefix_length)
            input_ids = torch.tensor(tokens, device=self.model.device)[:, None]
            position_ids = self._prefix_length + own.positions[:, None]
            hidden = self._passes.forward(
                step, input_ids, position_ids, self._passes.plan(strengths, steered)
            )[:, 0]  # fmt: skip
        for row in rows:
            row.length += 1  # and as many more as draft tokens agree
        self._accept(rows, proposed, hidden)

    def _proposals(self, rows: list[Row]) -> list[tuple[int, ...]]:
        """Draft tokens of each row."""
        book, most = self._decoding.drafts, draft_room(len(rows), self._plan.tokens)
        if book is None or most == 0:
            return [()] * len(rows)
        out = []
        for row in rows:
            draft = book.nearest(row.prompt_index, row.strength) if row.drafted else None
            room = self._decoding.max_new_tokens - len(row.token_ids) - 1
            out.append(() if draft is None else draft.after(row.token_ids, min(most, room)))
        return out

    def _accept(self, rows: list[Row], proposed: Sequence[tuple[int, ...]], hidden: Tensor) -> None:
        """Append the next tokens of each row, and take finished rows out of the batch.

        Arguments:
            rows: of one forward pass.
            proposed: draft tokens of each, which the pass has read.
            hidden: (tokens, d_model), the newest token and the draft tokens of each row.
        """
        ids, finite = self._next_tokens(rows, hidden)
        done = []
        start = 0
        for slot, (row, draft) in enumerate(zip(rows, proposed, strict=True)):
            if draft and not all(finite[start : start + 1 + len(draft)]):
                # A draft token may have overflowed and, in the cache, spoilt the real ones: again, one at a time.
                row.drafted = False
                row.length -= 1
                self._cache.clear(slot, row.length)
                start += 1 + len(draft)
                continue
            for i in range(start, start + 1 + len(draft)):
                if reason := self._take(row, ids[i], finite[i]):
                    kept = row.token_ids[:-1] if reason == "eos" else row.token_ids  # not every end is special
                    text = self.model.tokenizer.decode(kept, skip_special_tokens=True)
                    done.append((row, Generation(text, tuple(row.token_ids), reason)))
                    break
                if i - start == len(draft) or ids[i] != draft[i - start]:
                    break
                row.length += 1
            start += 1 + len(draft)
        if done:
            self._add(done)
            for row, _ in done:
                row.prefix = None  # the caller keeps the row, but not the memory
            self._remove({id(row) for row, _ in done})

    def _take(self, row: Row, token: int, is_finite: bool) -> StopReason | None:
        """Append a token; why the row ends with it, if it does."""
        if not is_finite:  # the token chosen from NaN means nothing
            self._cache.clear(self.active.index(row))
            return "degenerate"
        row.token_ids.append(token)
        if token in self._ends:
            return "eos"
        is_complete = self._decoding.is_complete
        if is_complete is not None and is_complete(row.text.read(self.model.tokenizer, row.token_ids)):
            return "complete"
        return "length" if len(row.token_ids) >= self._decoding.max_new_tokens else None

    def _next_tokens(self, rows: list[Row], hidden: Tensor) -> tuple[list[int], list[bool]]:
        """(tokens, d_model) -> next token after each, and whether its logits are finite."""
        sampling = self._decoding.sampling
        if sampling is None:
            ids, finite = greedy_tokens(self.model, hidden)
        else:
            logits = next_logits(self.model, hidden)
            ids = sample_tokens(logits, sampling, [row.stream for row in rows if row.stream is not None])
            finite = logits.amax(dim=-1).isfinite()  # NaN wins a maximum
        return ids.tolist(), finite.tolist()

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

    def _shared_prefixes(self, rows: list[Row], multiple: int = 1) -> SharedPrefixes | None:
        """Which of these rows share which prefix."""
        kept = [row.prefix for row in rows if row.prefix is not None]  # all of them or none
        self._prefixes = SharedPrefixes(kept, self._prefixes, multiple=multiple) if kept else None
        return self._prefixes
