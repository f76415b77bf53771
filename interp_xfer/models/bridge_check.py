"""Does the bridge compute what Hugging Face computes? One short pass before bridging, one after, layer by layer.

`hidden_states[l + 1]` of Hugging Face is the residual stream after block l, but for the last one, which is read after
the final norm. Each must be what `blocks.{l}.hook_resid_post` sees. The same pass shows a model that overflows in
float16.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.errors import ModelError
from interp_xfer.models.loaded import LoadedModel
from interp_xfer.models.untyped import Bridge, HFModel

PROBE = "The sum of two and three is five."
_MAX_TOKENS = 12
# Largest relative difference of a token: rounding of two ways to sum, which grows with the layers.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}

HiddenStates = list[Float[Tensor, "pos d_model"]]


@torch.inference_mode()
def hidden_states(hf_model: HFModel, ids: Sequence[int], name: str) -> HiddenStates:
    """Output of each block as Hugging Face gives it, the last one after the final norm, for one short text.

    Arguments:
        hf_model: before it is bridged.
        ids: of the text; the first few are read.
        name: of the model, for messages.
    Raises: ModelError where it cannot read the text, gives no states, or where one is not finite, naming the layer.
    """
    device = hf_model.get_input_embeddings().weight.device
    tokens = torch.tensor([list(ids[:_MAX_TOKENS])], device=device)
    try:
        out = hf_model.base_model(input_ids=tokens, use_cache=False, output_hidden_states=True)
    except (ArithmeticError, TypeError, ValueError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{name} cannot read a short text ({type(error).__name__}: {reason}); its configuration is damaged, or not "
            "that of its weights. Get a complete copy."
        ) from None
    states = getattr(out, "hidden_states", None)
    if not states:
        raise ModelError(f"{name} gives no hidden states, so that its bridge cannot be checked; not supported.")
    blocks = [state[0] for state in states[1:]]
    require_finite(dict(enumerate(blocks)), str(blocks[0].dtype).removeprefix("torch."), name)
    return blocks


def require_finite(states: dict[int, Tensor], dtype: str, name: str) -> None:
    """Raise ModelError unless the residual stream is finite after each of these layers.

    Arguments:
        states: of any shape, by layer.
        dtype: that the model computes in.
        name: of the model.
    Raises: ModelError naming the first layer where it is not, and the likely reason.
    """
    layer = next((layer for layer, state in sorted(states.items()) if not bool(torch.isfinite(state).all())), None)
    if layer is not None:
        reason = (
            "float16 ends at 65504, which the stream of some models exceeds; load it with dtype bfloat16 or float32"
            if dtype == "float16"
            else "its weights are damaged, or do not fit its configuration; get a complete copy"
        )
        raise ModelError(f"{name}: the residual stream after layer {layer} is not finite in {dtype}: {reason}.")


@torch.inference_mode()
def check_bridge(bridge: Bridge, expected: HiddenStates, ids: Sequence[int], name: str) -> None:
    """Raise ModelError unless every hook sees what Hugging Face gave before bridging.

    Arguments:
        bridge: of TransformerLens, its weights as published.
        expected: from `hidden_states`.
        ids: of the same text.
        name: of the model, for messages.
    Raises: ModelError naming the first layer whose hook differs or does not fire.
    """
    seen = _read_hooks(bridge, len(expected), ids[:_MAX_TOKENS])
    last = len(expected) - 1
    for layer, state in enumerate(expected):
        if layer not in seen:
            raise ModelError(f"{name}: hook blocks.{layer}.hook_resid_post does not fire; the bridge cannot be used.")
        difference = _difference(seen[layer], state)
        if layer == last and difference > _TOLERANCE[state.dtype] and hasattr(bridge, "ln_final"):
            difference = _difference(bridge.ln_final(seen[layer][None])[0], state)
        if not difference <= _TOLERANCE[state.dtype]:
            raise ModelError(
                f"{name}: hook blocks.{layer}.hook_resid_post differs from the hidden state of Hugging Face by "
                f"{100 * difference:.2g} % (allowed: {100 * _TOLERANCE[state.dtype]:g} %). TransformerLens does not "
                f"bridge this model faithfully; use another model, and report this one."
            )


@torch.inference_mode()
def refuse_overflow(model: LoadedModel, ids: Sequence[int]) -> None:
    """To be called where an unsteered pass over some tokens gave no finite number.

    Raises: ModelError naming the layer, where the model computes in float16, which overflows; in other types, what is
        not finite stays a number of the record.
    """
    if model.fingerprint.dtype == "float16":
        require_finite(_read_hooks(model.bridge, model.n_layers, ids), "float16", model.name)


def _read_hooks(bridge: Bridge, n_layers: int, ids: Sequence[int]) -> dict[int, Float[Tensor, "pos d_model"]]:
    """What `blocks.{l}.hook_resid_post` sees of one text, by layer."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        def read(residual: Tensor, hook: object) -> None:
            seen[layer] = residual[0].clone()

        return read

    hf_model = bridge.original_model
    tokens = torch.tensor([list(ids)], device=hf_model.get_input_embeddings().weight.device)
    with bridge.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_post", keep(layer)) for layer in range(n_layers)]):
        hf_model.base_model(input_ids=tokens, use_cache=False)
    return seen


def _difference(a: Tensor, b: Tensor) -> float:
    """The largest difference of a token, as a share of its length."""
    a, b = a.double(), b.double()
    return float(((a - b).norm(dim=-1) / b.norm(dim=-1).clamp(min=1e-12)).max())
