"""What a loaded model reads and writes by itself: one BOS, and an end where a turn ends."""

import pytest
import torch
from tiny_models import CHATML, hf_model, make_tokenizer, tiny, token_prompts
from tokenizers import AddedToken

from interp_xfer.chat import render_chat
from interp_xfer.generation import SweepEngine, TokenPrompt, reference_generate
from interp_xfer.models import wrap_model
from interp_xfer.models.loaded import without_end

NEW = 6


@torch.inference_mode()
def greedy(model, ids):
    ids = list(ids)
    for _ in range(NEW):
        ids.append(int(model.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[-NEW:]


@pytest.mark.parametrize("text", ["There are 12 marbles", "<s>There are 12 marbles"])
def test_plain_text_has_one_bos(models, text):
    model = models["llama"]
    batch = model.encode([text, "a"])
    assert [(row == 0).sum() for row in batch["input_ids"]] == [1, 1]
    assert batch["input_ids"][0, 0] == 0 and batch["attention_mask"][1].tolist()[-2:] == [1, 1]
    ids = make_tokenizer()("There are 12 marbles")["input_ids"]
    assert model.generate([text], max_new_tokens=NEW) == [model.tokenizer.decode(greedy(model, ids))]


def test_generate_reads_rendered_text_as_the_sweep_does(models):
    model = models["qwen2"]
    text = render_chat(model.tokenizer, "", [{"role": "user", "content": "a b"}], add_generation_prompt=True)
    prompt = TokenPrompt("q", (), tuple(model.token_ids(text, False)))
    assert 0 not in prompt.suffix
    expected = SweepEngine(model).generate([prompt], [0.0], max_new_tokens=NEW)[0][0]
    assert model.generate([text], max_new_tokens=NEW) == [expected.text]


def test_padding_never_changes_a_text(models):
    texts = ["There are 12 marbles on a table and 5 in a bag.", "a", "Mia has 3 apples"]
    for architecture in ("gemma2", "gpt_neox"):
        model = models[architecture]
        assert model.generate(texts, NEW) == [model.generate([text], NEW)[0] for text in texts]


@pytest.mark.parametrize("special", [True, False])
def test_a_text_ends_with_the_token_that_ends_a_turn(special):
    """It is not the end-of-sequence token, no configuration names it, and it is no part of the text."""
    model = tiny("llama")
    prompts = token_prompts([3, 7, 1, 5, 4, 2, 6])
    free = SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW)[0]
    words = [model.tokenizer.convert_ids_to_tokens(list(made.token_ids)) for made in free]
    row, end = next((i, w[2]) for i, w in enumerate(words) if w[2].isalnum() and w.index(w[2]) == 2)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken(end, special=special, normalized=False)], special_tokens=special)
    tokenizer.chat_template = CHATML.replace("<|im_end|>", end)
    ending = wrap_model(hf_model("llama"), tokenizer, reference="tiny/ending")
    assert ending.end_tokens == {1, free[row].token_ids[2]}
    text = tokenizer.decode(free[row].token_ids[:2])
    for made in (
        SweepEngine(ending).generate(prompts, [0.0], max_new_tokens=NEW)[0][row],
        reference_generate(ending, prompts, None, 0.0, max_new_tokens=NEW)[row],
    ):
        assert made.token_ids == free[row].token_ids[:3] and made.stop_reason == "eos" and made.text == text
    with ending.plain_greedy():  # as `generate` runs
        assert ending.hf.generation_config.eos_token_id == sorted(ending.end_tokens)
    assert without_end(ending, free[row].token_ids) == text
    assert model.fingerprint.config != ending.fingerprint.config, "where it ends changes what it writes"


def test_a_model_without_any_end_or_padding():
    tokenizer = make_tokenizer(chat=False)
    tokenizer.eos_token = tokenizer.pad_token = None
    model = wrap_model(hf_model("llama"), tokenizer, reference="tiny/endless")
    assert model.pad_id == 0 and model.end_tokens == {1}, "of the generation config"
    assert len(model.generate(["a b c", "a"], NEW)) == 2
