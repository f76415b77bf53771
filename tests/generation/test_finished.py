"""Finished answers on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import token_prompts

from interp_xfer.errors import ArtifactError
from interp_xfer.generation import FinishedAnswers, Generation
from interp_xfer.generation.records import RowKey, row_samples

PROMPTS = token_prompts([2, 3], 4)
KEYS = [RowKey(prompt, strength, sample) for prompt in PROMPTS for strength in (0.0, 0.5) for sample in (0, 1)]
ANSWER = Generation("a line\u2028and\nanother", (3, 4), "eos")
BROKEN = Generation("", (), "degenerate")


def test_round_trip(tmp_path):
    path = tmp_path / "some" / "rows.jsonl"
    kept = FinishedAnswers(path)
    kept.add([(KEYS[0], ANSWER)])
    kept.add([(KEYS[1], BROKEN)])
    again = FinishedAnswers(path)
    assert len(again) == 2 and again.get(KEYS[0]) == ANSWER and again.get(KEYS[1]) == BROKEN
    assert again.get(KEYS[2]) is None
    again.forget()
    assert not path.exists() and len(again) == 0


def test_every_row_has_its_own_key():
    assert len({key.digest for key in KEYS}) == len(KEYS)
    assert KEYS[0].digest == RowKey(PROMPTS[0], 0.0).digest


def test_a_prefix_is_not_a_suffix():
    """Where a prompt is cut does not change what it asks."""
    a, b = token_prompts([2], 4)[0], token_prompts([2], 4)[0]
    moved = type(b)(b.name, b.prefix[:-1], (b.prefix[-1], *b.suffix))
    assert RowKey(a, 0.5).digest == RowKey(moved, 0.5).digest


@given(st.integers(1, 60))
def test_a_torn_last_line_costs_that_answer_only(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    FinishedAnswers(path).add([(key, ANSWER) for key in KEYS[:2]])
    path.write_bytes(path.read_bytes()[:-cut])
    kept = FinishedAnswers(path)
    assert len(kept) == 1 and kept.get(KEYS[0]) == ANSWER
    kept.add([(KEYS[2], ANSWER)])
    assert len(FinishedAnswers(path)) == 2


def test_another_file_is_refused_with_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"row": "x"}\n')
    with pytest.raises(ArtifactError, match=r"rows\.jsonl:1 is not a finished answer"):
        FinishedAnswers(path)


def test_row_samples():
    assert row_samples([0.0, 0.5, 0.0, 0.0]) == [0, 0, 1, 2]
