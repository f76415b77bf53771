"""Finished answers on disk."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import random_steering, token_prompts

from interp_xfer.errors import ArtifactError
from interp_xfer.generation import FinishedAnswers, Generation, SweepEngine
from interp_xfer.generation.records import RowKey, row_samples
from interp_xfer.generation.sampling import Sampling
from interp_xfer.tasks.prompt_hashes import PromptHashes

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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"row": "x"}', "line 2 is damaged .row: String should match"),
        ("[1]", "line 2 is damaged .a list, not an object"),
        ('{"row": ', "line 2 is damaged .Expecting value"),
        ("\\xff", "line 2 is damaged .Expecting value"),
        ("", "line 2 is damaged .Expecting value"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, words):
    path = tmp_path / "rows.jsonl"
    FinishedAnswers(path).add([(KEYS[0], ANSWER)])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ArtifactError, match=words):
        FinishedAnswers(path)


def test_a_changed_answer_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    FinishedAnswers(path).add([(KEYS[0], ANSWER)])
    path.write_text(path.read_text().replace("another", "an other"))
    with pytest.raises(ArtifactError, match="line 1 is damaged .*the checksum differs"):
        FinishedAnswers(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match="is a folder"):
        FinishedAnswers(path)


def test_answers_of_another_making_are_not_found(models, tmp_path):
    """One file, and each of what decides an answer changed: nothing is served; unchanged, all is."""
    model, other = models["llama"], models["mistral"]
    steering, options = random_steering(model), {"max_new_tokens": 2, "is_complete": whole}
    path = tmp_path / "rows.jsonl"
    SweepEngine(model, steering).generate(PROMPTS, [0.5], **options, keep=FinishedAnswers(path))
    n = len(FinishedAnswers(path))

    def added(engine, **changes):
        kept = FinishedAnswers(path)
        before = len(kept)
        engine.generate(PROMPTS, [0.5], **(options | changes), keep=kept)
        return len(kept) - before

    assert n == 2 and added(SweepEngine(model, steering)) == 0
    assert added(SweepEngine(model, replace(steering, prompts=PromptHashes()))) == 0
    changed = [
        (SweepEngine(model, random_steering(model, 1)), {}),
        (SweepEngine(other, random_steering(other)), {}),
        (SweepEngine(model, replace(steering, residual_norms=steering.residual_norms * 2)), {}),
        (SweepEngine(model, steering, operator="norm_preserving"), {}),
        (SweepEngine(model, steering, tokens="prompt"), {}),
        (SweepEngine(model, steering, unit="raw"), {}),
        (SweepEngine(model, steering), {"max_new_tokens": 1}),
        (SweepEngine(model, steering), {"is_complete": None}),
        (SweepEngine(model, steering), {"sampling": Sampling(seed=1)}),
        (SweepEngine(model, steering), {"sampling": Sampling(seed=2)}),
    ]
    assert [added(engine, **changes) for engine, changes in changed] == [n] * len(changed)


def whole(text):
    return False


def test_row_samples():
    assert row_samples([0.0, 0.5, 0.0, 0.0]) == [0, 0, 1, 2]
