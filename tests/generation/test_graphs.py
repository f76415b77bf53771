"""Which models are watched by hooks that a recorded step would not call. The steps themselves: test_cuda.py."""

import pytest
import torch
from tiny_models import FAST, random_steering, tiny, token_prompts

from interp_xfer.generation import SweepEngine
from interp_xfer.generation.graphs import RecordingError, graph_problem, observed


@pytest.mark.parametrize("architecture", FAST)
def test_a_model_that_has_run_is_not_observed(models, architecture):
    """TransformerLens wires hooks of its own at the first pass, transformers once somebody asks for hidden states."""
    model = models[architecture]
    model.hf(torch.tensor([[5, 6]]), output_hidden_states=True)
    SweepEngine(model, random_steering(model)).generate(token_prompts([2], 3), (0.0, 1.0), max_new_tokens=2)
    assert not observed(model)
    assert graph_problem(model) == "the model is not on a CUDA device"


def test_hooks_of_users_are_seen():
    model = tiny("llama")
    with model.bridge.hooks(fwd_hooks=[(model.hook_name(1), lambda residual, hook: residual)]):
        assert observed(model)
    assert not observed(model)
    handle = model.hf.base_model.register_forward_hook(lambda *_: None)
    assert observed(model)
    handle.remove()
    handle = model.bridge.blocks[0].original_component.register_forward_pre_hook(lambda *_: None)
    assert observed(model)
    handle.remove()
    assert not observed(model)


def test_a_step_that_cannot_be_recorded_is_launched_and_the_path_says_so(models, monkeypatch):
    """What a CUDA device would do is simulated: recording fails at the first decode step."""
    from interp_xfer.generation import batch, engine

    class Refusing:
        def __init__(self, *_):
            pass

        def forward(self, *_):
            raise RecordingError("operation not permitted when stream is capturing")

    model = models["llama"]
    prompts, strengths = token_prompts([3, 1, 4], 5), (0.0, 1.0)
    expected = SweepEngine(model, random_steering(model)).generate(prompts, strengths, max_new_tokens=6)
    monkeypatch.setattr(batch, "DecodeGraphs", Refusing)
    monkeypatch.setattr(engine, "graph_problem", lambda model: None)
    refused = SweepEngine(model, random_steering(model))
    assert refused.path == "shared prefix, recorded decode steps"
    assert refused.generate(prompts, strengths, max_new_tokens=6) == expected
    assert refused.path.startswith("shared prefix, decode steps not recorded (operation not permitted")
