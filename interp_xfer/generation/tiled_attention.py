"""PyTorch's tiled attention kernels with their log-sum-exp, which its public function does not return.

Output o and log-sum-exp e of a part of the keys are all that merging needs: a part with maximum e and total 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""(batch, kv, queries, d_head) queries, (batch, kv, keys, d_head) keys and values, scaling -> output like the queries,
log-sum-exp (batch, kv, queries)."""


def tiled_attention(query: Tensor) -> Kernel | None:
    """The kernel for queries of this kind; None where there is none."""
    if query.device.type == "cpu":
        return _cpu if hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu") else None
    if query.device.type != "cuda" or query.shape[-1] % 8 or query.shape[-1] > 256:
        return None
    if query.dtype == torch.float32:
        return _cuda_efficient
    return _cuda_flash if torch.cuda.get_device_capability(query.device) >= (8, 0) else None


def _cpu(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, False, scale=scaling)


def _cuda_flash(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    output, log_total, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
        query, key, value, 0.0, False, False, scale=scaling
    )
    return output, log_total[..., : query.shape[2]]


def _cuda_efficient(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    output, log_total, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, None, True, 0.0, False, scale=scaling
    )
    return output, log_total[..., : query.shape[2]]  # the kernel fills it up to a multiple of 32 queries
