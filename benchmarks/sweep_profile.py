"""Where the time of a sweep goes on a CPU, in the real engine on the work of `sweep.py`.

    python benchmarks/sweep_profile.py --data-dir DIR [--questions 16] [--max-new-tokens 128]

Prints JSON: for each kind of forward pass its seconds and the share of each part. A second counts once, for the
innermost part. Parts run one after another on a CPU, so wall time is exact; an accelerator would need a profiler.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from sweep import MODEL, gemm_rate, random_vectors

from interp_xfer import PAPER_GRID, get_task, load_model, load_problems, render_prompt
from interp_xfer.generation import SweepEngine, batch, passes, tokenise_prompt
from interp_xfer.generation.prefixes import SharedPrefixes
from interp_xfer.generation.steps import DecodeStep, PrefixStep, PromptStep

KINDS = {PrefixStep: "prefixes", PromptStep: "prompts", DecodeStep: "decode steps"}


class Profile:
    """Seconds by kind of pass and part."""

    def __init__(self) -> None:
        self.seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._kind, self._parts, self._since = "none", ["between passes"], time.perf_counter()

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Time a function of a module or class as a part."""
        original: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            self.note()
            self._parts.append(part)
            for argument in args:
                self._kind = KINDS.get(type(argument), self._kind)  # a step that is run, and what follows from it
            try:
                return original(*args, **options)
            finally:
                self.note()
                self._parts.pop()

        setattr(owner, name, timed)

    def note(self) -> None:
        """Count the time since the last note."""
        now = time.perf_counter()
        self.seconds[self._kind, self._parts[-1]] += now - self._since
        self._since = now


def main() -> None:
    """Run a sweep, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    arguments = parser.parse_args()
    model = load_model(MODEL)
    task = get_task("gsm8k")
    problems = load_problems(task, "test", arguments.questions, arguments.data_dir)
    prompts = [tokenise_prompt(model, p.id, render_prompt(model.tokenizer, task, p, 5)) for p in problems]
    steering = random_vectors(model)
    SweepEngine(model, steering).generate(prompts[:1], [0.0], max_new_tokens=2)  # warm up
    rate = gemm_rate(model)
    profile = Profile()
    profile.wrap(torch.nn.Linear, "forward", "linear layers")
    profile.wrap(SharedPrefixes, "attend", "attention over prefixes")
    for step in KINDS:
        profile.wrap(step, "attend", "attention over own tokens")
    profile.wrap(passes, "run_step", "rest of the blocks")
    profile.wrap(batch, "greedy_tokens", "unembedding")
    strengths = (0.0, *PAPER_GRID)
    profile.note()
    profile.seconds.clear()
    options: dict[str, Any] = {"max_new_tokens": arguments.max_new_tokens, "is_complete": task.is_complete}
    SweepEngine(model, steering).generate(prompts, strengths, **options)
    profile.note()
    result: dict[str, Any] = {
        "work": {"questions": len(prompts), "strengths": len(strengths), "model": model.name},
        "gemm_gflops": [round(r / 1e9, 1) for r in (rate, gemm_rate(model))],
    }
    for kind in KINDS.values():
        parts = {part: seconds for (at, part), seconds in profile.seconds.items() if at == kind}
        whole = sum(parts.values())
        shares = {part: round(seconds / whole, 3) for part, seconds in sorted(parts.items(), key=lambda p: -p[1])}
        result[kind] = {"seconds": round(whole, 1), "shares": shares}
    json.dump(result, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
