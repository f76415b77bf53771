"""A model that is ready to be read and steered: TransformerLens bridge, tokenizer, fingerprint."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from interp_xfer.chat import chat_facts, token_ids
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.errors import ConfigError, LayerError, ModelError, SteeringError
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
        input_ids, mask = pad_left([self.token_ids(text, add_special_tokens) for text in texts], self)
        return {"input_ids": input_ids, "attention_mask": mask}

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

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[str], max_new_tokens: int = 128, add_special_tokens: bool | None = None
    ) -> list[str]:
        """Greedy continuations, one per prompt, steered where called inside `steer(...)`.

        The plain path through Hugging Face `generate`; sweeps over strengths go through `interp_xfer.generation`.

        Arguments:
            prompts: complete texts; apply the chat template first (`interp_xfer.tasks.render_prompt`).
            max_new_tokens: upper limit; a row ends earlier at one of `end_tokens`.
            add_special_tokens: as in `encode`.
        Returns: the new text only, special tokens and the end removed.
        Raises: ConfigError for a prompt beyond the context; SteeringError where logits are not finite.
        """
        batch = self.encode(prompts, add_special_tokens)
        width = batch["input_ids"].shape[1]
        if not self.context.holds(width + max_new_tokens):
            raise ConfigError(
                f"the longest prompt has {width} tokens; with {max_new_tokens} new ones it exceeds the context of "
                f"{self.name} ({self.context})."
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


def pad_left(
    rows: Sequence[Sequence[int]], model: LoadedModel
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Token rows as one tensor padded on the left, and its attention mask."""
    width = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), width), model.pad_id)
    mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, width - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[index, width - len(row) :] = 1
    return input_ids.to(model.device), mask.to(model.device)
