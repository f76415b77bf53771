"""Time of the CKA matrix of all layer pairs and of its joint permutations, as JSON.

    python benchmarks/similarity.py --parent-layers 40 --child-layers 28 --prompts 512 --d-parent 5120 --d-child 3584

Bounds on two cores at these defaults: matrix 3 s, 100 permutations 60 s. "pair_by_pair_s" is what a loop over layer
pairs with one call each would take, extrapolated from a few pairs. On a machine shared with other work half of the
"cpu_s" is what two idle cores would need.
"""

import argparse
import json
import platform
import resource
import time

import torch

from interp_xfer.maths.cka import cka_matrix, paired_grams
from interp_xfer.maths.permutation import permutation_null


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("parent-layers", 40), ("child-layers", 28), ("prompts", 512), ("d-parent", 5120)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--d-child", type=int, default=3584)
    parser.add_argument("--permutations", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    xs = [torch.randn(args.prompts, args.d_parent, generator=generator) for _ in range(args.parent_layers)]
    ys = [torch.randn(args.prompts, args.d_child, generator=generator) for _ in range(args.child_layers)]

    start, cpu_start = time.perf_counter(), time.process_time()
    matrix = cka_matrix(xs, ys)
    matrix_s, matrix_cpu_s = time.perf_counter() - start, time.process_time() - cpu_start

    grams = paired_grams(xs, ys)
    start, cpu_start = time.perf_counter(), time.process_time()
    null = permutation_null(*grams, n_permutations=args.permutations)
    permutations_s, permutations_cpu_s = time.perf_counter() - start, time.process_time() - cpu_start

    pairs = min(3, len(ys))
    start = time.perf_counter()
    for y in ys[:pairs]:
        cka_matrix(xs[:1], [y])
    pair_s = (time.perf_counter() - start) / pairs

    report = {
        "benchmark": "similarity",
        **vars(args),
        "matrix_s": round(matrix_s, 3),
        "matrix_cpu_s": round(matrix_cpu_s, 3),
        "permutations_s": round(permutations_s, 3),
        "permutations_cpu_s": round(permutations_cpu_s, 3),
        "pair_by_pair_s": round(pair_s * len(xs) * len(ys), 1),
        "max_abs_unrelated_cka": round(float(matrix.abs().max()), 4),
        "p_value": null.p_value,
        "peak_mem_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
