"""How many rows run at once, from a memory budget."""

import math

import torch

from interp_xfer.errors import ConfigError
from interp_xfer.models import LoadedModel

# Beyond this the matrix products of a decode step gain nothing on a CPU; measured in benchmarks/sweep.py.
MOST_ROWS = 256
_SHARE_OF_FREE = 0.5


def free_bytes(device: torch.device) -> int:
    """Free memory of the device a model runs on."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def default_budget(device: torch.device) -> int:
    """Half of what is free now."""
    return int(free_bytes(device) * _SHARE_OF_FREE)


def kv_bytes_per_token(model: LoadedModel) -> int:
    """Keys and values of one token in all layers."""
    config = model.hf.config
    element = next(model.hf.parameters()).element_size()
    return 2 * model.n_layers * config.num_key_value_heads * head_size(model) * element


def head_size(model: LoadedModel) -> int:
    """Width of an attention head."""
    config = model.hf.config
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def plan_rows(model: LoadedModel, budget: int, prefix: int, width: int, n_rows: int) -> int:
    """How many rows fit beside two prefixes (the one in use and the next).

    Arguments:
        model: whose cache is planned.
        budget: bytes for caches and logits.
        prefix: tokens of the longest prefix.
        width: own tokens of the longest row, new ones included.
        n_rows: how many there are in all.
    Raises: ConfigError if not even one row fits.
    """
    per_token = kv_bytes_per_token(model)
    per_row = width * per_token + 4 * model.hf.config.vocab_size
    left = budget - 2 * prefix * per_token
    rows = math.floor(left / per_row)
    if rows < 1:
        needed = 2 * prefix * per_token + per_row
        raise ConfigError(
            f"a memory budget of {budget / 2**20:.0f} MiB does not hold one row of {prefix} + {width} tokens, which "
            f"needs {needed / 2**20:.0f} MiB; raise --max-memory, or use fewer examples or new tokens."
        )
    return min(rows, n_rows, MOST_ROWS)
