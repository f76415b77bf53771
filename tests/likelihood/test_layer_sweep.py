"""The sweep that begins in the middle, against whole passes under `steer`; nothing below a window runs again."""

import pytest
import torch
from test_gradients import SCOPES, log_p_under_steer, target_rows
from tiny_models import ARCHITECTURES, FAST, N_LAYERS, hf_model, random_steering, tiny, unchecked

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.likelihood.layer_sweep import single_layers, sweep_windows, tiled_windows, windowed
from interp_xfer.likelihood.options import score_options
from interp_xfer.passes.replay import replaying, storing

WINDOWS = ((0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2))
STRENGTHS = (0.4, 0.0, -0.7)
CLOSE = {"rtol": 1e-5, "atol": 1e-4}  # float32 forward passes of two implementations, summed over up to 6 tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_value_is_that_of_a_plain_pass_under_steer(models, architecture):
    """Windows of one, two and all layers; strength 0 is the unsteered model."""
    model, rows = models[architecture], target_rows()
    steering = random_steering(model)
    done = []
    found = sweep_windows(model, steering, rows, WINDOWS, STRENGTHS, progress=done.append)
    assert sum(done) == found.log_p.numel() == len(WINDOWS) * 3 * 3
    for w, window in enumerate(WINDOWS):
        only = random_steering(model, layers=window)
        for k, strength in enumerate(STRENGTHS):
            plain = [log_p_under_steer(model, row, only, strength) for row in rows]
            torch.testing.assert_close(found.log_p[w, k], torch.tensor(plain).double(), **CLOSE)
    torch.testing.assert_close(found.change[:, 1], torch.zeros(len(WINDOWS), 3).double(), **CLOSE)
    assert float((found.change[:, [0, 2]].abs() > 1e-3).double().mean()) > 0.9


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_neox"])
def test_token_scopes_are_those_of_the_option_likelihoods(models, architecture, scope):
    """`score_options` steers all layers of its vectors over whole rows: the window of all layers must agree."""
    from test_options import EXAMPLES, PROBLEMS

    from interp_xfer.evaluation.gold_answers import gold_rows
    from interp_xfer.evaluation.settings import GenerationSettings
    from interp_xfer.tasks import get_task

    model, task = models[architecture], get_task("arc_challenge")
    steering = random_steering(model, layers=(0, 2))
    settings = GenerationSettings(n_shots=1, scoring="likelihood")
    rows = gold_rows(model, task, PROBLEMS, settings)
    found = sweep_windows(model, steering, rows, [(0, 2), (2,)], [0.5, 1.0], tokens=scope)
    scored = score_options(
        model, PROBLEMS, [0.5, 1.0], steering, examples=task.few_shot[:1], tokens=scope
    )  # fmt: skip
    gold = [
        [scores.log_likelihoods[scores.labels.index(item.answer)] for item, scores in zip(PROBLEMS, row, strict=True)]
        for row in scored
    ]
    torch.testing.assert_close(found.log_p[0], torch.tensor(gold).double(), rtol=1e-4, atol=2e-3)
    assert len(EXAMPLES) == 2 and not torch.allclose(found.log_p[0], found.log_p[1])


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_batches_and_groups_do_not_matter(models, architecture, monkeypatch):
    model, rows, steering = models[architecture], target_rows(), random_steering(models[architecture])
    together = sweep_windows(model, steering, rows, WINDOWS, STRENGTHS)
    monkeypatch.setattr("interp_xfer.likelihood.layer_sweep._POSITIONS", 1)
    monkeypatch.setattr("interp_xfer.likelihood.layer_sweep._STORED_BYTES", 1)
    apart = sweep_windows(model, steering, rows, WINDOWS, STRENGTHS)
    torch.testing.assert_close(together.log_p, apart.log_p, **CLOSE)
    torch.testing.assert_close(together.unsteered, apart.unsteered, **CLOSE)


@pytest.mark.parametrize("scope", ["all", "generated"])
def test_layers_below_a_window_run_once(models, scope, monkeypatch):
    """Tokens that attend in each layer: shared beginning and questions once, then only what lies above a window."""
    from interp_xfer.generation.steps import PrefixStep, PromptStep

    model = models["llama"]
    rows, steering = target_rows(((9, 3), (9, 3)), shared=5), random_steering(model)
    tokens = [0] * N_LAYERS
    for step in (PrefixStep, PromptStep):
        attend = step.attend

        def count(self, layer, query, *rest, attend=attend):
            tokens[layer] += query.shape[0] * query.shape[2]
            return attend(self, layer, query, *rest)

        monkeypatch.setattr(step, "attend", count)
    sweep_windows(model, steering, rows, [(0,), (1,), (2,), (1, 2)], [0.1, 0.2, 0.3], tokens=scope)
    prefix, own = 5, 2 * 6  # 12 tokens a row; the last is not read
    per_window = 3 * own + (3 * prefix if scope == "all" else 0)
    once = prefix + own
    assert tokens == [once, once + per_window, once + 3 * per_window]  # (0,) runs 1 and 2; (1,) and (1, 2) run 2


def test_hooks_and_layers_are_restored_after_an_error():
    model = tiny("llama")
    rows, steering = target_rows(), random_steering(model)
    before = model.hf(torch.tensor([rows[0].ids])).logits

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_windows(model, steering, rows, [(1,)], [0.5], progress=interrupt)
    assert torch.equal(model.hf(torch.tensor([rows[0].ids])).logits, before)
    assert not any("forward" in vars(block.original_component) for block in model.bridge.blocks)
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_replay_is_the_same_pass(models, architecture):
    """Bit for bit: what is stored after a layer, put back, gives the same logits; hooks fire on every layer."""
    model, ids = models[architecture], torch.tensor([target_rows()[0].ids])
    with torch.no_grad(), storing(model, [0, 1]) as stored:
        logits = model.hf(ids).logits
    seen = []
    hooks = [
        (model.hook_name(layer), lambda h, hook, layer=layer: seen.append((layer, h))) for layer in range(N_LAYERS)
    ]
    for layer in (0, 1):
        seen.clear()
        states = stored.states[layer]
        with (
            torch.no_grad(),
            replaying(model, layer, states, stored.extras[layer]),
            model.bridge.hooks(fwd_hooks=hooks),
        ):
            assert torch.equal(model.hf(ids).logits, logits)
        assert [index for index, _ in seen] == list(range(N_LAYERS)) and torch.equal(seen[layer][1], states)
        with torch.no_grad(), replaying(model, layer, states * 1.5, stored.extras[layer]):
            assert not torch.equal(model.hf(ids).logits, logits)
    plain = hf_model(architecture)
    with torch.no_grad():
        torch.testing.assert_close(plain(ids, output_hidden_states=True).hidden_states[2], stored.states[1])


def test_windows(models):
    steering = random_steering(models["llama"], layers=(0, 2))
    assert single_layers(steering) == ((0,), (2,)) and tiled_windows(steering, 2) == ((0, 2),)
    assert tiled_windows(random_steering(models["llama"]), 2) == ((0, 1), (2,))
    only = windowed(steering, (2,))
    assert (
        only.steered_layers == (2,) and not only.vectors[0].any() and torch.equal(only.vectors[2], steering.vectors[2])
    )
    # The whole strength goes to the window: m_l / N with its own N.
    assert only.strength_scales("relative")[2] == 2 * steering.strength_scales("relative")[2]
    with pytest.raises(ConfigError, match=r"layers \[1\] have no steering vector; choose from 0, 2"):
        windowed(steering, (1, 2))
    for bad in ((), (2, 2)):
        with pytest.raises(ConfigError, match="must name at least one layer, and none twice"):
            windowed(steering, bad)
    with pytest.raises(ConfigError, match="a window of 1 layers is no window"):
        tiled_windows(steering, 1)


def test_refusals(models):
    model = models["llama"]
    steering, rows = random_steering(model), target_rows()
    with pytest.raises(DataError, match="0 questions and 1 windows"):
        sweep_windows(model, steering, [], [(0,)], [0.1])
    with pytest.raises(ConfigError, match="strength nan is not a finite number"):
        sweep_windows(model, steering, rows, [(0,)], [float("nan")])
    with unchecked(), pytest.raises(ConfigError, match="tokens 'last' is not one of"):
        sweep_windows(model, steering, rows, [(0,)], [0.1], tokens="last")
    assert set(FAST) < set(ARCHITECTURES)
