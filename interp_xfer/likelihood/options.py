"""Multiple choice by the likelihood of the options: nothing is generated, so no answer format can be missed.

1. Context and option are tokenised together, as the model reads text. The option is scored from the first token that
   holds a character of it: where a token holds the end of the context too (": a" of "Answer: a"), all of that token is
   the option's, so that every character of every option is scored.
2. What all contexts begin with (the examples) runs once per strength; then rows run in batches, padded on the right.
3. log p(option) is taken from there (`teacher_forcing.py`).
4. The chosen option has the largest log p per character (`acc_norm` of lm-eval); the sum and the mean per token are
   kept beside it.

For the token scope the context is the prompt and the option is what is generated: `generated` steers the last context
token, which predicts the first option token, and the option; `prompt` the context only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from interp_xfer.chat import tokens_with_offsets
from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import DataError, SteeringError
from interp_xfer.generation.passes import SteeredPasses
from interp_xfer.models import LoadedModel
from interp_xfer.models.bridge_check import refuse_overflow
from interp_xfer.passes.batching import filled_batches
from interp_xfer.passes.teacher_forcing import TargetRow, shared_length
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.hooks import Steerer, checked_strengths
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import LikelihoodPrompt, Problem, likelihood_prompt, plain_problem

Normalisation = Literal["sum", "token", "character"]

# Padded tokens of one pass; bounds the attention scores.
_POSITIONS = 2048


@dataclass(frozen=True)
class OptionScores:
    """How likely each option of one problem is, at one strength."""

    problem_id: str
    strength: float
    labels: tuple[str, ...]
    """In the order of the item."""
    log_likelihoods: tuple[float, ...]
    """Nats, summed over the tokens of each option."""
    n_tokens: tuple[int, ...]
    n_characters: tuple[int, ...]
    """Of the option text, without the space before it."""

    @property
    def degenerate(self) -> bool:
        """A log-likelihood is not finite, so that none can be trusted."""
        return not all(math.isfinite(value) for value in self.log_likelihoods)

    def normalised(self, by: Normalisation = "character") -> tuple[float, ...]:
        """Log-likelihoods divided by the length of the option: acc of lm-eval is by "sum", acc_norm by "character"."""
        sizes = {"sum": (1,) * len(self.labels), "token": self.n_tokens, "character": self.n_characters}[by]
        return tuple(value / size for value, size in zip(self.log_likelihoods, sizes, strict=True))

    def chosen(self, by: Normalisation = "character") -> str | None:
        """Label of the likeliest option, the first on a tie; None where a log-likelihood is not finite."""
        values = self.normalised(by)
        return None if self.degenerate else self.labels[values.index(max(values))]


@torch.inference_mode()
def score_options(
    model: LoadedModel,
    problems: Sequence[Problem],
    strengths: Sequence[float] = (0.0,),
    steering: SteeringVectors | None = None,
    *,
    examples: tuple[Problem, ...] = (),
    operator: str = "add",
    tokens: TokenScope = "all",
    unit: StrengthUnit = "relative",
    progress: Progress = no_progress,
) -> list[list[OptionScores]]:
    """The likelihood of every option of every problem at every strength.

    Arguments:
        model: the child.
        problems: multiple-choice problems.
        strengths: 0 is the unsteered model.
        steering: vectors made for the child; None for strength 0 only.
        examples: answered first, in the same form.
        operator: see `interp_xfer.steering.operators`.
        tokens: which positions are steered, see the module docstring.
        unit: of the strengths, as in `interp_xfer.steering.hooks.steer`.
        progress: called with the number of (problem, strength) just finished.
    Returns: [strength][problem], in the order given.
    Raises: DataError for a problem without options, an option without tokens, or a text that holds a control token;
        ConfigError for a prompt beyond the context, or a strength that is not finite; SteeringError for a strength
        other than 0 without vectors; ModelError for a tokenizer without offsets, or a model that overflows in float16
        unsteered.
    Source: lm-evaluation-harness, `acc` and `acc_norm` of multiple-choice tasks; arXiv 1803.05457 for the data.
    """
    checked_strengths(strengths)
    if steering is None and any(strengths):
        raise SteeringError(f"strengths {list(strengths)} need steering vectors; without them only 0 can be run.")
    require_choices(problems)
    groups = [_option_rows(model, problem, examples) for problem in problems]
    passes = SteeredPasses(model, None if steering is None else Steerer(model, steering, operator, unit), tokens)
    out = []
    with passes.active():
        n_prefix = shared_length([row for group in groups for row in group]) if passes.fast else 0
        shared = groups[0][0].ids[:n_prefix]
        widths = [max(len(row.ids) for row in group) - n_prefix for group in groups]
        n_rows = [len(group) for group in groups]
        for strength in strengths:
            prefix = passes.prefixes([(shared, strength)]) if n_prefix else []
            found: dict[int, list[float]] = {}
            for batch in filled_batches(widths, _POSITIONS, n_rows, by_length=True):
                rows = [row for index in batch for row in groups[index]]
                values = iter(passes.log_likelihoods(rows, [strength] * len(rows), prefix * len(rows)).tolist())
                found.update({index: [next(values) for _ in groups[index]] for index in batch})
                progress(len(batch))
            out.append([_scores(p, strength, groups[i], found[i]) for i, p in enumerate(problems)])
    for strength, scores in zip(strengths, out, strict=True):
        for group, score in zip(groups, scores, strict=True):
            if strength == 0 and score.degenerate:
                refuse_overflow(model, max(group, key=lambda row: len(row.ids)).ids)
    return out


def require_choices(problems: Sequence[Problem]) -> None:
    """Nothing, if there are problems and every one has options.

    Raises: DataError otherwise.
    """
    if not problems:
        raise DataError("no problems to answer; the split is empty.")
    without = next((problem for problem in problems if not problem.choices), None)
    if without is not None:
        raise DataError(
            f"{without.id} has no options to rank by likelihood; score {without.task or 'this task'} by generation "
            f'(scoring="generate").'
        )


def plain_likelihood_prompt(model: LoadedModel, problem: Problem, examples: tuple[Problem, ...]) -> LikelihoodPrompt:
    """`likelihood_prompt`, whose texts hold no control token of the model's tokenizer.

    Raises: DataError naming the problem whose text does.
    """
    for each in (problem, *examples):
        plain_problem(model.tokenizer, each, each.text)
    return likelihood_prompt(problem, examples)


def option_row(model: LoadedModel, problem: Problem, prompt: LikelihoodPrompt, label: str) -> TargetRow:
    """The tokens of the context and one option, which begins with the first token that holds a character of it.

    Raises: DataError for an option without tokens, or a context without any of its own; ConfigError for a row beyond
        the model's context; ModelError for a tokenizer that cannot tell which characters a token covers.
    """
    continuation = prompt.continuations[prompt.labels.index(label)]
    ids, offsets = tokens_with_offsets(model.tokenizer, prompt.context + continuation)
    first = next((i for i, (_, end) in enumerate(offsets) if end > len(prompt.context)), len(ids))
    if first == len(ids):
        raise DataError(f"option {label} of {problem.id} has no tokens for {model.name}; drop the item.")
    if first == 0:
        raise DataError(
            f"option {label} of {problem.id} and its context are one token for {model.name}, which nothing predicts; "
            f"drop the item."
        )
    found = f"option {label} of {problem.id} has {len(ids)} tokens with its context"
    model.require_room(len(ids), found, "Use fewer examples (n_shots).")
    return TargetRow(tuple(ids), first)


def _option_rows(model: LoadedModel, problem: Problem, examples: tuple[Problem, ...]) -> list[TargetRow]:
    prompt = plain_likelihood_prompt(model, problem, examples)
    return [option_row(model, problem, prompt, label) for label in prompt.labels]


def _scores(problem: Problem, strength: float, rows: Sequence[TargetRow], values: Sequence[float]) -> OptionScores:
    return OptionScores(
        problem_id=problem.id,
        strength=strength,
        labels=tuple(choice.label for choice in problem.choices),
        log_likelihoods=tuple(values),
        n_tokens=tuple(len(row.ids) - row.n_context for row in rows),
        n_characters=tuple(len(choice.text) for choice in problem.choices),
    )
