import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks.numbers import canonical_number, find_numbers, plain

ALPHABET = "0123456789.,-/$% \\{}eE+x²½٣abc"

EQUAL = [  # science.md, section 14, and spelling variants
    ("18", "18", "18.0", "18.00", "$18", "018", "18.", " 18 ", "18%", "1.8e1", "18/1", "36/2", "\u0661\u0668", "１８"),
    ("1000", "1,000", "1000.00", "$1,000", "1e3", "1{,}000", "1\u202f000", "1\\,000"),
    ("0.5", "1/2", ".5", "0.50", "2/4", "\\frac{1}{2}", "\\frac12", "\\dfrac{2}{4}", "½", "5e-1"),
    ("2/3", "4/6", "\\frac{2}{3}"),
    ("-4", "-4.0", "-$4", "$-4", "\u22124"),
    ("1.5", "1 1/2", "3/2", "1½"),
    ("0", "-0", "0.000", "0/7"),
]


@pytest.mark.parametrize("canonical, spellings", [(row[0], row) for row in EQUAL], ids=[row[0] for row in EQUAL])
def test_equal_values_are_equal_strings(canonical, spellings):
    for spelling in spellings:
        assert canonical_number(spelling) == canonical, spelling


@pytest.mark.parametrize("text", ["", "abc", "1/0", "18 apples", "1-2", "--", "5²", "1 2", "."])
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
        assert canonical_number(number.canonical) == number.canonical
    canonical = canonical_number(text)
    if canonical is not None:
        assert canonical_number(canonical) == canonical


@given(st.text(max_size=60))
def test_plain_is_idempotent_on_any_text(text):
    assert plain(plain(text)) == plain(text)
    find_numbers(text)


def test_a_minus_after_a_number_is_a_subtraction():
    assert [number.canonical for number in find_numbers("5-3 = 2, (4)-1, x-7, but -3 and =-2")] == [
        *("5", "3", "2", "4", "1", "7", "-3", "-2")
    ]


def test_exponents_and_superscripts_are_no_numbers():
    assert [number.canonical for number in find_numbers("50 m^2 or 50 m² or 50 m^{2} or 50 m^12")] == ["50"] * 4


def test_long_texts_are_read_in_linear_time():
    rng = random.Random(0)
    text = "".join(rng.choice("1,.-/$ ") for _ in range(200_000))
    assert find_numbers(text)
