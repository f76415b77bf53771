import pytest

from interp_xfer.tasks.scoring.number_words import find_number_words


@pytest.mark.parametrize(
    "text, value",
    [
        ("eighteen", "18"),
        ("twenty-one", "21"),
        ("Ninety nine", "99"),
        ("two hundred and five", "205"),
        ("one thousand two hundred", "1200"),
        ("three million five hundred thousand", "3500000"),
        ("half a million", "500000"),
        ("a hundred", "100"),
        ("zero", "0"),
    ],
)
def test_numbers_in_words(text, value):
    [found] = find_number_words(f"it is {text} dollars")
    assert found.value == value


def test_other_words_are_none():
    assert find_number_words("someone bought tents, often in the evening") == []
    assert [each.value for each in find_number_words("two cats and three dogs")] == ["2", "3"]
