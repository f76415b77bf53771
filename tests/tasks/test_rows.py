import json

import pytest

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.tasks import get_task, load_problems, read_rows

GOOD = json.dumps({"question": "How many?", "answer": "Two and two.\n#### 4"}).encode()
BAD = {
    "not JSON": (b"{no", "not JSON"),
    "no object": (b"[1, 2]", "a list, not an object"),
    "missing key": (b'{"question": "q"}', "no field 'answer'"),
    "null answer": (b'{"question": "q", "answer": null}', "field 'answer' is null"),
    "invalid UTF-8": (b'{"question": "\xff\xfe", "answer": "#### 1"}', "invalid UTF-8 at byte 15"),
    "NaN": (b'{"question": NaN, "answer": "#### 1"}', "NaN is no JSON"),
    "deep": (b"[" * 100_000, "not JSON that can be used: nested too deep"),
    "half a character": (
        rb'{"question": "q \ud800", "answer": "#### 1"}',
        "half of a surrogate pair",
    ),
    "NUL": (rb'{"question": "q\u0000", "answer": "#### 1"}', "field 'question' holds a NUL at character 2"),
    "key twice": (b'{"question": "a", "question": "b", "answer": "#### 1"}', "'question' is there twice"),
    "endless number": (
        b'{"question": "q", "answer": "#### 1", "id": ' + b"9" * 5000 + b"}",
        "not JSON that can be used: Exceeds the limit (4300 digits)",
    ),
    "id of no name": (b'{"question": "q", "answer": "#### 1", "id": [1]}', "field 'id' is list, not a string"),
    "blank id": (b'{"question": "q", "answer": "#### 1", "id": " "}', "field 'id' is empty"),
    "many keys": (b'{"' + b'": 1, "'.join(str(n).encode() for n in range(9000)) + b'": 1}', "no field 'question'; it"),
    "blank in odd spaces": (b'{"question": "\xe2\x80\x83\\t", "answer": "#### 1"}', "field 'question' is empty"),
}


@pytest.fixture
def gsm8k_file(tmp_path):
    def write(*lines):
        folder = tmp_path / "gsm8k"
        folder.mkdir(exist_ok=True)
        (folder / "test.jsonl").write_bytes(b"\n".join(lines))
        return tmp_path

    return write


@pytest.mark.parametrize("line, reason", BAD.values(), ids=BAD.keys())
def test_bad_rows_are_named_and_the_others_kept(gsm8k_file, line, reason):
    data_dir = gsm8k_file(GOOD, line, GOOD, b"")
    rows = read_rows(get_task("gsm8k"), "test", data_dir)
    assert [problem.id for problem in rows.problems] == ["gsm8k/test/0", "gsm8k/test/2"]
    assert rows.bad[0].where == f"{data_dir / 'gsm8k' / 'test.jsonl'}, line 2" and reason in rows.bad[0].reason


def test_reading_ends_at_a_line_without_end(gsm8k_file):
    rows = read_rows(get_task("gsm8k"), "test", gsm8k_file(GOOD, b"x" * (17 * 2**20), GOOD))
    assert len(rows.problems) == 1
    assert rows.bad[0].reason == "the line is longer than 16 MiB; nothing was read from there on"


def test_messages_are_short_whatever_a_row_holds(gsm8k_file):
    rows = read_rows(get_task("gsm8k"), "test", gsm8k_file(*(line for line, _ in BAD.values())))
    assert max(len(bad.reason) for bad in rows.bad) < 300


def test_ids_may_be_numbers(gsm8k_file):
    row = {"question": "q", "answer": "#### 1"}
    lines = [json.dumps({**row, "id": value}).encode() for value in (0, 12, "", None, "x")]
    rows = read_rows(get_task("gsm8k"), "test", gsm8k_file(*lines))
    assert [problem.id for problem in rows.problems] == ["0", "12", "gsm8k/test/2", "gsm8k/test/3", "x"]


def test_one_message_lists_every_bad_row(gsm8k_file):
    data_dir = gsm8k_file(GOOD, *(line for line, _ in BAD.values()), GOOD)
    with pytest.raises(DataError) as caught:
        load_problems("gsm8k", "test", data_dir=data_dir)
    message = str(caught.value)
    assert message.startswith(f"{len(BAD)} of {len(BAD) + 2} rows cannot be used:")
    for number, (_, reason) in enumerate(BAD.values(), start=2):
        assert f"test.jsonl, line {number}: " in message and reason in message
    assert 'on_bad_rows="report"' in message


def test_bad_rows_can_be_reported_instead(gsm8k_file):
    data_dir = gsm8k_file(GOOD, b"{no")
    with pytest.warns(UserWarning, match=r"1 of 2 rows cannot be used:\n.*line 2: not JSON"):
        assert len(load_problems("gsm8k", "test", data_dir=data_dir, on_bad_rows="report")) == 1


def test_many_bad_rows_are_counted(gsm8k_file):
    with pytest.raises(DataError, match="and 30 more"):
        load_problems("gsm8k", "test", data_dir=gsm8k_file(*[b"{"] * 50))


def test_a_file_without_good_rows_is_an_error_even_when_reporting(gsm8k_file):
    with pytest.warns(UserWarning), pytest.raises(DataError, match="the test split of gsm8k is empty"):
        load_problems("gsm8k", "test", data_dir=gsm8k_file(b"{"), on_bad_rows="report")


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_empty_files_are_errors(gsm8k_file, content):
    with pytest.raises(DataError, match=r"test\.jsonl is empty"):
        load_problems("gsm8k", "test", data_dir=gsm8k_file(content))


def test_missing_files_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"no file .*gsm8k.train\.jsonl; give a data_dir"):
        load_problems("gsm8k", data_dir=tmp_path)


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path):
    (tmp_path / "gsm8k" / "train.jsonl").mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be read: it is a folder, not a file"):
        load_problems("gsm8k", data_dir=tmp_path)


def test_byte_order_mark_and_windows_line_ends_are_read(gsm8k_file):
    assert len(load_problems("gsm8k", "test", data_dir=gsm8k_file(b"\xef\xbb\xbf" + GOOD + b"\r", b"\r"))) == 1


def test_repeated_ids_are_bad_rows(tmp_path):
    row = {"problem": "p", "solution": "s", "answer": "1", "unique_id": "a"}
    (tmp_path / "math").mkdir()
    (tmp_path / "math" / "test.jsonl").write_text("\n".join([json.dumps(row)] * 2))
    rows = read_rows(get_task("math"), "test", tmp_path)
    assert len(rows.problems) == 1 and "id 'math/a' is taken by" in rows.bad[0].reason


def test_the_variable_names_a_data_folder(monkeypatch, gsm8k_file):
    monkeypatch.setenv("INTERP_XFER_DATA", str(gsm8k_file(GOOD)))
    assert len(load_problems("gsm8k", "test")) == 1


def test_settings_are_checked(data_dir):
    with pytest.raises(ConfigError, match=r"unknown task 'gsm9k'; did you mean 'gsm8k'\? choose from sums, gsm8k"):
        load_problems("gsm9k")
    with pytest.raises(ConfigError, match="limit=0, offset=0"):
        load_problems("sums", limit=0)
    with pytest.raises(DataError, match="gsm8k test has 20 problems; offset 50 leaves none"):
        load_problems("gsm8k", "test", data_dir=data_dir, offset=50)
    with pytest.raises(DataError, match="generates its problems"):
        read_rows(get_task("sums"), "train")
