"""The stock attention of transformers, put back inside a TransformerLens bridge for the length of a block of code.

The bridge computes attention step by step in Python so that scores and patterns can be hooked. Extraction and sweeps
only need `blocks.{l}.hook_resid_post`, which keeps firing when each block's `self_attn` is the stock module again; its
projections stay the bridge's, with their hooks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from interp_xfer.models.loading import LoadedModel

# Architectures whose stock attention goes through transformers' table of attention functions with grouped keys and
# values, an optional sliding window and an optional soft cap, and nothing else. Each is tested for equality.
SUPPORTED_MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text"})


def stock_attention_problem(model: LoadedModel) -> str | None:
    """Why the stock attention cannot be put back in this model now; None if it can."""
    model_type = model.hf.config.model_type
    if model_type not in SUPPORTED_MODEL_TYPES:
        return f"architecture {model_type!r} is not among {', '.join(sorted(SUPPORTED_MODEL_TYPES))}"
    if model.fingerprint.weight_processing != "none":
        return f"weights are processed ({model.fingerprint.weight_processing})"
    for layer, block in enumerate(model.bridge.blocks):
        for name, module in block.attn.named_modules():
            if getattr(module, "fwd_hooks", None):
                return f"a hook is set on blocks.{layer}.attn.{name}, inside attention"
    return None


@contextmanager
def stock_attention(model: LoadedModel, implementation: str) -> Iterator[None]:
    """Stock attention with one of transformers' attention functions, in every block, restored on exit.

    Arguments:
        model: one for which `stock_attention_problem` is None.
        implementation: a key of transformers' `ALL_ATTENTION_FUNCTIONS`, such as "sdpa".
    """
    config = model.hf.config
    before = config._attn_implementation
    swapped: list[tuple[Any, str, Any]] = []
    try:
        for block in model.bridge.blocks:
            decoder_layer = block.original_component
            name = next(name for name, child in decoder_layer.named_children() if child is block.attn)
            swapped.append((decoder_layer, name, block.attn))
            setattr(decoder_layer, name, block.attn.original_component)
        config._attn_implementation = implementation
        yield
    finally:
        config._attn_implementation = before
        for decoder_layer, name, attention in swapped:
            setattr(decoder_layer, name, attention)
