"""Steering against an oracle that knows nothing of TransformerLens: the same weights in a plain Hugging Face model,
with the vector added by hand to each decoder layer's output. Handbook, sections 3, 8 and 9."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_models import (
    ARCHITECTURES,
    D_MODEL,
    N_LAYERS,
    cached_logits,
    hf_model,
    random_ids,
    random_steering,
    tiny,
    unchecked,
)

from interp_xfer.errors import ConfigError, FingerprintError, SteeringError
from interp_xfer.steering.hooks import TOKEN_SCOPES, checked_strengths, scope_positions, steer
from interp_xfer.steering.operators import OPERATORS

CLOSE = {"atol": 1e-4, "rtol": 1e-4}  # float32 forward passes of two implementations
BATCH, PROMPT, NEW = 3, 11, 4


class ByHand:
    """A plain model whose decoder layers add `shift * vector` at chosen positions."""

    def __init__(self, architecture, steering, strengths, unit="relative"):
        self.hf = hf_model(architecture)
        self.positions = None  # (batch, pos) of the next pass
        norms, n = steering.residual_norms, len(steering.steered_layers)
        for layer in steering.steered_layers:
            size = torch.tensor(strengths) * (norms[layer] / n if unit == "relative" else 1.0)
            self.hf.base_model.layers[layer].register_forward_hook(self._adder(steering.vectors[layer], size))

    def _adder(self, vector, size):
        def add(module, args, output):
            hidden = output[0] if isinstance(output, tuple) else output
            moved = hidden + self.positions[:, :, None] * size[:, None, None] * vector
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return add


def by_hand_positions(scope, mask, is_prompt):
    """Written from the definition, row by row."""
    out = torch.zeros(mask.shape)
    for row in range(len(mask)):
        real = [i for i in range(mask.shape[1]) if mask[row, i]]
        chosen = {
            "all": real,
            "prompt": real if is_prompt else [],
            "generated": real[-1:] if is_prompt else real,
        }[scope]
        out[row, chosen] = 1
    return out


def padded_prompts():
    """Three prompts, the first two padded on the left."""
    ids, mask = random_ids(BATCH, PROMPT), torch.ones(BATCH, PROMPT, dtype=torch.long)
    mask[0, :4], mask[1, :1] = 0, 0
    ids[mask == 0] = 2
    return ids, mask


def read_around(model, steering, run, **options):
    """layer -> residual stream just before and just after the steering hook."""
    before, after = {}, {}

    def readers(into):
        return [
            (model.hook_name(layer), lambda h, hook, layer=layer: into.__setitem__(layer, h.clone()))
            for layer in range(N_LAYERS)
        ]

    with model.bridge.hooks(fwd_hooks=readers(before)):
        with steer(model, steering, **options), model.bridge.hooks(fwd_hooks=readers(after)):
            run()
    return before, after


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_steering_is_adding_the_vector_by_hand(models, architecture, scope):
    """Padded prompt and every cached decode step, one strength per row."""
    model, strengths = models[architecture], [0.9, -0.5, 1.4]
    steering = random_steering(model, layers=(0, 2))
    (ids, mask), new = padded_prompts(), random_ids(BATCH, NEW, seed=5)
    oracle = ByHand(architecture, steering, strengths)

    def announce(mask, is_prompt):
        oracle.positions = by_hand_positions(scope, mask, is_prompt)

    expected = cached_logits(oracle.hf, ids, mask, new, announce)
    with steer(model, steering, strength=strengths, tokens=scope):
        found = cached_logits(model.hf, ids, mask, new)
    unsteered = cached_logits(model.hf, ids, mask, new)
    for step, (a, b) in enumerate(zip(found, expected, strict=True)):
        real = mask.bool() if step == 0 else slice(None)
        torch.testing.assert_close(a[real], b[real], **CLOSE)
    changes = [(a - b).abs().amax(dim=(1, 2)) for a, b in zip(found, unsteered, strict=True)]
    assert all((change > 0.1).all() for change in changes), "every row, at every step (later ones through the cache)"


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_cached_generation_equals_uncached_steering_by_hand(models, architecture, scope):
    """`hf.generate` under `steer`, against the whole text run again for every token."""
    model = models[architecture]
    steering = random_steering(model)
    ids = random_ids(1, PROMPT, seed=3)
    oracle = ByHand(architecture, steering, [0.8])
    expected = ids
    for _ in range(8):
        index = torch.arange(expected.shape[1])
        chosen = {"all": index >= 0, "prompt": index < PROMPT, "generated": index >= PROMPT - 1}[scope]
        oracle.positions = chosen.float()[None]
        logits = oracle.hf(input_ids=expected, use_cache=False).logits[:, -1]
        expected = torch.cat([expected, logits.argmax(dim=-1, keepdim=True)], dim=1)
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    mask = torch.ones_like(ids)
    with steer(model, steering, strength=0.8, tokens=scope):
        found = model.hf.generate(input_ids=ids, attention_mask=mask, **options)
    assert found.tolist() == expected.tolist()
    assert found.tolist() != model.hf.generate(input_ids=ids, attention_mask=mask, **options).tolist()


def test_every_way_of_calling_the_model_is_steered(models):
    model = models["llama"]
    steering = random_steering(model)
    ids = random_ids(1, PROMPT)
    oracle = ByHand("llama", steering, [0.8])
    oracle.positions = torch.ones(1, PROMPT)
    expected = oracle.hf(input_ids=ids).logits
    with steer(model, steering, strength=0.8):
        for logits in (
            model.bridge(ids),
            model.hf(input_ids=ids).logits,
            model.hf(ids).logits,
            model.hf(inputs_embeds=model.hf.get_input_embeddings()(ids)).logits,
            model.bridge.run_with_cache(ids)[0],
        ):
            torch.testing.assert_close(logits, expected, **CLOSE)
        greedy = model.hf.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=2
        )
        bridged = model.bridge.generate(ids, max_new_tokens=6, do_sample=False, verbose=False)
    assert bridged.tolist() == greedy.tolist()


def test_model_generate_pads_and_steers(models):
    """Texts of different length, together as one by one."""
    model = models["llama"]
    steering = random_steering(model)
    prompts = ["Mia has 3 apples and Omar", "There are 12", "Question: How many marbles are on a table?"]
    with steer(model, steering, strength=0.8):
        together = model.generate(prompts, max_new_tokens=6)
        apart = [model.generate([prompt], max_new_tokens=6)[0] for prompt in prompts]
    assert together == apart
    assert all(a != b for a, b in zip(together, model.generate(prompts, max_new_tokens=6), strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_strength_zero_is_the_unsteered_model_bit_for_bit(models, architecture):
    model = models[architecture]
    (ids, mask), new = padded_prompts(), random_ids(BATCH, NEW, seed=5)
    steering = random_steering(model)
    plain = cached_logits(model.hf, ids, mask, new)
    for operator in ("add", "clamp"):
        with steer(model, steering, strength=0.0, operator=operator):
            zero = cached_logits(model.hf, ids, mask, new)
        with steer(model, steering, strength=[0.7, 0.0, -0.7], operator=operator):
            mixed = cached_logits(model.hf, ids, mask, new)
        for a, b, c in zip(plain, zero, mixed, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a[1], c[1])
            assert not torch.equal(a[0], c[0]) and not torch.equal(a[2], c[2])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_batch_equals_its_rows_one_by_one(models, architecture):
    model, strengths = models[architecture], [0.9, -0.5, 1.4]
    steering = random_steering(model)
    (ids, mask), new = padded_prompts(), random_ids(BATCH, NEW, seed=5)
    with steer(model, steering, strength=torch.tensor(strengths)):
        batch = cached_logits(model.hf, ids, mask, new)
    for row, strength in enumerate(strengths):
        start = int((mask[row] == 0).sum())
        with steer(model, steering, strength=strength):
            alone = cached_logits(model.hf, ids[row : row + 1, start:], mask[row : row + 1, start:], new[row : row + 1])
        for step, (a, b) in enumerate(zip(batch, alone, strict=True)):
            torch.testing.assert_close(a[row : row + 1, start if step == 0 else 0 :], b, **CLOSE)


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
def test_padding_is_not_written(models, scope):
    model = models["llama"]
    ids, mask = padded_prompts()
    before, after = read_around(
        model, random_steering(model), lambda: model.hf(input_ids=ids, attention_mask=mask), strength=2.0, tokens=scope
    )
    written = by_hand_positions(scope, mask, is_prompt=True).bool()
    for layer in range(N_LAYERS):
        assert torch.equal(before[layer][~written], after[layer][~written])
        assert ((before[layer] - after[layer])[written].norm(dim=-1) > 1).all()


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_length_of_the_shift(models, factor):
    """Handbook, section 8: lambda in raw units; lambda m_l / N in relative ones, N the number of steered layers."""
    model = models["llama"]
    steering = random_steering(model, layers=(0, 2))
    steering = replace(steering, residual_norms=steering.residual_norms * factor)
    ids = random_ids(1, PROMPT)
    for unit, sizes in (("raw", [1.0, 1.0]), ("relative", [factor * 8.0 / 2, factor * 16.0 / 2])):
        before, after = read_around(model, steering, lambda: model.hf(ids), strength=0.25, unit=unit)
        for layer, size in zip((0, 2), sizes, strict=True):
            shift = after[layer] - before[layer]
            lengths = torch.full((1, PROMPT), 0.25 * size)
            torch.testing.assert_close(shift.norm(dim=-1), lengths, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(shift, 0.25 * size * steering.vectors[layer].expand_as(shift), **CLOSE)
        assert torch.equal(before[1], after[1]), "layer 1 has no vector"


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_operators_act_on_the_stream(models, operator):
    model = models["llama"]
    steering, ids = random_steering(model), random_ids(2, PROMPT)
    before, after = read_around(
        model, steering, lambda: model.hf(ids), strength=[0.5, -1.0], operator=operator, unit="raw"
    )
    sizes = torch.tensor([0.5, -1.0])[:, None, None]
    for layer in range(N_LAYERS):
        expected = OPERATORS[operator].apply(before[layer], steering.vectors[layer], sizes)
        torch.testing.assert_close(after[layer], expected, **CLOSE)
        assert (after[layer] - before[layer]).norm(dim=-1).amin() > 1e-6


def test_hooks_are_gone_after_the_block_and_after_an_exception():
    model = tiny("llama")
    ids, steering = random_ids(1, PROMPT), random_steering(model)
    plain = model.bridge(ids)
    with steer(model, steering, strength=1.0):
        assert not torch.equal(model.bridge(ids), plain)
    with pytest.raises(KeyboardInterrupt), steer(model, steering, strength=1.0):
        raise KeyboardInterrupt
    with pytest.raises(SteeringError), steer(model, steering, strength=[1.0, 2.0]):
        model.bridge(ids)  # two strengths, one row
    assert torch.equal(model.bridge(ids), plain)
    assert not model.hf.base_model._forward_hooks and not model.hf.base_model._forward_pre_hooks
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())


def test_a_hook_that_does_not_fire_raises():
    """A block replaced by its plain module is run without hooks: the text would be steered in part only."""
    model = tiny("llama")
    steering = random_steering(model)
    layers = model.hf.base_model.layers
    layers[1] = layers[1].original_component
    with steer(model, steering, strength=1.0), pytest.raises(SteeringError) as caught:
        model.hf(random_ids(1, PROMPT))
    message = str(caught.value)
    assert "hook blocks.1.hook_resid_post fired 0 times in one forward pass (1 of 3 hooks are wrong)" in message
    assert "not steered as asked" in message


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [0.1, float("-inf")], []])
def test_strengths_that_are_no_numbers(models, bad):
    model = models["llama"]
    with pytest.raises(ConfigError, match="strength"), steer(model, random_steering(model), strength=bad):
        pass


def test_checked_strengths_keep_their_values():
    assert checked_strengths([0.1, -2.0]).tolist() == pytest.approx([0.1, -2.0])
    assert checked_strengths(0.5).tolist() == [0.5]
    with pytest.raises(ConfigError, match="strength nan is not a finite number"):
        checked_strengths([0.0, math.nan])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "last"}, "tokens 'last' is not one of all, prompt, generated"),
        ({"operator": "subtract"}, "unknown operator 'subtract'; choose from add, project_out"),
        ({"unit": "percent"}, "strength unit 'percent' is not one of relative, raw"),
    ],
)
def test_unknown_options(models, options, message):
    model = models["llama"]
    with unchecked(), pytest.raises(ConfigError, match=message):
        with steer(model, random_steering(model), strength=1.0, **options):
            pass


def test_calls_that_cannot_be_steered(models):
    model = models["llama"]
    steering, ids = random_steering(model), random_ids(2, PROMPT)
    with steer(model, steering, strength=[0.1, 0.2, 0.3]):
        with pytest.raises(SteeringError, match="3 strengths for a batch of 2 rows; give one number, or one per row"):
            model.hf(ids)
    with steer(model, steering, strength=0.1):
        with pytest.raises(SteeringError, match="needs the 2-D attention mask"):
            model.hf(ids, attention_mask=torch.zeros(2, 1, PROMPT, PROMPT))
        with pytest.raises(SteeringError, match="called without input_ids or inputs_embeds"):
            model.hf.base_model()
    with pytest.raises(SteeringError, match="no layer has a steering vector"):
        with steer(model, random_steering(model, layers=()), strength=0.1):
            pass


def test_vectors_of_another_model_are_refused(models):
    model, other = models["llama"], tiny("mistral", seed=1)
    with pytest.raises(FingerprintError) as caught, steer(model, random_steering(other), strength=1.0):
        pass
    message = str(caught.value)
    for fingerprint in (model.fingerprint, other.fingerprint):
        assert fingerprint.digest in message and fingerprint.reference in message
    assert "differ in: architecture MistralForCausalLM / LlamaForCausalLM; weights" in message


def test_scope_positions():
    """Ragged rows, padded on either side; a part of the prompt that does not hold its end is not `generated`."""
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]]).bool()
    none = torch.zeros_like(real)
    last = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 0]]).bool()
    table = [
        ("all", True, True, real), ("all", True, False, real), ("all", False, True, real),
        ("prompt", True, True, real), ("prompt", True, False, real), ("prompt", False, True, none),
        ("generated", True, True, last), ("generated", True, False, none), ("generated", False, True, real),
    ]  # fmt: skip
    for scope, is_prompt, ends_prompt, expected in table:
        found = scope_positions(scope, real, is_prompt=is_prompt, ends_prompt=ends_prompt)
        assert torch.equal(found, expected), (scope, is_prompt, ends_prompt)


def test_d_model_is_what_the_tiny_models_say(models):
    assert models["llama"].d_model == D_MODEL and models["llama"].n_layers == N_LAYERS
