"""Tokens of two tokenizers, paired by the character they end at. Handbook, section 6."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import OTHER_CORPUS, make_tokenizer

from interp_xfer.chat import tokens_with_offsets
from interp_xfer.errors import ModelError
from interp_xfer.transfer.token_pairing import paired_positions


@pytest.fixture(scope="module")
def tokenizers():
    return make_tokenizer(), make_tokenizer(chat=False, corpus=OTHER_CORPUS)


def test_one_tokenizer_pairs_every_token():
    offsets = [(0, 1), (1, 3), (3, 4)]
    assert paired_positions(offsets, offsets) == [(0, 0), (1, 1), (2, 2)]


def test_only_common_ends_pair():
    """["a", "bc"] against ["ab", "c"]: only the end of the text."""
    assert paired_positions([(0, 1), (1, 3)], [(0, 2), (2, 3)]) == [(1, 1)]
    assert paired_positions([(0, 1), (1, 3)], [(0, 2)]) == []


def test_special_tokens_pair_with_nothing_and_shift_nothing():
    assert paired_positions([(0, 0), (0, 2), (2, 3), (0, 0)], [(0, 2), (2, 3)]) == [(1, 0), (2, 1)]


def test_the_last_of_several_tokens_at_one_end_is_taken():
    """The bytes of one character: only with the last is it complete."""
    assert paired_positions([(0, 1), (0, 1), (0, 1), (1, 2)], [(0, 1), (1, 2)]) == [(2, 0), (3, 1)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.text(alphabet="the abcß日 1+=.\n", min_size=1, max_size=40))
def test_pairs_know_the_same_text(tokenizers, text):
    """Of every pair, both tokens end at one character; read backwards the pairs are the same; one end, one pair."""
    (_, parent), (_, child) = (tokens_with_offsets(tokenizer, text) for tokenizer in tokenizers)
    pairs = paired_positions(parent, child)
    for pair in pairs:
        assert parent[pair.parent][1] == child[pair.child][1] > 0
    assert [(b, a) for a, b in paired_positions(child, parent)] == [tuple(pair) for pair in pairs]
    assert [p.parent for p in pairs] == sorted({p.parent for p in pairs})
    assert [p.child for p in pairs] == sorted({p.child for p in pairs})
    assert (len(parent) - 1, len(child) - 1) == tuple(pairs[-1]), "both end with the text"


def test_tokenizers_differ_but_most_tokens_pair(tokenizers):
    text = "Mia has 3 apples and the other has 12 more. How many apples are there?"
    (ids, parent), (other_ids, child) = (tokens_with_offsets(tokenizer, text) for tokenizer in tokenizers)
    assert ids != other_ids and ids[0] == tokenizers[0].bos_token_id
    assert 0 < len(paired_positions(parent, child)) < min(len(parent), len(child))


def test_slow_tokenizers_are_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="the tokenizer Slow gives no character offsets"):
        tokens_with_offsets(Slow(), "text")
