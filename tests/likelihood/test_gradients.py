"""Gradients of log p(gold answer): central differences under `steer`, one backward pass for everything, the null."""

import pytest
import torch
from tiny_models import (
    ARCHITECTURES,
    D_MODEL,
    N_LAYERS,
    hf_model,
    make_tokenizer,
    random_ids,
    random_steering,
    unchecked,
)

from interp_xfer.errors import ConfigError, DataError, ShapeError
from interp_xfer.likelihood.gradients import answer_gradients, directional_derivatives
from interp_xfer.likelihood.layer_sweep import single_layers, sweep_windows
from interp_xfer.models import wrap_model
from interp_xfer.passes.teacher_forcing import TargetRow
from interp_xfer.steering.hooks import steer

SCOPES = ("all", "prompt", "generated")


def target_rows(lengths=((9, 3), (14, 6), (11, 1)), shared=5):
    """Random contexts that begin alike, and targets, of the given lengths."""
    prefix = tuple(random_ids(1, shared, 99)[0].tolist())
    return [
        TargetRow((*prefix, *random_ids(1, context + target - shared, seed)[0].tolist()), context)
        for seed, (context, target) in enumerate(lengths)
    ]


def log_p_under_steer(model, row, steering, strength, **options):
    """log p of the target by one plain pass over the whole row, every position steered."""
    ids = torch.tensor([row.ids])
    with torch.no_grad(), steer(model, steering, strength=strength, **options):
        log_p = model.hf(ids).logits[0].double().log_softmax(dim=-1)
    return sum(float(log_p[i - 1, row.ids[i]]) for i in range(row.n_context, len(row.ids)))


def in_float64(architecture):
    return wrap_model(hf_model(architecture).double(), make_tokenizer(), reference=f"tiny/{architecture}-float64")


def test_gradient_is_the_central_difference_in_float64():
    """Handbook, section 13. GPT-NeoX, whose norms compute in float64 (those of the others fall to float32)."""
    model = in_float64("gpt_neox")
    rows, steering = target_rows(), random_steering(model)
    found = answer_gradients(model, rows)
    s = directional_derivatives(found.gradients, steering.vectors)
    largest = float(s.abs().max())
    for q, row in enumerate(rows):
        assert float(found.log_p[q]) == pytest.approx(log_p_under_steer(model, row, steering, 0.0), rel=1e-12)
        for (layer,) in single_layers(steering):
            only = random_steering(model, layers=(layer,))
            up, down = (log_p_under_steer(model, row, only, step, unit="raw") for step in (1e-3, -1e-3))
            # The third derivative leaves 1e-6 of it; softmax in float32 inside the model about 1e-8.
            assert float(s[q, layer]) == pytest.approx((up - down) / 2e-3, abs=1e-7 * largest)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_is_the_slope_of_the_sweep(architecture, scope):
    """Float64, every architecture and scope, sliding windows and soft caps: the sweep is an implementation apart."""
    model = in_float64(architecture)
    rows, steering = target_rows(), random_steering(model)
    found = answer_gradients(model, rows, tokens=scope)
    s = directional_derivatives(found.gradients, steering.vectors)
    step = 1e-2  # the engine's attention accumulates in float32: a smaller step drowns in rounding
    sweep = sweep_windows(model, steering, rows, single_layers(steering), [step, -step], tokens=scope, unit="raw")
    slope = (sweep.log_p[:, 0] - sweep.log_p[:, 1]).T / (2 * step)
    torch.testing.assert_close(s, slope, rtol=5e-3, atol=5e-3 * float(s.abs().max()))
    torch.testing.assert_close(found.log_p, sweep.unsteered, rtol=1e-5, atol=1e-4)


def test_float32_gradient(models):
    """Within 1e-4 of the float64 one, relative to the length of each layer's gradient."""
    rows = target_rows()
    single, double = (answer_gradients(model, rows).gradients for model in (models["llama"], in_float64("llama")))
    error = (single - double).norm(dim=-1) / double.norm(dim=-1)
    assert float(error.max()) < 1e-4


def test_one_forward_and_one_backward_a_question_for_all_layers_and_candidates(models, monkeypatch):
    model = models["llama"]
    calls = {"forward": 0, "backward": 0}
    backward = torch.autograd.grad

    def count(*args, **kwargs):
        calls["backward"] += 1
        return backward(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", count)
    handle = model.hf.base_model.register_forward_hook(lambda *_: calls.__setitem__("forward", calls["forward"] + 1))
    found = answer_gradients(model, target_rows())
    handle.remove()
    many = torch.stack([random_steering(model, seed).vectors for seed in range(50)])
    s = directional_derivatives(found.gradients, many)
    assert calls == {"forward": 3, "backward": 3} and s.shape == (3, 50, N_LAYERS)
    torch.testing.assert_close(s[:, 7], directional_derivatives(found.gradients, many[7]))
    torch.testing.assert_close(s[1], directional_derivatives(found.gradients[1], many))
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_inside_inference_mode_too(models, architecture):
    model, rows = models[architecture], target_rows()
    done = []
    with torch.inference_mode():
        inside = answer_gradients(model, rows, progress=done.append)
    outside = answer_gradients(model, rows)
    assert done == [1, 1, 1] and torch.equal(inside.gradients, outside.gradients)


def test_scopes_add_up(models):
    """All = prompt + generated - the last token of the prompt, which belongs to both."""
    model, rows = models["mistral"], target_rows(((12, 4),))
    every, prompt, generated = (answer_gradients(model, rows, tokens=scope).gradients for scope in SCOPES)
    context, target = rows[0].n_context, len(rows[0].targets)
    first = answer_gradients(model, [TargetRow(rows[0].ids, context)], tokens="generated").gradients
    torch.testing.assert_close(first, generated)
    overlap = prompt + generated - every
    assert float(overlap.norm()) > 0 and target > 1
    assert not torch.allclose(every, prompt) and not torch.allclose(every, generated)


def test_refusals(models):
    model = models["llama"]
    with pytest.raises(DataError, match="no questions to differentiate"):
        answer_gradients(model, [])
    with unchecked(), pytest.raises(ConfigError, match="tokens 'last' is not one of all, prompt, generated"):
        answer_gradients(model, target_rows(), tokens="last")
    with unchecked(), pytest.raises(ShapeError, match=r"\(layers, d_model\) = \(3, 32\), the vectors have \(2, 32\)"):
        directional_derivatives(torch.zeros(N_LAYERS, D_MODEL), torch.zeros(2, D_MODEL))
