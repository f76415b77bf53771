"""JSON lines: what was appended is read; a torn end is seen and cut off; an error leaves what was there."""

import json
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import WriteError
from interp_xfer.files.json_lines import Lines, append_lines, json_lines

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=5), st.integers(0, 200))
def test_whole_lines_are_those_before_the_cut(tmp_path_factory, objects, cut):
    """Texts hold every character: line separators of Unicode, newlines, NUL."""
    path = tmp_path_factory.mktemp("lines") / "new" / "a.jsonl"
    for each in objects:
        append_lines(path, [each])
    whole = path.read_bytes() if objects else b""
    assert [json.loads(line) for line in Lines.of(whole).whole] == objects and not Lines.of(whole).torn
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(whole[:cut])
    found = Lines.of(path.read_bytes())
    assert [json.loads(line) for line in found.whole] == objects[: len(found.whole)]
    found.drop_torn(path)
    kept = path.read_bytes()
    assert whole.startswith(kept) and kept == b"".join(line + b"\n" for line in found.whole)
    assert len(kept) + len(found.torn) == len(whole[:cut]) and b"\n" not in found.torn


def test_a_number_that_json_lacks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_lines([{"a": float("nan")}])


def test_an_error_in_the_middle_leaves_the_lines_of_before(tmp_path):
    path = tmp_path / "a.jsonl"
    append_lines(path, [{"a": 1}])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(WriteError, match="cannot write .*a.jsonl: the file is larger than"):
            append_lines(path, [{"b": "long" * 50}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == '{"a": 1}\n'
    append_lines(path, [{"c": 2}])
    assert [json.loads(line) for line in Lines.of(path.read_bytes()).whole] == [{"a": 1}, {"c": 2}]
