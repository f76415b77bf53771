import random

import pytest
import sympy

from interp_xfer.tasks.scoring.math_equality import compare_answers
from interp_xfer.tasks.scoring.math_pool import Comparison, MathPool


@pytest.fixture(scope="module")
def pool():
    with MathPool(n_workers=2) as made:
        yield made


def keys(answers, pool, gold="1"):
    return [each.key for each in compare_answers([(gold, answer) for answer in answers], pool)]


# gold, generated answer, equal, key; science.md, section 14
EQUALITY = [
    (r"\sqrt{12}", r"2\sqrt3", True, "2*sqrt(3)"),
    ("18", "18.00", True, "18"),
    ("1000", "1,000", True, "1000"),
    (r"\frac12", "0.5", True, "0.5"),
    (r"\frac13", "0.333", False, "0.333"),
    ("0.1", r"10\%", True, "10"),
    ("10", r"10\%", True, "10"),
    ("[2,5)", "[2,5)", True, "[2, 5)"),
    ("[2,5)", "(2,5)", False, "(2, 5)"),
    (r"\text{(C)}", "C", True, "C"),
    (r"\text{Evelyn}", r"\text{Evelyn}", True, "evelyn"),
    (r"90^\circ", "90", True, "90"),
    ("5", "x=5", True, "5"),
    ("x^2+2x+1", "(x+1)^2", True, "x**2 + 2*x + 1"),
    (r"(3,\frac{\pi}{2})", r"(3, \pi/2)", True, "(3, pi/2)"),
    (r"\frac{\pi}{2}", r"\frac{2}{\pi}", False, "2/pi"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True, "matrix 2x1: 1, 2"),
    ("3+4i", "4i+3", True, "3 + 4*I"),
    (r"\{1,2\}", r"\{2,1\}", True, "1, 2"),
    ("5", "6", False, "6"),
    ("", "", False, None),
    ("", "5", False, "5"),
    ("5", "", False, None),
    ("12", "1,2", False, "1, 2"),
    ("11_2", "11_3", False, "11_3"),
    (r"\text{A, B}", r"\text{A,B}", True, "A, B"),
    (r"\text{October 30}", "October 30", True, "october 30"),
    ("Evelyn", r"\text{Elvyne}", False, "elvyne"),  # no product of letters
    (r"\begin{pmatrix}-1 & 0\end{pmatrix}.", r"\begin{pmatrix} -1 & 0 \end{pmatrix}", True, "matrix 1x2: -1, 0"),
    ("9" * 10_000, "9" * 10_000, True, "9" * 10_000),
    ("9" * 10_000, "9" * 9_999 + "8", False, "9" * 9_999 + "8"),
    (r"x \ge 2", r"[2,\infty)", True, "[2, oo)"),
    (r"[2,\infty)", r"x \ge 2", True, None),
    (r"2x - y + 1 = 0", "y = 2x+1", True, None),
]


def test_equality_of_answers(pool):
    found = compare_answers([(gold, answer) for gold, answer, *_ in EQUALITY], pool)
    for compared, (gold, answer, equal, key) in zip(found, EQUALITY, strict=True):
        assert compared.equal is equal, (gold[:30], answer[:30], compared.key)
        assert key is None or compared.key == key


SAME = [
    (r"\sqrt{12}", r"2\sqrt{3}", r"\sqrt{4}\cdot\sqrt{3}", r"\frac{6}{\sqrt3}"),
    (r"\frac{2}{3}", "2/3", r"\dfrac{4}{6}", r"0.\overline{6}"),
    ("0.5", r"\frac12", ".50", "50/100", "2^{-1}"),
    ("(x+1)^2", "x^2+2x+1", "1+x(x+2)"),
    ("x=7", "7", "7.0", r"7\text{ units}"),
    (r"\text{Evelyn}", "Evelyn", "evelyn"),
    ("1,2", "2,1", "2, 1", r"\{1,2\}", r"1 \text{ and } 2", r"x=2 \text{ or } x=1"),
    ("1+\\sqrt2, 1-\\sqrt2", r"1 \pm \sqrt2"),
    ("1,000", "1000", "1{,}000", r"1,\!000", r"1\,000", r"10^3", r"1 \times 10^3"),
    (r"\log_2 8", "3", r"\sqrt{9}", r"\sqrt{3+2\sqrt2}-\sqrt2+2"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    ("(1+i)^2", "2i"),
    ("11_2", "11_{2}", r"11_{\text{two}}", "011_2"),
    (r"(-\infty,0)\cup(1,\infty)", r"(1,\infty) \cup (-\infty,0)"),
]
DIFFERENT = [
    ("1,2", "12", "(1,2)", "(2,1)", "[1,2]", "1", "2", "1,2,2", "1,3"),
    ("11_2", "11_3", "11", "3", "-11_2"),
    (r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}", "0", "0.0000001", "0.0000002"),
    (r"\sqrt2", "1.414214", r"\sqrt3", r"-\sqrt2", r"\sqrt{2}\cdot10^{-9}", r"2\sqrt{2}\cdot10^{-9}"),
    ("x+1", "x-1", "y+1", "2x+2", "x^2"),
    (r"\text{Evelyn}", r"\text{Elvyne}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"),
    ("98,634", "98,64", "98.634", "98634.5"),
    ("8:34", r"8\!:\!34 \text{ p.m.}", "8:34 a.m."),
]


@pytest.mark.parametrize("group", SAME, ids=[group[0] for group in SAME])
def test_equal_answers_have_equal_keys(group, pool):
    assert len(set(keys(group, pool))) == 1
    assert all(each.equal for each in compare_answers([(gold, answer) for gold in group for answer in group], pool))


@pytest.mark.parametrize("group", DIFFERENT, ids=[group[0] for group in DIFFERENT])
def test_different_answers_have_different_keys(group, pool):
    assert len(set(keys(group, pool))) == len(group)
    pairs = [(gold, answer) for gold in group for answer in group if gold != answer]
    assert not any(each.equal for each in compare_answers(pairs, pool))


def test_units_and_unknowns_are_those_that_are_asked_for(pool):
    hours = keys(["5", r"5\text{ hours}", r"5\text{ hrs}", r"5\text{ minutes}"], pool, gold=r"5\text{ hours}")
    assert hours == ["5", "5", "5", "5 minute"]
    assert keys(["x=5", "5", "y=5"], pool, gold="x=5") == ["5", "5", "y = 5"]
    assert keys(["x=5", "5", "y=5"], pool, gold="5") == ["5", "5", "5"]  # which unknown is asked for is not known


def expression(rng):
    """A random expression of one kind, and another way to write it."""
    x, y = sympy.symbols("x y")
    a, b, c, d = (rng.randint(-9, 9) or 1 for _ in range(4))
    made = rng.choice(
        [
            (a * x + b) * (c * x + d),
            (a * x + b) ** 2 + y,
            sympy.Rational(a, b) * x + sympy.sqrt(abs(c)),
            sympy.sqrt(abs(a * b)) + d * sympy.sqrt(abs(a)),
            (a + c * sympy.sqrt(abs(d))) / (b + sympy.sqrt(11)),
            a * sympy.pi + sympy.Rational(b, c),
            (a * x + b) / (c * x + 10 + d),
            sympy.sqrt(abs(a)) * sympy.sqrt(abs(b)) * sympy.I + c,
            sympy.log(abs(a) + 1) + b,
        ]
    )
    other = rng.choice([sympy.expand, sympy.factor, sympy.radsimp, sympy.together, sympy.simplify])(made)
    return made, other


def test_keys_agree_with_sympy_and_math_verify(pool):
    """120 random pairs: equal keys exactly where sympy's difference is 0, and then math-verify agrees."""
    rng = random.Random(0)
    pairs = []
    while len(pairs) < 120:
        first, same = expression(rng)
        second = rng.choice([same, same, same + rng.choice([1, sympy.Rational(1, 7)]), expression(rng)[1]])
        pairs.append((first, second))
    texts = [(sympy.latex(first), sympy.latex(second)) for first, second in pairs]
    equal = [sympy.simplify(first - second) == 0 for first, second in pairs]
    assert 30 < sum(equal) < 90
    compared = compare_answers(texts, pool)
    found = keys([first for first, _ in texts], pool), keys([second for _, second in texts], pool)
    for text, same, verdict, first, second in zip(texts, equal, compared, *found, strict=True):
        assert verdict.equal is same and (first == second) is same, text
    real = [
        text for text, same in zip(texts, equal, strict=True) if same and " i" not in text[0]
    ]  # there i is a letter
    assert len(real) > 25 and all(verdict.equal for verdict in pool.compare([Comparison(*text) for text in real]))
