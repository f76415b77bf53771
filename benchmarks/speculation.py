"""Would drafts from the neighbouring strength make a sweep cheaper?

    python benchmarks/speculation.py --data-dir DIR [--questions 8] [--max-new-tokens 128]

Greedy texts of neighbouring strengths resemble each other. The finished text of one strength could be the draft of the
next: k draft tokens are verified in one forward pass, the longest agreeing part is kept, and the text stays the same.

1. Acceptance: the real texts of all strengths are replayed with drafts of k tokens (taken where the last three tokens
   last occurred in the draft), counting forward passes and the tokens that go through them.
2. Cost: seconds of one pass over `rows` rows of 1 and of k tokens after the real few-shot prefix.
3. The choice: seconds per token with drafts, one strength after another, beside those without drafts, all strengths
   side by side. Drafts need the neighbour's finished text, so they exclude running strengths side by side.

Prints JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence

import torch
from sweep import MODEL, random_vectors

from interp_xfer import PAPER_GRID, get_task, load_model, load_problems, render_prompt
from interp_xfer.generation import SweepEngine, tokenise_prompt
from interp_xfer.generation.attention import PrefixSegment
from interp_xfer.generation.memory import head_size
from interp_xfer.generation.passes import SteeredPasses
from interp_xfer.generation.steps import PromptStep, SlotCache
from interp_xfer.models import LoadedModel

MATCH = 3


def replay(text: Sequence[int], draft: Sequence[int], k: int) -> tuple[int, int]:
    """Forward passes, and tokens through them, that write `text` with drafts of up to k tokens from `draft`."""
    places = {tuple(draft[i - MATCH : i]): i for i in range(MATCH, len(draft))}
    written = passes = tokens = 0
    while written < len(text):
        start = written if written < MATCH else places.get(tuple(text[written - MATCH : written]), len(draft))
        proposed = draft[start : start + k]
        agreeing = 0
        while agreeing < min(len(proposed), len(text) - written - 1) and proposed[agreeing] == text[written + agreeing]:
            agreeing += 1
        passes += 1
        tokens += 1 + len(proposed)
        written += 1 + agreeing
    return passes, tokens


@torch.inference_mode()
def pass_seconds(model: LoadedModel, passes: SteeredPasses, prefix: tuple[int, ...], rows: int, width: int) -> float:
    """Of one forward pass over `rows` rows of `width` tokens after the prefix, the median of five."""
    parameter = next(model.hf.parameters())
    n_kv = model.hf.config.num_key_value_heads
    with passes.active():
        kept = passes.prefix(prefix, 0.0)
        segments = [[PrefixSegment(None, *kv)] for kv in zip(kept.keys, kept.values, strict=True)]
        cache = SlotCache(model.n_layers, rows, n_kv, width, head_size(model), parameter.dtype, parameter.device)
        ids = torch.randint(10, 1000, (rows, width))
        positions = (len(prefix) + torch.arange(width)).expand(rows, -1)
        times = []
        for _ in range(6):
            start = time.perf_counter()
            step = PromptStep(cache, 0, segments, len(prefix))
            hidden = passes.forward(step, ids, positions, [0.0] * rows, torch.ones_like(ids, dtype=torch.bool))
            passes.next_logits(hidden.flatten(0, 1)).argmax(-1)
            times.append(time.perf_counter() - start)
    return sorted(times[1:])[2]


def main() -> None:
    """Replay, measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    arguments = parser.parse_args()
    model = load_model(MODEL)
    task = get_task("gsm8k")
    problems = load_problems(task, "test", arguments.questions, arguments.data_dir)
    prompts = [tokenise_prompt(model, p.id, render_prompt(model.tokenizer, task, p, 5)) for p in problems]
    strengths = (0.0, *PAPER_GRID)
    engine = SweepEngine(model, random_vectors(model))
    rows = engine.generate(
        prompts, strengths, max_new_tokens=arguments.max_new_tokens, is_complete=task.is_complete
    )  # [strength][question]
    pairs = [
        (after.token_ids, before.token_ids)
        for k in range(1, len(strengths))
        for before, after in zip(rows[k - 1], rows[k], strict=True)
    ]
    n_tokens = sum(len(text) for text, _ in pairs)
    passes = SteeredPasses(model, None, "all", 2**32)
    seconds = {r: pass_seconds(model, passes, prompts[0].prefix, r, 1) for r in (1, 4, 16, len(strengths), 64, 256)}
    result = {
        "work": {"questions": len(prompts), "strengths": len(strengths), "threads": torch.get_num_threads()},
        "same_text_as_neighbour": round(sum(text == draft for text, draft in pairs) / len(pairs), 3),
        "seconds_of_a_pass_of_single_tokens": {r: round(s, 3) for r, s in seconds.items()},
        "drafts": [],
    }
    for k in (2, 4, 8):
        counts = [replay(text, draft, k) for text, draft in pairs]
        n_passes, n_through = sum(p for p, _ in counts), sum(t for _, t in counts)
        entry = {
            "k": k,
            "tokens_written_per_pass": round(n_tokens / n_passes, 2),
            "tokens_computed_per_token_written": round(n_through / n_tokens, 2),
            "by_questions_at_once": [],
        }
        for r in (1, 4, 16):
            with_drafts = pass_seconds(model, passes, prompts[0].prefix, r, k + 1) * n_passes / n_tokens / r
            side_by_side = r * len(strengths)
            nearest = min(seconds, key=lambda n, wanted=side_by_side: abs(n - wanted))
            entry["by_questions_at_once"].append({
                "questions": r,
                "seconds_per_token_one_strength_at_a_time": round(seconds[r] / r, 4),
                "seconds_per_token_with_drafts": round(with_drafts, 4),
                f"seconds_per_token_side_by_side_{nearest}_rows": round(seconds[nearest] / nearest, 4),
            })  # fmt: skip
        result["drafts"].append(entry)
    json.dump(result, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
