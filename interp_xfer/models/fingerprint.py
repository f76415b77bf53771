"""Which model an artifact belongs to, by content.

Two loads are the same model when weights, configuration, tokenizer, chat template, dtype and weight processing are the
same; where the files came from (a hub id or a copy in a folder) does not matter and is kept only to be read by people.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Annotated

import torch
from pydantic import Field

from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.choices import WeightProcessing
from interp_xfer.errors import FingerprintError
from interp_xfer.fields import STRICT, Digest, Json, Layers, Width, checked
from interp_xfer.models.untyped import HFConfig

_DESCRIPTIVE = ("reference", "revision", "chat_system")

# Of a configuration: names, versions, what other fields of the fingerprint hold, and what no forward pass or greedy
# decoding reads. Whatever is not listed counts, also what a later version of transformers adds.
_UNCOUNTED = frozenset(
    {
        "_name_or_path", "_commit_hash", "transformers_version", "architectures", "auto_map", "dtype", "torch_dtype",
        "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "use_cache", "pad_token_id",
        "output_attentions", "output_hidden_states", "return_dict", "id2label", "label2id", "problem_type",
        "initializer_range",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Fingerprint:
    """Identity of a loaded model; stored with every artifact made from it."""

    __pydantic_config__ = STRICT

    reference: str
    """What the user wrote: hub id, folder, `gguf:` or `bundled:` name."""
    revision: str | None
    """Hub commit, or sha256 of the GGUF file; None for a folder."""
    architecture: str
    """Class name of the Hugging Face model."""
    n_layers: Layers
    d_model: Width
    dtype: Annotated[str, Field(pattern=r"^b?float\d+$")]
    """float32, bfloat16 or float16: numbers differ between them."""
    weights: Digest
    """sha256 over names, shapes and bytes of all parameters, first 16 hex digits."""
    config: Digest
    """sha256 of what the configuration says beside the weights (rotary base, windows, caps, end tokens), first 16 hex
    digits."""
    tokenizer: Digest
    """sha256 of the tokenizer, first 16 hex digits."""
    chat_template: Digest | None
    """sha256 of the chat template, first 16 hex digits; None without one."""
    chat_date: str | None
    """The date that the chat template is told, where it writes one: always the same, so that prompts are."""
    chat_system: str | None
    """What the chat template writes before the first turn where no system prompt is given, to be read by people."""
    weight_processing: WeightProcessing
    """`hooked-transformer` folds and centres, which changes the residual basis of LayerNorm models."""

    @property
    def digest(self) -> str:
        """Sixteen hex digits over everything that changes numbers (`_DESCRIPTIVE` fields do not)."""
        content = {key: value for key, value in asdict(self).items() if key not in _DESCRIPTIVE}
        return _short_sha256(json.dumps(content, sort_keys=True).encode())

    def __str__(self) -> str:
        return f"{self.reference} [{self.digest}: {self.architecture}, {self.n_layers} layers, d_model {self.d_model}]"

    def to_dict(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Json, source: str = "a fingerprint") -> "Fingerprint":
        """The fingerprint stored by `to_dict`.

        Raises: ArtifactError naming `source` for fields that are missing, unknown or malformed.
        """
        return checked(cls, values, source)


def require_same_model(expected: Fingerprint, found: Fingerprint, artifact: str) -> None:
    """Raise FingerprintError unless both are one model.

    Raises: FingerprintError naming both and the fields that differ.
    """
    if expected.digest == found.digest:
        return
    differing = [
        f"{field.name} {getattr(expected, field.name)} / {getattr(found, field.name)}"
        for field in fields(Fingerprint)
        if field.name not in _DESCRIPTIVE and getattr(expected, field.name) != getattr(found, field.name)
    ]
    raise FingerprintError(
        f"{artifact}: made for {expected}, but used with {found}. They differ in: {'; '.join(differing)}. "
        f"Load the model it was made for, or make the artifact again."
    )


def weights_digest(model: torch.nn.Module) -> str:
    """Sixteen hex digits over the name, shape and bytes of every parameter, tied ones once."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}".encode())
        data = parameter.detach().to("cpu").contiguous().flatten().view(torch.uint8)
        digest.update(data.numpy().data)
    return digest.hexdigest()[:16]


def config_digest(config: HFConfig, end_tokens: Iterable[int]) -> str:
    """Sixteen hex digits over a Hugging Face configuration, but for what changes no number, and the end tokens."""
    content = {"config": _counted(config.to_dict()), "end_tokens": sorted(end_tokens)}
    return _short_sha256(json.dumps(content, sort_keys=True, default=str).encode())


def _counted(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _counted(inner) for key, inner in value.items() if key not in _UNCOUNTED}
    return [_counted(inner) for inner in value] if isinstance(value, list | tuple) else value


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Sixteen hex digits over vocabulary, merges and special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = json.loads(backend.to_str()) if backend is not None else sorted(tokenizer.get_vocab().items())
    if isinstance(state, dict):
        # Padding and truncation are settings of a call, not of the vocabulary.
        state = {key: value for key, value in state.items() if key not in ("padding", "truncation")}
    return _short_sha256(json.dumps([state, tokenizer.special_tokens_map], sort_keys=True, default=str).encode())


def chat_template_digest(tokenizer: Tokenizer) -> str | None:
    """Sixteen hex digits over the chat template; None where there is none."""
    template = getattr(tokenizer, "chat_template", None)
    return None if template is None else _short_sha256(json.dumps(template, sort_keys=True).encode())


def _short_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
