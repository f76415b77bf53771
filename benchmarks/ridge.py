"""Time and memory of a ridge map fitted on streamed rows, as JSON.

    python benchmarks/ridge.py --d-parent 5120 --d-child 4096 --rows 60000

Bounds on two cores at these defaults: 240 s and 3 GB, the choice of the strength among eight by cross-validation
included. Rows are made on the fly (not counted): the child sees the parent's coordinates moved on by one, plus noise.
On a machine shared with other work half of "cpu_s" is what two idle cores would need.
"""

import argparse
import json
import platform
import resource
import time

import torch

from interp_xfer.maths.linear_maps import fit_ridge
from interp_xfer.maths.paired_sums import PairedSums


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("d-parent", 5120), ("d-child", 4096), ("rows", 60_000), ("chunk", 2_000), ("folds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    base_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sums = PairedSums(args.d_parent, args.d_child, args.folds)
    seen = torch.arange(args.d_child) % args.d_parent
    scale = torch.arange(1, args.d_parent + 1) ** -0.5

    sums_s = cpu_s = 0.0
    for number, done in enumerate(range(0, args.rows, args.chunk)):
        rows = min(args.chunk, args.rows - done)
        x = torch.randn(rows, args.d_parent, generator=generator) * scale
        y = x[:, seen].roll(1, dims=1) + 0.05 * torch.randn(rows, args.d_child, generator=generator)
        start, cpu_start = time.perf_counter(), time.process_time()
        sums.add(x, y, fold=number % args.folds)
        sums_s += time.perf_counter() - start
        cpu_s += time.process_time() - cpu_start
        del x, y

    start, cpu_start = time.perf_counter(), time.process_time()
    projection = fit_ridge(sums)
    fit_s, cpu_s = time.perf_counter() - start, cpu_s + time.process_time() - cpu_start

    report = {
        "benchmark": "ridge",
        **vars(args),
        "sums_s": round(sums_s, 1),
        "fit_s": round(fit_s, 1),
        "total_s": round(sums_s + fit_s, 1),
        "cpu_s": round(cpu_s, 1),
        "diagnostics": projection.diagnostics,
        "base_mem_bytes": base_bytes,
        "peak_mem_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
