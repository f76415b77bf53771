"""Do 95 % intervals cover, and does the paired test keep its level? As JSON.

    python benchmarks/interval_coverage.py [--runs 1000] [--pairs 16 32 64 256]

1. Paired differences of accuracies, exact sums over all tables of b broken and c fixed questions: size of the test at
   .05 (largest and mean over shares of changed answers up to .5) for McNemar's score, mid-p and exact forms, and
   coverage (smallest and mean) of Tango's interval beside those of Agresti and Min and of Wald.
2. AUROC, by simulation: scores of both members of a pair are normal with a correlation (the question), layers are
   correlated alike ("equal") or as neighbours ("chain"), the AUROC is the same in all layers or ten times nearer to 1
   in half of them ("mixed"). Share of runs in which `auroc_interval` of the mean holds the truth, beside the normal
   interval; the same for the difference of two sources on the same pairs (`difference_interval`).
"""

import argparse
import json
import time

import numpy as np
import torch
from scipy.special import gammaln
from scipy.stats import binom, norm
from torch import Tensor

from interp_xfer.maths.auroc import auroc_interval, difference_interval, pair_values
from interp_xfer.stats.paired import tango_interval

Z = float(norm.ppf(0.975))
AREAS = (0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
DESIGNS = (
    # layers, correlation of members, of layers, how layers correlate, mixed
    (1, 0.0, 0.0, "equal", False),
    (1, 0.8, 0.0, "equal", False),
    (30, 0.5, 0.2, "equal", False),
    (30, 0.5, 0.9, "equal", False),
    (30, 0.5, 0.9, "chain", False),
    (30, 0.2, 0.98, "chain", True),
)


def paired_size(n: int) -> dict[str, list[float]]:
    """Largest and mean size at .05."""
    changed, shares = np.arange(n + 1), np.arange(0.01, 0.501, 0.01)
    rules = {
        "score": lambda b, c: (c - b) ** 2 > Z**2 * (b + c),
        "mid-p": lambda b, c: _binomial(b, c) - binom.pmf(np.minimum(b, c), b + c, 0.5) < 0.05,
        "exact": lambda b, c: _binomial(b, c) < 0.05,
    }
    out = {}
    for name, rejects in rules.items():
        given = []
        for m in changed:
            c = np.arange(m + 1)
            given.append(float(binom.pmf(c, m, 0.5)[rejects(m - c, c)].sum()) if m else 0.0)
        sizes = [float(binom.pmf(changed, n, share) @ np.array(given)) for share in shares]
        out[name] = [round(max(sizes), 4), round(sum(sizes) / len(sizes), 4)]
    return out


def _binomial(b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return 2 * binom.cdf(np.minimum(b, c), b + c, 0.5)


def paired_coverage(n: int) -> dict[str, list[float]]:
    """Smallest and mean coverage over effects and shares of changed answers."""
    tables = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])
    b, c = tables.T
    ways = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1)
    ends = {"tango": np.array([tango_interval(int(x), int(y), n) for x, y in tables]).T}
    for name, more in (("agresti-min", 0.5), ("wald", 0.0)):
        size, middle = n + 4 * more, (c - b) / (n + 4 * more)
        half = Z * np.sqrt(np.maximum(b + c + 2 * more - size * middle**2, 0)) / size
        ends[name] = np.array([middle - half, middle + half])
    found: dict[str, list[float]] = {name: [] for name in ends}
    for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7):
        for part in (*np.arange(0, 1, 0.1), 0.99):
            effect = share * part
            p_broken, p_fixed = (share - effect) / 2, (share + effect) / 2
            weights = np.exp(ways + b * np.log(p_broken) + c * np.log(p_fixed) + (n - b - c) * np.log(1 - share))
            for name, (low, high) in ends.items():
                found[name].append(float(weights @ ((low <= effect) & (effect <= high))))
    return {name: [round(min(values), 4), round(sum(values) / len(values), 4)] for name, values in found.items()}


def fields(n_layers: int, n: int, correlation: float, kind: str, generator: torch.Generator) -> Tensor:
    """(layers, pairs), correlated between layers."""
    noise = torch.randn(n_layers, n, generator=generator, dtype=torch.float64)
    if kind == "equal":
        return correlation**0.5 * torch.randn(n, generator=generator).double() + (1 - correlation) ** 0.5 * noise
    out = [noise[0]]
    for layer in noise[1:]:
        out.append(correlation * out[-1] + (1 - correlation**2) ** 0.5 * layer)
    return torch.stack(out)


def shifts(area: float, n_layers: int, mixed: bool) -> Tensor:
    """(layers, 1): distance between the classes whose AUROCs have this mean."""
    areas = np.full(n_layers, area)
    if mixed:
        areas[: n_layers // 2] = 1 - (1 - area) / 10
        areas[n_layers // 2 :] += (area - areas.mean()) * n_layers / (n_layers - n_layers // 2)
    return torch.tensor(2**0.5 * norm.ppf(areas))[:, None]


def auroc_coverage(design: tuple, area: float, n: int, runs: int) -> dict[str, float]:
    """Share of runs in which each interval holds the truth, and mean width of ours."""
    n_layers, members, between, kind, mixed = design
    generator, hits, other = torch.Generator().manual_seed(0), {"ours": 0, "normal": 0, "difference": 0}, area - 0.05
    shift, less, width = shifts(area, n_layers, mixed), shifts(other, n_layers, False), 0.0
    for _ in range(runs):
        question, x, y, z = (fields(n_layers, n, between, kind, generator) for _ in range(4))
        negative = members**0.5 * question + (1 - members) ** 0.5 * y
        positive = members**0.5 * question + (1 - members) ** 0.5 * x
        second = members**0.5 * question + (1 - members) ** 0.5 * (0.7 * x + 0.51**0.5 * z)
        values = pair_values(positive + shift, negative)
        found = auroc_interval(values)
        hits["ours"] += found.low <= area <= found.high
        width += (found.high - found.low) / runs
        error = float(values.mean(dim=0).var() / n) ** 0.5
        hits["normal"] += abs(found.estimate - area) <= Z * error
        difference = difference_interval(values, pair_values(second + less, negative))
        hits["difference"] += difference.low <= area - other <= difference.high
    return {name: round(count / runs, 3) for name, count in hits.items()} | {"width": round(width, 4)}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--questions", nargs="*", type=int, default=[8, 12, 16, 24, 32, 48, 64, 100, 200])
    parser.add_argument("--pairs", nargs="*", type=int, default=[16, 32, 64, 256])
    args = parser.parse_args()
    start = time.perf_counter()
    report = {
        "paired_size_largest_and_mean": {n: paired_size(n) for n in args.questions},
        "paired_coverage_smallest_and_mean": {n: paired_coverage(n) for n in args.questions if n <= 64},
        "auroc_coverage": {
            f"{design[0]} layers, members {design[1]}, layers {design[2]} {design[3]}{' mixed' * design[4]}": {
                f"n={n} A={area}": auroc_coverage(design, area, n, args.runs) for n in args.pairs for area in AREAS
            }
            for design in DESIGNS
        },
    }
    print(json.dumps({"benchmark": "interval_coverage", **vars(args), "seconds": time.perf_counter() - start} | report))


if __name__ == "__main__":
    main()
