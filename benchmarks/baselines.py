"""The unsteered baseline of a model on each benchmark, under every scorer.

    python benchmarks/baselines.py [--model bundled:smollm2-135m-instruct] [--data-dir DIR] [--n 64] [--out FILE.json]

Test questions, few-shot prompts, greedy. A generation is scored by the task's own rule and by the other published
conventions (the patterns of lm-eval's filters for GSM8K, Hendrycks' string comparison for MATH; on our own texts, so
that these are not the numbers of those harnesses: `interp-xfer crosscheck` runs lm-eval itself); multiple choice also
by likelihood. Prints a Markdown table, then one JSON object.
"""

import argparse
import json
import time
from typing import Any

from interp_xfer import GenerationSettings, get_task, load_model, load_problems
from interp_xfer.evaluation.answers import Answer, answer_problems, make_engine
from interp_xfer.models import LoadedModel
from interp_xfer.stats.intervals import wilson_interval
from interp_xfer.tasks import Problem, Task

NAMES = {
    "likelihood_sum": "likelihood (acc)",
    "likelihood_per_token": "likelihood per token",
    "strict_pattern": "first `#### N` (pattern of lm-eval strict)",
    "flexible_pattern": "last number (pattern of lm-eval flexible)",
    "same_string": "last box, string equality (Hendrycks' normalisation)",
}
COLUMNS = ("dataset", "scorer", "accuracy %", "95 % interval", "invalid", "truncated", "tokens", "seconds")


def measure(
    model: LoadedModel, task: Task, problems: list[Problem], settings: GenerationSettings
) -> list[dict[str, Any]]:
    """One row per scorer."""
    start = time.perf_counter()
    table = answer_problems(make_engine(model, None, settings), problems, [0.0], settings, task=task)
    seconds = time.perf_counter() - start
    answers, summary = table.at(0.0), table.summary(0.0)
    primary = "generated, primary" if settings.scoring == "generate" else "likelihood per character (acc_norm)"
    common = {
        "dataset": task.name,
        "scoring": settings.scoring,
        "n": summary.n,
        "invalid": summary.invalid,
        "truncated": summary.truncated,
        "mean_tokens": round(summary.mean_tokens, 1),
        "seconds": round(seconds, 1),
    }
    rows = [{**common, "scorer": primary, **_accuracy([answer.correct for answer in answers])}]
    for name in answers[0].extra:
        rows.append({**common, "scorer": NAMES.get(name, name), **_accuracy(_extra(answers, name))})
    return rows


def _extra(answers: tuple[Answer, ...], name: str) -> list[bool]:
    return [answer.extra[name] for answer in answers]


def _accuracy(right: list[bool]) -> dict[str, float]:
    interval = wilson_interval(sum(right), len(right))
    return {"correct": sum(right), "accuracy": interval.estimate, "low": interval.low, "high": interval.high}


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [COLUMNS, ("---", "---", *("---:",) * 6)]
    for row in rows:
        lines.append(
            (
                row["dataset"],
                row["scorer"],
                f"{100 * row['accuracy']:.1f} ({row['correct']}/{row['n']})",
                f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
                str(row["invalid"]),
                str(row["truncated"]),
                f"{row['mean_tokens']:.1f}",
                f"{row['seconds']:.0f}",
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:smollm2-135m-instruct")
    parser.add_argument("--data-dir", help="folder of DATASET/SPLIT.jsonl; default: the hub")
    parser.add_argument("--datasets", default="gsm8k,math,arc_challenge")
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--n-shots", type=int, default=5)
    parser.add_argument("--max-new-tokens", type=int, help="default: the task's own limit")
    parser.add_argument("--out", help="JSON file to write too")
    options = parser.parse_args()
    model = load_model(options.model)
    rows: list[dict[str, Any]] = []
    for name in options.datasets.split(","):
        task = get_task(name)
        problems = load_problems(task, "test", options.n, options.data_dir)
        settings = GenerationSettings(n_shots=options.n_shots, max_new_tokens=options.max_new_tokens)
        rows += measure(model, task, problems, settings)
        if all(problem.choices for problem in problems):
            settings = GenerationSettings(n_shots=options.n_shots, scoring="likelihood")
            rows += measure(model, task, problems, settings)
    print(markdown(rows) + "\n")
    record = {"model": model.fingerprint.to_dict(), "n_shots": options.n_shots, "rows": rows}
    text = json.dumps(record, indent=1)
    print(text)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
