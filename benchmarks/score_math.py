r"""Time to score 1,000 MATH answers, hostile ones among them.

    python benchmarks/score_math.py [--data-dir DIR] [--n 1000] [--hostile 6]

With a data folder the answers are worked solutions of real problems, each scored against its own or a neighbour's
reference; without one they are written here. Prints one JSON object. The aim is under 60 s on 2 cores.
"""

import argparse
import json
import time

from interp_xfer.tasks import Problem, data_folder, get_task, read_rows

HOSTILE = (
    r"\boxed{9^{9^{9^9}}}",
    r"\boxed{10!!!!}",
    r"\boxed{" + "{" * 1500 + "}" * 1500 + "}",
    r"\boxed{" + r"\frac{1}{" * 300 + "2" + "}" * 300 + "}",
    r"\boxed{\int_0^1 x^{x^{x}} \, dx}",
    r"\boxed{" + "9" * 10_000 + "}",
    r"\boxed{\frac{1}{2",
    r"\boxed{\sum_{n=1}^{\infty} \frac{1}{n^n}}",
)


def written_here(n: int) -> tuple[list[Problem], list[str]]:
    """Problems and answers of many shapes."""
    shapes = (
        (r"\frac{{{0}}}{{{1}}}", r"{0}/{1}"),
        (r"{0}\sqrt{{{1}}}", r"\sqrt{{{1}}}\cdot {0}"),
        (r"[{0},{1})", r"[{0}, {1})"),
        (r"x^2+{0}x+{1}", r"{1}+{0}x+x^2"),
        (r"({0},\frac{{\pi}}{{{1}}})", r"({0},\pi/{1})"),
        (r"{0}+{1}i", r"{1}i+{0}"),
        (r"\begin{{pmatrix}} {0} \\ {1} \end{{pmatrix}}", r"\begin{{pmatrix}}{0}\\{1}\end{{pmatrix}}"),
        (r"{0}.{1}\%", r"{0}.{1}"),
    )
    problems, texts = [], []
    for index in range(n):
        gold, answer = shapes[index % len(shapes)]
        numbers = (index % 89 + 2, index % 97 + 3)
        problems.append(Problem(f"math/{index}", "", None, gold.format(*numbers), task="math"))
        texts.append(rf"Therefore the value is $\boxed{{{answer.format(*numbers)}}}$.")
    return problems, texts


def main() -> None:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--hostile", type=int, default=len(HOSTILE), help="how many hostile answers are among them")
    options = parser.parse_args()
    task = get_task("math")
    if data_folder(options.data_dir):
        problems = read_rows(task, "train", options.data_dir).problems[: options.n]
        texts = [problem.reasoning or "" for problem in problems]
        texts[1::2] = texts[:-1:2]  # half of them are another problem's solution: unequal answers take longer
    else:
        problems, texts = written_here(options.n)
    hostile = HOSTILE[: options.hostile]
    texts[: len(hostile)] = hostile
    start = time.perf_counter()
    scores = task.score_many(texts, problems)
    wall_s = time.perf_counter() - start
    print(
        json.dumps(
            {
                "n": len(scores),
                "hostile": len(hostile),
                "correct": sum(score.correct for score in scores),
                "wall_s": round(wall_s, 2),
                "answers_per_s": round(len(scores) / wall_s, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
