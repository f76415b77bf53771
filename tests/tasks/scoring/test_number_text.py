import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks.scoring.literals import plain
from interp_xfer.tasks.scoring.maths_text import plain_maths
from interp_xfer.tasks.scoring.number_text import canonical_number, find_values


def find_numbers(text):
    """Those of any text as written; positions refer to `plain_maths(text)`."""
    return find_values(plain_maths(text), calculate=False)


ALPHABET = "0123456789.,-/$% \\{}eE+x²½٣abc"

EQUAL = [  # science.md, section 14, and spelling variants
    ("18", "18", "18.0", "18.00", "$18", "018", "18.", " 18 ", "18%", "1.8e1", "18/1", "36/2", "\u0661\u0668", "１８"),
    ("1000", "1,000", "1000.00", "$1,000", "1e3", "1{,}000", "1\u202f000", "1\\,000", "1 000", "10^3", "1 thousand"),
    ("1234567", "12,34,567", "1,234,567", "1.234.567", "1'234'567", "1 234 567"),
    ("5000000", "5 million", "5 \\text{ million}", "5 x 10^6", "5\\times10^{6}"),
    ("0.5", "1/2", ".5", "0.50", "2/4", "\\frac{1}{2}", "\\frac12", "\\dfrac{2}{4}", "½", "5e-1"),
    ("2/3", "4/6", "\\frac{2}{3}"),
    ("-4", "-4.0", "-$4", "$-4", "\u22124"),
    ("1.5", "1 1/2", "3/2", "1½", "1\\frac12"),
    ("25", "5²", "5^2", "5^{2}"),
    ("0", "-0", "0.000", "0/7"),
]


@pytest.mark.parametrize("canonical, spellings", [(row[0], row) for row in EQUAL], ids=[row[0] for row in EQUAL])
def test_equal_values_are_equal_strings(canonical, spellings):
    for spelling in spellings:
        assert canonical_number(spelling) == canonical, spelling


@pytest.mark.parametrize(
    "text", ["", "abc", "1/0", "18 apples", "1-2", "--", "1,2", "1 2", ".", "12,9", "2x", "\\pi", "3:1"]
)
def test_a_text_that_is_no_single_number_is_none(text):
    assert canonical_number(text) is None


def test_ten_thousand_digits_are_exact():
    long = "7" * 10_000
    assert canonical_number(long) == long
    assert canonical_number(long + ".50") == long + ".5"
    assert canonical_number(long[:-1] + "8") != long
    assert canonical_number(f"{long}/{long}") == f"{long}/{long}"  # too long to reduce, but kept


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_a_fraction_keeps_its_value_and_is_reduced(numerator, denominator):
    canonical = canonical_number(f"{numerator}/{denominator}")
    assert canonical is not None and Fraction(canonical) == Fraction(numerator, denominator)
    assert canonical_number(canonical) == canonical


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_grouping_and_trailing_zeros_do_not_matter(value):
    assert canonical_number(f"{value:,}") == canonical_number(f"{value}00") == canonical_number(str(value))


@given(st.text(ALPHABET, max_size=40))
def test_canonical_is_idempotent_and_nothing_raises(text):
    for number in find_numbers(text):
        assert canonical_number(number.value) == number.value
    canonical = canonical_number(text)
    if canonical is not None:
        assert canonical_number(canonical) == canonical


@given(st.text(max_size=60))
def test_plain_is_idempotent_on_any_text(text):
    assert plain(plain(text)) == plain(text)
    find_numbers(text)


def test_a_minus_after_a_number_is_a_subtraction():
    assert [number.value for number in find_numbers("5-3 = 2, (4)-1, x-7, but -3 and =-2")] == [
        *("5", "3", "2", "4", "1", "7", "-3", "-2")
    ]


def test_exponents_of_units_are_no_numbers():
    assert [number.value for number in find_numbers("50 m^2 or 50 m² or 50 m^{2} or 50 m^12")] == ["50"] * 4


@pytest.mark.parametrize(
    "text, values",
    [
        ("3 x 6", ["18"]),
        ("(3 + 4) * 2", ["14"]),
        ("20 - 2 = 18", ["18", "18"]),
        ("10-4", ["6"]),
        ("5-10", ["5", "10"]),  # a range
        ("5 -3", ["5", "-3"]),
        ("- 5", ["5"]),  # a bullet
        ("2(3)", ["6"]),
        ("2^3 1/2", ["8", "0.5"]),
        (r"\frac{3}{4} + \frac14", ["1"]),
        (r"\sqrt{16}", ["4"]),
        (r"\sqrt{2}", []),
        (r"2\pi", []),
        ("12 divided by 4", ["3"]),
        ("3 times a day", ["3"]),
        ("9^9^9^9", []),  # too long to be written
        ("2^3^2", ["512"]),
        ("2^-1", ["0.5"]),
        ("(-5)^2", ["25"]),
        ("1/0 + 1", []),
        ("((((1))))", ["1"]),
        ("(" * 500 + "1", ["1"]),
    ],
)
def test_calculations_have_their_value(text, values):
    assert [value.value for value in find_values(plain_maths(text))] == values


def test_in_a_formula_each_minus_joins_and_x_is_a_letter():
    assert [each.value for each in find_values("5-10", formula=True)] == ["-5"]
    assert [each.value for each in find_values("2^{3} -2".replace("{", "(").replace("}", ")"), formula=True)] == ["6"]
    assert [each.value for each in find_values("2 x 3", formula=True)] == ["2", "3"]


SIGNS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}


@given(st.lists(st.integers(0, 999), min_size=2, max_size=5), st.data())
def test_calculations_equal_those_of_python(numbers, data):
    signs = [data.draw(st.sampled_from("+-*/")) for _ in numbers[1:]]
    text = str(numbers[0]) + "".join(f" {sign} {number}" for sign, number in zip(signs, numbers[1:], strict=True))
    [*found] = find_values(text)
    try:
        exact = eval("".join(f"Fraction({part})" if part.isdigit() else part for part in text.split()))
    except ZeroDivisionError:
        assert found == []
    else:
        assert [Fraction(each.value) for each in found] == [exact]


def test_long_texts_are_read():
    rng = random.Random(0)
    text = "".join(rng.choice("1,.-/$ ") for _ in range(20_000))
    assert find_numbers(text)
