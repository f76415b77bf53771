"""The next token of each row, from the stream after the final norm.

On a CPU the logits of a large batch cost as much to write, page in and read again as the smaller layers of a model:
their maximum is taken over pieces of the vocabulary that stay in the cache.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.models import LoadedModel

_CPU_LOGITS = 2**19
"""Logits in a piece: 2 MiB."""
_NARROWEST = 1024
"""Columns of a piece: fewer make slow matrix products."""


class NextTokens(NamedTuple):
    """Of each row."""

    ids: Int[Tensor, " rows"]
    finite: Bool[Tensor, " rows"]
    """False: a logit is NaN, or the largest is infinite; the token then means nothing."""


def next_logits(model: LoadedModel, hidden: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows vocab"]:
    """Logits in float32, with the soft cap of the model."""
    return _capped(model, model.hf.get_output_embeddings()(hidden.unsqueeze(1))[:, 0].float())


def greedy_tokens(model: LoadedModel, hidden: Float[Tensor, "rows d_model"]) -> NextTokens:
    """The token with the largest logit, the first of equal ones.

    Hooks on the unembedding see all logits at once.
    """
    unembedding = model.hf.get_output_embeddings()
    if hidden.device.type != "cpu" or _has_hooks(unembedding):
        values, ids = next_logits(model, hidden).max(dim=-1)
        return NextTokens(ids, values.isfinite())
    width = max(_NARROWEST, _CPU_LOGITS // len(hidden))
    bias = unembedding.bias
    best, at = [], []
    for start in range(0, len(unembedding.weight), width):
        some = slice(start, start + width)
        logits = torch.nn.functional.linear(hidden, unembedding.weight[some], None if bias is None else bias[some])
        values, ids = _capped(model, logits.float()).max(dim=-1)
        best.append(values)
        at.append(ids + start)
    values, piece = torch.stack(best).max(dim=0)  # NaN wins a maximum
    return NextTokens(torch.stack(at).gather(0, piece[None])[0], values.isfinite())


def _capped(model: LoadedModel, logits: Tensor) -> Tensor:
    cap = getattr(model.hf.config, "final_logit_softcapping", None)
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)


def _has_hooks(module: Any) -> bool:
    return any(
        getattr(part, "fwd_hooks", None) or part._forward_hooks or part._forward_pre_hooks for part in module.modules()
    )
