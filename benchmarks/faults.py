"""What the product makes of faults, counted: damaged files, kills, signals, hostile models, wrong input.

    python benchmarks/faults.py                      # a sample of each, as the tests run them
    python benchmarks/faults.py damage kills --full  # every case of some kinds; minutes to an hour each

Prints a JSON object: kind -> outcome -> cases. The kinds live in `tests/faults`, one file each.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
KINDS = ("damage", "kills", "signals", "hostile_models", "user_input")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)}; default all")
    parser.add_argument("--full", action="store_true", help="every case, not a sample")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.kinds) - set(KINDS)):
        parser.error(f"unknown kind {', '.join(unknown)}; choose from {', '.join(KINDS)}")
    sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "faults")]
    for kind in arguments.kinds:
        print(json.dumps({kind: import_module(kind).count(arguments.full)}), flush=True)


if __name__ == "__main__":
    main()
