"""How many rows and prefixes are in memory at once, from a budget."""

import gc
import math
from typing import NamedTuple

import torch

from interp_xfer.errors import ConfigError
from interp_xfer.generation.attention import scores_at_once
from interp_xfer.models import LoadedModel

# Prefixes that are in use at once may take this much of the budget.
_PREFIX_SHARE = 0.25
# Attention over a prefix is a matrix product of its rows: fewer than this are not worth a prefix of their own.
_ROWS_PER_PREFIX = 16
# An accelerator stacks them, and while new ones enter, the stack of before is still there.
_PREFIX_COPIES = {"cpu": 1, "cuda": 3}
_SHARE_OF_FREE = 0.5
# Logits of draft tokens may take this much of what prefixes leave.
_DRAFT_SHARE = 0.1
# The intermediate results of one pass may take this much of the budget, unless one prompt alone takes more.
_PASS_SHARE = 0.125


class BatchPlan(NamedTuple):
    """What runs at once."""

    rows: int
    """(prompt, strength) pairs."""
    prefixes: int
    """Strengths that the rows are taken from together."""
    tokens: int
    """Of a decode step, draft tokens included."""
    prompt_tokens: int
    """Padded tokens of a pass over new prompts or prefixes."""
    kept_bytes: int
    """Prefixes may take: those in use, and those kept for later."""


class PassLimits(NamedTuple):
    """How large a forward pass is worth making on a kind of device; measured by benchmarks/drafts.py."""

    rows: int
    """Of a decode step: beyond this its matrix products gain nothing."""
    prompt_tokens: int
    """Padded tokens of new prompts or prefixes; bounds the attention scores."""
    decode_tokens: int
    """A decode step of up to so many tokens takes little longer than one of fewer: drafts fill it up."""
    recorded: bool = True
    """Decode steps are recorded as CUDA graphs, where there are any."""


_LIMITS = {"cpu": PassLimits(512, 1024, 256), "cuda": PassLimits(4096, 2**15, 512)}


def pass_limits(device: torch.device) -> PassLimits:
    """Of the device a model runs on; of a CPU for a kind that nobody measured."""
    return _LIMITS.get(device.type, _LIMITS["cpu"])


def free_bytes(device: torch.device) -> int:
    """Free memory of the device a model runs on.

    What torch has reserved on a CUDA device and holds no tensor is free for its next one.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    import psutil

    return psutil.virtual_memory().available


def free_unused() -> None:
    """Free what nothing refers to any more.

    A bridged model holds itself in cycles, which only a collection finds; and its blocks on a CUDA device stay reserved
    for torch until they are given back.
    """
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def default_budget(device: torch.device) -> int:
    """Half of what is free now."""
    return int(free_bytes(device) * _SHARE_OF_FREE)


def kv_bytes_per_token(model: LoadedModel) -> int:
    """Keys and values of one token in all layers."""
    config = model.hf.config
    element = next(model.hf.parameters()).element_size()
    return 2 * model.n_layers * config.num_key_value_heads * head_size(model) * element


def logit_bytes(model: LoadedModel) -> int:
    """Logits of one token, in float32 and before that in the dtype of the model."""
    element = next(model.hf.parameters()).element_size()
    return (4 if element == 4 else 4 + element) * model.hf.config.vocab_size


def head_size(model: LoadedModel) -> int:
    """Width of an attention head."""
    config = model.hf.config
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def pass_bytes(model: LoadedModel, tokens: int, width: int) -> int:
    """Intermediate results of a pass over so many tokens, in rows of `width`: the most that are alive at once.

    Those of an MLP (gate, up, and their product); stream, norms, queries, keys and values; in float32 the two parts of
    attention that are merged, and the steered stream; and the scores of attention within a row.
    """
    config = model.hf.config
    element = next(model.hf.parameters()).element_size()
    widest = max(config.hidden_size, config.num_attention_heads * head_size(model))
    per_token = element * (3 * config.intermediate_size + 6 * widest) + 4 * 8 * widest
    scores = min(tokens * width * config.num_attention_heads, scores_at_once(model.device))
    return tokens * per_token + (4 + 4 + element) * scores


def plan_batch(
    model: LoadedModel,
    budget: int,
    prefix: int,
    width: int,
    n_prompts: int,
    n_strengths: int,
    limits: PassLimits,
    *,
    drafts: bool,
) -> BatchPlan:
    """How many rows and strengths run at once.

    Arguments:
        model: whose cache is planned.
        budget: bytes for caches, logits and the intermediate results of a pass.
        prefix: tokens of the longest prefix.
        width: own tokens of the longest row, new ones included.
        n_prompts: prompts to run at every strength.
        n_strengths: strengths, each with a prefix of its own.
        limits: of the device.
        drafts: whether decode steps may hold draft tokens.
    Raises: ConfigError if not even one row fits beside two prefixes (the one in use and the next).
    """
    per_token = kv_bytes_per_token(model)
    logits = logit_bytes(model)
    per_row = width * per_token + logits
    copies = _PREFIX_COPIES.get(model.device.type, _PREFIX_COPIES["cuda"])
    per_prefix = prefix * per_token * copies
    # A pass over one prefix or one prompt cannot be smaller; a larger one is worth some of the memory.
    longest = max(prefix, width)
    smallest = pass_bytes(model, longest, width)
    spare = budget - 2 * per_prefix - per_row
    if spare < smallest:
        needed = smallest + 2 * per_prefix + per_row
        raise ConfigError(
            f"a memory budget of {budget / 2**20:.0f} MiB does not hold one row of {prefix} + {width} tokens, which "
            f"needs {needed / 2**20:.0f} MiB; raise --max-memory, or use fewer examples or new tokens."
        )
    worth = max(smallest, min(budget * _PASS_SHARE, spare))
    prompt_tokens = max(longest, min(limits.prompt_tokens, math.floor(longest * worth / smallest)))
    kept = budget - pass_bytes(model, prompt_tokens, width)
    # While one group of strengths drains and the next enters, the prefixes of both are in use.
    prefixes = math.floor(kept * _PREFIX_SHARE / max(1, per_prefix) / 2)
    most_prefixes = math.floor((kept - 2 * per_prefix) / per_row) // _ROWS_PER_PREFIX
    prefixes = max(1, min(prefixes, n_strengths, most_prefixes))
    left = kept - 2 * prefixes * per_prefix
    most = min(n_prompts * n_strengths, limits.rows, prompt_tokens)
    rows = max(1, min(math.floor(left / per_row), most))
    tokens = rows
    decode_tokens = min(limits.decode_tokens, prompt_tokens)
    if drafts and rows < decode_tokens:
        room = math.floor(min(_DRAFT_SHARE * left, left - per_row) / logits)
        extra = max(0, min(room, decode_tokens - rows))
        rows = max(1, min(math.floor((left - extra * logits) / per_row), most))
        tokens = rows + extra
    unused = kept - rows * per_row - (tokens - rows) * logits
    return BatchPlan(rows, prefixes, tokens, prompt_tokens, max(2 * prefixes * per_prefix, unused) // copies)
