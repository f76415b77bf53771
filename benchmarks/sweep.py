"""What a sweep over strengths costs: ours against the ways it is done elsewhere, on the same work.

    python benchmarks/sweep.py --data-dir DIR [--questions 32] [--max-new-tokens 128] [--slow-strengths 1]
        [--device cuda] [--dtype bfloat16] [--max-memory MIB] [--arms ours,hooks,bridge]

Work: real GSM8K test questions, 5-shot, SmolLM2-135M-Instruct, the baseline and the 19 strengths of the paper, greedy,
real stopping. Arms, one after another in one process:

- ours: `SweepEngine`, all strengths;
- hooks: Hugging Face `generate` (sdpa) with one forward hook per layer that adds the vector, batches of 8, strength by
  strength, as users of other steering libraries run it;
- bridge: `TransformerBridge.generate` under `steer`, batches of 8.

The slow arms run on a stated number of strengths and are scaled to all of them; the output says so. Prints JSON:
seconds, tokens, ratios, peak memory, how many answers agree with the hooks arm, and the share of the roofline: FLOPs of
the tokens processed (linear layers alone, and with attention) / measured matrix-product rate / seconds. The rate is
measured before and after each arm: where it differs between arms, so did the machine, and the ratios are worth less.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from interp_xfer import PAPER_GRID, get_task, load_model, load_problems, render_prompt
from interp_xfer.generation import Generation, SweepEngine, TokenPrompt, reference_generate, tokenise_prompt
from interp_xfer.generation.memory import head_size, pass_limits
from interp_xfer.generation.reference import StopWhenComplete, cut_row
from interp_xfer.maths.layer_maps import proportional
from interp_xfer.models import LoadedModel
from interp_xfer.passes.stock_attention import stock_attention
from interp_xfer.steering.hooks import steer
from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks.prompt_hashes import PromptHashes

MODEL = "bundled:smollm2-135m-instruct"
BATCH = 8


def random_vectors(model: LoadedModel, norm: float = 200.0) -> SteeringVectors:
    """Random unit vectors at every layer: the cost of steering does not depend on the direction."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(model.n_layers, model.d_model, generator=generator), dim=1)
    n = model.n_layers
    return SteeringVectors(
        vectors, torch.full((n,), norm), proportional(n, n), model.fingerprint, model.fingerprint, (False,) * n,
        ConceptOrigin(kind="random"), ProjectionOrigin(kind="none"), PromptHashes(),
    )  # fmt: skip


def gemm_rate(model: LoadedModel, rows: int = 512, seconds: float = 2.0) -> float:
    """FLOP/s of the model's own matrix shapes (an up projection) at many rows."""
    weight = max((p for n, p in model.hf.named_parameters() if "up" in n or "gate" in n), key=lambda p: p.numel())
    x = torch.randn(rows, weight.shape[1], dtype=weight.dtype, device=weight.device)
    finished(torch.nn.functional.linear(x, weight))
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(9):
            torch.nn.functional.linear(x, weight)
        finished(torch.nn.functional.linear(x, weight))
        n += 10
    return n * 2 * rows * weight.numel() / (time.perf_counter() - start)


def finished(result: torch.Tensor) -> None:
    """Wait until the device has computed it."""
    if result.device.type == "cuda":
        torch.cuda.synchronize(result.device)


def peak_memory(device: torch.device) -> int:
    """Bytes: resident memory of the process, or what was allocated on the accelerator."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def flops(model: LoadedModel, block_tokens: int, new_tokens: int) -> float:
    """Matrix products of the blocks for every token processed, and of the unembedding for every token written."""
    embedding = model.hf.get_input_embeddings().weight.numel()
    inside = sum(p.numel() for n, p in model.hf.named_parameters() if p.ndim == 2 and p.numel() != embedding)
    return 2.0 * (inside * block_tokens + embedding * new_tokens)


def attention_flops(model: LoadedModel, prefix: int, own: Sequence[int], n_prefixes: int) -> float:
    """Scores and weighted sums of attention, for rows of `own` tokens after a prefix that runs `n_prefixes` times."""
    config = model.hf.config
    keys = sum(n * prefix + n * (n + 1) / 2 for n in own) + n_prefixes * prefix * (prefix + 1) / 2
    return 4.0 * model.n_layers * config.num_attention_heads * head_size(model) * keys


@contextmanager
def plain_hooks(model: LoadedModel, steering: SteeringVectors, strength: float) -> Iterator[None]:
    """One PyTorch forward hook per decoder layer that adds the scaled vector, sdpa attention: no checks, no masks."""
    scales = steering.strength_scales("relative")
    handles = []
    for layer, block in enumerate(model.bridge.blocks):
        shift = (strength * scales[layer] * steering.vectors[layer]).to(next(model.hf.parameters()))

        def add(module: Any, args: Any, output: Any, shift: torch.Tensor = shift) -> Any:
            return output + shift if isinstance(output, torch.Tensor) else (output[0] + shift, *output[1:])

        handles.append(block.original_component.register_forward_hook(add))
    try:
        with stock_attention(model, "sdpa"):
            yield
    finally:
        for handle in handles:
            handle.remove()


def hooks_arm(
    model: LoadedModel, prompts: Sequence[TokenPrompt], steering: SteeringVectors, strength: float, **options: Any
) -> list[Generation]:
    """Hugging Face `generate` under plain hooks."""
    with plain_hooks(model, steering, strength):
        return reference_generate(model, prompts, None, 0.0, batch_size=BATCH, **options)


def bridge_arm(
    model: LoadedModel, prompts: Sequence[TokenPrompt], steering: SteeringVectors, strength: float, **options: Any
) -> list[Generation]:
    """`TransformerBridge.generate` under `steer`, with the same stopping."""
    out = []
    ends = model.end_tokens
    for start in range(0, len(prompts), BATCH):
        ids, mask = model.padded([[*p.prefix, *p.suffix] for p in prompts[start : start + BATCH]], "left")
        with steer(model, steering, strength=strength):
            new = model.bridge.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=options["max_new_tokens"],
                do_sample=False,
                return_type="tokens",
                eos_token_id=model.tokenizer.eos_token_id,
                stopping_criteria=StopWhenComplete(model.tokenizer, ids.shape[1], options["is_complete"]),
            )
        rows = new[:, ids.shape[1] :].tolist()
        out += [cut_row(row, None, model.tokenizer, ends, options["is_complete"]) for row in rows]
    return out


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call, and its seconds."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def main() -> None:
    """Run the arms and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--slow-strengths", type=int, default=1, help="strengths that the slow arms run")
    parser.add_argument("--arms", default="ours,hooks,bridge")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--not-recorded", action="store_true", help="launch every kernel of a decode step (CUDA)")
    parser.add_argument("--no-drafts", action="store_true", help="decode one token of a row at a time")
    parser.add_argument("--max-memory", type=int, default=None, help="MiB for our caches")
    arguments = parser.parse_args()
    arms = arguments.arms.split(",")

    model = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype)
    task = get_task("gsm8k")
    problems = load_problems(task, "test", arguments.questions, arguments.data_dir)
    prompts = [tokenise_prompt(model, p.id, render_prompt(model.tokenizer, task, p, 5)) for p in problems]
    steering = random_vectors(model)
    strengths = (0.0, *PAPER_GRID)
    n_slow = arguments.slow_strengths
    slow = tuple(strengths[int((i + 0.5) * len(strengths) / n_slow)] for i in range(n_slow))
    options = {"max_new_tokens": arguments.max_new_tokens, "is_complete": task.is_complete}
    gemm_rows = 512 if arguments.device == "cpu" else 8192
    gemm_rate(model, gemm_rows)  # warm up
    rates = [gemm_rate(model, gemm_rows)]
    limits = pass_limits(model.device)
    if arguments.no_drafts:
        limits = limits._replace(decode_tokens=0)
    if arguments.not_recorded:
        limits = limits._replace(recorded=False)
    result: dict[str, Any] = {
        "work": {
            "questions": len(prompts), "strengths": len(strengths), "max_new_tokens": arguments.max_new_tokens,
            "model": model.name, "dtype": model.fingerprint.dtype,
            "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
            "prefix_tokens": len(prompts[0].prefix), "threads": torch.get_num_threads(), "limits": limits._asdict(),
        },
        "arms": {},
    }  # fmt: skip
    answers: dict[str, dict[float, list[Generation]]] = {}
    if "ours" in arms:
        budget = None if arguments.max_memory is None else arguments.max_memory * 2**20
        engine = SweepEngine(model, steering, max_memory=budget, limits=limits)
        SweepEngine(model, steering).generate(prompts[:2], [0.0], max_new_tokens=4)  # warm up
        before = peak_memory(model.device)
        # An engine of its own, gone afterwards: no prefix is there yet for either, nor stays.
        _, baseline_s = timed(
            lambda: SweepEngine(model, steering, max_memory=budget, limits=limits).generate(prompts, [0.0], **options)
        )
        rows, seconds = timed(lambda: engine.generate(prompts, strengths, **options))
        rates.append(gemm_rate(model, gemm_rows))
        rate = (rates[-2] + rates[-1]) / 2
        answers["ours"] = dict(zip(strengths, rows, strict=True))
        new_tokens = sum(len(g.token_ids) for row in rows for g in row)
        linear = flops(model, engine.forward_tokens, new_tokens)
        own = [len(p.suffix) + len(g.token_ids) for row in rows for p, g in zip(prompts, row, strict=True)]
        attention = attention_flops(model, len(prompts[0].prefix), own, len(strengths))
        result["arms"]["ours"] = {
            "seconds": round(seconds, 1),
            "gemm_gflops": [round(r / 1e9, 1) for r in rates[-2:]],
            "new_tokens": new_tokens,
            "tokens_processed": engine.forward_tokens,
            "roofline_share": round(linear / rate / seconds, 3),
            "roofline_share_with_attention": round((linear + attention) / rate / seconds, 3),
            "baseline_alone_seconds": round(baseline_s, 1),
            "marginal_strength_in_baselines": round((seconds - baseline_s) / (len(strengths) - 1) / baseline_s, 2),
            "passes": engine.forward_passes,
            "memory_budget_mib": engine.max_memory // 2**20,
            "peak_memory_mib": peak_memory(model.device) // 2**20,
            "peak_memory_of_the_sweep_mib": (peak_memory(model.device) - before) // 2**20,
        }
    for name, arm in (("hooks", hooks_arm), ("bridge", bridge_arm)):
        if name not in arms:
            continue
        answers[name] = {}
        start = time.perf_counter()
        for strength in slow:
            answers[name][strength] = arm(model, prompts, steering, strength, **options)
        seconds = time.perf_counter() - start
        rates.append(gemm_rate(model, gemm_rows))
        result["arms"][name] = {
            "seconds_measured": round(seconds, 1),
            "gemm_gflops": [round(r / 1e9, 1) for r in rates[-2:]],
            "strengths_run": list(slow),
            "seconds_scaled_to_all": round(seconds / len(slow) * len(strengths), 1),
            "new_tokens": sum(len(g.token_ids) for row in answers[name].values() for g in row),
        }
        if "ours" in answers:
            ratio = result["arms"][name]["seconds_scaled_to_all"] / result["arms"]["ours"]["seconds"]
            result["arms"][name]["times_slower_than_ours"] = round(ratio, 1)
    if "ours" in answers and "hooks" in answers:
        pairs = [(a, b) for s in slow for a, b in zip(answers["ours"][s], answers["hooks"][s], strict=True)]
        parsed = [(task.score(a.text, p).parsed, task.score(b.text, p).parsed)
                  for (a, b), p in zip(pairs, problems * len(slow), strict=True)]  # fmt: skip
        result["agreement_with_hooks"] = {
            "same_parsed_answer": sum(a == b for a, b in parsed),
            "same_tokens": sum(a.token_ids == b.token_ids for a, b in pairs),
            "of": len(pairs),
        }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
