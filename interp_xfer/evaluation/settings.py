"""How questions are asked and answers steered: what travels from a study to search, evaluation and checks."""

from dataclasses import dataclass

from interp_xfer.choices import Scoring, StrengthUnit, TokenScope


@dataclass(frozen=True)
class GenerationSettings:
    """How questions are asked and answers steered; the same for every arm of a comparison."""

    n_shots: int = 5
    """Few-shot examples (the paper: 5)."""
    max_new_tokens: int | None = None
    """None: the task's own limit."""
    unit: StrengthUnit = "relative"
    operator: str = "add"
    tokens: TokenScope = "all"
    system_prompt: str | None = None
    """None: the task's own; "" for none."""
    enable_thinking: bool = False
    """Passed to chat templates that know it (Qwen3)."""
    max_memory: int | None = None
    """Bytes for all that a sweep adds to the model; None: half of what is free."""
    scoring: Scoring = "generate"
    """`likelihood` ranks options instead of generating; prompts are then plain text, without a system prompt."""
