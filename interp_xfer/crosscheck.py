"""The same model, prompts and steering through EleutherAI's lm-evaluation-harness, beside our own numbers.

1. Our prompts of the problems become the rows of a harness task that is built in memory: `generate_until` with the
   filters and the metric of its own `gsm8k` task, or `multiple_choice` with `acc` and `acc_norm` as in its ARC tasks.
2. The harness runs the Hugging Face model inside the bridge (`HFLM(pretrained=model.hf)`) within `steer(...)`, whose
   hooks raise if a pass was not steered; the passes are counted.
3. Ours: the sweep engine or the option likelihoods at the same strength. Generations end at the same stop sequences
   and limit (not as soon as the answer is complete, which the harness cannot), so the texts should be equal.

What may still differ: float32 rounding between two attention implementations (a text can part at a near tie), and what
a scorer reads from a text.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from typing import Any

from interp_xfer.answers import Answer, GenerationSettings, answer_problems, make_engine
from interp_xfer.errors import ConfigError, ModelError, SteeringError
from interp_xfer.likelihood import require_choices
from interp_xfer.models import LoadedModel
from interp_xfer.steering import steer
from interp_xfer.tasks import Problem, Task, cut_at_stop, get_task, likelihood_prompt, render_prompt
from interp_xfer.vectors import SteeringVectors

_NAME = "interp_xfer_crosscheck"
_BATCH = 8
# lm_eval/tasks/gsm8k/gsm8k.yaml, version 3.
_FILTERS = [
    {
        "name": "strict-match",
        "filter": [{"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"}],
    },
    {
        "name": "flexible-extract",
        "filter": [
            {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
            {"function": "take_first"},
        ],
    },
]
_EXACT_MATCH = {
    "metric": "exact_match",
    "aggregation": "mean",
    "higher_is_better": True,
    "ignore_case": True,
    "ignore_punctuation": False,
    "regexes_to_ignore": [",", r"\$", r"(?s).*#### ", r"\.$"],
}


@dataclass(frozen=True)
class Crosscheck:
    """Both numbers, and how far they agree question by question."""

    n: int
    ours: dict[str, float]
    """Accuracy by scorer, fractions; those with the harness's names are our reimplementation of its convention."""
    lm_eval: dict[str, float]
    """Accuracy by the harness's own scorer, fractions."""
    agreement: dict[str, float]
    """Share of questions on which the two say the same, by scorer; `text` or `choice`: the outputs themselves."""
    max_difference: float | None
    """Largest difference of an option's log-likelihood, in nats; None for generation."""
    steered_passes: int
    """Forward passes of the harness in which every steering hook fired; 0 when unsteered."""
    lm_eval_version: str
    items: tuple[dict[str, Any], ...]
    """One record per question."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**self.__dict__, "items": list(self.items)}


def require_lm_eval() -> None:
    """Nothing, if the harness can be imported.

    Raises: ConfigError that names the extra to install.
    """
    try:
        import_module("lm_eval")
    except ImportError:
        raise ConfigError(
            "crosscheck needs EleutherAI's lm-evaluation-harness; install it: pip install 'interp-xfer[lm-eval]'."
        ) from None


def crosscheck(
    model: LoadedModel,
    problems: Sequence[Problem],
    steering: SteeringVectors | None = None,
    strength: float = 0.0,
    *,
    settings: GenerationSettings | None = None,
    task: Task | None = None,
) -> Crosscheck:
    """Our numbers and the harness's, for one model under one steering.

    Arguments:
        model: the child.
        problems: of one task; numeric answers by generation, options by likelihood.
        steering: vectors made for it; None with strength 0.
        strength: in `settings.unit`.
        settings: as in the evaluation that is checked; `scoring` chooses the form.
        task: None takes the one the problems name.
    Raises: ConfigError without the harness, or for a form that it cannot run; SteeringError if a hook did not fire, or
        a strength is given without vectors; ModelError if the two would read different tokens.
    Source: lm-evaluation-harness 0.4, `lm_eval/tasks/gsm8k` and `lm_eval/tasks/arc`.
    """
    require_lm_eval()
    settings = settings or GenerationSettings()
    task = task or get_task(problems[0].task)
    if steering is None and strength:
        raise SteeringError(f"strength {strength} needs steering vectors; give --steering DIR.")
    stops = replace(task, is_complete=lambda text: cut_at_stop(text, task.stop_sequences) != text)
    engine = make_engine(model, steering, settings)
    if settings.scoring == "likelihood":
        require_choices(problems)
        if settings.tokens != "all" and strength:
            raise ConfigError(
                f"lm-eval scores context and option in one pass, in which tokens={settings.tokens!r} cannot be told "
                f'apart; cross-check with tokens="all".'
            )
    elif "lm_eval_strict" not in task.score("", problems[0]).extra:
        raise ConfigError(f"the harness filters checked here read numbers; cross-check {task.name} by likelihood.")
    answers = answer_problems(engine, problems, [strength], settings, task=stops).at(strength)
    config = _choice_task(problems, task, settings) if settings.scoring == "likelihood" else _text_task(
        model, problems, task, settings
    )  # fmt: skip
    samples, results, passes = _run(model, config, steering, strength, settings)
    compare = _compare_choices if settings.scoring == "likelihood" else _compare_texts
    return compare(problems, answers, samples, results, passes)


def _text_task(
    model: LoadedModel, problems: Sequence[Problem], task: Task, settings: GenerationSettings
) -> dict[str, Any]:
    rows = []
    for problem in problems:
        prompt = render_prompt(
            model.tokenizer, task, problem, settings.n_shots, settings.system_prompt, settings.enable_thinking
        )
        rows.append({"prompt": prompt.text, "answer": problem.answer})
    return _task(
        rows,
        output_type="generate_until",
        doc_to_target=lambda row: row["answer"],
        metric_list=[_EXACT_MATCH],
        filter_list=_FILTERS,
        generation_kwargs={
            "until": list(task.stop_sequences),
            "do_sample": False,
            "max_gen_toks": settings.max_new_tokens or task.max_new_tokens,
        },
    )


def _choice_task(problems: Sequence[Problem], task: Task, settings: GenerationSettings) -> dict[str, Any]:
    rows = [
        {
            "prompt": likelihood_prompt(p, task.few_shot[: settings.n_shots]).context,
            "options": [choice.text for choice in p.choices],
            "gold": [choice.label for choice in p.choices].index(p.answer),
        }
        for p in problems
    ]
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    return _task(
        rows,
        output_type="multiple_choice",
        doc_to_target=lambda row: row["gold"],
        doc_to_choice=lambda row: row["options"],
        metric_list=metrics,
    )


def _task(rows: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    import datasets

    return {
        "task": _NAME,
        "custom_dataset": lambda **_: datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}),
        "test_split": "test",
        "doc_to_text": lambda row: row["prompt"],
        "num_fewshot": 0,
        **config,
    }


def _run(
    model: LoadedModel,
    config: dict[str, Any],
    steering: SteeringVectors | None,
    strength: float,
    settings: GenerationSettings,
) -> tuple[list[dict[str, Any]], dict[str, Any], int]:
    """(logged samples, results, steered passes) of the harness."""
    harness = {name: import_module(f"lm_eval.{name}") for name in ("api.task", "evaluator", "models.huggingface")}
    chat = settings.scoring == "generate" and bool(getattr(model.tokenizer, "chat_template", None))
    steered = nullcontext() if steering is None or strength == 0 else steer(
        model, steering, strength=strength, operator=settings.operator, tokens=settings.tokens, unit=settings.unit
    )  # fmt: skip
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    with _quiet_harness(), _untied(model):
        # As in our prompts: a chat template writes BOS itself, plain text gets it from the tokenizer.
        lm = harness["models.huggingface"].HFLM(
            pretrained=model.hf, tokenizer=model.tokenizer, batch_size=_BATCH, add_bos_token=not chat
        )
        task = harness["api.task"].ConfigurableTask(config=config)
        _require_same_tokens(model, lm, task, chat)
        with steered:
            handle = model.hf.base_model.register_forward_hook(count)
            try:
                found = harness["evaluator"].evaluate(lm, {_NAME: task}, bootstrap_iters=0, log_samples=True)
            finally:
                handle.remove()
    if passes == 0:
        raise SteeringError("lm-eval ran without a forward pass of the bridged model; nothing was compared.")
    is_steered = steering is not None and strength != 0
    samples = [dict(sample) for sample in found["samples"][_NAME]]
    return samples, dict(found["results"][_NAME]), passes if is_steered else 0


def _require_same_tokens(model: LoadedModel, lm: Any, task: Any, chat: bool) -> None:
    """Nothing, if the harness reads the tokens that we do.

    Raises: ModelError otherwise.
    """
    text = task.test_docs()[0]["prompt"]
    ours = model.tokenizer(text, add_special_tokens=not chat)["input_ids"]
    theirs = lm.tok_encode(text)
    if list(theirs) != list(ours):
        raise ModelError(
            f"lm-eval reads {len(theirs)} tokens in the first prompt and we read {len(ours)} ({model.name}); the "
            f"comparison would not be of the same input. Report the tokenizer."
        )


def _compare_texts(
    problems: Sequence[Problem],
    answers: Sequence[Answer],
    samples: list[dict[str, Any]],
    results: dict[str, Any],
    passes: int,
) -> Crosscheck:
    by_filter = {name: {s["doc_id"]: s for s in samples if s["filter"] == name} for name in _filter_names()}
    items = []
    for index, (problem, answer) in enumerate(zip(problems, answers, strict=True)):
        strict, flexible = (by_filter[name][index] for name in _filter_names())
        text = strict["resps"][0][0]
        items.append(
            {
                "id": problem.id,
                "reference": problem.answer,
                "ours": {
                    "text": answer.text,
                    "parsed": answer.parsed,
                    "primary": answer.correct,
                    "strict": answer.extra["lm_eval_strict"],
                    "flexible": answer.extra["lm_eval_flexible"],
                },
                "lm_eval": {
                    "text": text,
                    "strict": bool(strict["exact_match"]),
                    "flexible": bool(flexible["exact_match"]),
                },
                "same_text": _trimmed(answer.text, text) == text.strip(),
            }
        )
    return Crosscheck(
        n=len(items),
        ours={name: _share(item["ours"][name] for item in items) for name in ("primary", "strict", "flexible")},
        lm_eval={
            "strict": float(results["exact_match,strict-match"]),
            "flexible": float(results["exact_match,flexible-extract"]),
        },
        agreement={
            "text": _share(item["same_text"] for item in items),
            **{n: _share(i["ours"][n] == i["lm_eval"][n] for i in items) for n in ("strict", "flexible")},
        },
        max_difference=None,
        steered_passes=passes,
        lm_eval_version=metadata.version("lm-eval"),
        items=tuple(items),
    )


def _compare_choices(
    problems: Sequence[Problem],
    answers: Sequence[Answer],
    samples: list[dict[str, Any]],
    results: dict[str, Any],
    passes: int,
) -> Crosscheck:
    by_id = {sample["doc_id"]: sample for sample in samples}
    items = []
    for index, (problem, answer) in enumerate(zip(problems, answers, strict=True)):
        theirs = [float(response[0]) for response in by_id[index]["filtered_resps"]]
        ours = [answer.log_likelihoods.get(choice.label, math.nan) for choice in problem.choices]
        differences = [a - b for a, b in zip(ours, theirs, strict=True)]
        per_character = [value / len(choice.text) for value, choice in zip(theirs, problem.choices, strict=True)]
        chosen = problem.choices[per_character.index(max(per_character))].label
        items.append(
            {
                "id": problem.id,
                "reference": problem.answer,
                "ours": {
                    "chosen": answer.parsed,
                    "acc": answer.extra["likelihood_sum"],
                    "acc_norm": answer.correct,
                    "log_likelihoods": answer.log_likelihoods,
                },
                "lm_eval": {
                    "chosen": chosen,
                    "acc": bool(by_id[index]["acc"]),
                    "acc_norm": bool(by_id[index]["acc_norm"]),
                    "log_likelihoods": {
                        c.label: v if math.isfinite(v) else None for c, v in zip(problem.choices, theirs, strict=True)
                    },
                },
                "difference": max(map(abs, differences)) if all(map(math.isfinite, differences)) else None,
            }
        )
    names = ("acc", "acc_norm")
    return Crosscheck(
        n=len(items),
        ours={name: _share(item["ours"][name] for item in items) for name in names},
        lm_eval={name: float(results[f"{name},none"]) for name in names},
        agreement={
            "choice": _share(item["ours"]["chosen"] == item["lm_eval"]["chosen"] for item in items),
            **{n: _share(i["ours"][n] == i["lm_eval"][n] for i in items) for n in names},
        },
        max_difference=max((i["difference"] for i in items if i["difference"] is not None), default=None),
        steered_passes=passes,
        lm_eval_version=metadata.version("lm-eval"),
        items=tuple(items),
    )


def _filter_names() -> tuple[str, str]:
    return "strict-match", "flexible-extract"


def _trimmed(ours: str, theirs: str) -> str:
    """Our text without the stop sequence it ended on, which the harness cuts off."""
    return ours.strip()[: len(theirs.strip())] if ours.strip().startswith(theirs.strip()) else ours.strip()


def _share(values: Any) -> float:
    flags = [bool(value) for value in values]
    return sum(flags) / len(flags)


@contextmanager
def _quiet_harness() -> Iterator[None]:
    """Without the harness's log lines about options that are set on purpose."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _untied(model: LoadedModel) -> Iterator[None]:
    """Keeps the harness from tying weights again: the model is evaluated as it is."""
    model.hf.tie_weights = lambda *_, **__: None
    try:
        yield
    finally:
        del model.hf.tie_weights
