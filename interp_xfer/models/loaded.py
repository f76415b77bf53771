"""A model that is ready to be read and steered: TransformerLens bridge, tokenizer, fingerprint."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, overload

import torch
from jaxtyping import Int
from torch import Tensor

from interp_xfer.chat import chat_facts, has_chat_template, render_chat, require_plain_text, token_ids
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.errors import ConfigError, InterpXferError, LayerError, ModelError, SteeringError
from interp_xfer.models.context import Context, context_of
from interp_xfer.models.fingerprint import Fingerprint
from interp_xfer.models.untyped import Bridge, HFModel


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A TransformerLens bridge, its tokenizer, and what identifies it."""

    bridge: Bridge
    """`transformer_lens.model_bridge.TransformerBridge`."""
    tokenizer: Tokenizer
    """Hugging Face tokenizer, padding on the left."""
    fingerprint: Fingerprint

    def __repr__(self) -> str:
        f = self.fingerprint
        return f"LoadedModel({f.reference}: {f.architecture}, {f.n_layers} layers, d_model {f.d_model}, {f.dtype})"

    @property
    def hf(self) -> HFModel:
        """The Hugging Face model inside the bridge; TransformerLens hooks fire in it too."""
        return self.bridge.original_model

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.fingerprint.n_layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.fingerprint.d_model

    @property
    def device(self) -> torch.device:
        """Where the embedding lies."""
        return self.hf.get_input_embeddings().weight.device

    @property
    def name(self) -> str:
        """The reference the model was loaded by."""
        return self.fingerprint.reference

    @property
    def context(self) -> Context:
        """How many tokens a text may have."""
        return context_of(self.hf.config)

    @property
    def pad_id(self) -> int:
        """What stands at masked positions; no number depends on it, but it must be a row of the embedding."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None and pad < self.hf.get_input_embeddings().weight.shape[0] else 0

    @property
    def end_tokens(self) -> frozenset[int]:
        """Ids that end a generation: of the generation config, of the tokenizer, and the one with which the chat
        template ends a turn (`<|end|>` of Phi 3, which is not its end-of-sequence token).
        """
        return end_tokens(self.hf, self.tokenizer)

    def hook_name(self, layer: int) -> str:
        """TransformerLens name of the residual stream after block `layer` (0-based).

        Raises: LayerError if there is no such block.
        """
        if not 0 <= layer < self.n_layers:
            raise LayerError(f"{self.name} has no layer {layer}; its layers are 0 to {self.n_layers - 1}.")
        return f"blocks.{layer}.hook_resid_post"

    def token_ids(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """The tokens of a text; see `interp_xfer.chat.token_ids` for BOS."""
        return token_ids(self.tokenizer, text, add_special_tokens)

    def encode(self, texts: Sequence[str], add_special_tokens: bool | None = None) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, (batch, pos), padded on the left, on the model's device.

        Arguments:
            texts: plain, or rendered by a chat template.
            add_special_tokens: None: one BOS before plain texts, where the tokenizer puts one; rendered texts, which
                begin with a control token, stay as they are. True and False as in `interp_xfer.chat.token_ids`.
        """
        input_ids, mask = self.padded([self.token_ids(text, add_special_tokens) for text in texts], "left")
        return {"input_ids": input_ids, "attention_mask": mask}

    def padded(
        self, rows: Sequence[Sequence[int]], side: Literal["left", "right"]
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
        """Token rows as one tensor on the model's device, padded on one side, and its attention mask."""
        width = max(len(row) for row in rows)
        input_ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.zeros_like(input_ids)
        for index, row in enumerate(rows):
            own = slice(width - len(row), width) if side == "left" else slice(len(row))
            input_ids[index, own] = torch.tensor(row, dtype=torch.long)
            mask[index, own] = 1
        return input_ids.to(self.device), mask.to(self.device)

    def require_room(self, n_tokens: int, found: str, remedy: str, error: type[InterpXferError] = ConfigError) -> None:
        """Raise `error` unless the context holds so many tokens; `found` and `remedy` begin and end its message."""
        if not self.context.holds(n_tokens):
            raise error(f"{found}, more than the context of {self.name} ({self.context}). {remedy}")

    @contextmanager
    def plain_greedy(self) -> Iterator[None]:
        """Hugging Face `generate` takes the likeliest token and nothing else: most models come with settings of their
        own (sampling, a repetition penalty), which would make a steered answer another one than the sweep's.
        """
        from transformers import GenerationConfig

        before = self.hf.generation_config
        self.hf.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=sorted(self.end_tokens),
            bos_token_id=before.bos_token_id,
            pad_token_id=self.pad_id,
        )
        try:
            yield
        finally:
            self.hf.generation_config = before

    @overload
    def generate(self, prompts: str, max_new_tokens: int = 128, add_special_tokens: bool | None = None) -> str: ...

    @overload
    def generate(
        self, prompts: list[str] | tuple[str, ...], max_new_tokens: int = 128, add_special_tokens: bool | None = None
    ) -> list[str]: ...

    @torch.inference_mode()
    def generate(
        self, prompts: str | Sequence[str], max_new_tokens: int = 128, add_special_tokens: bool | None = None
    ) -> str | list[str]:
        """Greedy continuations, one per prompt, steered where called inside `steer(...)`.

        The plain path through Hugging Face `generate`; sweeps over strengths go through `interp_xfer.generation`.

        Arguments:
            prompts: complete texts, or one; apply the chat template first (`chat`, `interp_xfer.tasks.render_prompt`).
            max_new_tokens: upper limit; a row ends earlier at one of `end_tokens`.
            add_special_tokens: as in `encode`.
        Returns: the new text only, special tokens and the end removed; a list of texts for a list of prompts.
        Raises: ConfigError without prompts, or for one beyond the context; SteeringError where logits are not finite.
        """
        if isinstance(prompts, str):
            return self.generate([prompts], max_new_tokens, add_special_tokens)[0]
        if not prompts:
            raise ConfigError("there are no prompts to continue; give at least one text.")
        batch = self.encode(prompts, add_special_tokens)
        width = batch["input_ids"].shape[1]
        self.require_room(
            width + max_new_tokens,
            f"the longest prompt has {width} tokens, with {max_new_tokens} new ones {width + max_new_tokens}",
            "Use a shorter prompt or fewer new tokens.",
        )
        finite: list[bool] = []

        def watch(input_ids: Tensor, scores: Tensor) -> Tensor:
            finite.append(bool(scores.amax(dim=-1).isfinite().all()))
            return scores

        with self.plain_greedy():
            out = self.hf.generate(**batch, max_new_tokens=max_new_tokens, logits_processor=[watch])
        if not all(finite):
            raise SteeringError(
                f"{self.name} gives no finite logits in {self.fingerprint.dtype}: the model is steered too far, or "
                f"float16 overflows. Use a smaller strength, or load it with dtype bfloat16 or float32."
            )
        return [without_end(self, row) for row in out[:, width:].tolist()]

    def chat(self, text: str, system: str | None = None, max_new_tokens: int = 128) -> str:
        """The model's answer to one user turn, by its own chat template; steered where called inside `steer(...)`.

        Arguments:
            text: what the user says.
            system: system prompt, at the beginning of the user's turn where the template takes none; None for none.
            max_new_tokens: as in `generate`.
        Raises: ModelError without a chat template; DataError for a text that holds a control token; otherwise as
            `generate`.
        """
        if not has_chat_template(self.tokenizer):
            raise ModelError(f"{self.name} has no chat template; give `generate` a text to continue instead.")
        for name, given in (("text", text), ("system prompt", system or "")):
            require_plain_text(self.tokenizer, given, f"the {name}")
        turns = [{"role": "user", "content": text}]
        rendered = render_chat(self.tokenizer, system or "", turns, add_generation_prompt=True)
        return self.generate(rendered, max_new_tokens, add_special_tokens=False)


def end_tokens(hf_model: HFModel, tokenizer: Tokenizer) -> frozenset[int]:
    """See `LoadedModel.end_tokens`.

    Raises: ModelError if the generation config names what is no token id.
    """
    configured = hf_model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    if any(token is not None and not isinstance(token, int) for token in ids):
        raise ModelError(
            f"the generation config names {str(configured)[:80]!r} as eos_token_id; mend generation_config.json."
        )
    every = (*ids, tokenizer.eos_token_id, chat_facts(tokenizer).turn_end)
    return frozenset(token for token in every if token is not None)


def without_end(model: LoadedModel, ids: Sequence[int]) -> str:
    """New tokens as text, up to the first end token: not all of those are special, which decoding would leave out."""
    ends = model.end_tokens
    length = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return model.tokenizer.decode(ids[:length], skip_special_tokens=True)
