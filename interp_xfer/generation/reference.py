"""The plain way: Hugging Face `generate` under steering hooks, one strength at a time.

Slow and simple: the fallback for architectures without a fast path, the reference that the fast path is tested against,
and what users of other steering libraries run (a baseline in `benchmarks/sweep.py`).
"""

import random
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.generation.finished import FinishedAnswers
from interp_xfer.generation.records import Generation, IsComplete, Making, RowKey, StopReason, TokenPrompt
from interp_xfer.generation.sampling import Sampling, sample_tokens
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.hooks import steer
from interp_xfer.steering.vectors import SteeringVectors


@torch.inference_mode()
def reference_generate(
    model: LoadedModel,
    prompts: Sequence[TokenPrompt],
    steering: SteeringVectors | None,
    strength: float,
    *,
    operator: str = "add",
    tokens: TokenScope = "all",
    unit: StrengthUnit = "relative",
    max_new_tokens: int,
    is_complete: IsComplete | None = None,
    sampling: Sampling | None = None,
    keep: FinishedAnswers | None = None,
    sample: int = 0,
    batch_size: int = 8,
    progress: Progress = no_progress,
) -> list[Generation]:
    """The answer to every prompt at one strength, through Hugging Face `generate`.

    Arguments and returns as in `SweepEngine.generate`, for one strength, of which this is sample number `sample`.
    """
    ends = model.end_tokens
    made_by = Making.of(model, steering, operator, tokens, unit, max_new_tokens, is_complete, sampling)
    keys = [RowKey(prompt, strength, sample, made_by.digest) for prompt in prompts]
    keep = FinishedAnswers() if keep is None else keep
    missing = [index for index, key in enumerate(keys) if keep.get(key) is None]
    if len(missing) < len(prompts):
        progress(len(prompts) - len(missing))
    out = {index: known for index, key in enumerate(keys) if (known := keep.get(key)) is not None}
    for start in range(0, len(missing), batch_size):
        indices = missing[start : start + batch_size]
        batch = [prompts[index] for index in indices]
        input_ids, mask = model.padded([[*p.prefix, *p.suffix] for p in batch], "left")
        steered = nullcontext() if steering is None or strength == 0 else steer(
            model, steering, strength=strength, operator=operator, tokens=tokens, unit=unit
        )  # fmt: skip
        stop = StopWhenComplete(model.tokenizer, input_ids.shape[1], is_complete)
        watch = _WatchLogits(input_ids.shape[1], len(batch))
        draw = [] if sampling is None else [_DrawTokens(sampling, [sampling.stream(keys[index]) for index in indices])]
        with steered, model.plain_greedy():
            ids = model.hf.generate(
                input_ids=input_ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                eos_token_id=sorted(ends),
                stopping_criteria=[stop],
                logits_processor=[watch, *draw],
            )
        rows = ids[:, input_ids.shape[1] :].tolist()
        made = [cut_row(*row, model.tokenizer, ends, is_complete) for row in zip(rows, watch.n_finite, strict=True)]
        keep.add((keys[index], generation) for index, generation in zip(indices, made, strict=True))
        out |= dict(zip(indices, made, strict=True))
        progress(len(batch))
    return [out[index] for index in range(len(prompts))]


class StopWhenComplete(StoppingCriteria):
    """Stopping criterion of transformers: True for the rows whose text holds the answer."""

    def __init__(self, tokenizer: Any, prompt_length: int, is_complete: IsComplete | None) -> None:
        self._tokenizer, self._start, self._is_complete = tokenizer, prompt_length, is_complete

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
        """(batch, pos) ids so far -> (batch), as transformers asks after every token."""
        if self._is_complete is None:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        texts = self._tokenizer.batch_decode(input_ids[:, self._start :], skip_special_tokens=True)
        return torch.tensor([self._is_complete(text) for text in texts], device=input_ids.device)


class _WatchLogits:
    """Logits processor of transformers that changes nothing: counts the tokens each row chose from finite logits."""

    def __init__(self, prompt_length: int, rows: int) -> None:
        self._start = prompt_length
        self.n_finite: list[int | None] = [None] * rows
        """None: all of them."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        for row in (~scores.amax(dim=-1).isfinite()).nonzero()[:, 0].tolist():
            if self.n_finite[row] is None:
                self.n_finite[row] = input_ids.shape[1] - self._start
        return scores


class _DrawTokens:
    """Logits processor of transformers that leaves only the token our own sampler draws."""

    def __init__(self, sampling: Sampling, streams: Sequence[random.Random]) -> None:
        self._sampling, self._streams = sampling, streams

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids = sample_tokens(scores.float(), self._sampling, self._streams)
        return torch.full_like(scores, float("-inf")).scatter(1, ids[:, None], 0.0)


def cut_row(
    ids: list[int], n_finite: int | None, tokenizer: Any, ends: frozenset[int], is_complete: IsComplete | None
) -> Generation:
    """One row of `generate`, without the padding that follows its end, or the tokens after its logits broke down."""
    for length in range(1, len(ids) + 1):
        if length - 1 == n_finite:
            kept = ids[:n_finite]
            return Generation(tokenizer.decode(kept, skip_special_tokens=True), tuple(kept), "degenerate")
        reason: StopReason | None = "eos" if ids[length - 1] in ends else None
        kept = ids[: length - 1] if reason == "eos" else ids[:length]  # not every end is special
        text = tokenizer.decode(kept, skip_special_tokens=True)
        if reason is None and is_complete is not None and is_complete(text):
            reason = "complete"
        if reason is not None:
            return Generation(text, tuple(ids[:length]), reason)
    return Generation(tokenizer.decode(ids, skip_special_tokens=True), tuple(ids), "length")
