"""The sweep engine against Hugging Face `generate` under steering hooks, one strength at a time: the same tokens.

Where two texts part, the reference must have been undecided there: its two best logits within 1e-3 (float32 rounding of
two ways to sum). Such ties are counted; at these seeds there is none.
"""

import random

import pytest
import torch
from agreement import UNDECIDED, budget, count_ties, margin, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import (
    ARCHITECTURES,
    FAST,
    SLOW,
    cached_logits,
    hf_model,
    make_tokenizer,
    random_steering,
    tiny,
    token_prompts,
)

from interp_xfer.errors import ConfigError, FingerprintError, SteeringError
from interp_xfer.generation import FinishedAnswers, Sampling, SweepEngine, TokenPrompt, reference_generate
from interp_xfer.generation import batch as batch_module
from interp_xfer.generation.memory import pass_limits
from interp_xfer.models import wrap_model
from interp_xfer.steering.hooks import TOKEN_SCOPES, steer

STRENGTHS = (0.0, 0.8, 2.0)
PREFIX = 9  # longer than the sliding windows
NEW = 10


@pytest.mark.parametrize("prefix", [PREFIX, 0], ids=["shared-prefix", "no-prefix"])
@pytest.mark.parametrize("scope", TOKEN_SCOPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_tokens_as_generate(models, architecture, scope, prefix):
    """Ragged suffixes, several strengths, room for five rows of fifteen: rows leave and enter on the way."""
    model = models[architecture]
    steering = random_steering(model)
    prompts = token_prompts([3, 1, 7, 2, 5], prefix)
    expected = reference(model, steering, prompts, STRENGTHS, tokens=scope, max_new_tokens=NEW)
    if architecture in SLOW:
        engine = SweepEngine(model, steering, tokens=scope)
        assert "Hugging Face generate" in engine.path and "gpt_neox" in engine.path
    else:
        engine = SweepEngine(model, steering, tokens=scope, max_memory=budget(model, 5, prefix, 7 + NEW))
        assert engine.path == "shared prefix"
    found = engine.generate(prompts, STRENGTHS, max_new_tokens=NEW)
    assert count_ties(model, steering, prompts, STRENGTHS, found, expected, scope) == 0
    texts = [tuple(g.token_ids for g in row) for row in found]
    assert len(set(texts)) == len(STRENGTHS), "each strength writes something else"


@pytest.mark.parametrize("operator", ["project_out", "norm_preserving", "clamp", "piecewise"])
def test_every_operator(models, operator):
    model = models["gemma2"]
    steering, prompts = random_steering(model, layers=(1, 2)), token_prompts([4, 2], PREFIX)
    options = {"operator": operator, "unit": "raw"}
    expected = reference(model, steering, prompts, STRENGTHS, max_new_tokens=NEW, **options)
    found = SweepEngine(model, steering, **options).generate(prompts, STRENGTHS, max_new_tokens=NEW)
    assert count_ties(model, steering, prompts, STRENGTHS, found, expected) == 0


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    prefix=st.sampled_from([0, 1, 5, 11]),
    rows=st.integers(1, 8),
    stop_at=st.sampled_from([None, "e", "a"]),
    architecture=st.sampled_from(FAST),
    scope=st.sampled_from(TOKEN_SCOPES),
    seed=st.integers(0, 99),
)
def test_batches_never_change_a_text(models, lengths, prefix, rows, stop_at, architecture, scope, seed):
    """Any lengths, order, budget and early stop: each row is what it is alone."""
    model = models[architecture]
    steering, strengths = random_steering(model, seed), (0.0, 0.7)
    prompts = token_prompts(lengths, prefix, seed)
    random.Random(seed).shuffle(prompts)
    is_complete = None if stop_at is None else (lambda text: stop_at in text)
    limits = {"max_new_tokens": 6, "is_complete": is_complete}
    few = budget(model, rows, prefix, max(lengths) + 6)
    found = SweepEngine(model, steering, tokens=scope, max_memory=few).generate(prompts, strengths, **limits)
    expected = reference(model, steering, prompts, strengths, tokens=scope, batch_size=1, **limits)
    assert count_ties(model, steering, prompts, strengths, found, expected, scope) == 0


@pytest.mark.parametrize("architecture", FAST)
def test_teacher_forced_logits_equal_the_hooked_bridge(models, architecture, monkeypatch):
    """Every logit on the way, for every scope, within 1e-3 of the bridge's own attention."""
    model, strengths, n_new = models[architecture], (0.0, 1.0), 6
    steering, prompts = random_steering(model), token_prompts([3, 6], PREFIX)
    seen = {}
    accept = batch_module.RunningBatch._accept

    def recorded(run, rows, proposed, hidden):
        logits = model.hf.get_output_embeddings()(hidden)
        cap = getattr(model.hf.config, "final_logit_softcapping", None)
        logits = iter(logits if cap is None else torch.tanh(logits / cap) * cap)
        for row, draft in zip(rows, proposed, strict=True):
            for step in range(len(row.token_ids), len(row.token_ids) + 1 + len(draft)):
                seen[row.prompt_index, row.strength, step] = next(logits)  # again, if the draft did not agree
        accept(run, rows, proposed, hidden)

    monkeypatch.setattr(batch_module.RunningBatch, "_accept", recorded)
    for scope in TOKEN_SCOPES:
        seen.clear()
        rows = SweepEngine(model, steering, tokens=scope).generate(prompts, strengths, max_new_tokens=n_new)
        for strength, generations in zip(strengths, rows, strict=True):
            for index, (prompt, generation) in enumerate(zip(prompts, generations, strict=True)):
                ids = torch.tensor([[*prompt.prefix, *prompt.suffix]])
                new = torch.tensor([generation.token_ids[:-1]])
                with torch.inference_mode(), steer(model, steering, strength=strength, tokens=scope):
                    expected = cached_logits(model.hf, ids, torch.ones_like(ids), new)
                for step, logits in enumerate(expected):
                    difference = (seen[index, strength, step] - logits[0, -1]).abs().max()
                    assert difference < UNDECIDED, (scope, strength, prompt.name, step)
        written = {(i, s): len(g.token_ids) for s, row in zip(strengths, rows, strict=True) for i, g in enumerate(row)}
        assert sum(step < written[index, strength] for index, strength, step in seen) == sum(written.values())


def test_prompts_with_different_prefixes(models):
    """Prefixes of equal and of different length, and prompts without one, in one call and in any order."""
    model = models["gemma2"]
    steering = random_steering(model)
    prompts = [
        *token_prompts([3, 6], PREFIX), *token_prompts([2, 5], PREFIX, seed=50), *token_prompts([4, 1], 13, seed=60),
        *token_prompts([2, 7], 0, seed=70), *token_prompts([8], PREFIX),
    ]  # fmt: skip
    prompts = [TokenPrompt(f"p{i}", p.prefix, p.suffix) for i, p in enumerate(prompts)]
    random.Random(0).shuffle(prompts)
    expected = reference(model, steering, prompts, STRENGTHS, max_new_tokens=NEW)
    for rows in (3, 50):
        engine = SweepEngine(model, steering, max_memory=budget(model, rows, 13, 8 + NEW))
        found = engine.generate(prompts, STRENGTHS, max_new_tokens=NEW)
        assert count_ties(model, steering, prompts, STRENGTHS, found, expected) == 0


def test_rows_end_for_the_reason_they_say(models, monkeypatch):
    """End-of-sequence, the answer found, the limit; some rows of one batch for each."""
    model = models["llama"]
    steering, prompts = random_steering(model), token_prompts([3, 1, 7, 2, 5, 4, 6, 2], PREFIX)
    free = SweepEngine(model, steering).generate(prompts, STRENGTHS, max_new_tokens=NEW)
    end = free[0][0].token_ids[4]
    stop = free[1][1].text[2:5]
    monkeypatch.setattr(model.hf.generation_config, "eos_token_id", [1, end])
    limits = {"max_new_tokens": NEW, "is_complete": lambda text: stop in text}
    engine = SweepEngine(model, steering, max_memory=budget(model, 4, PREFIX, 7 + NEW))
    found = engine.generate(prompts, STRENGTHS, **limits)
    expected = reference(model, steering, prompts, STRENGTHS, **limits)
    assert count_ties(model, steering, prompts, STRENGTHS, found, expected) == 0
    rows = [generation for row in found for generation in row]
    assert {g.stop_reason for g in rows} == {"eos", "complete", "length"}
    for g in rows:
        assert (g.stop_reason == "length") == (len(g.token_ids) == NEW and not _ended(g, end, stop))
        assert (g.token_ids[-1] in (1, end)) == (g.stop_reason == "eos")
        assert (stop in g.text) == (g.stop_reason == "complete")


def _ended(generation, end, stop):
    return generation.token_ids[-1] in (1, end) or stop in generation.text


def test_bfloat16():
    """The dtype of the accelerator. Sums round differently on the two paths: texts may part where the best two logits
    are within a rounding step of bfloat16 at their size."""
    model = wrap_model(hf_model("gemma3").bfloat16(), make_tokenizer(), reference="tiny/bf16")
    steering, prompts = random_steering(model), token_prompts([3, 6, 2], PREFIX)
    found = SweepEngine(model, steering).generate(prompts, STRENGTHS, max_new_tokens=NEW)
    expected = reference(model, steering, prompts, STRENGTHS, max_new_tokens=NEW)
    for strength, rows, references in zip(STRENGTHS, found, expected, strict=True):
        for prompt, a, b in zip(prompts, rows, references, strict=True):
            same = [x == y for x, y in zip(a.token_ids, b.token_ids, strict=True)]
            if not all(same):
                at = same.index(False)
                assert margin(model, steering, prompt, b.token_ids[:at], strength, "all") < 0.1
    assert sum(a == b for x, y in zip(found, expected, strict=True) for a, b in zip(x, y, strict=True)) >= 5


def test_order_of_prompts_and_strengths_is_the_callers(models):
    model = models["qwen3"]
    steering, prompts = random_steering(model), token_prompts([3, 1, 7, 2], PREFIX)
    engine = SweepEngine(model, steering)
    straight = engine.generate(prompts, STRENGTHS, max_new_tokens=NEW)
    turned = engine.generate(prompts[::-1], STRENGTHS[::-1], max_new_tokens=NEW)
    assert [row[::-1] for row in turned[::-1]] == straight
    assert engine.generate([], STRENGTHS, max_new_tokens=NEW) == [[], [], []]


def test_prefixes_are_run_once_and_kept(models):
    """A second call with other questions costs no prefix; with scope `generated` all strengths share one."""
    model = models["llama"]
    steering = random_steering(model)
    for scope, n_prefixes in (("all", 3), ("prompt", 3), ("generated", 1)):
        engine = SweepEngine(model, steering, tokens=scope)
        counts = []
        for seed in (0, 1):
            before = engine.forward_tokens
            prompts = [TokenPrompt("q", tuple(range(10, 110)), p.suffix) for p in token_prompts([4, 4], seed=seed)]
            engine.generate(prompts, STRENGTHS, max_new_tokens=1)
            counts.append(engine.forward_tokens - before)
        assert counts == [100 * n_prefixes + 24, 24]


def test_small_budget_drops_prefixes_but_not_answers(models):
    model = models["llama"]
    steering, prompts = random_steering(model), token_prompts([3, 2], 40)
    strengths = tuple(k / 10 for k in range(8))
    no_drafts = pass_limits(model.device)._replace(decode_tokens=0)  # so that tokens can be counted
    small = SweepEngine(model, steering, max_memory=budget(model, 2, 40, 3 + NEW), limits=no_drafts)
    large = SweepEngine(model, steering, limits=no_drafts)
    expected = large.generate(prompts, strengths, max_new_tokens=NEW)
    costs = []
    for engine in (large, small, small):
        before = engine.forward_tokens
        assert engine.generate(prompts, strengths, max_new_tokens=NEW) == expected
        costs.append(engine.forward_tokens - before)
    kept, first, second = costs
    prefixes = len(strengths) * 40
    assert kept <= first - prefixes  # all were kept in the large one
    assert kept < second - 40  # some had to be run again in the small one


def test_progress_counts_answers(models):
    for architecture in ("llama", *SLOW):
        model = models[architecture]
        done = []
        SweepEngine(model, random_steering(model)).generate(
            token_prompts([3, 1, 2]), STRENGTHS, max_new_tokens=3, progress=done.append
        )
        assert sum(done) == 9


def test_unsteered_engine(models):
    model, prompts = models["llama"], token_prompts([3, 1], PREFIX)
    engine = SweepEngine(model)
    found = engine.generate(prompts, [0.0], max_new_tokens=NEW)
    assert found == SweepEngine(model, random_steering(model)).generate(prompts, [0.0], max_new_tokens=NEW)
    with pytest.raises(SteeringError, match="need steering vectors; without them only 0 can be run"):
        engine.generate(prompts, [0.0, 0.1], max_new_tokens=NEW)


@pytest.mark.parametrize("architecture", ["llama", *SLOW])
def test_a_prompt_beyond_the_context_is_named_before_anything_is_computed(models, architecture, monkeypatch):
    model = models[architecture]
    engine = SweepEngine(model, random_steering(model))
    prompts = [*token_prompts([3, 4], PREFIX), TokenPrompt("gsm8k/test/17", (5,) * 500, (6,) * 10)]
    monkeypatch.setattr(model.hf.base_model, "forward", lambda *_, **__: pytest.fail("a forward pass was run"))
    with pytest.raises(ConfigError) as caught:
        engine.generate(prompts, STRENGTHS, max_new_tokens=5)
    for part in ("gsm8k/test/17", "has 510 tokens", "with 5 new ones", "context of tiny/", "(512)", "n_shots"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match="q1 has an empty suffix"):
        engine.generate([*token_prompts([3]), TokenPrompt("q1", (5,), ())], STRENGTHS, max_new_tokens=5)
    with pytest.raises(ConfigError, match="max_new_tokens is 0"):
        engine.generate(prompts[:1], STRENGTHS, max_new_tokens=0)
    with pytest.raises(ConfigError, match="strength nan"):
        engine.generate(prompts[:1], [0.1, float("nan")], max_new_tokens=5)


def test_a_budget_too_small_for_one_row(models):
    model = models["llama"]
    needed = budget(model, 1, PREFIX, 4 + NEW)
    prompts = token_prompts([4, 2], PREFIX)
    one = SweepEngine(model, random_steering(model), max_memory=needed)
    assert len(one.generate(prompts, [0.1], max_new_tokens=NEW)[0]) == 2
    engine = SweepEngine(model, random_steering(model), max_memory=needed - 1)
    with pytest.raises(ConfigError) as caught:
        engine.generate(prompts, [0.1], max_new_tokens=NEW)
    assert f"does not hold one row of {PREFIX} + {4 + NEW} tokens" in str(caught.value)
    assert "raise --max-memory" in str(caught.value)


@pytest.mark.parametrize("architecture", ["llama", "mistral", *SLOW])
def test_only_the_row_with_nan_logits_is_degenerate(models, architecture):
    """A strength that overflows float32; its rows leave slots full of NaN, which later rows take over."""
    model = models[architecture]
    steering, prompts = random_steering(model), token_prompts([7, 5, 3, 1], PREFIX)
    strengths = (3e38, 0.0, 0.4, 1.0)
    memory = budget(model, 3, PREFIX, 7 + NEW) if architecture in FAST else None
    found = SweepEngine(model, steering, max_memory=memory).generate(prompts, strengths, max_new_tokens=NEW)
    for generation in found[0]:
        assert generation.stop_reason == "degenerate" and generation.token_ids == () and generation.text == ""
        assert generation.stop_reason != "length"
    expected = reference(model, steering, prompts, strengths[1:], max_new_tokens=NEW)
    assert count_ties(model, steering, prompts, strengths[1:], found[1:], expected) == 0
    assert {g.stop_reason for row in found[1:] for g in row} == {"length"}


def test_a_row_that_turns_nan_midway_keeps_what_it_wrote(models, monkeypatch):
    """One row's logits become NaN at its third token; its neighbours go on."""
    model = models["llama"]
    prompts = token_prompts([3, 1, 2], PREFIX)
    healthy = SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW)[0]
    accept = batch_module.RunningBatch._accept

    def poisoned(run, rows, proposed, hidden):
        for index, row in enumerate(rows):
            if row.prompt_index == 1 and len(row.token_ids) == 2:
                hidden = hidden.clone()
                hidden[index] = float("nan")
        accept(run, rows, proposed, hidden)

    monkeypatch.setattr(batch_module.RunningBatch, "_accept", poisoned)
    found = SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW)[0]
    assert found[0] == healthy[0] and found[2] == healthy[2]
    assert found[1].stop_reason == "degenerate" and found[1].token_ids == healthy[1].token_ids[:2]
    assert found[1].text == model.tokenizer.decode(healthy[1].token_ids[:2])


@pytest.mark.parametrize("architecture", ["llama", SLOW[0]])
def test_an_interrupted_call_can_be_repeated(models, architecture, tmp_path):
    """What was finished before the interrupt is on disk, is not made again, and the whole is as it would have been."""
    model = models[architecture]
    steering, prompts = random_steering(model), token_prompts([3, 1, 4, 2, 5, 1, 2, 3, 2], PREFIX)
    limits = {"max_new_tokens": NEW, "is_complete": lambda text: "e" in text}
    whole = SweepEngine(model, steering).generate(prompts, STRENGTHS, **limits)
    few = None if architecture in SLOW else budget(model, 4, PREFIX, 5 + NEW)
    path, finished = tmp_path / "partial" / "cell.jsonl", []

    def interrupt(n):
        finished.append(n)
        if sum(finished) >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SweepEngine(model, steering, max_memory=few).generate(
            prompts, STRENGTHS, **limits, keep=FinishedAnswers(path), progress=interrupt
        )
    kept = FinishedAnswers(path)
    assert len(kept) == sum(finished)
    steps = []
    again = SweepEngine(model, steering, max_memory=few).generate(
        prompts, STRENGTHS, **limits, keep=kept, progress=steps.append
    )
    assert again == whole
    assert steps[0] == sum(finished) and sum(steps) == len(prompts) * len(STRENGTHS) == len(kept)
    untouched = SweepEngine(model, steering)
    assert untouched.generate(prompts, STRENGTHS, **limits, keep=FinishedAnswers(path)) == whole
    assert untouched.forward_tokens == 0


@pytest.mark.parametrize("architecture", ["llama", "gemma2", SLOW[0]])
def test_a_sample_does_not_depend_on_the_batch(models, architecture):
    """A row draws the same tokens in any batch, in any order, and in the reference; another seed or sample differs."""
    model = models[architecture]
    steering, prompts = random_steering(model), token_prompts([3, 1, 4, 2], PREFIX)
    sampling, strengths = Sampling(temperature=1.5, top_p=0.9, seed=3), (0.0, 0.8, 0.0)
    found = SweepEngine(model, steering).generate(prompts, strengths, max_new_tokens=NEW, sampling=sampling)
    memory = None if architecture in SLOW else budget(model, 2, PREFIX, 4 + NEW)
    few = SweepEngine(model, steering, max_memory=memory)
    assert few.generate(prompts[::-1], strengths, max_new_tokens=NEW, sampling=sampling) == [r[::-1] for r in found]
    for k, sample in ((0, 0), (1, 0), (2, 1)):
        alone = reference_generate(
            model, prompts, steering, strengths[k], max_new_tokens=NEW, sampling=sampling, sample=sample, batch_size=3
        )
        assert alone == found[k]
    assert found[0] != found[2]
    other = Sampling(temperature=1.5, top_p=0.9, seed=4)
    assert SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW, sampling=other)[0] != found[0]
    greedy = SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW)
    cold = Sampling(temperature=1e-4)
    assert SweepEngine(model).generate(prompts, [0.0], max_new_tokens=NEW, sampling=cold) == greedy


def attention_is_the_bridges(model):
    return (
        all(block.original_component.self_attn is block.attn for block in model.bridge.blocks)
        and model.hf.config._attn_implementation == "eager"
    )


def test_stock_attention_is_put_back(models, monkeypatch):
    """After a run, an exception in the middle and Ctrl-C; the bridge then gives what it gave before."""
    model = models["gemma3"]
    prompts, ids = token_prompts([3, 2], PREFIX), torch.arange(10, 30)[None]
    engine = SweepEngine(model, random_steering(model))
    before = model.bridge(ids)
    engine.generate(prompts, STRENGTHS, max_new_tokens=3)
    assert attention_is_the_bridges(model)
    for error in (RuntimeError, KeyboardInterrupt):

        def broken(text, error=error):
            assert not attention_is_the_bridges(model)
            raise error

        with pytest.raises(error):
            engine.generate(prompts, STRENGTHS, max_new_tokens=3, is_complete=broken)
        assert attention_is_the_bridges(model)
        assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())
        assert torch.equal(model.bridge(ids), before)
    again = SweepEngine(model, random_steering(model)).generate(prompts, STRENGTHS, max_new_tokens=3)
    assert engine.generate(prompts, STRENGTHS, max_new_tokens=3) == again


def test_a_hook_inside_attention_is_honoured(models):
    """The stock attention would pass it by; the engine falls back, says so, and comes back when it is gone."""
    model = models["llama"]
    prompts, steering = token_prompts([3, 2], PREFIX), random_steering(model)
    engine = SweepEngine(model, steering)
    plain = engine.generate(prompts, STRENGTHS, max_new_tokens=4)

    def no_attention(pattern, hook):
        return torch.zeros_like(pattern)

    with model.bridge.hooks(fwd_hooks=[("blocks.1.attn.hook_pattern", no_attention)]):
        assert "a hook is set on blocks.1.attn.hook_pattern, inside the block" in engine.path
        hooked = engine.generate(prompts, STRENGTHS, max_new_tokens=4)
        assert hooked == reference(model, steering, prompts, STRENGTHS, max_new_tokens=4)
    assert hooked != plain
    assert engine.path == "shared prefix"
    assert engine.generate(prompts, STRENGTHS, max_new_tokens=4) == plain


def test_processed_weights_fall_back():
    model = wrap_model(
        hf_model("llama"), make_tokenizer(), reference="tiny/folded", weight_processing="hooked-transformer"
    )
    engine = SweepEngine(model, random_steering(model))
    assert "weights are processed (hooked-transformer)" in engine.path
    prompts = token_prompts([3, 2], 4)
    plain = SweepEngine(tiny("llama")).generate(prompts, [0.0], max_new_tokens=5)
    assert engine.generate(prompts, [0.0], max_new_tokens=5) == plain, "folding changes the basis, not the texts"


def test_vectors_of_another_model_are_refused(models):
    with pytest.raises(FingerprintError, match="the steering vectors: made for tiny/llama-1"):
        SweepEngine(models["llama"], random_steering(tiny("llama", seed=1)))
