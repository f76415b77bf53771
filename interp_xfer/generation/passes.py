"""Steered forward passes of one model through the shared-prefix attention, and the prefixes they have run."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.choices import TokenScope
from interp_xfer.generation.memory import kv_bytes_per_token
from interp_xfer.generation.prefixes import PrefixKV
from interp_xfer.generation.steps import IMPLEMENTATION, PrefixStep, Step, register, run_step
from interp_xfer.models import LoadedModel
from interp_xfer.passes.stock_attention import stock_attention
from interp_xfer.steering.hooks import SteeredPositions, Steerer, scope_positions


class SteeredPasses:
    """Forward passes with one strength per row; use them inside `active`.

    Arguments:
        model: the child.
        steerer: its steering hooks; None for the unsteered model.
        tokens: which positions are steered, as in `interp_xfer.steering.hooks.steer`.
        budget: bytes for caches, logits and the intermediate results of a pass.
    """

    def __init__(self, model: LoadedModel, steerer: Steerer | None, tokens: TokenScope, budget: int) -> None:
        self.model, self.budget = model, budget
        self.tokens: TokenScope = tokens
        self._steerer = steerer
        self._prefixes: OrderedDict[tuple[tuple[int, ...], float], PrefixKV] = OrderedDict()
        self.forward_tokens = 0
        """Tokens that went through the model so far, padding included."""
        self.forward_passes = 0
        self.not_recordable: str | None = None
        """Why decode steps could not be recorded, once that was tried."""

    def prefixes(
        self, wanted: Sequence[tuple[tuple[int, ...], float]], most_bytes: int, most_tokens: int
    ) -> list[PrefixKV]:
        """Keys and values of prefixes of one length at strengths, run at the first call and kept for later ones.

        Arguments:
            wanted: (token ids, strength).
            most_bytes: beyond this, those that were used longest ago are dropped.
            most_tokens: of a pass, unless one prefix is longer.
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
        length = len(keys[0][0])
        step = PrefixStep(self.model, length, len(keys))
        input_ids = torch.tensor([ids for ids, _ in keys], device=self.model.device)
        real = torch.ones(input_ids.shape, dtype=torch.bool)
        self.forward(
            step,
            input_ids,
            torch.arange(length, device=self.model.device).expand(len(keys), -1),
            self.plan(
                [strength for _, strength in keys],
                scope_positions(self.tokens, real, is_prompt=True, ends_prompt=False),
            ),
        )
        return step.kept

    def plan(self, strengths: Sequence[float], positions: Bool[Tensor, "batch pos"]) -> SteeredPositions | None:
        """What a pass does to these rows; `positions` on the CPU. None for the unsteered model."""
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
        if self._steerer is None or steered is None:
            hidden = run_step(self.model, step, input_ids, position_ids)
        else:
            self._steerer.begin(steered)
            hidden = run_step(self.model, step, input_ids, position_ids)
            self._steerer.finish()
        self.count(input_ids.numel())
        return hidden

    def count(self, tokens: int) -> None:
        """Note a pass over so many tokens."""
        self.forward_tokens += tokens
        self.forward_passes += 1

    @contextmanager
    def active(self) -> Iterator[None]:
        """Hooks and attention in place, for the length of a block of code."""
        register()
        hooks = [] if self._steerer is None else self._steerer.hooks()
        with stock_attention(self.model, IMPLEMENTATION), self.model.bridge.hooks(fwd_hooks=hooks):
            yield
