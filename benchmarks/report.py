"""How long the page of a large run takes: 63 pairs on 3 data sets, 8 strengths, made-up answers.

python benchmarks/report.py [--questions 4]
"""

import argparse
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from interp_xfer_analyses.page.report import write_report

STRENGTHS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=4)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "analyses"))
    fake_runs = import_module("fake_runs")
    parents = [f"{parent}-{size}" for parent in fake_runs.PARENTS for size in ("a", "b", "c")]
    with tempfile.TemporaryDirectory() as folder:
        store = fake_runs.grid_run(
            Path(folder), parents, fake_runs.CHILDREN, n=arguments.questions, strengths=STRENGTHS
        )
        start, cpu = time.perf_counter(), time.process_time()
        page = write_report(store)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        size = page.stat().st_size
    print(
        json.dumps(
            {
                "cells": len(parents) * len(fake_runs.CHILDREN) * 3,
                "seconds": round(seconds, 1),
                "cpu_seconds": round(cpu_seconds, 1),
                "megabytes": round(size / 1e6, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
