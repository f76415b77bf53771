"""The plain path: what `generate` writes, cut where an answer ends; prompts as tokens."""

import pytest
import torch
from tiny_models import make_tokenizer, random_steering, tiny, token_prompts

from interp_xfer.errors import ConfigError, SteeringError
from interp_xfer.generation import SweepEngine, TokenPrompt, reference_generate, tokenise_prompt
from interp_xfer.generation.records import check_fits
from interp_xfer.tasks import get_task, load_problems, render_prompt

NEW = 8


@torch.inference_mode()
def greedy(model, prompt, n_new):
    """Token by token, the whole text run again each time."""
    ids = [*prompt.prefix, *prompt.suffix]
    for _ in range(n_new):
        ids.append(int(model.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


def test_greedy_ids(models):
    model, prompts = models["mistral"], token_prompts([3, 7, 1], 4)
    found = reference_generate(model, prompts, None, 0.0, max_new_tokens=NEW, batch_size=2)
    assert [g.token_ids for g in found] == [greedy(model, prompt, NEW) for prompt in prompts]
    for generation in found:
        assert generation.stop_reason == "length"
        assert generation.text == model.tokenizer.decode(generation.token_ids, skip_special_tokens=True)


def test_rows_are_cut_at_their_end_and_not_at_their_neighbours(models, monkeypatch):
    model, prompts = models["llama"], token_prompts([3, 7, 1, 5])
    free = reference_generate(model, prompts, None, 0.0, max_new_tokens=NEW)
    end, stop = free[1].token_ids[2], free[2].text[1:3]
    monkeypatch.setattr(model.hf.generation_config, "eos_token_id", end)
    found = reference_generate(model, prompts, None, 0.0, max_new_tokens=NEW, is_complete=lambda text: stop in text)
    assert found[1].token_ids == free[1].token_ids[:3] and found[1].stop_reason == "eos"
    assert found[2].stop_reason == "complete" and found[2].text.endswith(stop[-1]) and stop in found[2].text
    assert found[2].token_ids == free[2].token_ids[: len(found[2].token_ids)]
    assert found[0] == free[0] and found[1].stop_reason != "length"


def test_strength_without_vectors(models):
    """Without vectors nothing is steered, whatever the strength says: the engine refuses such a call."""
    with pytest.raises(SteeringError, match="need steering vectors"):
        SweepEngine(models["gpt_neox"]).generate(token_prompts([3]), [0.5], max_new_tokens=2)


def test_progress_counts_prompts(models):
    done = []
    reference_generate(
        models["llama"], token_prompts([1, 2, 3]), random_steering(models["llama"]), 0.5, max_new_tokens=2,
        batch_size=2, progress=done.append,
    )  # fmt: skip
    assert done == [2, 1]


def test_a_models_own_decoding_settings_do_not_count(models, monkeypatch):
    """Qwen 2.5 comes with a repetition penalty, most chat models with sampling; sweeps are greedy on every path."""
    from transformers import GenerationConfig

    model, prompts = models["llama"], token_prompts([3, 7, 1], 4)
    own = GenerationConfig(
        do_sample=True, temperature=0.6, top_k=5, repetition_penalty=9.0, no_repeat_ngram_size=1, eos_token_id=1
    )
    expected = [greedy(model, prompt, NEW) for prompt in prompts]
    monkeypatch.setattr(model.hf, "generation_config", own)
    assert [g.token_ids for g in reference_generate(model, prompts, None, 0.0, max_new_tokens=NEW)] == expected
    assert [g.token_ids for g in SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW)[0]] == expected
    text = "There are 12 marbles"
    prompt = TokenPrompt("q", (), tuple(model.tokenizer(text)["input_ids"]))
    assert model.generate([text], max_new_tokens=NEW) == [model.tokenizer.decode(greedy(model, prompt, NEW))]
    assert model.hf.generation_config is own


def test_end_tokens(models, monkeypatch):
    model = models["llama"]
    for configured, expected in ((None, {1}), (7, {1, 7}), ([7, 8], {1, 7, 8})):
        monkeypatch.setattr(model.hf.generation_config, "eos_token_id", configured)
        assert model.end_tokens == expected


@pytest.mark.parametrize("chat", [True, False])
def test_tokens_of_prefix_and_suffix_are_the_tokens_of_the_whole(chat):
    model = tiny("llama", tokenizer=make_tokenizer(chat))
    task = get_task("sums")
    for n_shots in (0, 3):
        prompts = []
        for problem in load_problems(task, "test", 4):
            rendered = render_prompt(model.tokenizer, task, problem, n_shots)
            prompts.append(tokenise_prompt(model, problem.id, rendered))
            whole = model.tokenizer(rendered.text, add_special_tokens=not chat)["input_ids"]
            assert [*prompts[-1].prefix, *prompts[-1].suffix] == whole
            assert len(prompts[-1]) == len(whole) and prompts[-1].name == problem.id
            assert whole.count(model.tokenizer.bos_token_id) == (0 if chat else 1)
        assert len({prompt.prefix for prompt in prompts}) == 1, "one prefix for all questions"


def test_check_fits_counts_new_tokens(models):
    prompts = token_prompts([500])
    check_fits(models["llama"], prompts, 12)
    with pytest.raises(ConfigError, match="q0 has 500 tokens, with 13 new ones 513, more than the context"):
        check_fits(models["llama"], prompts, 13)
