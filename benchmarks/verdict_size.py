"""How often a layer map is called better than chance where nothing corresponds, and where something does; as JSON.

    python benchmarks/verdict_size.py [--runs 400] [--depths 6x6 12x12 18x30 40x28]

Layers of both models read the same prompts. Without a correspondence ("null"):

- unrelated: noise alone;
- strengths-*: one shared signal in every layer of both models, layers differ in its strength alone: at random, rising
  with depth, largest in the middle, or drifting from layer to layer;
- contents-drift: every layer mixes shared signals with weights that drift, in each model on its own.

"+": the noise of a layer is carried on to the next, as in a residual stream, so that neighbouring layers are alike.
With one ("planted"): signals that peak at the same relative depth in both models, at two strengths.

Rates at p <= .05, with 95 % Wilson intervals:

- chosen: the monotone map, by `placement_p_value` (relabelled layers, chosen again, held out);
- one-by-one: the same with single layers relabelled instead of blocks of neighbours;
- among-random: the monotone map, held out, ranked among random monotone maps (what the verdict was before);
- proportional, greedy: those maps among random monotone maps (`score_map`).
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from interp_xfer.maths.cka import cka_matrix
from interp_xfer.maths.layer_maps import best_monotone, greedy, proportional, random_monotone
from interp_xfer.maths.layer_matching import placement_p_value, score_map
from interp_xfer.maths.permutation import PermutationNull
from interp_xfer.stats.intervals import wilson_interval
from interp_xfer.stats.selection import rank_p_value

WIDTH, SIGNALS = 24, 4


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def drifting(values: Tensor, keep: float) -> Tensor:
    """Along the first axis, each entry keeps a share of the one before and the same variance."""
    out = [values[0]]
    for value in values[1:]:
        out.append(keep * out[-1] + (1 - keep**2) ** 0.5 * value)
    return torch.stack(out)


def strengths(kind: str, n: int, generator: torch.Generator) -> Tensor:
    """Strength of the signal at each layer."""
    depth = torch.linspace(0, 1, n).double()
    return {
        "random": lambda: (0.7 * normal(generator, n)).exp(),
        "rising": lambda: 0.2 + 1.5 * depth,
        "middle": lambda: 0.2 + 1.5 * (-(((depth - 0.5) / 0.2) ** 2)).exp(),
        "drift": lambda: (0.7 * drifting(normal(generator, n), 0.9)).exp(),
    }[kind]()


def weights(kind: str, n: int, generator: torch.Generator) -> Tensor:
    """(layers, signals): how much of each shared signal a layer carries."""
    if kind == "unrelated":
        return torch.zeros(n, SIGNALS, dtype=torch.float64)
    if kind.startswith("strengths-"):
        return strengths(kind.removeprefix("strengths-"), n, generator)[:, None] * torch.ones(SIGNALS).double()
    if kind == "contents-drift":
        return drifting(normal(generator, n, SIGNALS), 0.9)
    centres, depth = torch.linspace(0, 1, SIGNALS).double(), torch.linspace(0, 1, n).double()
    size = {"planted": 1.0, "planted-weak": 0.5}[kind]
    return 2 * size * (-(((depth[:, None] - centres) / 0.25) ** 2)).exp()


def layers(kind: str, n: int, signals: Tensor, generator: torch.Generator) -> Tensor:
    """(layers, prompts, width) of one model."""
    noise = normal(generator, n, len(signals), WIDTH)
    if kind.endswith("+"):
        noise = drifting(noise, 0.9)
    mixed = signals * weights(kind.removesuffix("+"), n, generator)[:, None]
    return mixed @ normal(generator, SIGNALS, WIDTH) + noise


def among_random(halves: tuple[Tensor, Tensor], random_maps: Tensor) -> float:
    """Rank of held-out maps among random monotone ones."""
    children = torch.arange(halves[0].shape[1])
    pairs = (halves, halves[::-1])
    found = [float(unseen[best_monotone(seen[None])[0], children].mean()) for seen, unseen in pairs]
    both = (halves[0] + halves[1]) / 2
    return rank_p_value(sum(found) / 2, both[random_maps, children].mean(dim=1))


def one_by_one(halves: tuple[Tensor, Tensor], draws: int, generator: torch.Generator) -> float:
    """Held-out maps, chosen again after single layers were relabelled."""
    n_parent, n_child = halves[0].shape
    found = []
    for draw in range(draws + 1):
        rows = torch.randperm(n_parent, generator=generator) if draw else torch.arange(n_parent)
        columns = torch.randperm(n_child, generator=generator) if draw else torch.arange(n_child)
        found.append(torch.stack([half[rows][:, columns] for half in halves]))
    moved = torch.stack(found, dim=1)
    chosen = [best_monotone(half) for half in moved]
    read = [moved[1 - i].gather(1, chosen[i][:, None])[:, 0].mean(dim=1) for i in (0, 1)]
    scores = (read[0] + read[1]) / 2
    return rank_p_value(float(scores[0]) - 1e-12, scores[1:])


def one_run(kind: str, depths: tuple[int, int], prompts: int, draws: int, random_maps: Tensor, seed: int) -> dict:
    """P values of all tests on one draw of two models."""
    generator = torch.Generator().manual_seed(seed)
    signals = normal(generator, prompts, SIGNALS)
    xs, ys = (layers(kind, n, signals, generator) for n in depths)
    half = prompts // 2
    halves = (cka_matrix(xs[:, :half], ys[:, :half]), cka_matrix(xs[:, half:], ys[:, half:]))
    whole = cka_matrix(xs, ys)
    null = PermutationNull(whole, torch.zeros(1), 1.0, 0.0)
    fixed: dict[str, Callable] = {"proportional": proportional, "greedy": greedy}
    return {
        "chosen": placement_p_value(halves, best_monotone, draws, seed),
        "one-by-one": one_by_one(halves, draws, generator),
        "among-random": among_random(halves, random_maps),
        **{name: score_map(make(*depths), null, draws, seed=seed).p_random_map for name, make in fixed.items()},
    }


KINDS = ("unrelated", "strengths-random", "strengths-rising", "strengths-middle", "strengths-drift", "contents-drift")
PLANTED = ("planted-weak", "planted")


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--draws", type=int, default=199)
    parser.add_argument("--depths", nargs="+", default=["6x6", "12x12", "18x30", "40x28"])
    parser.add_argument("--kinds", nargs="+", default=[kind + end for kind in (*KINDS, *PLANTED) for end in ("", "+")])
    args = parser.parse_args()
    rates, start = {}, time.perf_counter()
    for text in args.depths:
        n_parent, n_child = (int(n) for n in text.split("x"))
        random_maps = torch.tensor([random_monotone(n_parent, n_child, i).parent_of for i in range(args.draws)])
        run = partial(
            one_run, depths=(n_parent, n_child), prompts=args.prompts, draws=args.draws, random_maps=random_maps
        )
        for kind in args.kinds:
            found = [run(kind, seed=seed) for seed in range(args.runs)]
            rates[f"{text} {kind}"] = {
                name: [round(x, 3) for x in wilson_interval(sum(p[name] <= 0.05 for p in found), len(found))]
                for name in found[0]
            }
    print(
        json.dumps({"benchmark": "verdict_size", **vars(args), "seconds": time.perf_counter() - start, "rates": rates})
    )


if __name__ == "__main__":
    main()
