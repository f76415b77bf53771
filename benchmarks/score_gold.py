r"""Scores what is known to be right or wrong: published answers against themselves, wrong answers, and a file of cases.

    python benchmarks/score_gold.py --data-dir DIR [--cases FILE.jsonl] [--n-wrong 1000] [--tasks gsm8k,math,...]

1. Every published reference, in every form in which an answer is given, is right (a reference that is empty is not).
2. `--n-wrong` wrong answers of each task, in its own form, are wrong.
3. A text that is cut where the sweep would stop scores as the whole text does.
4. Cases: JSON lines with `task`, `text`, `gold`, and what is expected of `correct`, `read`, `complete`, `choices`.

Prints one line for each count, and what fails.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from interp_xfer.tasks import Choice, Problem, Task, get_task, read_rows
from interp_xfer.tasks.problems import SPLITS, Split
from interp_xfer.tasks.scoring.number_text import canonical_number

MAX_SHOWN = 10


def gold_forms(task: Task, problem: Problem) -> Iterator[tuple[str, str]]:
    """(name of the form, text) for every way in which the reference is given as an answer."""
    yield "own form", task.format_answer(problem)
    if problem.reasoning:
        yield "solution in own form", task.format_solution(problem)
    answer = problem.answer
    if task.name == "gsm8k":
        yield "published", f"{problem.reasoning}\n#### {answer}"
        yield "answer is", f"The answer is {answer}."
        yield "boxed", rf"So we get $\boxed{{{answer}}}$."
    elif task.name == "math":
        yield "boxed", rf"\boxed{{{answer}}}"
        yield "four-shot", f"Final Answer: The final answer is ${answer}$. I hope it is correct."
        yield "published solution", problem.reasoning or ""
    else:
        option = next(choice.text for choice in problem.choices if choice.label == answer)
        yield "answer is (X)", f"The answer is ({answer})."
        yield "answer is X", f"The answer is {answer}"
        yield "X. option", f"{answer}. {option}"
        yield "label alone", answer
        yield "boxed option", rf"\boxed{{{option}}}"


def report(name: str, verdicts: list[bool], shown: list[str]) -> None:
    """One line, and the first failures."""
    print(f"{name}: {sum(verdicts)} of {len(verdicts)}")
    for text, right in [(text, right) for text, right in zip(shown, verdicts, strict=True) if not right][:MAX_SHOWN]:
        print(f"    {text}", right or "")


def check_task(task: Task, data_dir: str, n_wrong: int) -> None:
    """Counts 1 to 3 for one benchmark."""
    splits: list[Split] = [split for split in SPLITS if (Path(data_dir) / task.name / f"{split}.jsonl").exists()]
    problems = [problem for split in splits for problem in read_rows(task, split, data_dir).problems]
    forms: dict[str, list[tuple[str, Problem]]] = {}
    for problem in problems:
        for name, text in gold_forms(task, problem):
            forms.setdefault(name, []).append((text, problem))
    for name, rows in forms.items():
        rows = [(text, problem) for text, problem in rows if problem.answer]
        texts, asked = [text for text, _ in rows], [problem for _, problem in rows]
        whole = task.score_many(texts, asked)
        report(f"{task.name}, gold, {name}", [s.correct for s in whole], [f"{p.id} {p.answer!r}" for p in asked])
        if name.startswith(("solution", "published")):
            cut = task.score_many([_stopped(task, text) for text in texts], asked)
            same = [a.correct == b.correct for a, b in zip(whole, cut, strict=True)]
            report(f"{task.name}, {name}, cut where a sweep stops", same, [f"{p.id}" for p in asked])
    rng = random.Random(0)
    asked = rng.sample(problems, min(n_wrong, len(problems)))
    wrong = [replace(problem, answer=task.wrong_answer(problem, rng)) for problem in asked]
    scores = task.score_many([task.format_answer(each) for each in wrong], asked)
    shown = [f"{p.answer!r} -> {w.answer!r}" for p, w in zip(asked, wrong, strict=True)]
    report(f"{task.name}, wrong answers that are wrong", [not score.correct for score in scores], shown)


def _stopped(task: Task, text: str) -> str:
    """The text up to the first place at which a sweep that decodes it character by character stops."""
    if not task.is_complete(text):
        return text
    low, high = 0, len(text)
    while low < high:  # a text that is complete stays so
        middle = (low + high) // 2
        low, high = (low, middle) if task.is_complete(text[:middle]) else (middle + 1, high)
    return text[:low]


def check_cases(path: str) -> None:
    """Count 4."""
    verdicts, shown = [], []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        task = get_task(case["task"])
        choices = tuple(Choice(label, text) for label, text in case.get("choices", {}).items())
        score = task.score(case["text"], Problem("case", "?", None, case["gold"], choices, task.name))
        found = {"correct": score.correct, "read": score.parsed, "complete": task.is_complete(case["text"])}
        wanted = {key: case[key] for key in found if key in case}
        if "read" in wanted:
            wanted["read"] = canonical_number(wanted["read"]) or wanted["read"]
        verdicts.append(all(found[key] == value for key, value in wanted.items()))
        shown.append(f"{case['text']!r} (gold {case['gold']!r}): wanted {wanted}, found {found}")
    report("cases", verdicts, shown)


def main() -> None:
    """Runs the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--cases")
    parser.add_argument("--n-wrong", type=int, default=1000)
    parser.add_argument("--tasks", default="gsm8k,math,arc_challenge")
    options = parser.parse_args()
    if options.cases:
        check_cases(options.cases)
    for name in options.tasks.split(",") if options.data_dir else ():
        check_task(get_task(name), options.data_dir, options.n_wrong)


if __name__ == "__main__":
    main()
