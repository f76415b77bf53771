"""Drafts change how many passes a sweep takes, and nothing else."""

import pytest
from agreement import budget, count_ties
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import FAST, random_steering, tiny, token_prompts

from interp_xfer.generation import SweepEngine
from interp_xfer.generation.drafts import Draft, DraftBook, anchors_first, draft_room
from interp_xfer.generation.memory import PassLimits

NEW = 24
WITHOUT = PassLimits(rows=6, prompt_tokens=64, decode_tokens=0)
WITH = WITHOUT._replace(decode_tokens=30)


def test_a_draft_is_read_on_from_where_the_text_last_stood():
    draft = Draft([5, 6, 7, 8, 5, 6, 7, 9], strength=0.1)
    assert draft.after([], 3) == (5, 6, 7)
    assert draft.after([5, 6], 3) == (7, 8, 5)
    assert draft.after([5, 5], 3) == ()
    assert draft.after([1, 1, 1, 1, 7, 8, 5], 2) == (6, 7)
    assert draft.after([5, 6, 7], 9) == (9,), "the last place of several"
    assert draft.after([6, 7, 9], 9) == (), "the draft ends here"
    assert draft.after([1, 2, 3], 9) == ()


def test_the_nearest_strength_drafts():
    book = DraftBook()
    assert book.nearest(0, 0.5) is None
    for strength, token in ((0.0, 1), (0.4, 2), (0.9, 3)):
        book.add(0, strength, [token])
    book.add(1, 0.5, [4])
    assert [book.nearest(0, s).token_ids for s in (0.1, 0.5, 1.0)] == [(1,), (2,), (3,)]


@given(st.lists(st.integers(0, 99), min_size=1, max_size=30, unique=True))
def test_every_strength_that_waits_has_a_neighbour_that_does_not(strengths):
    first, rest = anchors_first(strengths)
    assert sorted(first + rest) == sorted(strengths)
    for k in rest:
        at = strengths.index(k)
        assert {strengths[i] for i in (at - 1, at + 1) if 0 <= i < len(strengths)} & set(first)


@pytest.mark.parametrize(
    ("rows", "tokens", "room"), [(16, 256, 15), (64, 256, 3), (129, 256, 0), (1, 256, 32), (9, 0, 0)]
)
def test_drafts_fill_a_step_up(rows, tokens, room):
    assert draft_room(rows, tokens) == room


@pytest.mark.parametrize("architecture", FAST)
def test_neighbours_that_agree_save_passes_and_change_no_text(models, architecture):
    """Strengths so close that all texts are equal; where attention differs, also so far apart that few are."""
    model = models[architecture]
    steering, prompts = random_steering(model), token_prompts([3, 1, 7, 2, 5], 9)
    close, apart = ([1e-7 * i for i in range(1, 7)], 1.7), ([0.3 * i for i in range(6)], 0.9)
    for strengths, saves in (close, apart) if architecture in ("llama", "gemma3", "phi3") else (close,):
        engines = [SweepEngine(model, steering, limits=limits) for limits in (WITHOUT, WITH)]
        without, drafted = (engine.generate(prompts, strengths, max_new_tokens=NEW) for engine in engines)
        assert count_ties(model, steering, prompts, strengths, drafted, without) == 0
        assert engines[1].forward_passes * saves <= engines[0].forward_passes


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_wrong_drafts_cost_time_only(models, architecture, monkeypatch):
    """Drafts of any length that agree by chance at most, or begin right and go wrong."""
    model = models[architecture]
    steering, prompts, strengths = random_steering(model), token_prompts([3, 1, 7], 9), (0.0, 0.5, 1.0, 1.5)
    expected = SweepEngine(model, steering, limits=WITHOUT).generate(prompts, strengths, max_new_tokens=NEW)
    after = Draft.after
    asked = []

    def wrong(draft, text, most):
        asked.append(most)
        right = after(draft, text, most)[: len(asked) % 3]
        return (*right, *[(7 * len(asked) + i) % 300 for i in range(len(asked) % 5)])[:most]

    monkeypatch.setattr(Draft, "after", wrong)
    found = SweepEngine(model, steering, limits=WITH).generate(prompts, strengths, max_new_tokens=NEW)
    assert count_ties(model, steering, prompts, strengths, found, expected) == 0
    assert max(asked) > 3


def test_the_logits_of_drafts_stay_within_the_budget(models):
    """A budget of three rows holds few more tokens."""
    model = models["llama"]
    largest = []
    logits = model.hf.get_output_embeddings().register_forward_hook(lambda _, args, __: largest.append(len(args[0])))
    try:
        engine = SweepEngine(model, random_steering(model), max_memory=budget(model, 3, 9, 7 + NEW), limits=WITH)
        engine.generate(token_prompts([3, 1, 7], 9), [1e-7 * i for i in range(1, 7)], max_new_tokens=NEW)
    finally:
        logits.remove()
    assert max(largest) <= 3 + 0.1 * 3 * ((7 + NEW) * 384 + 1200) / 1200 + 1


def test_a_draft_that_overflows_spoils_nothing(monkeypatch):
    """Draft tokens whose residual stream is NaN leave the row what it is without drafts."""
    model = tiny("llama")
    poison = 7
    model.hf.get_input_embeddings().weight[poison] = float("nan")
    steering, prompts, strengths = random_steering(model), token_prompts([3, 1, 4], 9), (0.0, 0.5, 1.0, 1.5)
    expected = SweepEngine(model, steering, limits=WITHOUT).generate(prompts, strengths, max_new_tokens=NEW)
    assert all(poison not in g.token_ids and g.stop_reason == "length" for row in expected for g in row)
    after = Draft.after
    monkeypatch.setattr(Draft, "after", lambda *given: (*after(*given)[:1], poison)[: given[2]])
    found = SweepEngine(model, steering, limits=WITH).generate(prompts, strengths, max_new_tokens=NEW)
    assert count_ties(model, steering, prompts, strengths, found, expected) == 0
