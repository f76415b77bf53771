"""Steering a model on TransformerLens hook points: which positions, which strength, and proof that it happened.

1. `steer(...)` puts one hook on `blocks.{l}.hook_resid_post` of every steered layer.
2. Before each forward pass the steered positions are worked out from the attention mask and the token scope: `all`
   (every real token, the default), `prompt` (every real prompt token), `generated` (the last prompt token, which
   produces the first answer token, and every decode step). Padding is never written.
3. After each forward pass every hook must have fired exactly once; otherwise the answers were not steered as asked and
   SteeringError is raised.

Strength is `raw` (a multiple of the unit vector, as in the paper) or `relative` (times the child's median residual norm
at that layer, divided by the number of steered layers), one number or one per batch row.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import ConfigError, SteeringError
from interp_xfer.models import LoadedModel, require_same_model
from interp_xfer.steering.operators import OPERATORS, Operator
from interp_xfer.steering.vectors import SteeringVectors, Vector

TOKEN_SCOPES: tuple[TokenScope, ...] = ("all", "prompt", "generated")


def scope_positions(
    scope: TokenScope, real: Bool[Tensor, "batch pos"], *, is_prompt: bool, ends_prompt: bool = True
) -> Bool[Tensor, "batch pos"]:
    """Which positions of one forward pass are steered.

    Arguments:
        scope: see the module docstring.
        real: False at padding.
        is_prompt: True for (a part of) the prompt, False for a decode step.
        ends_prompt: whether this part holds the last prompt token of each row.
    """
    if scope == "all":
        return real
    if scope == "prompt":
        return real if is_prompt else torch.zeros_like(real)
    if not is_prompt:
        return real
    if not ends_prompt:
        return torch.zeros_like(real)
    index = torch.arange(real.shape[1], device=real.device)
    last = torch.where(real, index, -1).amax(dim=1, keepdim=True)
    return real & (index == last)


class SteeredPositions(NamedTuple):
    """What one forward pass does at each position."""

    coefficients: Float[Tensor, "layers batch 1 1"]
    """Strength of each row in the units of the residual stream."""
    mask: Bool[Tensor, "batch pos 1"] | None
    """None: every position is steered."""

    def take(self, other: "SteeredPositions") -> None:
        """Copy another plan of the same shape into these tensors."""
        assert self.mask is not None
        self.coefficients.copy_(other.coefficients)
        if other.mask is None:
            self.mask.fill_(True)
        else:
            self.mask.copy_(other.mask)


class Steerer:
    """The hooks of one steered model. Used by `steer` and by the sweep engine, which sets rows and positions itself."""

    def __init__(
        self,
        model: LoadedModel,
        steering: SteeringVectors,
        operator: str | Operator = "add",
        unit: StrengthUnit = "relative",
    ) -> None:
        require_same_model(steering.child, model.fingerprint, "the steering vectors")
        self.layers = steering.steered_layers
        if not self.layers:
            raise SteeringError("no layer has a steering vector: the layer map gives every child layer None.")
        self.hook_names = {layer: model.hook_name(layer) for layer in self.layers}
        self._operator = OPERATORS[OPERATORS.accept(operator)].apply
        parameter = next(model.hf.parameters())
        # At least float32: in bfloat16 a rounded strength would be off by the same share at every layer.
        self._dtype = torch.promote_types(parameter.dtype, torch.float32)
        self._vectors = steering.vectors.to(parameter.device, self._dtype)
        self._scales = torch.tensor(steering.strength_scales(unit))
        self._current: SteeredPositions | None = None
        self._fired: dict[int, int] = {}

    def plan(self, strengths: Float[Tensor, " rows"], positions: Bool[Tensor, "batch pos"]) -> SteeredPositions:
        """What a forward pass will do: one strength per row, at some positions.

        Both on the CPU spare the other device a wait.

        Raises: SteeringError for another number of strengths than rows.
        """
        if len(strengths) != positions.shape[0]:
            raise SteeringError(
                f"{len(strengths)} strengths for a batch of {positions.shape[0]} rows; give one number, or one per row."
            )
        device = self._vectors.device
        scaled = self._scales[:, None] * strengths.to(self._scales)
        # Rows at strength 0 are not touched at all, so they are the unsteered model bit for bit.
        mask = positions & (strengths != 0).to(positions.device)[:, None]
        return SteeredPositions(
            scaled.to(device)[:, :, None, None],
            None if bool(mask.all()) else mask.unsqueeze(-1).to(device),
        )

    def begin(self, planned: SteeredPositions) -> None:
        """Announce the forward pass that does this."""
        self._current = planned
        self._fired = dict.fromkeys(self.layers, 0)

    def finish(self) -> None:
        """Check the forward pass that `begin` announced.

        Raises: SteeringError if a hook did not fire exactly once.
        """
        wrong = {layer: count for layer, count in self._fired.items() if count != 1}
        if wrong:
            layer, count = next(iter(wrong.items()))
            raise SteeringError(
                f"hook {self.hook_names[layer]} fired {count} times in one forward pass ({len(wrong)} of "
                f"{len(self.layers)} hooks are wrong); the answers are not steered as asked. Call the model through "
                f"its bridge, without replacing its blocks."
            )

    def hooks(self) -> list[tuple[str, Callable[..., Tensor]]]:
        """(hook name, hook function) for `bridge.hooks(fwd_hooks=...)`."""
        return [(self.hook_names[layer], self._hook(layer)) for layer in self.layers]

    def _hook(self, layer: int) -> Callable[..., Tensor]:
        vector = self._vectors[layer]

        def steer_residual(residual: Tensor, hook: Any) -> Tensor:
            assert self._current is not None
            coefficients, mask = self._current
            self._fired[layer] = self._fired.get(layer, 0) + 1
            steered = self._operator(residual.to(self._dtype), vector, coefficients[layer]).to(residual.dtype)
            return steered if mask is None else torch.where(mask, steered, residual)

        return steer_residual


@contextmanager
def steer(
    model: LoadedModel,
    steering: SteeringVectors | Mapping[int, Vector],
    *,
    strength: float | Sequence[float] | Float[Tensor, " batch"],
    layers: Sequence[int] | None = None,
    operator: str | Operator = "add",
    tokens: TokenScope = "all",
    unit: StrengthUnit = "relative",
) -> Iterator[LoadedModel]:
    """Steer every forward pass of the model inside the block; the hooks are gone on exit, exception or not.

    Forward passes through the bridge (`model.bridge(...)`, `run_with_cache`, `generate`), the Hugging Face model inside
    it and `model.generate` are all steered. A pass with an empty cache is a prompt, one with a filled cache a decode
    step. Give an attention mask where rows are padded: without one, every position counts as real.

    Arguments:
        model: the child the vectors were made for.
        steering: unit vectors, one per steered layer; or layer -> vector, made into some by `SteeringVectors.of`.
        strength: one number, or one per batch row; 0 leaves the row bit-identical to the unsteered model.
        layers: steer these alone (`SteeringVectors.at`); None: all that have a vector.
        operator: a name of `OPERATORS`, or a function (residual, unit vector, coefficients) -> residual.
        tokens: which positions are steered, see the module docstring.
        unit: "relative" or "raw", see the module docstring.
    Raises: FingerprintError for another model; ConfigError for a strength that is not finite or an unknown option;
        SteeringError if a hook does not fire, or the number of strengths is not that of the batch rows; LayerError for
        a layer without a vector; for a mapping, as `SteeringVectors.of`.
    """
    strengths = checked_strengths(strength)
    if tokens not in TOKEN_SCOPES:
        raise ConfigError(f"tokens {tokens!r} is not one of {', '.join(TOKEN_SCOPES)}.")
    if not isinstance(steering, SteeringVectors):
        steering = SteeringVectors.of(model, steering)
    steerer = Steerer(model, steering if layers is None else steering.at(layers), operator, unit)

    def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Some architectures pass the ids by position and the embeddings as None, some the other way round.
        candidates = (kwargs.get("input_ids"), *args[:1], kwargs.get("inputs_embeds"))
        inputs = next((given for given in candidates if given is not None), None)
        if inputs is None:
            raise SteeringError("the model was called without input_ids or inputs_embeds.")
        cache = kwargs.get("past_key_values")
        is_prompt = cache is None or int(cache.get_seq_length()) == 0
        real = _real_tokens(kwargs.get("attention_mask"), inputs)
        per_row = strengths.expand(real.shape[0]) if len(strengths) == 1 else strengths
        steerer.begin(steerer.plan(per_row, scope_positions(tokens, real, is_prompt=is_prompt)))

    def after(*_: Any) -> None:
        steerer.finish()

    backbone = model.hf.base_model
    handles = [
        backbone.register_forward_pre_hook(before, with_kwargs=True),
        backbone.register_forward_hook(after),
    ]
    try:
        with model.bridge.hooks(fwd_hooks=steerer.hooks()):
            yield model
    finally:
        for handle in handles:
            handle.remove()


def checked_strengths(strength: float | Sequence[float] | Tensor) -> Float[Tensor, " strengths"]:
    """Strengths as a float32 vector.

    Raises: ConfigError if there is none, or one is not finite.
    """
    values = torch.atleast_1d(torch.as_tensor(strength, dtype=torch.float32))
    if values.ndim != 1 or len(values) == 0:
        raise ConfigError(f"strength must be a number or a list of numbers, not shape {tuple(values.shape)}.")
    for value in values.tolist():
        if not math.isfinite(value):
            raise ConfigError(f"strength {value} is not a finite number.")
    return values


def _real_tokens(attention_mask: Any, inputs: Tensor) -> Bool[Tensor, "batch pos"]:
    batch, pos = inputs.shape[:2]
    if attention_mask is None:
        return torch.ones(batch, pos, dtype=torch.bool, device=inputs.device)
    if not isinstance(attention_mask, Tensor) or attention_mask.ndim != 2:
        raise SteeringError(
            "steering needs the 2-D attention mask (batch, pos) to tell padding from text, but the model was called "
            "with a prepared mask. Pass the 2-D mask."
        )
    return attention_mask[:, -pos:].to(inputs.device, torch.bool)
