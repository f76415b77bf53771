"""Steered forward passes of one model, and the prefixes they have run: one owner of model, steering, hooks and caches.

With the stock attention in place, passes go through the shared-prefix attention; where the architecture does not allow
that, rows run whole (`log_likelihoods` alone).
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.choices import TokenScope
from interp_xfer.generation.memory import kv_bytes_per_token
from interp_xfer.generation.prefixes import PrefixKV, SharedPrefixes
from interp_xfer.generation.steps import IMPLEMENTATION, PrefixStep, PromptStep, SlotCache, Step, register, run_step
from interp_xfer.models import LoadedModel
from interp_xfer.passes.replay import replaying
from interp_xfer.passes.stock_attention import stock_attention, stock_attention_problem
from interp_xfer.passes.teacher_forcing import TargetRow, row_batch, target_log_probabilities
from interp_xfer.steering.hooks import SteeredPositions, Steerer, scope_positions


class UnsteeredPrefix(NamedTuple):
    """A prefix as the unsteered model ran it, for passes that compute nothing up to a layer."""

    kept: PrefixKV
    layer: int
    """The lowest that is steered."""
    states: Float[Tensor, "1 pos d_model"]
    """After that layer; with the next field as in `replaying`."""
    extras: int | None


class SteeredPasses:
    """Forward passes with one strength per row; use them inside `active`.

    Arguments:
        model: the child.
        steerer: its steering hooks; None for the unsteered model.
        tokens: which positions are steered, as in `interp_xfer.steering.hooks.steer`.
        unsteered: where steered prefixes begin, one by one; None: at their tokens.
    """

    def __init__(
        self,
        model: LoadedModel,
        steerer: Steerer | None,
        tokens: TokenScope,
        unsteered: UnsteeredPrefix | None = None,
    ) -> None:
        self.model = model
        self.tokens: TokenScope = tokens
        self._steerer = steerer
        self._unsteered = unsteered
        self._prefixes: OrderedDict[tuple[tuple[int, ...], float], PrefixKV] = OrderedDict()
        self.fast = False
        """Passes go through the shared-prefix attention; known inside `active`."""
        self.forward_tokens = 0
        """Tokens that went through the model so far, padding included."""
        self.forward_passes = 0
        self.not_recordable: str | None = None
        """Why decode steps could not be recorded, once that was tried."""

    def prefixes(
        self, wanted: Sequence[tuple[tuple[int, ...], float]], most_bytes: int = 0, most_tokens: int = 0
    ) -> list[PrefixKV]:
        """Keys and values of prefixes of one length at strengths, run at the first call and kept for later ones.

        Arguments:
            wanted: (token ids, strength).
            most_bytes: beyond this, those that were used longest ago are dropped; 0 keeps those that are wanted.
            most_tokens: of a pass, unless one prefix is longer; 0 runs them one by one.
        """
        steered = self._steerer is not None and self.tokens != "generated"
        keys = [(ids, strength if steered else 0.0) for ids, strength in wanted]  # else steering leaves prefixes alone
        unique = list(dict.fromkeys(keys))
        missing = [key for key in unique if key not in self._prefixes]
        for key in unique:
            if key in self._prefixes:
                self._prefixes.move_to_end(key)
        length = len(keys[0][0])
        coming = len(missing) * length * kv_bytes_per_token(self.model)
        while len(self._prefixes) > len(unique) - len(missing) and self.kept_bytes + coming > most_bytes:
            self._prefixes.popitem(last=False)
        at_once = max(1, most_tokens // length)
        for start in range(0, len(missing), at_once):
            part = missing[start : start + at_once]
            self._prefixes.update(zip(part, self._run_prefixes(part), strict=True))
        return [self._prefixes[key] for key in keys]

    @property
    def kept_bytes(self) -> int:
        """Of the prefixes kept now."""
        return sum(kept.n_bytes for kept in self._prefixes.values())

    def _run_prefixes(self, keys: Sequence[tuple[tuple[int, ...], float]]) -> list[PrefixKV]:
        strengths = [strength for _, strength in keys]
        begin = self._unsteered
        if begin is not None and not any(strengths):
            return [begin.kept] * len(keys)
        length = len(keys[0][0])
        step = PrefixStep(self.model, length, len(keys))
        input_ids = torch.tensor([ids for ids, _ in keys], device=self.model.device)
        position_ids = torch.arange(length, device=self.model.device).expand(len(keys), -1)
        real = torch.ones(input_ids.shape, dtype=torch.bool)
        planned = self.plan(strengths, scope_positions(self.tokens, real, is_prompt=True, ends_prompt=False))
        below = nullcontext()
        if begin is not None:
            step.kept[0].keys += begin.kept.keys[: begin.layer + 1]
            step.kept[0].values += begin.kept.values[: begin.layer + 1]
            below = replaying(self.model, begin.layer, begin.states, begin.extras)
        with below:
            self.forward(step, input_ids, position_ids, planned)
        return step.kept

    def log_likelihoods(
        self, rows: Sequence[TargetRow], strengths: Sequence[float], prefixes: Sequence[PrefixKV] = ()
    ) -> Float[Tensor, " rows"]:
        """Log p of the target of each row, in nats, float64, from one pass.

        Arguments:
            rows: whole, prefix included.
            strengths: of each row.
            prefixes: of each row, all of one length; none: rows share nothing.
        """
        start = prefixes[0].length if prefixes else 0
        batch = row_batch(self.model, rows, start)
        planned = self.plan(strengths, batch.steered(self.tokens))
        if self.fast:
            scratch = SlotCache(self.model, *batch.input_ids.shape, one_layer=True)
            step = PromptStep(scratch, 0, SharedPrefixes(prefixes) if prefixes else None, start)
            out = self.forward(step, batch.input_ids, batch.position.expand(len(rows), -1), planned)
        else:
            with self._steered(planned):
                mask = batch.real.long()
                out = self.model.hf(input_ids=batch.input_ids, attention_mask=mask, use_cache=False).logits
            self.count(batch.input_ids.numel())
        chosen = out[batch.predicting[:, 0], batch.predicting[:, 1]]  # (target tokens, d_model) or (.., vocab)
        return batch.per_row(target_log_probabilities(self.model, chosen, batch.targets, normed=self.fast)).cpu()

    def plan(self, strengths: Sequence[float], positions: Bool[Tensor, "batch pos"]) -> SteeredPositions | None:
        """What a pass does to these rows; `positions` on the CPU spare the device a wait. None: unsteered."""
        if self._steerer is None:
            return None
        return self._steerer.plan(torch.tensor(strengths, dtype=torch.float32), positions)

    def forward(
        self,
        step: Step,
        input_ids: Int[Tensor, "batch pos"],
        position_ids: Int[Tensor, "batch pos"],
        steered: SteeredPositions | None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """One steered pass through the blocks, to the stream after the final norm."""
        with self._steered(steered):
            hidden = run_step(self.model, step, input_ids, position_ids)
        self.count(input_ids.numel())
        return hidden

    @contextmanager
    def _steered(self, planned: SteeredPositions | None) -> Iterator[None]:
        """One pass inside that does what is planned; the hooks are checked after it."""
        if self._steerer is None or planned is None:
            yield
            return
        self._steerer.begin(planned)
        yield
        self._steerer.finish()

    def count(self, tokens: int) -> None:
        """Note a pass over so many tokens."""
        self.forward_tokens += tokens
        self.forward_passes += 1

    @contextmanager
    def active(self) -> Iterator[None]:
        """Hooks and, where the architecture allows it, attention in place, for the length of a block of code."""
        self.fast = stock_attention_problem(self.model) is None
        register()
        hooks = [] if self._steerer is None else self._steerer.hooks()
        attention = stock_attention(self.model, IMPLEMENTATION) if self.fast else nullcontext()
        with attention, self.model.bridge.hooks(fwd_hooks=hooks):
            yield
