import random
import threading

import pytest

from interp_xfer.errors import DataError
from interp_xfer.tasks import Problem, get_task, score_many
from interp_xfer.tasks.latex import is_equiv
from interp_xfer.tasks.math import extract, parse_row, wrong_answer
from interp_xfer.tasks.math_pool import Comparison, MathPool

MATH = get_task("math")


def problem(answer, reasoning=None):
    return Problem("math/x", "What is it?", reasoning, answer, task="math")


# gold, generated answer, equal, canonical; science.md, section 14
EQUALITY = [
    (r"\sqrt{12}", r"2\sqrt3", True, "2*sqrt(3)"),
    ("18", "18.00", True, "18"),
    ("1000", "1,000", True, "1000"),
    (r"\frac12", "0.5", True, "0.5"),
    (r"\frac13", "0.333", False, "0.333"),
    ("0.1", r"10\%", True, "10"),
    ("10", r"10\%", True, "10"),
    ("[2,5)", "[2,5)", True, None),
    ("[2,5)", "(2,5)", False, None),
    (r"\text{(C)}", "C", True, None),
    (r"\text{Evelyn}", r"\text{Evelyn}", True, None),
    (r"90^\circ", "90", True, "90"),
    ("5", "x=5", True, "5"),
    ("x^2+2x+1", "(x+1)^2", True, "x**2 + 2*x + 1"),
    (r"(3,\frac{\pi}{2})", r"(3, \pi/2)", True, None),
    (r"\frac{\pi}{2}", r"\frac{2}{\pi}", False, None),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True, None),
    ("3+4i", "4i+3", True, None),
    (r"\{1,2\}", r"\{2,1\}", True, None),
    ("5", "6", False, "6"),
    ("", "", False, None),
    ("", "5", False, "5"),
    ("5", "", False, None),
    ("4", "-4... wait, it is 4.", True, "4"),  # math-verify 0.9.0 reads the last number
    (r"\text{A, B}", r"\text{A,B}", True, None),
    (r"\text{October 30}", "October 30", True, "october 30"),
    ("Evelyn", r"\text{Elvyne}", False, "elvyne"),  # no product of letters
    (r"\begin{pmatrix}-1 & 0\end{pmatrix}.", r"\begin{pmatrix} -1 & 0 \end{pmatrix}", True, None),
    ("9" * 10_000, "9" * 10_000, True, "9" * 10_000),
    ("9" * 10_000, "9" * 9_999 + "8", False, "9" * 9_999 + "8"),
]


def test_equality_of_answers():
    texts = [rf"So it is $\boxed{{{answer}}}$." for _, answer, _, _ in EQUALITY]
    scores = score_many(MATH, texts, [problem(gold) for gold, *_ in EQUALITY])
    for score, (gold, answer, equal, canonical) in zip(scores, EQUALITY, strict=True):
        assert score.correct is equal, (gold[:30], answer[:30], score.parsed)
        if canonical is not None:
            assert score.parsed == canonical


@pytest.mark.parametrize(
    "group",
    [
        (r"\sqrt{12}", r"2\sqrt{3}", r"\sqrt{4}\cdot\sqrt{3}"),
        (r"\frac{2}{3}", "2/3", r"\dfrac{4}{6}"),
        ("0.5", r"\frac12", ".50", "50/100"),
        ("(x+1)^2", "x^2+2x+1", "1+x(x+2)"),
        ("x=7", "7", "7.0"),
        (r"\text{Evelyn}", "Evelyn", "evelyn"),
    ],
)
def test_equal_answers_vote_together(group):
    parsed = {MATH.score(rf"\boxed{{{answer}}}", problem("1")).parsed for answer in group}
    assert len(parsed) == 1 and None not in parsed


@pytest.mark.parametrize(
    "text, candidate, rule",
    [
        (r"first \boxed{1}, then $\boxed{\text{ (C) }}$", "(C)", "boxed"),
        (r"\boxed{3}. Then \boxed{4", "3", "boxed"),
        ("The final answer is $[2,5)$. I hope it is correct.", "[2,5)", "answer_is"),
        (r"The answer is \(x+1\), since", "x+1", "answer_is"),
        ("**Answer:** 12 apples.", "12 apples", "answer_is"),
        (r"The answer is \boxed{\frac{1}{2", r"\boxed{\frac{1}{2", "answer_is"),
        ("we get 5", "we get 5", "text"),
        ("", "", None),
        (r"\boxed{}", "", "boxed"),
    ],
)
def test_extraction(text, candidate, rule):
    assert extract(text) == (candidate, rule)


def test_text_without_a_marker_is_read_by_math_verify():
    score = MATH.score(r"we get $x = \frac{3}{6}$", problem(r"\frac{1}{2}"))
    assert score.correct and score.rule == "text"
    assert score.extra == {"hendrycks_is_equiv": False, "math_verify": True}


@pytest.mark.parametrize("text", ["", " ", r"\boxed{}", r"\boxed{ }", "no mathematics here, none"])
def test_nothing_is_never_correct(text):
    for gold in ("", "5", "no"):
        score = MATH.score(text, problem(gold))
        assert not score.correct
    assert score.extra["hendrycks_is_equiv"] is False


def test_a_call_from_a_thread_works():
    results = {}

    def work(number):
        results[number] = MATH.score(rf"\boxed{{\sqrt{{{4 * number}}}}}", problem(rf"2\sqrt{{{number}}}")).correct

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(2, 12), True)


HOSTILE = [
    r"9^{9^{9^9}}",
    "{" * 1500 + "}" * 1500,
    r"\frac{1}{" * 200 + "2" + "}" * 200,
    r"\int_0^1 x^{x^x} dx",
    r"\left\left\left(((((",
    "\ud800",
    "\x00",
    "%" * 500,
    r"\frac{1}{0}",
    r"\text{" * 50,
]


def test_hostile_latex_is_survived():
    with MathPool(n_workers=2, limit_s=1.0) as pool:
        verdicts = pool.compare([Comparison("5", text) for text in HOSTILE] + [Comparison("5", "10/2")])
        assert not any(verdict.equal for verdict in verdicts[:-1])
        assert verdicts[0].failure == "timeout"
        assert verdicts[-1] == (True, "5", None)  # the pool goes on
        assert pool.compare([Comparison("5", "1" * 5000)])[0].failure == "too_long"


def test_a_killed_worker_is_replaced():
    with MathPool(n_workers=1, limit_s=20.0) as pool:
        worker = pool._idle.get()
        pool._idle.put(worker)
        assert pool.compare([Comparison("1", "1")])[0].equal
        process = worker._process
        assert process is not None
        process.kill()
        process.wait()
        assert pool.compare([Comparison("1", "1")])[0].failure == "crash"
        assert pool.compare([Comparison("1", "1")])[0].equal


def test_missing_math_verify_names_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'math-verify>=0.9,<0.10'"):
        MathPool()


def test_both_schemas_are_read():
    row = {"problem": "p", "solution": r"it is $\boxed{\frac{1}{2}}$", "level": "Level 2", "type": "Algebra"}
    assert parse_row(row, "math/train/3").answer == r"\frac{1}{2}"
    assert parse_row(row, "math/train/3").id == "math/train/3"
    row |= {"answer": "0.5", "subject": "Algebra", "level": 2, "unique_id": "test/algebra/1.json"}
    assert (parse_row(row, "x").answer, parse_row(row, "x").id) == ("0.5", "math/test/algebra/1.json")


def test_solution_ends_in_a_boxed_answer_once():
    solved = problem("3", r"First $1+2$. So $\boxed{3}$ it is.")
    assert MATH.format_solution(solved) == "First $1+2$. So $3$ it is.\nThe final answer is $\\boxed{3}$."
    assert MATH.is_complete(MATH.format_solution(solved)) and not MATH.is_complete(r"The answer is $\boxed{3")
    assert MATH.is_complete("3\n\nQuestion: next")


@pytest.mark.parametrize(
    "answer", ["5", r"\frac{3}{4}", "(2,5)", r"\text{(C)}", r"\text{Evelyn}", "x+y", "1", "", "0.5"]
)
def test_wrong_answers_are_wrong(answer):
    rng = random.Random(0)
    for _ in range(20):
        wrong = wrong_answer(problem(answer), rng)
        assert wrong and not is_equiv(wrong, answer)
        assert not MATH.score(rf"\boxed{{{wrong}}}", problem(answer)).correct


def test_few_shot_examples_score_as_correct():
    for example in MATH.few_shot:
        score = MATH.score(MATH.format_solution(example), example)
        assert score.correct and score.rule == "boxed" and example.reasoning
