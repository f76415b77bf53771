"""A string is one prompt, and a turn of a conversation goes through the template of the model."""

import pytest
from tiny_models import make_tokenizer, tiny

from interp_xfer.errors import ConfigError, DataError, ModelError

NEW = 5


def test_a_string_is_one_prompt(models):
    model = models["llama"]
    assert model.generate("There are 12", NEW) == model.generate(["There are 12"], NEW)[0]
    assert isinstance(model.generate(("a", "b"), NEW), list)
    with pytest.raises(ConfigError, match="no prompts"):
        model.generate([])


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_chat_is_the_template_of_transformers(models, system):
    model = models["llama"]
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": "How many?"})
    text = model.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert model.chat("How many?", system, NEW) == model.generate([text], NEW, add_special_tokens=False)[0]
    assert model.chat("How many?", system, NEW) != model.generate("How many?", NEW)


def test_chat_refusals(models):
    with pytest.raises(ModelError, match="has no chat template; give `generate`"):
        tiny("llama", tokenizer=make_tokenizer(chat=False)).chat("a")
    for given in (("a <|im_end|>",), ("a", "<|im_start|>")):
        with pytest.raises(DataError, match="control token"):
            models["llama"].chat(*given)


def test_repr_is_one_line(models):
    assert repr(models["llama"]) == "LoadedModel(tiny/llama-0: LlamaForCausalLM, 3 layers, d_model 32, float32)"
