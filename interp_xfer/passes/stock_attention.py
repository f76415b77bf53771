"""The stock modules of transformers, put back inside a TransformerLens bridge for the length of a block of code.

The bridge computes attention and norms step by step in Python, with hooks on every step. Extraction and sweeps only
need the residual stream between blocks, whose hooks keep firing when everything inside a block is the stock module.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn import Module
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from interp_xfer.models.loaded import LoadedModel

# Architectures whose stock attention goes through transformers' table of attention functions with grouped keys and
# values, an optional sliding window and an optional soft cap, and nothing else. Each is tested for equality.
SUPPORTED_MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text"})

_BETWEEN_BLOCKS = ("hook_in", "hook_out")
"""Hook points of a block itself (`hook_resid_pre`, `hook_resid_post`)."""


def stock_attention_problem(model: LoadedModel) -> str | None:
    """Why the stock attention cannot be put back in this model now; None if it can."""
    model_type = model.hf.config.model_type
    if model_type not in SUPPORTED_MODEL_TYPES:
        return f"architecture {model_type!r} is not among {', '.join(sorted(SUPPORTED_MODEL_TYPES))}"
    if model.fingerprint.weight_processing != "none":
        return f"weights are processed ({model.fingerprint.weight_processing})"
    for layer, block in enumerate(model.bridge.blocks):
        for name, module in block.named_modules(remove_duplicate=False):
            inside = name not in _BETWEEN_BLOCKS and "_original_component" not in name
            if inside and (getattr(module, "fwd_hooks", None) or getattr(module, "bwd_hooks", None)):
                return f"a hook is set on blocks.{layer}.{name}, inside the block"
    return None


@contextmanager
def stock_attention(model: LoadedModel, implementation: str) -> Iterator[None]:
    """Stock blocks with one of transformers' attention functions, in every layer, restored on exit.

    Arguments:
        model: one for which `stock_attention_problem` is None.
        implementation: a key of transformers' `ALL_ATTENTION_FUNCTIONS`, such as "sdpa".
    """
    config = model.hf.config
    before = config._attn_implementation
    swapped: list[tuple[Module, str, Module]] = []
    try:
        for block in model.bridge.blocks:
            _put_back(block.original_component, swapped)
        config._attn_implementation = implementation
        yield
    finally:
        config._attn_implementation = before
        for parent, name, bridged in swapped:
            setattr(parent, name, bridged)


def _put_back(module: Module, swapped: list[tuple[Module, str, Module]]) -> None:
    """Replace the bridged parts of a stock module by the stock ones, all the way down, and note what was there."""
    for name, child in list(module.named_children()):
        if isinstance(child, GeneralizedComponent):
            swapped.append((module, name, child))
            child = child.original_component
            assert child is not None
            setattr(module, name, child)
        _put_back(child, swapped)
