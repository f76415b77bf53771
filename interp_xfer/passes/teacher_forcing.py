"""Likelihood of given texts: a row is a context and a target, both as tokens, and the model reads both.

log p(target) = sum over the tokens of the target of log p(token | tokens before it), in nats. The state at position i
predicts the token at i + 1, so a pass reads all but the last token of a row, and logits are computed at the positions
that predict the target only.

For the token scope the context is the prompt and the target is what is generated: `all` steers every position,
`prompt` those of the context, `generated` the last token of the context, which predicts the first of the target, and
the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.choices import TokenScope
from interp_xfer.models import LoadedModel

# Rows of logits at once: this many times the vocabulary.
_LOGITS = 256


@dataclass(frozen=True)
class TargetRow:
    """Context and target as tokens."""

    ids: tuple[int, ...]
    n_context: int

    @property
    def targets(self) -> tuple[int, ...]:
        """Tokens of the target."""
        return self.ids[self.n_context :]


@dataclass(frozen=True)
class RowBatch:
    """What one pass over some rows reads: all but the last token of each, without what they share, padded right."""

    input_ids: Int[Tensor, "rows pos"]
    position: Int[Tensor, " pos"]
    """Absolute, shared beginning included."""
    real: Bool[Tensor, "rows pos"]
    contexts: Int[Tensor, " rows"]
    """Length of each context."""
    predicting: Int[Tensor, "targets 2"]
    """(row, column) of the states that predict the targets, row by row."""
    targets: Int[Tensor, " targets"]

    def steered(self, scope: TokenScope) -> Bool[Tensor, "rows pos"]:
        """Positions that a token scope steers."""
        match scope:
            case "all":
                return self.real
            case "prompt":
                return self.real & (self.position < self.contexts[:, None])
            case "generated":
                return self.real & (self.position >= self.contexts[:, None] - 1)

    def per_row(self, values: Float[Tensor, " targets"]) -> Float[Tensor, " rows"]:
        """The sum over the targets of each row, float64."""
        out = torch.zeros(len(self.input_ids), dtype=torch.float64, device=values.device)
        return out.index_add(0, self.predicting[:, 0], values.double())


def row_batch(model: LoadedModel, rows: Sequence[TargetRow], start: int = 0) -> RowBatch:
    """Rows as tensors on the model's device.

    Arguments:
        model: whose padding token is used.
        rows: of any length.
        start: tokens that are left off, because all rows share them and they are run apart.
    """
    device = model.device
    input_ids, mask = model.padded([row.ids[start:-1] for row in rows], "right")
    where = [(i, j - 1 - start) for i, row in enumerate(rows) for j in range(row.n_context, len(row.ids))]
    return RowBatch(
        input_ids=input_ids,
        position=start + torch.arange(input_ids.shape[1], device=device),
        real=mask.bool(),
        contexts=torch.tensor([row.n_context for row in rows], device=device),
        predicting=torch.tensor(where, dtype=torch.long, device=device).reshape(-1, 2),
        targets=torch.tensor([token for row in rows for token in row.targets], dtype=torch.long, device=device),
    )


def shared_length(rows: Sequence[TargetRow]) -> int:
    """Tokens that all contexts begin with; at least the last token of each context is left."""
    contexts = [row.ids[: row.n_context - 1] for row in rows]
    first, last = min(contexts), max(contexts)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def target_log_probabilities(
    model: LoadedModel, states: Float[Tensor, "targets width"], targets: Int[Tensor, " targets"], *, normed: bool
) -> Float[Tensor, " targets"]:
    """Log-probability of each target token, in nats, float32 (float64 for a float64 model).

    Arguments:
        model: whose unembedding is used.
        states: at the positions that predict the targets: after the final norm if `normed`, else logits.
        targets: token ids.
        normed: see states.
    """
    out = []
    for part, target in zip(states.split(_LOGITS), targets.split(_LOGITS), strict=True):
        logits = _at_least_float32(part)
        if normed:
            logits = _at_least_float32(model.hf.get_output_embeddings()(part.unsqueeze(1))[:, 0])
            cap = getattr(model.hf.config, "final_logit_softcapping", None)
            logits = logits if cap is None else torch.tanh(logits / cap) * cap
        out.append(logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(dim=1))
    return torch.cat(out)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
