"""Which child layers respond to a direction: the derivative of log p(gold answer), all layers from one backward pass.

J = log p(gold answer) of a question, teacher forced, in nats. Adding lambda v_l to the residual stream after layer l at
the steered positions t changes it, at lambda = 0, by

    s_l = dJ / d lambda_l = sum_t <dJ/dh[l,t], v_l> = <G_l, v_l>,   G_l = sum_t dJ/dh[l,t].

1. One forward pass over prompt and gold answer, with a graph from the first layer on; parameters need no gradient.
2. One backward pass from J gives dJ/dh at every `blocks.{l}.hook_resid_post`. Questions go one by one: a prompt with
   examples fills a pass, and nothing is padded.
3. The gradients are summed over the steered positions: G, (questions, layers, d_model). Any number of candidate
   directions then costs one inner product each (`directional_derivatives`).

The derivative is that of the operator `add`. It is local (lambda = 0) and about likelihood, not accuracy: confirm it
by a sweep (`layer_sweep.py`) and by generation. The nulls are in `sensitivity_nulls.py`. Source: house rule; gradients
of a loss along concept directions go back to TCAV (arXiv 1711.11279).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp_xfer.choices import TokenScope
from interp_xfer.errors import ConfigError, DataError, ShapeError, SteeringError
from interp_xfer.models import LoadedModel
from interp_xfer.passes.activations import quick_attention
from interp_xfer.passes.stock_attention import stock_attention_problem
from interp_xfer.passes.teacher_forcing import RowBatch, TargetRow, row_batch, target_log_probabilities
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.hooks import TOKEN_SCOPES


@dataclass(frozen=True, eq=False)
class AnswerGradients:
    """How log p(gold answer) of each question changes with the residual stream."""

    log_p: Float[Tensor, " questions"]
    """Nats, summed over the tokens of the answer; unsteered."""
    gradients: Float[Tensor, "questions layers d_model"]
    """G: d log p / dh summed over the steered positions, nats per unit of the residual stream, float64."""


def answer_gradients(
    model: LoadedModel, rows: Sequence[TargetRow], *, tokens: TokenScope = "all", progress: Progress = no_progress
) -> AnswerGradients:
    """G of every question at every layer: steps 1 to 3 of the module docstring.

    Arguments:
        model: the child, unsteered.
        rows: prompt and gold answer of each question (`gold_answers.gold_rows`).
        tokens: which positions are steered: `all`, `prompt` (those before the answer), `generated` (the last token of
            the prompt and the answer).
        progress: called with the number of questions just finished.
    Returns: on the CPU, in the order given; one forward and one backward pass for each question.
    Raises: DataError without rows; ConfigError for an unknown scope; SteeringError where a hook does not fire;
        ShapeError where a gradient is not finite.
    Source: house rule.
    """
    if not rows:
        raise DataError("no questions to differentiate; give at least one.")
    if tokens not in TOKEN_SCOPES:
        raise ConfigError(f"tokens {tokens!r} is not one of {', '.join(TOKEN_SCOPES)}.")
    log_p, gradients = [], []
    with torch.inference_mode(False), torch.enable_grad():
        for row in rows:
            found = _differentiate(model, row_batch(model, [row]), tokens)
            log_p.append(found.log_p)
            gradients.append(found.gradients)
            progress(1)
        out = AnswerGradients(torch.cat(log_p), torch.cat(gradients))
    if not bool(torch.isfinite(out.gradients).all()):
        raise ShapeError(
            f"log p of the gold answer has no finite gradient in {model.name}; load it in float32 (dtype=float32)."
        )
    return out


def directional_derivatives(
    gradients: Float[Tensor, "*questions layers d_model"], vectors: Float[Tensor, "*candidates layers d_model"]
) -> Float[Tensor, "..."]:
    """s_l = <G_l, v_l> of every question and candidate.

    Arguments:
        gradients: G, nats per unit of the stream.
        vectors: unit vectors (or zero where a candidate has none), one axis of candidates or none.
    Returns: (questions, candidates, layers), without the axes that were not given; float64, nats per unit of the
        stream.
    Raises: ShapeError where layers or widths differ.
    Source: house rule.
    """
    if gradients.shape[-2:] != vectors.shape[-2:]:
        raise ShapeError(
            f"gradients are for (layers, d_model) = {tuple(gradients.shape[-2:])}, the vectors have "
            f"{tuple(vectors.shape[-2:])}; both must belong to the same model."
        )
    many_g, many_v = gradients.ndim == 3, vectors.ndim == 3
    pattern = (
        f"{'questions ' if many_g else ''}layers d_model, {'candidates ' if many_v else ''}layers d_model -> "
        f"{'questions ' if many_g else ''}{'candidates ' if many_v else ''}layers"
    )
    return einsum(gradients.double(), vectors.double(), pattern)


def _differentiate(model: LoadedModel, batch: RowBatch, tokens: TokenScope) -> AnswerGradients:
    """Log p and G of the rows of one batch, float64 on the CPU."""
    streams: dict[int, Tensor] = {}

    def watch(layer: int) -> Callable[..., Tensor]:
        def keep(residual: Tensor, hook: Any) -> Tensor:
            # The graph begins after the first layer; what is below it is computed without.
            streams[layer] = residual.detach().requires_grad_() if layer == 0 else residual
            return streams[layer]

        return keep

    hooks = [(model.hook_name(layer), watch(layer)) for layer in range(model.n_layers)]
    with model.bridge.hooks(fwd_hooks=hooks), quick_attention(model):
        normed = stock_attention_problem(model) is None
        run = model.hf.base_model if normed else model.hf
        found = run(input_ids=batch.input_ids, attention_mask=batch.real.long(), use_cache=False)
        states = found.last_hidden_state if normed else found.logits
        chosen = states[batch.predicting[:, 0], batch.predicting[:, 1]]
        log_p = batch.per_row(target_log_probabilities(model, chosen, batch.targets, normed=normed))
        if missing := [layer for layer in range(model.n_layers) if layer not in streams]:
            raise SteeringError(
                f"hook {model.hook_name(missing[0])} of {model.name} did not fire; its gradient cannot be read. Call "
                f"the model without replacing its blocks."
            )
        # A layer above which nothing of the answer depends (none, in a causal model) would be None, and an error.
        found_gradients = torch.autograd.grad(log_p.sum(), [streams[layer] for layer in range(model.n_layers)])
    steered = batch.steered(tokens)
    summed = [(gradient.double() * steered.unsqueeze(-1)).sum(dim=1).cpu() for gradient in found_gradients]
    return AnswerGradients(log_p.detach().cpu(), torch.stack(summed, dim=1))
