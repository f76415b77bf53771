"""EleutherAI's lm-evaluation-harness on a bridged model: tasks built in memory, run within `steer(...)`.

The harness is an optional dependency, imported where it is used.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

from interp_xfer.errors import ConfigError, ModelError, SteeringError
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.fields import Json
from interp_xfer.models import LoadedModel
from interp_xfer.steering.hooks import steer
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Problem, Task, has_chat_template, likelihood_prompt, render_prompt

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


def require_lm_eval() -> None:
    """Raise ConfigError unless the harness can be imported.

    Raises: ConfigError that names the extra to install.
    """
    try:
        import_module("lm_eval")
    except ImportError:
        raise ConfigError(
            "crosscheck needs EleutherAI's lm-evaluation-harness; install it: pip install 'interp-xfer[lm-eval]'."
        ) from None


def text_task(model: LoadedModel, problems: Sequence[Problem], task: Task, settings: GenerationSettings) -> Json:
    """A harness task of our generation prompts, scored by the filters and metric of its own `gsm8k` task."""
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
            "until": [*task.stop_sequences, *filter(None, map(model.tokenizer.decode, sorted(model.end_tokens)))],
            "do_sample": False,
            "max_gen_toks": settings.max_new_tokens or task.max_new_tokens,
        },
    )


def choice_task(problems: Sequence[Problem], task: Task, settings: GenerationSettings) -> Json:
    """A harness task of our likelihood prompts and options, scored as its ARC tasks are."""
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


def run_harness(
    model: LoadedModel,
    config: Json,
    steering: SteeringVectors | None,
    strength: float,
    settings: GenerationSettings,
) -> tuple[list[Json], Json, int]:
    """Logged samples, results, and how many forward passes were steered.

    Raises: SteeringError if a hook did not fire, or the bridged model was not run; ModelError if the harness reads
        other tokens than we do.
    """
    harness = {name: import_module(f"lm_eval.{name}") for name in ("api.task", "evaluator", "models.huggingface")}
    chat = settings.scoring == "generate" and has_chat_template(model.tokenizer)
    steered = (
        nullcontext()
        if steering is None or strength == 0
        else steer(
            model, steering, strength=strength, operator=settings.operator, tokens=settings.tokens, unit=settings.unit
        )
    )
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    with _quiet_harness(), _untied(model):
        # As in our prompts: a chat template writes BOS itself, plain text gets it from the tokenizer.
        lm = harness["models.huggingface"].HFLM(
            pretrained=model.hf,
            tokenizer=model.tokenizer,
            batch_size=_BATCH,
            add_bos_token=not chat,
            trust_remote_code=False,
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


def _task(rows: list[Json], **config: object) -> Json:
    import datasets

    return {
        "task": _NAME,
        "custom_dataset": lambda **_: datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}),
        "test_split": "test",
        "doc_to_text": lambda row: row["prompt"],
        "num_fewshot": 0,
        **config,
    }


def _require_same_tokens(model: LoadedModel, lm: Any, task: Any, chat: bool) -> None:
    """Raise ModelError unless the harness reads the tokens that we do.

    Raises: ModelError otherwise.
    """
    for number, row in enumerate(task.test_docs()):
        ours, theirs = model.token_ids(row["prompt"], not chat), lm.tok_encode(row["prompt"])
        if list(theirs) != ours:
            raise ModelError(
                f"lm-eval reads {len(theirs)} tokens in prompt {number} and we read {len(ours)} ({model.name}); the "
                f"comparison would not be of the same input. Report the tokenizer."
            )


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
