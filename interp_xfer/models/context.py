"""How many positions of a model may be used so that a row of a batch is what it is alone."""

from dataclasses import dataclass

from interp_xfer.models.untyped import HFConfig


@dataclass(frozen=True)
class Context:
    """A limit on tokens, and why it is one."""

    n_tokens: int | None
    """None: the configuration names none."""
    reason: str = ""

    def holds(self, n_tokens: int) -> bool:
        """Whether a text of so many tokens may be run."""
        return self.n_tokens is None or n_tokens <= self.n_tokens

    def __str__(self) -> str:
        return f"{self.n_tokens}{self.reason}"


def context_of(config: HFConfig) -> Context:
    """The context of a Hugging Face configuration.

    A `longrope` model (Phi 3 with 128k) takes other rotary frequencies in all layers once the longest row of a pass is
    longer than what it was first trained on. A row then depends on its neighbours in the batch, and keys that are kept
    from a shorter pass are wrong. Such a model is used up to its original length only.

    Source: transformers, `modeling_rope_utils.longrope_frequency_update`.
    """
    config = config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [value for value in parameters.values() if isinstance(value, dict)] or [parameters]  # by layer type, or one
    originals = [kind.get("original_max_position_embeddings") for kind in kinds if kind.get("rope_type") == "longrope"]
    original = min((value for value in originals if value is not None), default=None)
    if original is None or (limit is not None and limit <= original):
        return Context(limit)
    return Context(
        original,
        f", not {limit}: beyond it layers 0 to {config.num_hidden_layers - 1} change their rotary frequencies with the "
        f"longest row of a batch (longrope)",
    )
