"""Steered forward passes of one model through the shared-prefix attention, and the prefixes they have run."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.choices import TokenScope
from interp_xfer.generation.memory import PREFIX_SHARE
from interp_xfer.generation.steps import IMPLEMENTATION, PrefixKV, PrefixStep, Step, current_step, register
from interp_xfer.models import LoadedModel
from interp_xfer.models.stock_attention import stock_attention
from interp_xfer.steering import Steerer, scope_positions


class SteeredPasses:
    """Forward passes with one strength per row; use them inside `active`.

    Arguments:
        model: the child.
        steerer: its steering hooks; None for the unsteered model.
        tokens: which positions are steered, as in `interp_xfer.steering.steer`.
        budget: bytes for caches and logits; a share of them keeps prefixes.
    """

    def __init__(self, model: LoadedModel, steerer: Steerer | None, tokens: TokenScope, budget: int) -> None:
        self.model, self.budget = model, budget
        self.tokens: TokenScope = tokens
        self._steerer = steerer
        self._prefixes: OrderedDict[tuple[tuple[int, ...], float], PrefixKV] = OrderedDict()
        self.forward_tokens = 0
        """Tokens that went through the model so far, padding included."""

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
            limit = self.budget * PREFIX_SHARE
            while len(self._prefixes) > 2 and sum(kept.n_bytes for kept in self._prefixes.values()) > limit:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]

    def forward(
        self,
        step: Step,
        input_ids: Int[Tensor, "batch pos"],
        position_ids: Int[Tensor, "batch pos"],
        strengths: Sequence[float],
        positions: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch pos d_model"]:
        """One steered pass through the blocks, to the stream after the final norm."""
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

    def next_logits(self, hidden: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows vocab"]:
        """Logits in float32, with the soft cap of the model."""
        logits = self.model.hf.get_output_embeddings()(hidden.unsqueeze(1))[:, 0].float()
        cap = getattr(self.model.hf.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    @contextmanager
    def active(self) -> Iterator[None]:
        """Hooks and attention in place, for the length of a block of code."""
        register()
        hooks = [] if self._steerer is None else self._steerer.hooks()
        with stock_attention(self.model, IMPLEMENTATION), self.model.bridge.hooks(fwd_hooks=hooks):
            yield
