"""YAML of settings: what a person writes is read, what surprises or exhausts is refused in one line."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError
from interp_xfer.files.plain_yaml import parse_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_yaml_writes_is_read_back(value):
    assert parse_yaml(yaml.safe_dump(value), "x") == value


@given(st.text(alphabet=":-[]{},&*!|>'\"%@`#?<=~. \n\t0a1e_x\u2028\ud800"))
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        parse_yaml(text, "--set")
    except ConfigError as error:
        assert str(error).startswith("--set is not YAML") and "\n" not in str(error)


@pytest.mark.parametrize("text", ["2024-01-01", "2024-13-45", "2024-01-01 10:00:00", "1e400", "0x", "08", "="])
def test_dates_and_what_only_looks_like_a_number_stay_text(text):
    assert parse_yaml(f"a: {text}", "x") == {"a": text}


LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, r"\(line 2, column 8\): an alias \(\*a\); write the value out"),
        ("a: 1\nb: 2\na: 3", r"\(line 3, column 1\): 'a' is there twice"),
        ("1: 2", "a name that is not text"),
        ("yes: 2", "a name that is not text"),
        ("? [a]\n: 1", "a name that is not text"),
        ("a: !!python/object/apply:os.system [ls]", "a tag"),
        ("a: !!binary aGk=", "a tag"),
        ("a: !!set {x, y}", "a tag"),
        ("a: !!float x", "a tag"),
        ("a: " + "9" * 5000, "a whole number of 5000 digits"),
        ("a: 1" + ":59" * 3000, "a whole number of 9001 digits"),
        ("[" * 5000, "nested too deep"),
        ("- " * 5000, "nested too deep"),
        ("[1", "line 1, column 3"),
        ("a\0b", "special characters are not allowed"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)
def test_surprises_are_refused(text, reason):
    with pytest.raises(ConfigError, match=f"^x is not YAML.*{reason}"):
        parse_yaml(text, "x")
