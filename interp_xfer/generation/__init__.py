"""Generation for sweeps over strengths: shared prefixes, batched strengths, exact answers."""

from interp_xfer.generation.engine import SweepEngine
from interp_xfer.generation.finished import FinishedAnswers
from interp_xfer.generation.memory import PassLimits
from interp_xfer.generation.records import Generation, IsComplete, StopReason, TokenPrompt, tokenise_prompt
from interp_xfer.generation.reference import reference_generate
from interp_xfer.generation.sampling import Sampling

__all__ = [
    "FinishedAnswers",
    "Generation",
    "IsComplete",
    "PassLimits",
    "Sampling",
    "StopReason",
    "SweepEngine",
    "TokenPrompt",
    "reference_generate",
    "tokenise_prompt",
]
