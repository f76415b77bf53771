r"""Time to read an answer, against its length: texts in which markers, numbers or brackets repeat.

    python benchmarks/read_answers.py [--characters 32000] [--doublings 2]

For every task and text: CPU seconds to score it and to ask whether it is complete, at the given length and after each
doubling. Reading takes linear time, so that each doubling costs at most about twice as much. Prints a Markdown table,
then one JSON object with the slowest reading and the largest ratio.
"""

import argparse
import json
import time

from interp_xfer.tasks import Choice, Problem, Task, get_task

PIECES = {
    "answer is": "answer is ",
    "the answer is 5": "The answer is 5. ",
    "nines": "9",
    "hash": "#### 1\n",
    "hash without a break": "####",
    "open boxes": r"\boxed{",
    "boxes": r"\boxed{1}, ",
    "brackets": "(",
    "list": "1,",
    "minus": "1-",
    "so": "so ",
    "not": "not ",
    "choose": "choose ",
    "correct": "A is correct. ",
    "label": "A ",
    "fractions": r"\frac",
    "dollars": "$ ",
    "think": "<think>",
    "think and close": "<think></think>",
    "no": "the answer is no, ",
    "equals": "the answer is 1 = ",
    "million": "five million ",
    "spaces": " ",
    "breaks": "\n",
    "stops": ". ",
    "words": "Answer to that ",
}
CHOICES = (Choice("A", "a feather"), Choice("B", "grapes"), Choice("C", "a truck"))


def seconds(task: Task, text: str) -> float:
    """CPU time to score a text and to ask whether it is complete."""
    problem = Problem("p", "?", None, "A" if task.name == "arc_challenge" else "5", CHOICES, task.name)
    start = time.process_time()
    task.score(text, problem)
    task.is_complete(text)
    return time.process_time() - start


def main() -> None:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=32_000)
    parser.add_argument("--doublings", type=int, default=2)
    options = parser.parse_args()
    lengths = [options.characters * 2**k for k in range(options.doublings + 1)]
    print("| task | text | " + " | ".join(f"{length} characters" for length in lengths) + " |")
    print("|---|---|" + "---|" * len(lengths))
    slowest, largest = 0.0, 0.0
    for name in ("gsm8k", "sums", "arc_challenge", "math"):
        task = get_task(name)
        seconds(task, "The answer is 5.")  # starts what starts on first use
        for label, piece in PIECES.items():
            times = [seconds(task, piece * (length // len(piece))) for length in lengths]
            print(f"| {name} | {label} | " + " | ".join(f"{1000 * each:.0f} ms" for each in times) + " |")
            slowest = max(slowest, times[0])
            largest = max([largest, *(b / a for a, b in zip(times, times[1:], strict=False) if a > 0.02)])
    print(json.dumps({"slowest_s": round(slowest, 3), "largest_ratio": round(largest, 2)}))


if __name__ == "__main__":
    main()
