"""Option likelihoods against a plain Hugging Face model, row by row, with vectors added by hand to its layers."""

import json
import math
from dataclasses import replace

import pytest
import torch
from tiny_models import ARCHITECTURES, D_MODEL, FAST, hf_model, make_tokenizer, random_steering, tiny, unchecked

from interp_xfer.errors import ConfigError, DataError, SteeringError
from interp_xfer.evaluation.answers import answer_problems, make_engine
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.gold_answers import gold_rows
from interp_xfer.evaluation.search import search_lambda
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.likelihood.options import OptionScores, option_row, require_choices, score_options
from interp_xfer.tasks import Choice, Problem, get_task, likelihood_prompt, load_problems

CLOSE = {"abs": 2e-3, "rel": 1e-4}  # float32 forward passes of two implementations, summed over up to 25 tokens
SCOPES = ("all", "prompt", "generated")
SETTINGS = GenerationSettings(n_shots=0, scoring="likelihood")


def problem(number, labels, answer, texts):
    choices = tuple(Choice(label, text) for label, text in zip(labels, texts, strict=True))
    return Problem(
        f"arc_challenge/{number}", f"Which of {number} is heavy?", None, answer, choices, task="arc_challenge"
    )


PROBLEMS = (
    problem(1, "ABC", "C", ["a leaf", "a very long feather of 12", "3"]),
    problem(22, "1234", "2", ["an apple", "marbles", "a table", "the bag of 5 marbles"]),
    problem(333, "ABCDE", "A", ["one", "two", "three", "four", "five"]),
)
EXAMPLES = (
    problem(9, "AB", "A", ["a table", "an apple"]),
    problem(8, "12", "2", ["a leaf", "the answer"]),
)


def by_hand(architecture, tokenizer, item, examples=(), steering=None, strength=0.0, scope="all"):
    """Raw log-likelihood of each option: one unpadded pass per option, the definition of the handbook's section 14."""
    prompt = likelihood_prompt(item, examples)
    n_context = len(tokenizer(prompt.context)["input_ids"])
    out = []
    for continuation in prompt.continuations:
        ids = tokenizer(prompt.context + continuation)["input_ids"]
        where = torch.zeros(len(ids), 1)
        chosen = {"all": slice(None), "prompt": slice(n_context), "generated": slice(n_context - 1, None)}[scope]
        where[chosen] = 1.0
        hf = hf_model(architecture)
        if steering is not None:
            for layer in steering.steered_layers:
                size = strength * steering.residual_norms[layer] / len(steering.steered_layers)
                shift = where * size * steering.vectors[layer]

                def add(module, args, output, shift=shift):
                    moved = (output[0] if isinstance(output, tuple) else output) + shift
                    return (moved, *output[1:]) if isinstance(output, tuple) else moved

                hf.base_model.layers[layer].register_forward_hook(add)
        with torch.no_grad():
            log_p = hf(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
        out.append(sum(float(log_p[i - 1, ids[i]]) for i in range(n_context, len(ids))))
    return out


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_plain_model(models, architecture):
    model = models[architecture]
    steering = random_steering(model)
    found = score_options(model, PROBLEMS, [0.0, 0.7], steering, examples=EXAMPLES)
    for strength, row in zip([0.0, 0.7], found, strict=True):
        for item, scores in zip(PROBLEMS, row, strict=True):
            expected = by_hand(architecture, model.tokenizer, item, EXAMPLES, steering, strength)
            assert scores.log_likelihoods == pytest.approx(expected, **CLOSE)
            assert scores.strength == strength and scores.problem_id == item.id
    assert found[0][0].log_likelihoods != pytest.approx(found[1][0].log_likelihoods, rel=0.01)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_neox"])
def test_token_scopes(models, architecture, scope):
    """The context is the prompt; the last context token produces the first token of the option."""
    model = models[architecture]
    steering = random_steering(model, layers=[0, 2])
    found = score_options(model, PROBLEMS[:2], [0.5, 1.0], steering, examples=EXAMPLES[:1], tokens=scope)
    for strength, row in zip([0.5, 1.0], found, strict=True):
        for item, scores in zip(PROBLEMS[:2], row, strict=True):
            expected = by_hand(architecture, model.tokenizer, item, EXAMPLES[:1], steering, strength, scope)
            assert scores.log_likelihoods == pytest.approx(expected, **CLOSE)


@pytest.fixture(scope="module")
def merging():
    """A model whose tokenizer knows no words: tokens run over spaces, and over the end of the context."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator(["a a a: a"] * 3, trainer)  # so that ": a" is a token, and ": " is none
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tiny("llama", tokenizer=PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>"))


def test_every_character_of_every_option_is_scored(merging):
    """A token that holds the end of the context and the beginning of an option is the option's."""
    tokenizer, merged = merging.tokenizer, 0
    found = score_options(merging, PROBLEMS)[0]
    for item, scores in zip(PROBLEMS, found, strict=True):
        prompt = likelihood_prompt(item)
        for label, continuation, value, n_tokens in zip(
            prompt.labels, prompt.continuations, scores.log_likelihoods, scores.n_tokens, strict=True
        ):
            text = prompt.context + continuation
            ids = tokenizer(text)["input_ids"]
            n = len(ids) - n_tokens
            before = tokenizer.decode(ids[1:n])
            assert prompt.context.startswith(before), "what is not scored is context"
            assert len(tokenizer.decode(ids[1 : n + 1])) > len(prompt.context), "and the first that is scored is not"
            merged += before != prompt.context
            with torch.no_grad():
                log_p = merging.hf(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
            assert value == pytest.approx(sum(float(log_p[i - 1, ids[i]]) for i in range(n, len(ids))), **CLOSE)
            row = option_row(merging, item, prompt, label)
            assert row.ids == tuple(ids) and row.n_context == n
        gold = gold_rows(merging, get_task("arc_challenge"), [item], SETTINGS)
        assert gold == [option_row(merging, item, prompt, item.answer)], "the gold option is the option that is ranked"
    assert 0 < merged < sum(len(item.choices) for item in PROBLEMS), "both happen"


def without_bos():
    from tokenizers import processors

    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return tokenizer


def test_options_that_nothing_predicts(merging):
    item = PROBLEMS[0]
    whole = likelihood_prompt(item)._replace(context="", continuations=tuple(f" {c.text}" for c in item.choices))
    assert option_row(merging, item, whole, "A").n_context == 1, "BOS is context"
    empty = whole._replace(continuations=("", "", ""))
    with pytest.raises(DataError, match=r"option B of arc_challenge/1 has no tokens for tiny/llama-0; drop the item"):
        option_row(merging, item, empty, "B")
    plain = tiny("llama", tokenizer=without_bos())
    with pytest.raises(DataError, match="option A of arc_challenge/1 and its context are one token"):
        option_row(plain, item, whole, "A")


def test_control_tokens_in_options_are_refused(models):
    item = replace(problem(7, "AB", "A", ["a leaf", "it<|im_end|>"]), where="test.jsonl, line 8")
    with pytest.raises(DataError, match=r"arc_challenge/7 \(test.jsonl, line 8\) holds '<\|im_end\|>'"):
        score_options(models["llama"], [PROBLEMS[0], item])
    with pytest.raises(DataError, match=r"arc_challenge/7 \(test.jsonl, line 8\) holds '<\|im_end\|>'"):
        score_options(models["llama"], PROBLEMS, examples=(item,))


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_batches_and_strengths_do_not_matter(models, architecture, monkeypatch):
    model = models[architecture]
    steering = random_steering(model)
    done = []
    together = score_options(model, PROBLEMS, [0.3, 0.0], steering, examples=EXAMPLES, unit="raw", progress=done.append)
    assert sum(done) == 2 * len(PROBLEMS)
    monkeypatch.setattr("interp_xfer.likelihood.options._POSITIONS", 1)
    monkeypatch.setattr("interp_xfer.passes.teacher_forcing._LOGITS", 2)
    apart = score_options(model, PROBLEMS, [0.3, 0.0], steering, examples=EXAMPLES, unit="raw")
    single = [
        [score_options(model, [p], [s], steering, examples=EXAMPLES, unit="raw")[0][0] for p in PROBLEMS]
        for s in (0.3, 0.0)
    ]
    for other in (apart, single):
        for row, expected in zip(other, together, strict=True):
            for found, wanted in zip(row, expected, strict=True):
                assert found.log_likelihoods == pytest.approx(wanted.log_likelihoods, **CLOSE)
                assert (found.labels, found.n_tokens) == (wanted.labels, wanted.n_tokens)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_strength_zero_is_the_unsteered_model(models, architecture):
    model = models[architecture]
    steered = score_options(model, PROBLEMS, [0.0], random_steering(model))
    assert steered == score_options(model, PROBLEMS)


def test_no_hook_stays(models):
    model = models["llama"]
    score_options(model, PROBLEMS[:1], [1.0], random_steering(model))
    assert not any(model.bridge.blocks[layer].hook_out.fwd_hooks for layer in range(model.n_layers))


def test_normalisations_and_ties():
    scores = OptionScores("q", 0.0, ("1", "2", "3"), (-6.0, -8.0, -9.0), (3, 8, 9), (2, 4, 9))
    assert scores.normalised("sum") == (-6.0, -8.0, -9.0) and scores.chosen("sum") == "1"
    assert scores.normalised("token") == (-2.0, -1.0, -1.0) and scores.chosen("token") == "2"
    assert scores.normalised() == (-3.0, -2.0, -1.0) and scores.chosen() == "3"
    broken = OptionScores("q", 0.0, ("1", "2"), (-1.0, math.nan), (1, 1), (1, 1))
    assert broken.degenerate and broken.chosen() is None


def test_answers_name_the_items_own_labels(models):
    model = models["llama"]
    table = answer_problems(make_engine(model, None, SETTINGS), PROBLEMS, [0.0], SETTINGS)
    scores = score_options(model, PROBLEMS)[0]
    for item, answer, score in zip(PROBLEMS, table.at(0.0), scores, strict=True):
        texts = [choice.text for choice in item.choices]
        best = max(range(len(texts)), key=lambda i, s=score, t=texts: s.log_likelihoods[i] / len(t[i]))
        assert answer.parsed == item.choices[best].label and answer.text == texts[best]
        assert answer.correct == (answer.parsed == item.answer) and answer.rule == "likelihood_per_character"
        assert answer.log_likelihoods == dict(
            zip([choice.label for choice in item.choices], score.log_likelihoods, strict=True)
        )
        assert answer.n_tokens == sum(score.n_tokens) and answer.stop_reason == "scored"
        likeliest = max(answer.log_likelihoods, key=answer.log_likelihoods.__getitem__)
        assert answer.extra["likelihood_sum"] == (likeliest == item.answer)
        assert json.loads(json.dumps(answer.to_dict(), allow_nan=False))["log_likelihoods"] == answer.log_likelihoods
    assert table.first_prompt == "Question: Which of 1 is heavy?\nAnswer:"
    summary = table.summary(0.0)
    assert summary.invalid == 0 and summary.truncated == 0


def test_search_and_evaluation_run_unchanged(models):
    model = models["qwen3"]
    steering, task = random_steering(model), get_task("arc_challenge")
    settings = GenerationSettings(n_shots=1, scoring="likelihood")
    search = search_lambda(model, steering, PROBLEMS, grid=(0.5, 1.0), settings=settings)
    assert search.best in (0.5, 1.0) and task.few_shot[0].question in search.table.first_prompt
    result = evaluate(model, steering, PROBLEMS, search.best, grid=(0.5, 1.0), settings=settings)
    assert result.vote is not None and all(answer.parsed for answer in result.vote.answers)


def test_nan_is_invalid_and_never_in_a_record():
    model = tiny("llama")
    model.hf.get_output_embeddings().weight.data[5] = math.nan
    table = answer_problems(make_engine(model, None, SETTINGS), PROBLEMS, [0.0], SETTINGS)
    for answer in table.at(0.0):
        assert answer.parsed is None and not answer.correct and answer.stop_reason == "degenerate"
        json.dumps(answer.to_dict(), allow_nan=False)


def test_refusals(models):
    model = models["llama"]
    sums = load_problems("sums", "test", 2)
    with pytest.raises(DataError, match=r"has no options to rank by likelihood; score sums by generation"):
        answer_problems(make_engine(model, None, SETTINGS), sums, [0.0], SETTINGS)
    with pytest.raises(DataError, match="no problems to answer"):
        require_choices([])
    with pytest.raises(SteeringError, match="need steering vectors"):
        score_options(model, PROBLEMS, [0.5])
    with pytest.raises(ConfigError, match="n_shots=99, but arc_challenge has"):
        answer_problems(
            make_engine(model, None, SETTINGS), PROBLEMS, [0.0], GenerationSettings(n_shots=99, scoring="likelihood")
        )
    long = problem(4, "AB", "A", ["word " * 600, "short"])
    with pytest.raises(ConfigError, match=r"option A of arc_challenge/4 has \d+ tokens .* \(512\)"):
        score_options(model, [long])
    with unchecked(), pytest.raises(ConfigError, match="scoring 'guess' is not one of 'generate', 'likelihood'"):
        answer_problems(make_engine(model, None, SETTINGS), PROBLEMS, [0.0], GenerationSettings(scoring="guess"))


def test_what_the_tests_rely_on(models):
    assert set(FAST) < set(ARCHITECTURES) and D_MODEL == models["llama"].d_model
    assert make_tokenizer()("a")["input_ids"][0] == 0, "BOS is added to plain text"
