"""`extract_number` against an independent reading of the same rules."""

import json
import os
import subprocess
import sys
from pathlib import Path

from interp_xfer.tasks.scoring.numeric import NUMERIC_RULES

TEXTS = 20_000


def test_two_readings_of_the_rules_agree_on_20_000_mutated_texts():
    script = Path(__file__).with_name("mutated_numeric_texts.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script), str(TEXTS)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    met = json.loads(done.stdout)
    assert sum(met.values()) == TEXTS and set(met) == {*NUMERIC_RULES, "none"}
    assert min(met.values()) > 1000  # every rule was met often
