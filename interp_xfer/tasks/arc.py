r"""ARC-Challenge: science questions with three to five options (1803.05457).

Rows: `id`, `question`, `choices` (`text` and `label` lists) and `answerKey`, one of the labels. The data has no worked
reasoning; a model writes it (`rationales.py`), or a row has a field `reasoning`. The answer format asked for is a label
in a box.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from interp_xfer.errors import DataError
from interp_xfer.tasks.problems import AnswerReader, Choice, HubSplit, Problem, Score, Source, Task
from interp_xfer.tasks.prompt_files import shipped_examples, shipped_text
from interp_xfer.tasks.rows import require, row_id
from interp_xfer.tasks.scoring.choice import CHOICE_RULES, extract_choice
from interp_xfer.tasks.scoring.latex import strip_wrapping
from interp_xfer.tasks.scoring.statements import boxed_answer_end
from interp_xfer.words import shown, why_no_text

STOP_SEQUENCES = ("Question:", "<|im_end|>", "<|endoftext|>", "</s>")
_ONE_LABEL = re.compile(r"\(?\s*[A-Ea-e1-5]\s*\)?(?:\s*[.):].*)?", re.DOTALL)
_REVISION = "210d026faf9955653af8916fad021475a3f00453"


def parse_row(row: Mapping[str, object], fallback_id: str) -> Problem:
    """A row of the ARC schema as a problem; a field `reasoning` is kept.

    Raises: DataError if a field is missing or malformed, labels repeat, or answerKey is not among them.
    """
    question, key = require(row, "question"), require(row, "answerKey").strip()
    choices = row.get("choices")
    if not isinstance(choices, Mapping):
        raise DataError("no field 'choices' with lists 'text' and 'label'")
    texts, labels = choices.get("text"), choices.get("label")
    if not isinstance(texts, list) or not isinstance(labels, list) or len(texts) != len(labels) or len(texts) < 2:
        raise DataError("field 'choices' needs lists 'text' and 'label' of one length, at least 2")
    for value in (*texts, *labels):
        if not isinstance(value, str) or not value.strip():
            raise DataError("field 'choices' has an option that is empty or no string")
        if problem := why_no_text(value):
            raise DataError(f"field 'choices' has an option that {problem}")
    texts, labels = [text.strip() for text in texts], [label.strip() for label in labels]
    if len(set(labels)) != len(labels):
        raise DataError(f"labels {shown(labels)} repeat")
    if key not in labels:
        raise DataError(f"answerKey {shown(key)} is not among the labels {shown(labels)}")
    return Problem(
        id=row_id(row, "id", fallback_id, "arc_challenge/"),
        question=question.strip(),
        reasoning=require(row, "reasoning").strip() if row.get("reasoning") is not None else None,
        answer=key,
        choices=tuple(Choice(label, text) for label, text in zip(labels, texts, strict=True)),
        task="arc_challenge",
    )


def format_question(problem: Problem) -> str:
    """User text: the question and its labelled options."""
    options = "\n".join(f"{choice.label}. {choice.text}" for choice in problem.choices)
    return f"{problem.question}\n{options}"


def format_solution(problem: Problem) -> str:
    """Assistant text: the reasoning, where there is one, and the boxed label."""
    return f"{problem.reasoning}\n{format_answer(problem)}" if problem.reasoning else format_answer(problem)


def format_answer(problem: Problem) -> str:
    """Assistant text: the boxed label."""
    return rf"The final answer is \boxed{{{problem.answer}}}."


def given_at(text: str) -> int | None:
    r"""Where the first sentence "The final answer is \boxed{X}." ends that names one option."""
    return boxed_answer_end(text, lambda content: _ONE_LABEL.fullmatch(strip_wrapping(content)) is not None)


def judge(texts: Sequence[str], problems: Sequence[Problem]) -> list[Score]:
    """What each text answers, by the rules of `scoring.choice`; the canonical answer is the item's label."""
    found = [extract_choice(text, problem.choices) for text, problem in zip(texts, problems, strict=True)]
    return [
        Score(each.answer, each.answer == problem.answer, each.rule)
        for each, problem in zip(found, problems, strict=True)
    ]


def wrong_answer(problem: Problem, rng: random.Random) -> str:
    """The label of another option."""
    return rng.choice([choice.label for choice in problem.choices if choice.label != problem.answer])


class LikelihoodPrompt(NamedTuple):
    """A context and one continuation for each option."""

    context: str
    continuations: tuple[str, ...]
    labels: tuple[str, ...]


def likelihood_prompt(problem: Problem, examples: tuple[Problem, ...] = ()) -> LikelihoodPrompt:
    r"""The texts whose likelihood ranks the options: "Question: ...\nAnswer:" and " option text".

    Accuracy by likelihood takes the option with the largest log-likelihood; the length-normalised form divides it by
    the number of characters of the option text.

    Arguments:
        problem: a multiple-choice problem.
        examples: answered first, in the same form.
    Returns: context, continuations (each with its leading space) and labels, in the order of the options.
    Raises: DataError if the problem has no options.
    Source: lm-evaluation-harness, `lm_eval/tasks/arc/arc_easy.yaml` (acc, acc_norm).
    """
    if not problem.choices:
        raise DataError(f"{problem.id} has no options to rank by likelihood.")
    blocks = []
    for example in examples:
        answer = next(choice.text for choice in example.choices if choice.label == example.answer)
        blocks.append(f"Question: {example.question}\nAnswer: {answer}")
    blocks.append(f"Question: {problem.question}\nAnswer:")
    return LikelihoodPrompt(
        "\n\n".join(blocks),
        tuple(f" {choice.text}" for choice in problem.choices),
        tuple(choice.label for choice in problem.choices),
    )


ARC_CHALLENGE = Task(
    name="arc_challenge",
    system_prompt=shipped_text("arc_challenge.system.txt"),
    few_shot=shipped_examples("arc_challenge.fewshot.jsonl", parse_row),
    max_new_tokens=400,
    stop_sequences=STOP_SEQUENCES,
    format_question=format_question,
    format_solution=format_solution,
    format_answer=format_answer,
    reader=AnswerReader(CHOICE_RULES, given_at, judge),
    wrong_answer=wrong_answer,
    source=Source(
        hub={
            "train": HubSplit("allenai/ai2_arc", _REVISION, "train", ("ARC-Challenge",)),
            "validation": HubSplit("allenai/ai2_arc", _REVISION, "validation", ("ARC-Challenge",)),
            "test": HubSplit("allenai/ai2_arc", _REVISION, "test", ("ARC-Challenge",)),
        },
        licence="CC BY-SA 4.0",
        rows={"train": 1119, "validation": 299, "test": 1172},
    ),
    parse_row=parse_row,
)
