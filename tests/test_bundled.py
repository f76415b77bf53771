"""The two bundled models: what the main job stands on, on real weights."""

import pytest
import torch

pytestmark = pytest.mark.bundled


@pytest.fixture(scope="module")
def child():
    from interp_xfer import load_model

    return load_model("bundled:smollm2-135m-instruct")


@pytest.fixture(scope="module")
def parent():
    from interp_xfer import load_model

    return load_model("bundled:gemma-3-270m")


@pytest.fixture(scope="module")
def native(child):
    """The child's own concept as steering vectors."""
    from interp_xfer import calibrate, contrast_pairs, extract_concept, load_problems, native_steering

    problems = load_problems("sums", "train", 12)
    return native_steering(
        extract_concept(child, contrast_pairs(problems[:8])), calibrate(child, contrast_pairs(problems[8:]))
    )


def prompts_of(child, n, split="validation"):
    from interp_xfer import get_task, load_problems, render_prompt
    from interp_xfer.generation import tokenise_prompt

    task = get_task("sums")
    problems = load_problems(task, split, n)
    return problems, [
        tokenise_prompt(child, p.id, render_prompt(child.tokenizer, task, p, n_shots=2)) for p in problems
    ]


def test_shapes_differ_in_family_depth_and_width(parent, child):
    shapes = [(m.fingerprint.architecture, m.n_layers, m.d_model) for m in (parent, child)]
    assert shapes == [("Gemma3ForCausalLM", 18, 640), ("LlamaForCausalLM", 30, 576)]


def test_models_know_their_language(parent, child):
    for model in (parent, child):
        special = model is parent
        (text,) = model.generate(["The capital of Italy is the city of"], max_new_tokens=8, add_special_tokens=special)
        assert "Rome" in text


def test_last_layer_is_read_before_the_final_norm(parent):
    ids = parent.encode(["Two and two are four."], add_special_tokens=True)["input_ids"]
    with torch.inference_mode():
        states = parent.hf(ids, output_hidden_states=True).hidden_states
    _, cache = parent.bridge.run_with_cache(ids, names_filter=lambda name: name.endswith("hook_resid_post"))
    last = parent.n_layers - 1
    assert torch.equal(cache[parent.hook_name(last - 1)], states[last])
    read = cache[parent.hook_name(last)]
    assert not torch.allclose(read, states[-1])
    normed = parent.hf.model.norm(read)
    torch.testing.assert_close(normed, states[-1], rtol=1e-4, atol=1e-4)  # float32 forward


def test_sweep_equals_generate(child, native):
    """Two thirds of the strengths of a sweep on real prompts; ties of the top two logits would show here."""
    from interp_xfer import get_task
    from interp_xfer.generation import SweepEngine, reference_generate

    _, prompts = prompts_of(child, 4)
    engine = SweepEngine(child, native)
    assert engine.path == "shared prefix"
    strengths = [0.0, 0.3, 1.0]
    complete = get_task("sums").is_complete
    swept = engine.generate(prompts, strengths, max_new_tokens=24, is_complete=complete)
    for strength, row in zip(strengths, swept, strict=True):
        plain = reference_generate(child, prompts, native, strength, max_new_tokens=24, is_complete=complete)
        assert [g.token_ids for g in row] == [g.token_ids for g in plain]
    assert [g.text for g in swept[0]] != [g.text for g in swept[2]]


def test_strength_zero_is_the_unsteered_model_bit_for_bit(child, native):
    from interp_xfer import steer

    batch = child.encode(["One, two, three,", "The sun rises in the"])
    with torch.inference_mode():
        plain = child.hf(**batch).logits
        with steer(child, native, strength=0.0):
            hooked = child.hf(**batch).logits
        with steer(child, native, strength=[0.0, 0.5]):
            mixed = child.hf(**batch).logits
    assert torch.equal(plain, hooked)
    assert torch.equal(plain[0], mixed[0]) and not torch.allclose(plain[1], mixed[1])


def test_sums_is_neither_hopeless_nor_solved(child):
    """Baseline accuracy of the bundled child lies between 20 % and 80 %, so that a demonstration can show a change."""
    from interp_xfer import GenerationSettings, load_problems
    from interp_xfer.evaluation.answers import answer_problems
    from interp_xfer.generation import SweepEngine

    table = answer_problems(SweepEngine(child), load_problems("sums", "test", 24), [0.0], GenerationSettings())
    assert 0.2 < table.summary(0.0).accuracy.estimate < 0.8
