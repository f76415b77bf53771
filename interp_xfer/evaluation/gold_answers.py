"""What the model would have to write, as rows for teacher forcing: the prompt that is run, and the gold answer.

- Generated answers (`scoring="generate"`): the prompt of `answers.answer_problems`, examples included, and the task's
  own solution format: worked reasoning and final answer.
- Ranked options (`scoring="likelihood"`): the context and the right option of `tasks.likelihood_prompt`.

Where the tokens of a prompt and a generated answer together begin with those of the prompt, they are taken together;
else (a word that would grow across the border) apart, as in generation. Options are split as they are ranked.
"""

from collections.abc import Sequence

from interp_xfer.errors import ConfigError, DataError
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.likelihood.options import option_row, plain_likelihood_prompt, require_choices
from interp_xfer.models import LoadedModel
from interp_xfer.passes.teacher_forcing import TargetRow
from interp_xfer.tasks import Problem, Task, has_chat_template, plain_problem, render_prompt


def gold_rows(
    model: LoadedModel,
    task: Task,
    problems: Sequence[Problem],
    settings: GenerationSettings,
) -> list[TargetRow]:
    """Prompt and gold answer of each problem.

    Arguments:
        model: the child.
        task: of the problems.
        problems: with their reference answers.
        settings: how questions are asked: number of examples, system prompt, scoring.
    Raises: DataError without problems, or for an answer without tokens; ConfigError for a row beyond the context or too
        many examples.
    """
    if not problems:
        raise DataError("no questions; the split is empty.")
    if settings.scoring == "likelihood":
        require_choices(problems)
    rows = []
    for problem in problems:
        if settings.scoring == "likelihood":
            row = _option_row(model, task, problem, settings)
        else:
            row = _solution_row(model, task, problem, settings)
        _check(model, problem, row)
        rows.append(row)
    return rows


def _solution_row(model: LoadedModel, task: Task, problem: Problem, settings: GenerationSettings) -> TargetRow:
    prompt = render_prompt(
        model.tokenizer, task, problem, settings.n_shots, settings.system_prompt, settings.enable_thinking
    )
    answer = task.format_solution(problem)
    plain_problem(model.tokenizer, problem, answer)
    if not has_chat_template(model.tokenizer):
        answer = f" {answer}"  # after "Answer:"
    return _row(model, prompt.text, answer, prompt.add_special_tokens)


def _option_row(model: LoadedModel, task: Task, problem: Problem, settings: GenerationSettings) -> TargetRow:
    if settings.n_shots > len(task.few_shot):
        raise ConfigError(f"n_shots={settings.n_shots}, but {task.name} has {len(task.few_shot)} few-shot examples.")
    prompt = plain_likelihood_prompt(model, problem, task.few_shot[: settings.n_shots])
    return option_row(model, problem, prompt, problem.answer)


def _row(model: LoadedModel, context: str, answer: str, special: bool) -> TargetRow:
    def ids(text: str, special: bool) -> tuple[int, ...]:
        return tuple(model.token_ids(text, special))

    first, both = ids(context, special), ids(context + answer, special)
    if both[: len(first)] != first:
        both = first + ids(answer, False)
    return TargetRow(both, len(first))


def _check(model: LoadedModel, problem: Problem, row: TargetRow) -> None:
    if not row.targets:
        raise DataError(f"the gold answer of {problem.id} has no tokens for {model.name}; drop the item.")
    found = f"{problem.id} has {len(row.ids)} tokens with its gold answer"
    model.require_room(len(row.ids), found, "Use fewer examples (n_shots).")
