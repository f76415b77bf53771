"""How long a text may be, and that what is refused would have been wrong."""

import pytest
import torch
from tiny_models import config, hf_model, random_ids, random_steering, tiny, token_prompts

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.generation import SweepEngine
from interp_xfer.models.context import Context, context_of
from interp_xfer.passes.activations import last_token_activations
from interp_xfer.tasks import FitText
from interp_xfer.transfer.corpus import PairedCorpus

ORIGINAL = 16
LONGROPE = {
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [2.0, 3.0, 4.0, 5.0],
    },
    "original_max_position_embeddings": ORIGINAL,
    "max_position_embeddings": 64,
    "sliding_window": None,
}


@pytest.fixture(scope="module")
def longrope():
    return tiny("phi3", **LONGROPE)


def test_contexts():
    assert context_of(config("llama")) == Context(512)
    assert Context(None).holds(10**9) and Context(5).holds(5) and not Context(5).holds(6)
    found = context_of(config("phi3", **LONGROPE))
    assert found.n_tokens == ORIGINAL
    assert "not 64: beyond it layers 0 to 2 change their rotary frequencies" in str(found)
    same = {**LONGROPE, "max_position_embeddings": ORIGINAL}
    assert context_of(config("phi3", **same)) == Context(ORIGINAL), "nothing is withheld"


@torch.inference_mode()
def test_up_to_the_original_length_it_is_hugging_face(longrope):
    plain, prompts = hf_model("phi3", **LONGROPE), token_prompts([2, 5, 4], 3)
    found = SweepEngine(longrope).generate(prompts, [0.0], max_new_tokens=ORIGINAL - 8)[0]
    for prompt, made in zip(prompts, found, strict=True):
        ids = torch.tensor([[*prompt.prefix, *prompt.suffix]])
        out = plain.generate(ids, max_new_tokens=ORIGINAL - 8, do_sample=False, eos_token_id=None)
        assert made.token_ids == tuple(out[0, len(prompt) :].tolist())


@torch.inference_mode()
def test_beyond_it_a_row_depends_on_its_neighbours():
    """The reason: the same row beside a longer one."""
    plain = hf_model("phi3", **LONGROPE)
    short, long = random_ids(1, ORIGINAL - 4), random_ids(1, ORIGINAL + 4, seed=1)
    both = torch.cat([torch.nn.functional.pad(short, (0, 8), value=2), long])
    alone = plain(short).logits[0]
    beside = plain(both).logits[0, : ORIGINAL - 4]
    assert (alone - beside).abs().max() > 0.1


def test_every_reader_refuses_it_and_names_the_layers(longrope):
    layers = "layers 0 to 2 change their rotary frequencies"
    with pytest.raises(ConfigError, match=layers):
        SweepEngine(longrope).generate(token_prompts([ORIGINAL - 4]), [0.0], max_new_tokens=5)
    with pytest.raises(ConfigError, match=layers):
        longrope.generate(["a b c d e f g h"], max_new_tokens=ORIGINAL)
    with pytest.raises(DataError, match=layers):
        last_token_activations(longrope, ["? " * ORIGINAL], add_special_tokens=True)
    with pytest.raises(DataError, match=layers):
        PairedCorpus(tiny("llama"), longrope, [FitText("t", "? " * ORIGINAL)])
    assert longrope.generate(["a b"], max_new_tokens=4)


WINDOWS = {
    "qwen2 off": ("qwen2", {"use_sliding_window": False, "sliding_window": 6}),
    "qwen2 on": ("qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 0}),
    "qwen2 upper layers": ("qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 2}),
    "qwen2 above all layers": ("qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 99}),
    "qwen3 no layer": ("qwen3", {"layer_types": ["full_attention"] * 3}),
    "gemma3 no layer": ("gemma3", {"layer_types": ["full_attention"] * 3}),
    "mistral none": ("mistral", {"sliding_window": None}),
    "mistral": ("mistral", {}),
    "phi3 none": ("phi3", {"sliding_window": None}),
}


@pytest.mark.parametrize("name", WINDOWS)
@torch.inference_mode()
def test_windows_on_off_and_in_some_layers(name):
    """Engine, generation padded on the left inside the window, and activations: as Hugging Face, one at a time."""
    architecture, changes = WINDOWS[name]
    plain, model = hf_model(architecture, **changes), tiny(architecture, **changes)
    prompts, n_new = token_prompts([3, 9, 1], 4), 8
    expected = []
    for prompt in prompts:
        ids = torch.tensor([[*prompt.prefix, *prompt.suffix]])
        out = plain.generate(ids, max_new_tokens=n_new, do_sample=False, eos_token_id=None)
        expected.append(tuple(out[0, len(prompt) :].tolist()))
    assert [g.token_ids for g in SweepEngine(model).generate(prompts, [0.0], max_new_tokens=n_new)[0]] == expected
    steered = SweepEngine(model, random_steering(model))
    assert [g.token_ids for g in steered.generate(prompts, [0.5, 0.0], max_new_tokens=n_new)[1]] == expected
    texts = ["Mia has 3 apples and Omar gives her 4 more.", "12 + 5", "a"]
    found = last_token_activations(model, texts, [0, 1], add_special_tokens=True)
    alone = []
    for text in texts:
        ids = torch.tensor([model.token_ids(text, True)])
        states = plain(ids, output_hidden_states=True, use_cache=False).hidden_states
        alone.append(torch.stack([states[1][0, -1], states[2][0, -1]]))
        out = plain.generate(ids, max_new_tokens=n_new, do_sample=False)[0, ids.shape[1] :]
        written = model.tokenizer.decode(out, skip_special_tokens=True)
        assert model.generate(texts, max_new_tokens=n_new)[texts.index(text)] == written
    torch.testing.assert_close(found, torch.stack(alone, dim=1), rtol=1e-4, atol=1e-4)
