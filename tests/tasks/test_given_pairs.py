"""Contrast pairs from plain texts."""

import pytest
import torch
from tiny_models import make_tokenizer, tiny, unchecked

from interp_xfer.concepts.extract import extract_concept
from interp_xfer.errors import DataError, LeakError
from interp_xfer.tasks import ContrastPair, Problem, as_pairs, contrast_pairs, load_problems, render_pair
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.carry import calibrate
from interp_xfer.transfer.fit import map_layers

TEXTS = [(f"Thank you for {i} apples, it is kind.", f"Give me {i} apples, quick.") for i in range(12)]
ASKED = [(f"How many are {i} and 2?", f"They are {i + 2}.", "No.") for i in range(12)]


def test_three_texts_are_a_prompt_and_two_answers():
    (pair,) = as_pairs([("How many?", "Seven.", "Who knows.")])
    written = ContrastPair("any", "any", "How many?", "Seven.", "Who knows.", ("any",), ("How many?",))
    for chat in (True, False):
        tokenizer = make_tokenizer(chat)
        assert render_pair(tokenizer, pair) == render_pair(tokenizer, written)


def test_two_texts_stand_alone_without_a_template():
    (pair,) = as_pairs([("Seven.", "Who knows.")])
    assert render_pair(make_tokenizer(chat=False), pair) == ("Seven.", "Who knows.")
    positive, negative = render_pair(make_tokenizer(), pair)
    assert positive == "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\nSeven."
    assert negative.endswith("assistant\nWho knows.")


def test_ids_come_from_the_texts_and_leaks_are_found():
    pairs = as_pairs([*TEXTS, *ASKED, list(TEXTS[0])])
    assert len({pair.id for pair in pairs}) == 24 and pairs[-1].id == pairs[0].id
    seen = PromptHashes.of(pairs)
    for text in ("How many are 3 and 2?", TEXTS[4][0], TEXTS[4][1]):
        with pytest.raises(LeakError, match="1 of 1 test items"):
            seen.require_disjoint([Problem("q", text, None, "1")], "pairs", "test")
    seen.require_disjoint([Problem("q", "Another question", None, "1")], "pairs", "test")


def test_pairs_stay_as_they_are():
    pairs = contrast_pairs(load_problems("sums", "train", 2))
    assert as_pairs(pairs) == pairs


@pytest.mark.parametrize(
    "wrong", ["ab", ("one",), ("a", "b", "c", "d"), ("a", 3), ("a", ""), ("prompt", " ", "b"), 7, None]
)
def test_other_entries_are_refused(wrong):
    with unchecked(), pytest.raises(DataError, match=r"pair 1 is .*give a ContrastPair, or texts"):
        as_pairs([("a", "b"), wrong])


@pytest.mark.parametrize("texts", [TEXTS, ASKED])
def test_public_functions_take_texts(models, texts):
    """The same numbers as from the pairs that they become."""
    model, other = models["llama"], models["qwen2"]
    pairs = as_pairs(texts)
    torch.testing.assert_close(extract_concept(model, texts).vectors, extract_concept(model, pairs).vectors)
    torch.testing.assert_close(calibrate(model, texts).mean_differences, calibrate(model, pairs).mean_differences)
    assert map_layers(model, other, texts) == map_layers(model, other, pairs)
    assert extract_concept(model, texts).settings.kind == "texts"


def test_a_model_without_a_template_reads_the_bare_texts():
    """The difference at the last layer is that of TransformerLens's own cache."""
    model = tiny("llama", tokenizer=make_tokenizer(chat=False))
    with torch.inference_mode():
        last = [[model.bridge.run_with_cache(text)[1]["blocks.2.hook_resid_post"][0, -1] for text in p] for p in TEXTS]
    expected = torch.stack([positive - negative for positive, negative in last]).mean(dim=0)
    torch.testing.assert_close(calibrate(model, TEXTS).mean_differences[2], expected, rtol=1e-3, atol=1e-4)
