"""How large a decode step should be, and how much of it drafts should fill.

    python benchmarks/drafts.py --data-dir DIR [--questions 8] [--max-new-tokens 128] [--device cuda]
        [--rows 16,64,512] [--decode-tokens 0,64,256,1024]

Drafts are what a neighbouring strength wrote (`interp_xfer/generation/drafts.py`). The same sweep
(SmolLM2-135M-Instruct, GSM8K, 5-shot, the baseline and 19 strengths, random directions) runs with every limit on rows
and on the tokens of a decode step; 0 tokens means no drafts. On a CUDA device steps are launched kernel by kernel, and
once more recorded, without drafts. Texts must not change; `other_texts` counts those that do
(ties of two logits).

`PassLimits` holds the best values found here. Prints JSON: seconds, forward passes, and tokens through the model.
"""

import argparse
import json
import sys

import torch
from sweep import MODEL, random_vectors, timed

from interp_xfer import PAPER_GRID, get_task, load_model, load_problems, render_prompt
from interp_xfer.generation import SweepEngine, tokenise_prompt
from interp_xfer.generation.memory import pass_limits


def numbers(text: str) -> list[int]:
    """`16,64` as numbers."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Run every combination and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--rows", type=numbers, default=[16, 64, 512])
    parser.add_argument("--decode-tokens", type=numbers, default=[0, 64, 256, 1024])
    arguments = parser.parse_args()
    model = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype)
    task = get_task("gsm8k")
    problems = load_problems(task, "test", arguments.questions, arguments.data_dir)
    prompts = [tokenise_prompt(model, p.id, render_prompt(model.tokenizer, task, p, 5)) for p in problems]
    strengths = (0.0, *PAPER_GRID)
    steering = random_vectors(model)
    options = {"max_new_tokens": arguments.max_new_tokens, "is_complete": task.is_complete}
    result = {
        "work": {
            "model": model.name, "questions": len(prompts), "strengths": len(strengths),
            "max_new_tokens": arguments.max_new_tokens,
            "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
            "dtype": model.fingerprint.dtype, "threads": torch.get_num_threads(),
        },
        "runs": [],
    }  # fmt: skip
    SweepEngine(model, steering).generate(prompts[:1], strengths, max_new_tokens=4)  # warm up
    first = None
    with_graphs = [(0, True)] if arguments.device == "cuda" else []
    for rows in arguments.rows:
        for decode_tokens, recorded in [*((n, False) for n in arguments.decode_tokens), *with_graphs]:
            limits = pass_limits(model.device)._replace(rows=rows, decode_tokens=decode_tokens, recorded=recorded)
            engine = SweepEngine(model, steering, limits=limits)
            texts, seconds = timed(lambda engine=engine: engine.generate(prompts, strengths, **options))
            first = first or texts
            tokens = sum(len(g.token_ids) for row in texts for g in row)
            same = sum(a == b for x, y in zip(first, texts, strict=True) for a, b in zip(x, y, strict=True))
            result["runs"].append({
                "rows": rows,
                "decode_tokens": decode_tokens,
                "recorded": recorded,
                "seconds": round(seconds, 2),
                "passes": engine.forward_passes,
                "tokens_processed": engine.forward_tokens,
                "new_tokens": tokens,
                "other_texts": len(prompts) * len(strengths) - same,
            })  # fmt: skip
            sys.stderr.write(json.dumps(result["runs"][-1]) + "\n")
    json.dump(result, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
