"""Benchmarks: rows, prompts, few-shot examples, splits, answer extraction; contrast-pair builders."""

from interp_xfer.chat import has_chat_template
from interp_xfer.tasks.arc import LikelihoodPrompt, likelihood_prompt
from interp_xfer.tasks.contrast import CONTRAST_KINDS, ContrastPair, Pairs, as_pairs, contrast_pairs
from interp_xfer.tasks.leaks import FitText, check_disjoint, normalise_text, projection_texts
from interp_xfer.tasks.problems import Choice, HubSplit, Problem, Score, Source, Split, Task, cut_at_stop
from interp_xfer.tasks.prompt_files import load_few_shot, load_system_prompt
from interp_xfer.tasks.prompts import (
    RenderedPair,
    RenderedPrompt,
    adds_special_tokens,
    plain_problem,
    render_pair,
    render_prompt,
)
from interp_xfer.tasks.rationales import RationaleStore, accept_rationale, rationale_prompt
from interp_xfer.tasks.registry import TASKS, get_task
from interp_xfer.tasks.rows import BadRow, Rows, data_folder, read_rows
from interp_xfer.tasks.splits import load_problems
from interp_xfer.tasks.sums import LEVELS, SumsKnobs, sums_task

__all__ = [
    "BadRow",
    "Choice",
    "ContrastPair",
    "FitText",
    "HubSplit",
    "CONTRAST_KINDS",
    "LEVELS",
    "LikelihoodPrompt",
    "Pairs",
    "Problem",
    "RationaleStore",
    "RenderedPair",
    "RenderedPrompt",
    "Rows",
    "Score",
    "Source",
    "Split",
    "SumsKnobs",
    "TASKS",
    "Task",
    "accept_rationale",
    "adds_special_tokens",
    "as_pairs",
    "check_disjoint",
    "contrast_pairs",
    "cut_at_stop",
    "data_folder",
    "get_task",
    "has_chat_template",
    "likelihood_prompt",
    "load_few_shot",
    "load_problems",
    "load_system_prompt",
    "normalise_text",
    "plain_problem",
    "projection_texts",
    "rationale_prompt",
    "read_rows",
    "render_pair",
    "render_prompt",
    "sums_task",
]
