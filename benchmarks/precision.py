"""How far logits in bfloat16 are from those in float32: ours, and passes with plain hooks.

    python benchmarks/precision.py --data-dir DIR [--questions 3]

Logits after the prompt (GSM8K, one example, the bundled child, a random direction) at eight strengths. Prompts share
their prefix and with it most of their rounding: strengths are the independent draws, so the spread is taken over them.
The reference is the pass with plain hooks in float32. Prints JSON: |logits - reference| / |reference|, the mean over
prompts at each strength, their mean, and its standard error.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sweep import MODEL, plain_hooks, random_vectors

from interp_xfer import get_task, load_model, load_problems, render_prompt
from interp_xfer.generation import SweepEngine, TokenPrompt, batch, tokenise_prompt
from interp_xfer.generation.next_tokens import NextTokens, next_logits
from interp_xfer.models import LoadedModel
from interp_xfer.steering.vectors import SteeringVectors

STRENGTHS = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)
Arm = Callable[[LoadedModel, SteeringVectors, Sequence[TokenPrompt], float], torch.Tensor]
"""(prompts, vocab): logits after each prompt at a strength."""


def ours(model: LoadedModel, steering: SteeringVectors, prompts: Sequence[TokenPrompt], strength: float) -> Any:
    """Of `SweepEngine`, as it chooses the first token."""
    engine, seen = SweepEngine(model, steering), []
    choose = batch.greedy_tokens

    def noted(model: LoadedModel, hidden: torch.Tensor) -> NextTokens:
        seen.append(next_logits(model, hidden))
        return choose(model, hidden)

    batch.greedy_tokens = noted
    try:
        for prompt in prompts:
            engine.generate([prompt], [strength], max_new_tokens=1)
    finally:
        batch.greedy_tokens = choose
    return torch.cat(seen)


@torch.inference_mode()
def hooks(model: LoadedModel, steering: SteeringVectors, prompts: Sequence[TokenPrompt], strength: float) -> Any:
    """Of the model under plain hooks, one prompt a pass."""
    with plain_hooks(model, steering, strength):
        rows = [model.hf(torch.tensor([[*p.prefix, *p.suffix]])).logits[:, -1].float() for p in prompts]
    return torch.cat(rows)


def main() -> None:
    """Compare, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=3)
    arguments = parser.parse_args()
    task = get_task("gsm8k")
    problems = load_problems(task, "test", arguments.questions, arguments.data_dir)
    arms: dict[str, Arm] = {"hooks": hooks, "ours": ours}
    logits: dict[str, list[torch.Tensor]] = {}
    for dtype in ("float32", "bfloat16"):
        model = load_model(MODEL, dtype=dtype)
        steering = random_vectors(model)
        prompts = [tokenise_prompt(model, p.id, render_prompt(model.tokenizer, task, p, 1)) for p in problems]
        for name, arm in arms.items():
            logits[f"{name}_{dtype}"] = [arm(model, steering, prompts, strength) for strength in STRENGTHS]
    reference = logits.pop("hooks_float32")
    result = {}
    for name, found in logits.items():
        errors = torch.tensor([
            float(((a - b).norm(dim=1) / b.norm(dim=1)).mean()) for a, b in zip(found, reference, strict=True)
        ])  # fmt: skip
        result[name] = {
            "by_strength": [float(f"{error:.2g}") for error in errors],
            "mean": float(f"{errors.mean():.2g}"),
            "standard_error": float(f"{errors.std() / len(errors) ** 0.5:.2g}"),
        }
    json.dump({"strengths": STRENGTHS, **result}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
