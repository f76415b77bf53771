"""One rule of where an answer ends, on every path: what is decoded, what is scored, what is stored."""

import random
from dataclasses import replace

import pytest

from interp_xfer.tasks import Choice, Problem, accept_rationale, get_task
from interp_xfer.tasks.problems import AnswerText
from interp_xfer.tasks.scoring.private_reasoning import ReasoningTag

CHOICES = tuple(Choice(label, text) for label, text in zip("ABCD", ("a leaf", "grapes", "a truck", "gas"), strict=True))
PROBLEMS = {
    "gsm8k": Problem("g", "?", None, "18", task="gsm8k"),
    "sums": Problem("s", "?", None, "18", task="sums"),
    "math": Problem("m", "?", None, "18", task="math"),
    "arc_challenge": Problem("a", "?", None, "C", CHOICES, "arc_challenge"),
}
PIECES = {
    "gsm8k": ("18", "20", "#### ", "#### The final answer is: ", "1. Find the eggs", "3 + 15 = 18", "or"),
    "sums": ("18", "20", "The answer is ", "the answer is not ", "= 18", "3 + 15"),
    "math": (r"$\boxed{18}$", r"\boxed{20}", "The final answer is ", "18", ", ", "I hope it is correct.", "is not"),
    "arc_challenge": (r"\boxed{C}", r"\boxed{A}", "The final answer is ", "C", "not ", "or", "A"),
}
COMMON = (".", ". ", "\n", "\n\n", " so ", "Question:", "<think>", "</think>", "Wait, it is ", "**", "We add.")


def texts(name, n, seed):
    rng = random.Random(f"{name}/{seed}")
    pieces = PIECES[name] * 2 + COMMON
    return ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 12))) for _ in range(n)]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_text_that_is_complete_stays_so_and_is_read_the_same_from_there_on(name):
    """Decoded character by character; reasoning that the prompt began is known to be so from the start."""
    task, problem = get_task(name), PROBLEMS[name]
    n_complete = 0
    for text in texts(name, 60, 0):
        text = (
            text if text.find("</think>") < 0 or 0 <= text.find("<think>") < text.find("</think>") else f"<think>{text}"
        )
        flags = [task.is_complete(text[:length]) for length in range(len(text) + 1)]
        if True in flags:
            first = flags.index(True)
            assert all(flags[first:]), text
            stopped, whole = task.score(text[:first], problem), task.score(text, problem)
            assert (stopped.parsed, stopped.correct, stopped.rule) == (whole.parsed, whole.correct, whole.rule), text
            n_complete += 1
    assert n_complete > 10


@pytest.mark.parametrize("name", PROBLEMS)
def test_private_reasoning_is_never_read_and_never_complete(name):
    task, problem = get_task(name), PROBLEMS[name]
    for private, public in zip(texts(name, 30, 1), texts(name, 30, 2), strict=True):
        private, public = (text.replace("<think>", "").replace("</think>", "") for text in (private, public))
        assert not task.is_complete(f"<think>{private}")
        assert task.score(f"<think>{private}", problem).parsed is None
        hidden, bare = task.score(f"<think>{private}</think>{public}", problem), task.score(public, problem)
        assert (hidden.parsed, hidden.rule) == (bare.parsed, bare.rule)


@pytest.mark.parametrize("name", PROBLEMS)
def test_solutions_in_their_own_form_are_complete_where_they_end(name):
    task = get_task(name)
    for shot in task.few_shot:
        solution = task.format_solution(shot)
        found = task.answer_text(f"{solution}\n\nAnd now something else, 99 and D.\n{solution[:40]}")
        assert found == AnswerText(solution, True)


def test_tags_are_a_field_of_the_task():
    task = replace(get_task("gsm8k"), reasoning_tags=(ReasoningTag("<<", ">>"),))
    assert task.score("<<#### 20\n>>#### 18\n", PROBLEMS["gsm8k"]).parsed == "18"
    assert task.score("<think>#### 20\n</think>", PROBLEMS["gsm8k"]).parsed == "20"
    assert not task.is_complete("<<#### 20\n") and get_task("gsm8k").is_complete("<<#### 20\n")


def test_rationales_end_where_answers_end():
    task, problem = get_task("arc_challenge"), PROBLEMS["arc_challenge"]
    text = "<think>Maybe A.</think>\nTrucks are heavy.\nThe final answer is \\boxed{C}.\nA is next."
    assert accept_rationale(task, problem, text) == "Trucks are heavy."
    assert accept_rationale(task, problem, "<think>" + text) == "Trucks are heavy."
    assert accept_rationale(task, problem, text.replace("</think>", "")) is None
