"""How many rows fit a budget."""

import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError
from interp_xfer.generation import memory
from interp_xfer.generation.memory import (
    PassLimits,
    default_budget,
    head_size,
    kv_bytes_per_token,
    pass_bytes,
    plan_batch,
)

# Tiny Llama: 3 layers, 2 key/value heads of 32 / 4 = 8, float32; 300 logits of 4 bytes.
PER_TOKEN = 2 * 3 * 2 * 8 * 4
PER_ROW = 20 * PER_TOKEN + 4 * 300


def of_a_pass(tokens: int, width: int) -> int:
    """MLP of 48, stream of 32, float32; 4 heads, whose scores are in memory three times."""
    return tokens * (4 * (3 * 48 + 6 * 32) + 4 * 8 * 32) + 12 * min(4 * tokens * width, 2**18)


def test_sizes(models):
    assert head_size(models["llama"]) == 8 and head_size(models["gemma3"]) == 16
    assert kv_bytes_per_token(models["llama"]) == PER_TOKEN
    assert kv_bytes_per_token(models["gemma3"]) == 2 * PER_TOKEN
    assert pass_bytes(models["llama"], 50, 20) == of_a_pass(50, 20)
    assert pass_bytes(models["llama"], 9999, 20) == of_a_pass(9999, 20)


LIMITS = PassLimits(rows=512, prompt_tokens=1024, decode_tokens=256)
MOST = LIMITS.rows


@pytest.mark.parametrize(("fit", "wanted", "planned"), [(5, 40, 5), (40, 5, 5), (1, 1, 1), (4999, 999, MOST)])
def test_rows_fill_the_budget_and_no_more(models, fit, wanted, planned):
    budget = of_a_pass(50, 20) + 2 * 50 * PER_TOKEN + fit * PER_ROW
    assert plan_batch(models["llama"], budget, 50, 20, wanted, 1, LIMITS, drafts=False)[:2] == (planned, 1)
    if fit > 1:
        fewer = plan_batch(models["llama"], budget - 1, 50, 20, wanted, 1, LIMITS, drafts=False)
        assert fewer.rows == min(fit - 1, wanted, MOST)


@given(
    st.integers(1, 10**7), st.integers(0, 80), st.integers(1, 40), st.integers(1, 50), st.integers(1, 20), st.booleans()
)
def test_what_is_planned_fits(models, budget, prefix, width, n_prompts, n_strengths, drafts):
    model = models["llama"]
    per_row = width * PER_TOKEN + 4 * 300
    try:
        plan = plan_batch(model, budget, prefix, width, n_prompts, n_strengths, LIMITS, drafts=drafts)
    except ConfigError:
        assert budget < of_a_pass(max(prefix, width), width) + 2 * prefix * PER_TOKEN + per_row
        return
    assert 1 <= plan.rows <= n_prompts * n_strengths
    assert 1 <= plan.prefixes <= n_strengths
    assert plan.rows <= plan.tokens and (drafts or plan.tokens == plan.rows)
    # Two groups of strengths are in use while one takes the place of the other.
    of_drafts = (plan.tokens - plan.rows) * 4 * 300
    assert plan.kept_bytes >= 2 * plan.prefixes * prefix * PER_TOKEN
    working = of_a_pass(max(plan.prompt_tokens, plan.tokens), width)
    assert plan.rows * per_row + of_drafts + plan.kept_bytes + working <= budget
    assert max(prefix, width) <= plan.prompt_tokens <= max(prefix, width, LIMITS.prompt_tokens)


def test_a_budget_below_one_row_is_refused_with_what_it_needs(models):
    with pytest.raises(ConfigError) as caught:
        plan_batch(models["llama"], 2**20, 2000, 100, 8, 1, LIMITS, drafts=False)
    needed = (of_a_pass(2000, 100) + 2 * 2000 * PER_TOKEN + 100 * PER_TOKEN + 1200) / 2**20
    assert "a memory budget of 1 MiB does not hold one row of 2000 + 100 tokens" in str(caught.value)
    assert f"needs {needed:.0f} MiB" in str(caught.value)


def test_default_budget_is_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1001)
    assert default_budget(torch.device("cpu")) == 500


@pytest.mark.parametrize("n_prompts", [1, 3])
def test_no_more_prefixes_in_a_batch_than_planned(models, n_prompts, monkeypatch, request):
    """Few prompts at many strengths, and a budget for two prefixes at a time: rows of a third wait."""
    from tiny_models import random_steering, token_prompts

    from interp_xfer.generation import SweepEngine
    from interp_xfer.generation.batch import RunningBatch
    from interp_xfer.generation.prefixes import PrefixKV

    model, n_new, prefix = models["llama"], 8, 100
    in_use, alive, decode = [], [], RunningBatch.decode

    gc.collect()
    gc.freeze()  # what is there already is not looked through at every step
    request.addfinalizer(gc.unfreeze)

    def watched(run):
        in_use.append(len({id(row.prefix) for row in run.active}))
        gc.collect()
        alive.append(sum(type(thing) is PrefixKV for thing in gc.get_objects()))
        decode(run)

    monkeypatch.setattr(RunningBatch, "decode", watched)
    prompts, strengths = token_prompts([3] * n_prompts, prefix), [k / 5 for k in range(10)]
    budget = 15 * prefix * PER_TOKEN  # a quarter of it holds one group of strengths, and the next
    tight = SweepEngine(model, random_steering(model), max_memory=budget, limits=LIMITS)
    found = tight.generate(prompts, strengths, max_new_tokens=n_new)
    assert max(in_use) == 2
    left = budget - of_a_pass(prefix, 3 + n_new) - len(prompts) * len(strengths) * ((3 + n_new) * PER_TOKEN + 1200)
    assert max(alive) <= left // (prefix * PER_TOKEN) < len(strengths), "finished rows let go of theirs"
    assert SweepEngine(model, random_steering(model)).generate(prompts, strengths, max_new_tokens=n_new) == found


def test_what_torch_has_reserved_and_not_used_is_free_on_a_cuda_device(monkeypatch):
    """A gigabyte of a freed model stays reserved; the next tensors take it."""
    for name, value in (("memory_reserved", 5 << 30), ("memory_allocated", 3 << 30)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7 << 30, 80 << 30))
    assert memory.free_bytes(torch.device("cuda")) == 9 << 30
    assert default_budget(torch.device("cuda")) == 9 << 29
