"""The same model, prompts and steering through EleutherAI's lm-evaluation-harness, beside our own numbers.

1. Our prompts of the problems become the rows of a harness task that is built in memory: `generate_until` with the
   filters and the metric of its own `gsm8k` task, or `multiple_choice` with `acc` and `acc_norm` as in its ARC tasks.
2. The harness runs the Hugging Face model inside the bridge (`HFLM(pretrained=model.hf)`) within `steer(...)`, whose
   hooks raise if a pass was not steered; the passes are counted.
3. Ours: the sweep engine or the option likelihoods at the same strength. Generations end at the same stop sequences
   and limit (not as soon as the answer is complete, which the harness cannot), so the texts should be equal. Our own
   scorer reads from them what it reads everywhere: the answer up to where it ends.

What may still differ: float32 rounding between two attention implementations (a text can part at a near tie), and what
a scorer reads from a text.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from pydantic import JsonValue

from interp_xfer.errors import ConfigError, DataError, SteeringError
from interp_xfer.evaluation.answers import Answer, answer_problems, make_engine
from interp_xfer.evaluation.record import Answered, Conditions, answered
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.fields import Count, Fraction, Json, NotNegative
from interp_xfer.interop.lm_eval import choice_task, require_lm_eval, run_harness, text_task
from interp_xfer.likelihood.options import require_choices
from interp_xfer.models import LoadedModel
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Problem, Task, cut_at_stop, get_task
from interp_xfer.tasks.scoring.lm_eval_filters import lm_eval_flexible, lm_eval_normal, lm_eval_strict
from interp_xfer.tasks.scoring.numeric import NUMERIC_RULES


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
    items: tuple[Json, ...]
    """One record per question."""


class CrosscheckRecord(Answered):
    """`interp-xfer crosscheck`; values as in `Crosscheck`."""

    kind: Literal["crosscheck"] = "crosscheck"
    strength: float
    ours: dict[str, Fraction]
    lm_eval: dict[str, Fraction]
    agreement: dict[str, Fraction]
    max_difference: NotNegative | None
    steered_passes: Count
    lm_eval_version: str
    items: tuple[dict[str, JsonValue], ...]


def crosscheck_record(
    asked: Conditions, strength: float, problems: Sequence[Problem], found: Crosscheck
) -> CrosscheckRecord:
    """The file of a cross-check."""
    return CrosscheckRecord(**{**found.__dict__, **answered(asked, "test", problems)}, strength=strength)


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
    Raises: DataError without problems; ConfigError without the harness, or for a form that it cannot run; SteeringError
        if a hook did not fire, or a strength is given without vectors; ModelError if the two would read different
        tokens.
    Source: lm-evaluation-harness 0.4, `lm_eval/tasks/gsm8k` and `lm_eval/tasks/arc`.
    """
    if not problems:
        raise DataError("no problems to cross-check; give at least one.")
    require_lm_eval()
    settings = settings or GenerationSettings()
    task = task or get_task(problems[0].task)
    if steering is None and strength:
        raise SteeringError(f"strength {strength} needs steering vectors; give --steering DIR.")
    engine = make_engine(model, steering, settings)
    if settings.scoring == "likelihood":
        require_choices(problems)
        if settings.tokens != "all" and strength:
            raise ConfigError(
                f"lm-eval scores context and option in one pass, in which tokens={settings.tokens!r} cannot be told "
                f'apart; cross-check with tokens="all".'
            )
    elif task.rules != NUMERIC_RULES:
        raise ConfigError(f"the harness filters checked here read numbers; cross-check {task.name} by likelihood.")

    def is_stopped(text: str) -> bool:
        return cut_at_stop(text, task.stop_sequences) != text

    table = answer_problems(engine, problems, [strength], settings, task=task, is_complete=is_stopped)
    answers = table.at(strength)
    config = (
        choice_task(problems, task, settings)
        if settings.scoring == "likelihood"
        else text_task(model, problems, task, settings)
    )
    samples, results, passes = run_harness(model, config, steering, strength, settings)
    if settings.scoring == "likelihood":
        return _compare_choices(problems, answers, samples, results, passes)
    return _compare_texts(problems, answers, task.stop_sequences, samples, results, passes)


def _compare_texts(
    problems: Sequence[Problem],
    answers: Sequence[Answer],
    stop_sequences: tuple[str, ...],
    samples: list[Json],
    results: Json,
    passes: int,
) -> Crosscheck:
    by_filter = {name: {s["doc_id"]: s for s in samples if s["filter"] == name} for name in _filter_names()}
    items = []
    for index, (problem, answer) in enumerate(zip(problems, answers, strict=True)):
        strict, flexible = (by_filter[name][index] for name in _filter_names())
        text = strict["resps"][0][0]
        seen, reference = cut_at_stop(answer.text, stop_sequences), lm_eval_normal(problem.answer)
        items.append(
            {
                "id": problem.id,
                "reference": problem.answer,
                "ours": {
                    "text": answer.text,
                    "parsed": answer.parsed,
                    "primary": answer.correct,
                    "strict": lm_eval_strict(seen) == reference,
                    "flexible": lm_eval_flexible(seen) == reference,
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
    samples: list[Json],
    results: Json,
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


def _share(values: Iterable[object]) -> float:
    flags = [bool(value) for value in values]
    return sum(flags) / len(flags)
