"""Names and texts in messages."""

import pytest

from interp_xfer.words import shown, unknown, why_no_text


def test_the_nearest_name_is_suggested():
    names = ("sums", "gsm8k", "arc_challenge")
    assert unknown("task", "gsm9k", names) == (
        "unknown task 'gsm9k'; did you mean 'gsm8k'? choose from sums, gsm8k, arc_challenge."
    )
    assert unknown("task", "poems", names) == "unknown task 'poems'; choose from sums, gsm8k, arc_challenge."
    assert len(unknown("task", "x" * 10**6, names)) < 150


def test_long_values_are_cut():
    assert shown("a") == "'a'" and shown("a" * 100) == "'" + "a" * 56 + "..."
    assert shown(10**5000) == "a number of thousands of digits"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("plain \u00e9 \U0001f600 \u2028", None),
        ("ab\ud800", r"holds half of a character (\ud800) at character 3"),
        ("\udc80", r"holds half of a character (\udc80) at character 1"),
        ("a\0", "holds a NUL at character 2"),
    ],
)
def test_what_is_no_text(text, reason):
    assert why_no_text(text) == reason
