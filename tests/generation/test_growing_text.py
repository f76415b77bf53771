"""Text read token by token is the text of all tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import make_tokenizer

from interp_xfer.generation.growing_text import GrowingText


def assert_grows(tokenizer, ids):
    text = GrowingText()
    for length in range(1, len(ids) + 1):
        found = text.read(tokenizer, ids[:length])
        assert found == tokenizer.decode(ids[:length], skip_special_tokens=True), ids[:length]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 299), min_size=1, max_size=60))
def test_any_tokens(ids):
    assert_grows(make_tokenizer(), ids)


@pytest.mark.bundled
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "gemma-3-270m"])
def test_real_tokenizers(name):
    """Words, spaces, and characters of several tokens; then tokens at random, which make broken characters."""
    import random

    from transformers import AutoTokenizer

    from interp_xfer.models.bundled import bundled_folder

    tokenizer = AutoTokenizer.from_pretrained(bundled_folder(name))
    text = (
        "So 3 + 4 = 7.\n\n  The answer: \u20ac7 \U0001f9ee\U0001f468\u200d\U0001f469 na\u00efve \u6570\u5b66 x\u0301 "
    )
    assert_grows(tokenizer, tokenizer(text * 3)["input_ids"])
    rng = random.Random(0)
    for _ in range(30):
        assert_grows(tokenizer, [rng.randrange(len(tokenizer)) for _ in range(40)])
