"""`load_model`: any reference, as a TransformerLens bridge with its tokenizer and fingerprint.

`TransformerBridge` is what `HookedTransformer` became in TransformerLens 4: it wraps the Hugging Face model and fires
the same hook names (`blocks.{l}.hook_resid_post`) on the weights as published. Folding and centring of old are asked
for with `weight_processing="hooked-transformer"`.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interp_xfer.choices import DTypeName
from interp_xfer.errors import ConfigError, LayerError, ModelError
from interp_xfer.models.bundled import bundled_folder
from interp_xfer.models.fingerprint import (
    Fingerprint,
    WeightProcessing,
    chat_template_digest,
    tokenizer_digest,
    weights_digest,
)
from interp_xfer.models.gguf import converted_gguf, require_all_weights
from interp_xfer.models.references import ModelReference, parse_reference


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A TransformerLens bridge, its tokenizer, and what identifies it."""

    bridge: Any
    """`transformer_lens.model_bridge.TransformerBridge`."""
    tokenizer: Any
    """Hugging Face tokenizer, padding on the left."""
    fingerprint: Fingerprint

    @property
    def hf(self) -> Any:
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

    def hook_name(self, layer: int) -> str:
        """TransformerLens name of the residual stream after block `layer` (0-based).

        Raises: LayerError if there is no such block.
        """
        if not 0 <= layer < self.n_layers:
            raise LayerError(f"{self.name} has no layer {layer}; its layers are 0 to {self.n_layers - 1}.")
        return f"blocks.{layer}.hook_resid_post"

    def encode(self, texts: Sequence[str], add_special_tokens: bool = False) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, (batch, pos), padded on the left, on the model's device."""
        batch = self.tokenizer(
            list(texts), add_special_tokens=add_special_tokens, padding=True, padding_side="left", return_tensors="pt"
        )
        return {key: batch[key].to(self.device) for key in ("input_ids", "attention_mask")}

    @contextmanager
    def plain_greedy(self) -> Iterator[None]:
        """Hugging Face `generate` takes the likeliest token and nothing else: most models come with settings of their
        own (sampling, a repetition penalty), which would make a steered answer another one than the sweep's.
        """
        from transformers import GenerationConfig

        before = self.hf.generation_config
        self.hf.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=before.eos_token_id,
            bos_token_id=before.bos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        try:
            yield
        finally:
            self.hf.generation_config = before

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[str], max_new_tokens: int = 128, add_special_tokens: bool = False
    ) -> list[str]:
        """Greedy continuations, one per prompt, steered where called inside `steer(...)`.

        The plain path through Hugging Face `generate`; sweeps over strengths go through `interp_xfer.generation`.

        Arguments:
            prompts: complete texts; apply the chat template first (`interp_xfer.tasks.render_prompt`).
            max_new_tokens: upper limit; a row ends earlier at an end-of-sequence token.
            add_special_tokens: True for plain prompts; chat templates write their own.
        Returns: the new text only, special tokens removed.
        """
        batch = self.encode(prompts, add_special_tokens)
        with self.plain_greedy():
            out = self.hf.generate(**batch, max_new_tokens=max_new_tokens)
        return self.tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def load_model(
    reference: str,
    *,
    dtype: DTypeName | None = None,
    device: str | None = None,
    weight_processing: WeightProcessing = "none",
) -> LoadedModel:
    """The model a reference names, on TransformerLens hook points.

    Arguments:
        reference: `org/name[@revision]`, a folder, `gguf:PATH` or `bundled:NAME`.
        dtype: default float32 on CPU (most have no bfloat16 units), bfloat16 on CUDA.
        device: default `cuda` where there is one, else `cpu`.
        weight_processing: "none" keeps the published weights; "hooked-transformer" folds layer norms and centres
            writing weights as TransformerLens did before version 3. It changes the residual basis of LayerNorm models;
            the fingerprint records it.
    Raises: ModelError if the model cannot be found, fetched, verified or bridged; ConfigError for a device that is not
        there.
    """
    parsed = parse_reference(reference)
    device = _checked_device(device or _default_device())
    dtype = dtype or default_dtype(device)
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"dtype {dtype!r} is not one of float32, bfloat16, float16.")
    source, revision = _source(parsed)
    with _quiet_transformers():
        hf_model, tokenizer = _load_pretrained(parsed, source, getattr(torch, dtype))
    if parsed.kind == "hub":
        revision = getattr(hf_model.config, "_commit_hash", None) or revision
    return wrap_model(
        hf_model.to(device), tokenizer, reference=str(parsed), revision=revision, weight_processing=weight_processing
    )


def default_dtype(device: str | None = None) -> DTypeName:
    """What `load_model` takes where none is given: float32 on CPU (most have no bfloat16 units), bfloat16 on CUDA."""
    return "bfloat16" if (device or _default_device()).startswith("cuda") else "float32"


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _checked_device(device: str) -> str:
    try:
        if torch.empty(0, device=device).is_meta:
            raise ValueError("it holds no numbers")
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0]  # a list of all backends may follow
        raise ConfigError(f"device {device!r} cannot be used: {reason}; use cpu, or cuda where there is one.") from None
    return device


def wrap_model(
    hf_model: Any,
    tokenizer: Any,
    *,
    reference: str,
    revision: str | None = None,
    weight_processing: WeightProcessing = "none",
) -> LoadedModel:
    """A Hugging Face model already in memory, as a LoadedModel.

    Raises: ModelError if TransformerLens has no bridge for the architecture; ConfigError for unknown processing.
    """
    from transformer_lens.model_bridge import TransformerBridge

    if weight_processing not in ("none", "hooked-transformer"):
        raise ConfigError(f"weight_processing {weight_processing!r} is not one of 'none', 'hooked-transformer'.")
    hf_model.eval()
    hf_model.requires_grad_(False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    parameter = next(hf_model.parameters())
    # Before bridging: the bridge renames parameters, and processing changes them.
    digest = weights_digest(hf_model)
    architecture = type(hf_model).__name__
    # save_pretrained writes this; a model made from a config has none, and TransformerLens decides by it.
    hf_model.config.architectures = hf_model.config.architectures or [architecture]
    try:
        bridge = TransformerBridge.boot_transformers(
            reference,
            hf_model=hf_model,
            tokenizer=_tokenizer_for_bridge(tokenizer),
            dtype=parameter.dtype,
            device=str(parameter.device),
        )
    except (ValueError, NotImplementedError) as error:
        reason = str(error).partition(". Available architectures")[0]  # a list of two hundred names follows
        raise ModelError(f"TransformerLens cannot bridge {reference} ({architecture}): {reason}") from None
    if weight_processing == "hooked-transformer":
        bridge.enable_compatibility_mode()
    bridge.eval()
    tokenizer.padding_side = "left"
    fingerprint = Fingerprint(
        reference=reference,
        revision=revision,
        architecture=architecture,
        n_layers=int(bridge.cfg.n_layers),
        d_model=int(bridge.cfg.d_model),
        dtype=str(parameter.dtype).removeprefix("torch."),
        weights=digest,
        tokenizer=tokenizer_digest(tokenizer),
        chat_template=chat_template_digest(tokenizer),
        weight_processing=weight_processing,
    )
    return LoadedModel(bridge, tokenizer, fingerprint)


def _tokenizer_for_bridge(tokenizer: Any) -> Any:
    """The tokenizer that TransformerLens may change.

    It loads the tokenizer again from where it came from, with BOS switched on. One that was made in memory came from
    nowhere, and one without BOS it would keep and give the end-of-sequence token as BOS: both get a copy.
    """
    in_memory = not tokenizer.init_kwargs.get("name_or_path")
    if not in_memory and tokenizer.bos_token is not None:
        return tokenizer
    own = copy.deepcopy(tokenizer)
    own.init_kwargs.setdefault("name_or_path", "")
    own.init_kwargs["add_bos_token"] = True  # TransformerLens: take it as it is
    return own


def _source(reference: ModelReference) -> tuple[str, str | None]:
    """(what `from_pretrained` reads, revision for the fingerprint)."""
    match reference.kind:
        case "bundled":
            folder = bundled_folder(reference.name)
            return str(folder), folder.name.rpartition("-")[2]
        case "gguf":
            folder, sha256 = converted_gguf(Path(reference.name))
            return str(folder), sha256
        case _:
            return reference.name, reference.revision


def _load_pretrained(reference: ModelReference, source: str, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    revision = {"revision": reference.revision} if reference.revision else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **revision)
        loaded: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, output_loading_info=True, **revision)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        hint = (
            "Check the spelling and your network; gated models need `hf auth login`. Without a hub, give a folder, "
            "gguf:PATH, or one of `interp-xfer models`."
            if reference.kind == "hub"
            else "Check that the folder is complete."
        )
        raise ModelError(f"cannot load {reference}: {first_line} {hint}") from None
    model, info = loaded
    require_all_weights(info, str(reference))
    return model, tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Loading without the progress bars of transformers, which break ours."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
