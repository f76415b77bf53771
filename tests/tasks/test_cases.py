"""Texts as models write them, by kind: what is right, what is read, and where the text is complete.

`cases/*.jsonl` has the format that `benchmarks/score_gold.py --cases` reads.
"""

import json
from pathlib import Path

import pytest

from interp_xfer.tasks import Choice, Problem, get_task

ROWS = [
    json.loads(line)
    for path in sorted(Path(__file__).with_name("cases").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
KINDS = list(dict.fromkeys((row["task"], row["kind"]) for row in ROWS))


@pytest.mark.parametrize("name, kind", KINDS)
def test_cases(name, kind):
    rows = [row for row in ROWS if (row["task"], row["kind"]) == (name, kind)]
    assert len(rows) >= 12
    task = get_task(name)
    problems = []
    for row in rows:
        choices = tuple(Choice(label, text) for label, text in row.get("choices", {}).items())
        problems.append(Problem("case", "?", None, row["gold"], choices, name))
    scores = task.score_many([row["text"] for row in rows], problems)
    for row, score in zip(rows, scores, strict=True):
        found = {"correct": score.correct, "read": score.parsed, "complete": task.is_complete(row["text"])}
        wanted = {key: row[key] for key in found if key in row}
        assert {key: found[key] for key in wanted} == wanted, row
        assert (score.rule in task.rules) == (score.parsed is not None) and not score.timed_out
