"""Texts of the sweep engine against those of Hugging Face `generate`, token by token."""

from collections.abc import Sequence
from typing import Any

import torch
from tiny_models import cached_logits

from interp_xfer.generation import Generation, TokenPrompt, reference_generate
from interp_xfer.generation.memory import kv_bytes_per_token, pass_bytes
from interp_xfer.models import LoadedModel
from interp_xfer.steering.hooks import TokenScope, steer
from interp_xfer.steering.vectors import SteeringVectors

UNDECIDED = 1e-3

Texts = Sequence[Sequence[Generation]]
"""[strength][prompt]."""


def reference(
    model: LoadedModel,
    steering: SteeringVectors | None,
    prompts: Sequence[TokenPrompt],
    strengths: Sequence[float],
    **options: Any,
) -> Texts:
    """What Hugging Face `generate` writes, one strength at a time."""
    return [reference_generate(model, prompts, steering, strength, **options) for strength in strengths]


@torch.inference_mode()
def margin(
    model: LoadedModel,
    steering: SteeringVectors,
    prompt: TokenPrompt,
    tokens_so_far: Sequence[int],
    strength: float,
    scope: TokenScope,
) -> float:
    """Distance of the two best next-token logits of the hooked bridge after these tokens."""
    ids = torch.tensor([[*prompt.prefix, *prompt.suffix]], device=model.device)
    new = torch.tensor([list(tokens_so_far)], dtype=torch.long, device=model.device).reshape(1, -1)
    with steer(model, steering, strength=strength, tokens=scope):
        logits = cached_logits(model.hf, ids, torch.ones_like(ids), new)[-1][0, -1]
    best = logits.topk(2).values
    return float(best[0] - best[1])


def count_ties(
    model: LoadedModel,
    steering: SteeringVectors,
    prompts: Sequence[TokenPrompt],
    strengths: Sequence[float],
    found: Texts,
    expected: Texts,
    scope: TokenScope = "all",
) -> int:
    """Fails unless the texts agree, but for undecided tokens, whose number is returned."""
    ties = 0
    for strength, rows, references in zip(strengths, found, expected, strict=True):
        for prompt, a, b in zip(prompts, rows, references, strict=True):
            if a.token_ids == b.token_ids:
                assert a == b
                continue
            pairs = zip(a.token_ids, b.token_ids, strict=False)
            at = next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a.token_ids), len(b.token_ids)))
            distance = margin(model, steering, prompt, b.token_ids[:at], strength, scope)
            assert distance < UNDECIDED, f"{prompt.name} at {strength}: token {at} differs, margin {distance:.4f}"
            ties += 1
    return ties


def budget(model: LoadedModel, rows: int, prefix: int, width: int) -> int:
    """Bytes that hold exactly so many rows."""
    per_token = kv_bytes_per_token(model)
    of_rows = rows * (width * per_token + 4 * model.hf.config.vocab_size)
    return 2 * prefix * per_token + of_rows + pass_bytes(model, max(prefix, width), width)
