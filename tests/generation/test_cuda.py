"""The same engine on a CUDA device, in float32 and in bfloat16."""

import pytest
import torch
from agreement import budget, count_ties, reference
from test_attention import plain
from tiny_models import FAST, random_steering, tiny, token_prompts

from interp_xfer.generation import SweepEngine
from interp_xfer.generation.attention import (
    AttentionSpec,
    RowGroups,
    merge,
    partial_attention,
    stacked_prefix_attention,
)
from interp_xfer.generation.memory import free_bytes, free_unused, pass_limits
from interp_xfer.generation.tiled_attention import tiled_attention
from interp_xfer.steering.hooks import TOKEN_SCOPES

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

STRENGTHS = (0.0, 0.8, 2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("queries", [1, 3, 70])
def test_stacked_attention_with_the_kernels_of_the_device(dtype, queries):
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, device="cuda", dtype=dtype)

    rows, kv, prefix, own, d_head = 7, 3, 200, 9, 64
    of_row = [2, 0, 1, 0, 0, 2, 0]
    query, keys, values = (
        normal(rows, kv, queries, d_head),
        normal(3, kv, prefix, d_head),
        normal(3, kv, prefix, d_head),
    )
    own_keys, own_values = normal(rows, kv, own, d_head), normal(rows, kv, own, d_head)
    groups = RowGroups.of(of_row, 3, query.device, multiple=16)
    positions = torch.full((rows, queries), prefix + own, device="cuda")
    spec = AttentionSpec(0.125)
    assert tiled_attention(query) is not None
    first = stacked_prefix_attention(query, groups, keys, values, spec, positions, prefix + own)
    found = merge(first, partial_attention(query, own_keys, own_values, spec, None))
    expected = plain(
        query, torch.cat([keys[of_row], own_keys], 2), torch.cat([values[of_row], own_values], 2), 0.125, None,
        torch.ones(queries, prefix + own, dtype=torch.bool, device="cuda"),
    )  # fmt: skip
    error = (found.double() - expected).norm() / expected.norm()
    assert error < (1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
@pytest.mark.parametrize("architecture", FAST)
def test_same_tokens_as_generate(architecture, scope):
    model = tiny(architecture, device="cuda")
    steering, prompts = random_steering(model), token_prompts([3, 1, 7, 2, 5], 9)
    expected = reference(model, steering, prompts, STRENGTHS, tokens=scope, max_new_tokens=10)
    engine = SweepEngine(model, steering, tokens=scope, max_memory=budget(model, 12, 3 * 9, 7 + 10))
    found = engine.generate(prompts, STRENGTHS, max_new_tokens=10)
    assert engine.path == "shared prefix, recorded decode steps"
    assert count_ties(model, steering, prompts, STRENGTHS, found, expected, scope) == 0


def test_recorded_steps_write_what_launched_ones_write():
    """Enough rows for steps of several sizes, which come, go and come back."""
    model = tiny("llama", device="cuda")
    steering = random_steering(model)
    prompts = token_prompts([1 + i % 7 for i in range(90)], 9)
    limits = pass_limits(model.device)._replace(rows=70, decode_tokens=0)
    texts, paths = [], []
    for recorded in (True, False):
        engine = SweepEngine(model, steering, limits=limits._replace(recorded=recorded))
        texts.append(engine.generate(prompts, STRENGTHS, max_new_tokens=40, is_complete=lambda text: "e" in text))
        paths.append(engine.path)
    assert paths == ["shared prefix, recorded decode steps", "shared prefix"]
    assert count_ties(model, steering, prompts, STRENGTHS, *texts) <= 1


def test_a_hook_is_called_at_every_step():
    model = tiny("llama", device="cuda")
    calls = []
    engine = SweepEngine(model)
    with model.bridge.hooks(fwd_hooks=[(model.hook_name(1), lambda residual, hook: calls.append(1))]):
        assert engine.path.startswith("shared prefix, decode steps not recorded (hooks")
        engine.generate(token_prompts([3], 9), [0.0], max_new_tokens=6)
    assert len(calls) == engine.forward_passes


def test_free_memory_counts_what_torch_keeps_for_itself():
    """A freed tensor of 256 MiB is free again, whether or not torch gave it back to the device."""
    device = torch.device("cuda")
    torch.empty(1, device=device)
    free_unused()
    before = free_bytes(device)
    block = torch.empty(2**28, dtype=torch.uint8, device=device)
    assert before - free_bytes(device) >= 2**28
    del block
    assert torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) >= 2**28
    assert abs(before - free_bytes(device)) < 2**24
    free_unused()
    assert abs(before - free_bytes(device)) < 2**24
