"""Start a forward pass in the middle: blocks up to a layer hand on a stored residual stream instead of computing.

Sweeps that change one layer at a time repeat everything below it. Here the model runs once while `storing` keeps the
stream after the layers asked for; inside `replaying` later passes begin there. Only the decoder layers inside the
bridge's blocks are replaced, so every `blocks.{l}.hook_resid_post` still fires, on the stored stream too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.models.loaded import LoadedModel

BlockOutput = Tensor | tuple[Tensor | None, ...]
"""The stream, bare or first."""


class StoredStream:
    """The residual stream after some layers, before any hook of the bridge."""

    def __init__(self) -> None:
        self.states: dict[int, Float[Tensor, "batch pos d_model"]] = {}
        """By layer; of the latest pass."""
        self.extras: dict[int, int | None] = {}
        """What a block returns beside the stream: None for a bare tensor, else how many more entries of a tuple."""


@contextmanager
def storing(model: LoadedModel, layers: Sequence[int]) -> Iterator[StoredStream]:
    """Keep the residual stream after these layers in every forward pass of the block of code.

    Arguments:
        model: any loaded model.
        layers: 0-based blocks.
    """
    stored = StoredStream()

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: object, output: Tensor | tuple) -> None:
            bare = isinstance(output, Tensor)
            stored.states[layer] = output if bare else output[0]
            stored.extras[layer] = None if bare else len(output) - 1

        return hook

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(_decoder_layer(model, layer).register_forward_hook(keep(layer)).remove)
        yield stored


@contextmanager
def replaying(
    model: LoadedModel, layer: int, states: Float[Tensor, "batch pos d_model"], extras: int | None
) -> Iterator[None]:
    """Blocks 0 to `layer` compute nothing; after `layer` the stream is `states`.

    Arguments:
        model: any loaded model.
        layer: 0-based block.
        states: of the same rows and positions as the passes inside.
        extras: of that layer, as stored.
    """

    def skip(hidden_states: Tensor, *_: object, **__: object) -> BlockOutput:
        return _shaped(hidden_states, extras)

    def begin(hidden_states: Tensor, *_: object, **__: object) -> BlockOutput:
        assert hidden_states.shape == states.shape, f"{tuple(states.shape)} stored, {tuple(hidden_states.shape)} run"
        return _shaped(states, extras)

    # An attribute of the instance hides the method of its class; deleting it brings the method back.
    replaced: list[torch.nn.Module] = []
    try:
        for index in range(layer + 1):
            module = _decoder_layer(model, index)
            module.forward = begin if index == layer else skip
            replaced.append(module)
        yield
    finally:
        for module in replaced:
            del module.forward


def _decoder_layer(model: LoadedModel, layer: int) -> torch.nn.Module:
    return model.bridge.blocks[layer].original_component


def _shaped(states: Tensor, extras: int | None) -> BlockOutput:
    return states if extras is None else (states, *[None] * extras)
