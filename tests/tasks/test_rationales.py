import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from interp_xfer.errors import ArtifactError, DataError, FingerprintError
from interp_xfer.tasks import (
    RationaleStore,
    accept_rationale,
    contrast_pairs,
    get_task,
    load_problems,
    rationale_prompt,
)

ARC = get_task("arc_challenge")
MODEL = {"id": "parent", "d_model": 64, "digest": "abc"}


@pytest.fixture
def problems(data_dir):
    return load_problems(ARC, data_dir=data_dir)


def good(problem):
    return f"Trucks are heavy.\nSo it is the truck.\n{ARC.format_answer(problem)}"


def test_the_prompt_tells_the_answer_and_the_format(problems):
    text = rationale_prompt(ARC, problems[0])
    assert "C. a loaded truck" in text and text.endswith(ARC.format_answer(problems[0]))


@pytest.mark.parametrize(
    "text, accepted",
    [
        ("Trucks are heavy.\nThe final answer is \\boxed{C}.", "Trucks are heavy."),
        ("One.\nTwo.\nThe answer is (C).\n", "One.\nTwo."),
        ("Feathers are heavy.\nThe final answer is \\boxed{A}.", None),
        ("The final answer is \\boxed{C}.", None),  # no reasoning
        ("Trucks are heavy.\nSo I choose C here", None),  # stated by no rule that can be trusted
        ("The final answer is \\boxed{C}.\nBut I am not sure.", None),  # does not end in it
        ("", None),
    ],
)
def test_only_texts_that_end_in_the_right_answer_are_kept(text, accepted, problems):
    assert accept_rationale(ARC, problems[0], text) == accepted


def test_truncated_texts_are_refused(problems):
    assert accept_rationale(ARC, problems[0], good(problems[0]), truncated=True) is None


def test_a_store_resumes_and_feeds_contrast_pairs(problems, tmp_path):
    path = tmp_path / "made" / "rationales.jsonl"
    store = RationaleStore(path, ARC, MODEL)
    assert store.add(problems[0], good(problems[0])) and not store.add(problems[1], "no idea")
    resumed = RationaleStore(path, ARC, MODEL)
    assert resumed.missing(problems) == problems[2:]
    reasoned = resumed.apply(problems)
    assert [problem.id for problem in reasoned] == [problems[0].id]
    pair = contrast_pairs(reasoned)[0]
    assert pair.positive == good(problems[0]) and pair.negative == ARC.format_answer(problems[0])
    assert json.loads(path.read_text().splitlines()[0])["fingerprint"] == MODEL


def test_a_line_that_was_cut_off_is_written_again(problems, tmp_path):
    path = tmp_path / "rationales.jsonl"
    store = RationaleStore(path, ARC, MODEL)
    store.add(problems[0], good(problems[0]))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    resumed = RationaleStore(path, ARC, MODEL)
    assert path.read_bytes() != whole, "reading changes nothing: another process may be writing the line"
    resumed.add(problems[1], good(problems[1]))
    assert path.read_bytes().startswith(whole) and len(RationaleStore(path, ARC, MODEL).reasoning) == 2
    assert list(tmp_path.glob(".*")) == []


def test_a_file_of_the_user_is_not_cut_off(problems, tmp_path):
    """A last line without end that is no rationale."""
    path = tmp_path / "notes.txt"
    for content in ("my notes", '{"question": "q"', '{"id'):
        path.write_text(content)
        if content == '{"id':  # may be the start of one
            RationaleStore(path, ARC, MODEL)
            continue
        with pytest.raises(DataError, match="its last line is no rationale record"):
            RationaleStore(path, ARC, MODEL)
        assert path.read_text() == content


def test_one_writer_waits_for_the_other_and_goes_on_from_there(problems, tmp_path):
    path = tmp_path / "rationales.jsonl"
    first, second = (RationaleStore(path, ARC, MODEL) for _ in range(2))
    waiting = threading.Event()

    def work():
        with second.writing(waiting.set):
            missing = second.missing(problems)
            for problem in missing:
                second.add(problem, good(problem))
        return missing

    with ThreadPoolExecutor(1) as pool:
        with first.writing():
            first.add(problems[0], good(problems[0]))
            other = pool.submit(work)
            assert waiting.wait(10)
            first.add(problems[1], good(problems[1]))
            assert second.done == set()
        assert other.result() == problems[2:]
    assert len(path.read_text().splitlines()) == len(problems)
    assert list(tmp_path.glob(".*")) == []


def test_the_work_of_another_model_is_refused(problems, tmp_path):
    path = tmp_path / "rationales.jsonl"
    RationaleStore(path, ARC, MODEL).add(problems[0], good(problems[0]))
    with pytest.raises(FingerprintError, match=r'line 1: written by .*"digest": "abc".*but the model is .*"xyz"'):
        RationaleStore(path, ARC, MODEL | {"digest": "xyz"})


def test_foreign_lines_are_named(tmp_path):
    path = tmp_path / "rationales.jsonl"
    path.write_text('{"id": 1}\n')
    with pytest.raises(DataError, match=r"rationales\.jsonl, line 1: no rationale record"):
        RationaleStore(path, ARC, MODEL)


def test_a_store_that_cannot_be_written_says_so(problems, tmp_path):
    store = RationaleStore(tmp_path / "file" / "rationales.jsonl", ARC, MODEL)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write .*a part of the path is a file"):
        store.add(problems[0], good(problems[0]))
    (tmp_path / "rationales.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be read: it is a folder, not a file"):
        RationaleStore(tmp_path / "rationales.jsonl", ARC, MODEL)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "a list, not an object"),
        ('{"id": "a", "reasoning": "r"}', "no fingerprint"),
        ('{"id": 1, "reasoning": "r", "fingerprint": "f"}', "id and reasoning must be strings"),
        ('{"id": "a", "reasoning": ["r"], "fingerprint": "f"}', "id and reasoning must be strings"),
        ('{"id": "a", "reasoning": "\\ud800", "fingerprint": "f"}', "half of a surrogate pair"),
        ('{"id": "a", "id": "b", "reasoning": "r", "fingerprint": "f"}', "'id' is there twice"),
        ('{"id": "a"', "Expecting "),
    ],
)
def test_lines_that_are_no_rationale_are_named(tmp_path, line, reason):
    path = tmp_path / "rationales.jsonl"
    path.write_text(f'{{"id": "x", "reasoning": null, "fingerprint": "f"}}\n{line}\n')
    with pytest.raises(DataError, match=f"rationales.jsonl, line 2: no rationale record .{re.escape(reason)}"):
        RationaleStore(path, ARC, None)


def test_without_any_rationale_the_remedy_is_named(problems, tmp_path):
    with pytest.raises(DataError, match="interp-xfer rationales --dataset arc_challenge"):
        RationaleStore(tmp_path / "none.jsonl", ARC, MODEL).apply(problems)
