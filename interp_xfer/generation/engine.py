"""The sweep: every prompt at every strength, in few and large forward passes.

1. The prefix that all prompts share (system prompt and examples) runs once per strength, or once for all strengths
   where steering leaves it alone (`tokens="generated"`); its keys and values are kept for later calls.
2. Rows, one per (prompt, strength), fill a batch. A finished row leaves at once, and new rows enter when a quarter of
   the batch is free (continuous batching). Each row has its own strength.
3. Attention over the shared prefix is one matrix product for all rows of a prefix (`attention.py`).

Models that the stock attention does not cover go through `reference.py`, and `SweepEngine.path` says so.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp_xfer.choices import OperatorName, StrengthUnit, TokenScope
from interp_xfer.errors import SteeringError
from interp_xfer.generation.attention import PrefixSegment
from interp_xfer.generation.memory import PREFIX_SHARE, default_budget, head_size, plan_batch
from interp_xfer.generation.records import Generation, IsComplete, StopReason, TokenPrompt, check_fits, end_tokens
from interp_xfer.generation.reference import reference_generate
from interp_xfer.generation.steps import (
    IMPLEMENTATION,
    DecodeStep,
    PrefixKV,
    PrefixStep,
    PromptStep,
    SlotCache,
    Step,
    current_step,
    register,
)
from interp_xfer.models import LoadedModel
from interp_xfer.models.stock_attention import stock_attention, stock_attention_problem
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering import Steerer, checked_strengths, scope_positions
from interp_xfer.vectors import SteeringVectors

# New rows enter when this share of the batch is free: their prompts are then worth a forward pass of their own.
_REFILL_SHARE = 0.25
# Padded tokens of one pass over new prompts; bounds the attention scores.
_PROMPT_TOKENS = 1024
_FAST_PATH = "shared prefix"


@dataclass
class _Row:
    """One (prompt, strength) on its way."""

    prompt: TokenPrompt
    prompt_index: int
    strength: float
    strength_index: int
    token_ids: list[int] = field(default_factory=list)
    length: int = 0
    """Own tokens in the cache."""

    @property
    def last(self) -> int:
        return self.token_ids[-1]


class SweepEngine:
    """Greedy generation of one child under one set of steering vectors, at many strengths.

    Keeps the prefixes it has run, so one engine should serve validation, test and vote.

    Arguments:
        model: the child.
        steering: vectors made for it; None for the unsteered model (strength 0 only).
        operator, tokens, unit: as in `interp_xfer.steering.steer`.
        max_memory: bytes for caches and logits; default half of what is free.
    """

    def __init__(
        self,
        model: LoadedModel,
        steering: SteeringVectors | None = None,
        *,
        operator: OperatorName = "add",
        tokens: TokenScope = "all",
        unit: StrengthUnit = "relative",
        max_memory: int | None = None,
    ) -> None:
        self.model = model
        self.steering = steering
        self.operator: OperatorName = operator
        self.tokens: TokenScope = tokens
        self.unit: StrengthUnit = unit
        self._steerer = None if steering is None else Steerer(model, steering, operator, unit)
        self._budget = default_budget(model.device) if max_memory is None else max_memory
        self._prefixes: OrderedDict[tuple[tuple[int, ...], float], PrefixKV] = OrderedDict()
        self.forward_tokens = 0
        """Tokens that went through the model so far, padding included."""

    @property
    def path(self) -> str:
        """Which path generation takes now, and why not the fast one; hooks may come and go."""
        problem = stock_attention_problem(self.model)
        return _FAST_PATH if problem is None else f"Hugging Face generate, one strength at a time ({problem})"

    def generate(
        self,
        prompts: Sequence[TokenPrompt],
        strengths: Sequence[float],
        *,
        max_new_tokens: int,
        is_complete: IsComplete | None = None,
        progress: Progress = no_progress,
    ) -> list[list[Generation]]:
        """The answer to every prompt at every strength, greedy.

        Arguments:
            prompts: tokenised; those with equal prefixes share its computation.
            strengths: 0 is the unsteered model.
            max_new_tokens: limit for each answer.
            is_complete: stops a row once its text holds the answer.
            progress: called with the number of answers just finished.
        Returns: [strength][prompt], in the order given.
        Raises: ConfigError for a prompt beyond the context, a budget too small for one row, or a strength that is not
            finite; SteeringError for a strength other than 0 without vectors.
        """
        checked_strengths(strengths)
        if self._steerer is None and any(strengths):
            raise SteeringError(f"strengths {list(strengths)} need steering vectors; without them only 0 can be run.")
        check_fits(self.model, prompts, max_new_tokens)
        if self.path != _FAST_PATH:
            return [
                reference_generate(
                    self.model, prompts, self.steering, strength, operator=self.operator, tokens=self.tokens,
                    unit=self.unit, max_new_tokens=max_new_tokens, is_complete=is_complete, progress=progress,
                )
                for strength in strengths
            ]  # fmt: skip
        # Positions and windows count from the end of the prefix: rows of one batch have prefixes of one length.
        groups: dict[int, list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(len(prompt.prefix), []).append(index)
        plans = []
        for length, members in groups.items():
            width = max(len(prompts[i].suffix) for i in members) + max_new_tokens
            plan = plan_batch(self.model, self._budget, length, width, len(members), len(strengths))
            plans.append((members, plan, width))
        finished: dict[tuple[int, int], Generation] = {}
        with torch.inference_mode(), self._fast_forward():
            for members, plan, width in plans:
                by_length = sorted(members, key=lambda index: -len(prompts[index].suffix))
                # One prompt at many strengths is rows of equal length, which need no padding; as many strengths at
                # once as prefixes fit.
                waiting = [
                    _Row(prompts[i], i, strengths[k], k)
                    for start in range(0, len(strengths), plan.prefixes)
                    for i in by_length
                    for k in range(start, min(start + plan.prefixes, len(strengths)))
                ]
                run = _Run(self, waiting, finished, plan.rows, width, max_new_tokens, is_complete, progress)
                while run.waiting or run.active:
                    run.admit()
                    run.decode()
        return [[finished[k, i] for i in range(len(prompts))] for k in range(len(strengths))]

    def prefix(self, ids: tuple[int, ...], strength: float) -> PrefixKV:
        """Keys and values of a prefix at a strength, run at the first call and kept while the budget allows."""
        if self._steerer is None or self.tokens == "generated":
            strength = 0.0  # steering leaves the prefix alone
        key = (ids, strength)
        if key not in self._prefixes:
            step = PrefixStep(len(ids))
            input_ids = torch.tensor([ids], device=self.model.device)
            real = torch.ones_like(input_ids, dtype=torch.bool)
            self.forward(step, input_ids, torch.arange(len(ids), device=self.model.device)[None], [strength],
                         scope_positions(self.tokens, real, is_prompt=True, ends_prompt=False))  # fmt: skip
            self._prefixes[key] = step.kept
            limit = self._budget * PREFIX_SHARE
            while len(self._prefixes) > 2 and sum(kept.n_bytes for kept in self._prefixes.values()) > limit:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]

    def forward(
        self, step: Step, input_ids: Tensor, position_ids: Tensor, strengths: Sequence[float], positions: Tensor
    ) -> Tensor:
        """One steered pass through the blocks: (batch, pos) ids -> (batch, pos, d_model) after the final norm."""
        if self._steerer is not None:
            self._steerer.set_strengths(torch.tensor(strengths, dtype=torch.float32))
            self._steerer.begin(positions)
        token = current_step.set(step)
        try:
            hidden = self.model.hf.base_model(
                input_ids=input_ids, position_ids=position_ids, past_key_values=step, use_cache=True
            ).last_hidden_state
        finally:
            current_step.reset(token)
        if self._steerer is not None:
            self._steerer.finish()
        self.forward_tokens += input_ids.numel()
        return hidden

    def next_tokens(self, hidden: Tensor) -> tuple[list[int], list[bool]]:
        """(batch, d_model) -> most likely next token of each row, and whether its logits are finite."""
        logits = self.model.hf.get_output_embeddings()(hidden.unsqueeze(1))[:, 0].float()
        cap = getattr(self.model.hf.config, "final_logit_softcapping", None)
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        values, ids = logits.max(dim=-1)  # NaN wins a maximum
        return ids.tolist(), values.isfinite().tolist()

    @contextmanager
    def _fast_forward(self) -> Iterator[None]:
        register()
        hooks = [] if self._steerer is None else self._steerer.hooks()
        with stock_attention(self.model, IMPLEMENTATION), self.model.bridge.hooks(fwd_hooks=hooks):
            yield


class _Run:
    """One call of `SweepEngine.generate` for prefixes of one length: the rows waiting, in the batch, and finished."""

    def __init__(
        self,
        engine: SweepEngine,
        waiting: list[_Row],
        finished: dict[tuple[int, int], Generation],
        slots: int,
        width: int,
        max_new_tokens: int,
        is_complete: IsComplete | None,
        progress: Progress,
    ) -> None:
        model = engine.model
        self.engine, self.model = engine, model
        self.waiting = waiting[::-1]  # taken from the end
        self.active: list[_Row] = []  # row i has slot i
        self.finished = finished
        self._prefix_length = len(waiting[0].prompt.prefix)
        self._slots, self._max_new_tokens = slots, max_new_tokens
        self._is_complete, self._progress = is_complete, progress
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
        new: list[_Row] = []
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
        positions = scope_positions(self.engine.tokens, real, is_prompt=True)
        hidden = self.engine.forward(step, input_ids, position_ids, [row.strength for row in new], positions)
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
        positions = scope_positions(self.engine.tokens, real, is_prompt=False)
        hidden = self.engine.forward(
            step,
            input_ids,
            self._prefix_length + lengths[:, None],
            [row.strength for row in self.active],
            positions,
        )
        for row in self.active:
            row.length += 1
        self._accept(self.active, hidden[:, 0])

    def _accept(self, rows: list[_Row], hidden: Tensor) -> None:
        """Append the next token of each row, and take finished rows out of the batch."""
        ids, finite = self.engine.next_tokens(hidden)
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
                self.finished[row.strength_index, row.prompt_index] = Generation(text, tuple(row.token_ids), reason)
                done.append(id(row))
        if done:
            self._remove(set(done))
            self._progress(len(done))

    def _stop_reason(self, row: _Row, text: str, is_finite: bool) -> StopReason | None:
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

    def _segments_of(self, rows: list[_Row]) -> list[list[PrefixSegment]]:
        """Per layer, which rows share which prefix."""
        groups: dict[int, tuple[PrefixKV, list[int]]] = {}
        for index, row in enumerate(rows):
            if row.prompt.prefix:
                kept = self.engine.prefix(row.prompt.prefix, row.strength)
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
