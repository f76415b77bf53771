"""How far logits in bfloat16 are from those in float32: ours, and one pass with plain hooks.

    python benchmarks/precision.py --data-dir DIR [--questions 6]

Logits after the prompt (GSM8K, one example, the bundled child, a random direction at strength 0.1). The reference is
the pass with plain hooks in float32. Prints JSON: |logits - reference| / |reference| of each prompt.
"""

import argparse
import json
import sys
from typing import Any

import torch
from sweep import MODEL, plain_hooks, random_vectors

from interp_xfer import get_task, load_model, load_problems, render_prompt
from interp_xfer.generation import SweepEngine, tokenise_prompt
from interp_xfer.generation.passes import SteeredPasses

STRENGTH = 0.1


def main() -> None:
    """Compare, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=6)
    arguments = parser.parse_args()
    task = get_task("gsm8k")
    problems = load_problems(task, "test", arguments.questions, arguments.data_dir)
    seen: list[torch.Tensor] = []
    next_logits = SteeredPasses.next_logits

    def noted(passes: SteeredPasses, hidden: Any) -> torch.Tensor:
        seen.append(next_logits(passes, hidden))
        return seen[-1]

    setattr(SteeredPasses, "next_logits", noted)  # noqa: B010
    logits: dict[str, torch.Tensor] = {}
    for dtype in ("float32", "bfloat16"):
        model = load_model(MODEL, dtype=dtype)
        steering = random_vectors(model)
        prompts = [tokenise_prompt(model, p.id, render_prompt(model.tokenizer, task, p, 1)) for p in problems]
        seen.clear()
        for prompt in prompts:
            SweepEngine(model, steering).generate([prompt], [STRENGTH], max_new_tokens=1)
        logits[f"ours_{dtype}"] = torch.cat(seen).float()
        with torch.inference_mode(), plain_hooks(model, steering, STRENGTH):
            rows = [model.hf(torch.tensor([[*p.prefix, *p.suffix]])).logits[:, -1].float() for p in prompts]
        logits[f"hooks_{dtype}"] = torch.cat(rows)
    reference = logits.pop("hooks_float32")
    errors = {name: (found - reference).norm(dim=1) / reference.norm(dim=1) for name, found in logits.items()}
    json.dump({name: [round(value, 7) for value in error.tolist()] for name, error in errors.items()}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
