"""`load_model`: any reference, as a TransformerLens bridge with its tokenizer and fingerprint.

`TransformerBridge` is what `HookedTransformer` became in TransformerLens 4: it wraps the Hugging Face model and fires
the same hook names (`blocks.{l}.hook_resid_post`) on the weights as published. Folding and centring of old are asked
for with `weight_processing="hooked-transformer"`.

Nothing that comes with a model is run: no code of its own (`trust_remote_code=False` everywhere, and nobody is asked),
no pickle, and its chat template only within limits.
"""

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from interp_xfer.chat import chat_facts, token_ids
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.choices import DTypeName
from interp_xfer.errors import ConfigError, ModelError
from interp_xfer.fields import Json
from interp_xfer.models.bridge_check import PROBE, check_bridge, hidden_states
from interp_xfer.models.bundled import bundled_folder
from interp_xfer.models.files import check_config, check_folder, library_errors, read_config
from interp_xfer.models.fingerprint import (
    Fingerprint,
    WeightProcessing,
    chat_template_digest,
    config_digest,
    tokenizer_digest,
    weights_digest,
)
from interp_xfer.models.gguf import converted_gguf, require_all_weights
from interp_xfer.models.loaded import LoadedModel, end_tokens
from interp_xfer.models.references import ModelReference, parse_reference
from interp_xfer.models.untyped import Bridge, HFModel


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
    with _quiet_transformers(), library_errors(str(parsed), _remedy(parsed)):
        hf_model, tokenizer = _load_pretrained(parsed, source, getattr(torch, dtype))
        hf_model = hf_model.to(device)
    if parsed.kind == "hub":
        revision = getattr(hf_model.config, "_commit_hash", None) or revision
    return wrap_model(
        hf_model, tokenizer, reference=parsed.shown, revision=revision, weight_processing=weight_processing
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
    hf_model: HFModel,
    tokenizer: Tokenizer,
    *,
    reference: str,
    revision: str | None = None,
    weight_processing: WeightProcessing = "none",
) -> LoadedModel:
    """A Hugging Face model already in memory, as a LoadedModel.

    Raises: ModelError if TransformerLens has no bridge for the architecture, or one that computes something else; if
        the model is not finite in its dtype; for a tokenizer or chat template that prompts cannot be made with.
        ConfigError for unknown processing.
    """
    if weight_processing not in ("none", "hooked-transformer"):
        raise ConfigError(f"weight_processing {weight_processing!r} is not one of 'none', 'hooked-transformer'.")
    hf_model.eval()
    hf_model.requires_grad_(False)
    facts = chat_facts(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    ends = end_tokens(hf_model, tokenizer)
    parameter = next(hf_model.parameters())
    # Before bridging: the bridge renames parameters, and processing changes them.
    digest = weights_digest(hf_model)
    probe = token_ids(tokenizer, PROBE, True)
    _require_rows(hf_model, probe, reference)
    expected = hidden_states(hf_model, probe, reference)
    bridge = _bridge(hf_model, tokenizer, reference)
    check_bridge(bridge, expected, probe, reference)
    if weight_processing == "hooked-transformer":
        bridge.enable_compatibility_mode()
    bridge.eval()
    tokenizer.padding_side = "left"
    fingerprint = Fingerprint(
        reference=reference,
        revision=revision,
        architecture=type(hf_model).__name__,
        n_layers=int(bridge.cfg.n_layers),
        d_model=int(bridge.cfg.d_model),
        dtype=str(parameter.dtype).removeprefix("torch."),
        weights=digest,
        config=config_digest(hf_model.config, ends),
        tokenizer=tokenizer_digest(tokenizer),
        chat_template=chat_template_digest(tokenizer),
        chat_date=facts.date,
        chat_system=facts.system_text,
        weight_processing=weight_processing,
    )
    return LoadedModel(bridge, tokenizer, fingerprint)


def _bridge(hf_model: HFModel, tokenizer: Tokenizer, reference: str) -> Bridge:
    """The model inside a TransformerLens bridge.

    Raises: ModelError if there is none for its architecture.
    """
    from transformer_lens.model_bridge import TransformerBridge

    architecture = type(hf_model).__name__
    # TransformerLens decides by this; a model made from a config has none, and a file may say what it is not.
    hf_model.config.architectures = [architecture]
    parameter = next(hf_model.parameters())
    try:
        with _without_processor():
            return TransformerBridge.boot_transformers(
                reference,
                hf_model=hf_model,
                tokenizer=_tokenizer_for_bridge(tokenizer),
                dtype=parameter.dtype,
                device=str(parameter.device),
                trust_remote_code=False,
            )
    except (ValueError, NotImplementedError) as error:
        reason = str(error).partition(". Available architectures")[0]  # a list of two hundred names follows
        raise ModelError(f"TransformerLens cannot bridge {reference} ({architecture}): {reason}") from None


@contextmanager
def _without_processor() -> Iterator[None]:
    """For models that also see, TransformerLens fetches a processor, and installs torchvision where it is missing: we
    read text only, and install nothing.
    """
    source: Any = import_module("transformer_lens.model_bridge.sources.transformers.source")
    original = source.load_modality_processor
    source.load_modality_processor = lambda *_, **__: None
    try:
        yield
    finally:
        source.load_modality_processor = original


def _tokenizer_for_bridge(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that TransformerLens may change. Marked as having BOS, or it would load one from where ours came from."""
    own = copy.deepcopy(tokenizer)
    own.init_kwargs.setdefault("name_or_path", "")
    own.init_kwargs["add_bos_token"] = True
    return own


def _require_rows(hf_model: HFModel, ids: list[int], reference: str) -> None:
    """Raise ModelError unless the embedding has a row for each id of an ordinary text.

    Raises: ModelError if the tokenizer is not that of the model.
    """
    rows = hf_model.get_input_embeddings().weight.shape[0]
    if not ids or max(ids) >= rows:
        raise ModelError(
            f"{reference}: the tokenizer gives {ids[:8]} for {PROBE!r} and the model has {rows} tokens; they do not "
            f"belong together."
        )


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


def _load_pretrained(reference: ModelReference, source: str, dtype: torch.dtype) -> tuple[HFModel, Tokenizer]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

    name = str(reference)
    options: Json = {"trust_remote_code": False, "local_files_only": reference.kind != "hub"}
    if reference.revision:
        options["revision"] = reference.revision
    if reference.kind == "hub":
        check_config(PreTrainedConfig.get_config_dict(source, **options)[0], name)
    else:
        check_folder(Path(source), name)
        check_config(read_config(Path(source), name), name)
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    _add_older_template(tokenizer, source, options)
    with _no_conversion():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, output_loading_info=True, use_safetensors=True, weights_only=True, **options
        )
    model, info = loaded
    require_all_weights(info, name)
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(f"{name} carries an adapter; merge it (merge_and_unload) and save the result.")
    return model, tokenizer


def _remedy(reference: ModelReference) -> str:
    if reference.kind == "hub":
        return (
            "Check the spelling and your network; gated models need `hf auth login`. Without a hub, give a folder, "
            "gguf:PATH, or one of `interp-xfer models`. Only weights in safetensors are read."
        )
    return "Check that the folder is complete."


def _add_older_template(tokenizer: Tokenizer, source: str, options: Json) -> None:
    """Some models have their template beside the tokenizer, where transformers reads it for processors only."""
    from transformers.utils.hub import cached_file

    if not hasattr(tokenizer, "chat_template") or tokenizer.chat_template:
        return
    where = {key: value for key, value in options.items() if key != "trust_remote_code"}
    path = cached_file(
        source,
        "chat_template.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **where,
    )
    if path is not None:
        tokenizer.chat_template = json.loads(Path(path).read_text(encoding="utf-8"))["chat_template"]


@contextmanager
def _no_conversion() -> Iterator[None]:
    """Where a repository has pickled weights only, transformers would ask a service to convert them: not unasked."""
    before = os.environ.get("DISABLE_SAFETENSORS_CONVERSION")
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DISABLE_SAFETENSORS_CONVERSION"]
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = before


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
