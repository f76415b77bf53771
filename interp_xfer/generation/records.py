"""What generation takes and gives: tokenised prompts in two parts, and finished texts with the reason they ended."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import ConfigError
from interp_xfer.models import LoadedModel
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import RenderedPrompt

StopReason = Literal["eos", "complete", "length", "degenerate"]

IsComplete = Callable[[str], bool]
"""True once the text decoded so far holds its final answer."""


@dataclass(frozen=True)
class TokenPrompt:
    """One prompt as token ids. Prompts with equal prefixes share its computation."""

    name: str
    """Id of the problem, for messages."""
    prefix: tuple[int, ...]
    """May be empty."""
    suffix: tuple[int, ...]
    """At least one token."""

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class RowKey:
    """Which row of a sweep: a prompt at a strength, and which of several samples of it."""

    prompt: TokenPrompt
    strength: float
    sample: int = 0
    """How often the strength was listed before; 0 unless a call repeats one."""
    made_by: str = ""
    """`Making.digest`: all else that decides the answer."""

    @cached_property
    def row(self) -> str:
        """The same for the same tokens, strength and sample, in any process: what a row draws depends on this."""
        tokens = ",".join(map(str, (*self.prompt.prefix, *self.prompt.suffix)))
        return hashlib.sha256(f"{tokens}|{self.strength!r}|{self.sample}".encode()).hexdigest()[:32]

    @cached_property
    def digest(self) -> str:
        """The same only for a row of the same model, vectors, steering and limits: an answer is known by this."""
        return hashlib.sha256(f"{self.made_by}|{self.row}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Making:
    """What decides the answer to a prompt at a strength."""

    model: str
    """Digest of the fingerprint."""
    steering: str | None
    """Digest of the vectors."""
    operator: str
    tokens: TokenScope
    unit: StrengthUnit
    max_new_tokens: int
    is_complete: str | None
    """Module and name of the function."""
    sampling: str | None

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        steering: SteeringVectors | None,
        operator: str,
        tokens: TokenScope,
        unit: StrengthUnit,
        max_new_tokens: int,
        is_complete: IsComplete | None,
        sampling: object,
    ) -> "Making":
        """From what `SweepEngine.generate` is given."""
        return cls(
            model=model.fingerprint.digest,
            steering=None if steering is None else steering.digest,
            operator=operator,
            tokens=tokens,
            unit=unit,
            max_new_tokens=max_new_tokens,
            is_complete=is_complete and f"{is_complete.__module__}.{getattr(is_complete, '__qualname__', is_complete)}",
            sampling=None if sampling is None else repr(sampling),
        )

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def row_samples(strengths: Sequence[float]) -> list[int]:
    """For each strength, how often it was listed before."""
    return [list(strengths[:index]).count(strength) for index, strength in enumerate(strengths)]


@dataclass(frozen=True)
class Generation:
    """One finished answer."""

    text: str
    """New text only, special tokens removed."""
    token_ids: tuple[int, ...]
    """New tokens, the end-of-sequence token included."""
    stop_reason: StopReason
    """eos: the model ended; complete: the answer was there; length: the limit was hit; degenerate: logits were NaN."""


def tokenise_prompt(model: LoadedModel, name: str, prompt: RenderedPrompt) -> TokenPrompt:
    """A rendered prompt as token ids; prefix and suffix are tokenised apart, which the rendering has made safe."""

    def ids(text: str, special: bool) -> tuple[int, ...]:
        return tuple(model.token_ids(text, special)) if text else ()

    suffix_special = prompt.add_special_tokens and not prompt.prefix
    return TokenPrompt(name, ids(prompt.prefix, prompt.add_special_tokens), ids(prompt.suffix, suffix_special))


def check_fits(model: LoadedModel, prompts: Sequence[TokenPrompt], max_new_tokens: int) -> None:
    """Nothing, if every prompt and its answer fit the context.

    Raises: ConfigError naming the first prompt that does not, before anything is computed.
    """
    if max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be at least 1.")
    for prompt in prompts:
        if not prompt.suffix:
            raise ConfigError(f"the prompt of {prompt.name} has an empty suffix; give it at least one token.")
        needed = len(prompt) + max_new_tokens
        model.require_room(
            needed,
            f"the prompt of {prompt.name} has {len(prompt)} tokens, with {max_new_tokens} new ones {needed}",
            "Use fewer examples (n_shots) or fewer new tokens.",
        )
