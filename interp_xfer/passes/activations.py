"""Activations at `blocks.{l}.hook_resid_post`, read batch by batch; nothing grows with the number of positions.

Texts are padded on the right, so that every token has its natural position and real tokens never see padding, and the
last real token is found from the attention mask. The forward pass leaves out the unembedding, stops after the last
layer that is read, and uses the stock attention where the architecture allows it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, overload

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_xfer.errors import ConfigError, DataError, ShapeError
from interp_xfer.models import LoadedModel
from interp_xfer.models.bridge_check import require_finite
from interp_xfer.passes.batching import filled_batches
from interp_xfer.passes.stock_attention import stock_attention, stock_attention_problem
from interp_xfer.progress import Progress, no_progress, shown_progress

# One batch holds at most this many positions, padding included.
POSITIONS_PER_BATCH = 4096


class _Done(Exception):
    """Raised by the hook of the last layer that is read; layers above it are not computed."""


@torch.inference_mode()
def read_residuals(
    model: LoadedModel,
    input_ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"],
    layers: Sequence[int],
    select: Callable[[Float[Tensor, "batch pos d_model"]], Float[Tensor, "rows d_model"]],
) -> dict[int, Float[Tensor, "rows d_model"]]:
    """One forward pass, and what `select` keeps of the residual stream after each layer.

    Arguments:
        model: any loaded model.
        input_ids: padded on the right.
        attention_mask: 1 at real tokens.
        layers: 0-based blocks.
        select: from the residual stream of the batch to the rows to keep; called once per layer.
    Returns: layer -> rows, float32 on the CPU.
    Raises: LayerError for a layer the model does not have; ShapeError where a hook does not fire; ModelError where a
        row is not finite, naming the layer.
    """
    kept: dict[int, Tensor] = {}
    last = max(layers)

    def reader(layer: int) -> Callable[..., None]:
        def read(residual: Tensor, hook: object) -> None:
            kept[layer] = select(residual).float().cpu()
            if layer == last:
                raise _Done

        return read

    hooks = [(model.hook_name(layer), reader(layer)) for layer in layers]
    position_ids = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
    with model.bridge.hooks(fwd_hooks=hooks), quick_attention(model):
        try:
            model.hf.base_model(
                input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
            )
        except _Done:
            pass
    if missing := [layer for layer in layers if layer not in kept]:
        raise ShapeError(
            f"hook {model.hook_name(missing[0])} of {model.name} did not fire; its activations cannot be read."
        )
    require_finite(kept, model.fingerprint.dtype, model.name)
    return kept


def batches(
    model: LoadedModel, texts: Sequence[str], add_special_tokens: bool
) -> Iterator[tuple[list[int], Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]]:
    """(indices into `texts`, input_ids, attention_mask), texts of similar length together, padded on the right.

    Raises: DataError if a text has no tokens, or more than the model's context.
    """
    yield from _batches(model, [model.token_ids(text, add_special_tokens) for text in texts])


def _batches(
    model: LoadedModel, ids: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]]:
    for index, tokens in enumerate(ids):
        if not tokens:
            raise DataError(f"text {index} of {len(ids)} has no tokens for {model.name}; drop it.")
        model.require_room(len(tokens), f"text {index} has {len(tokens)} tokens", "Shorten it.", DataError)
    for chosen in filled_batches([len(tokens) for tokens in ids], POSITIONS_PER_BATCH, by_length=True):
        yield chosen, *model.padded([ids[index] for index in chosen], "right")


def last_token_activations(
    model: LoadedModel,
    texts: Sequence[str],
    layers: Sequence[int] | None = None,
    *,
    add_special_tokens: bool,
    progress: Progress = no_progress,
) -> Float[Tensor, "layers texts d_model"]:
    """The residual stream after each layer at the last token of each text.

    Arguments:
        model: any loaded model.
        texts: complete texts; a chat template is applied by the caller.
        layers: 0-based blocks; None for all. The last one is read before the final norm, unlike `hidden_states[-1]`.
        add_special_tokens: True for plain texts, False where a chat template wrote them.
        progress: called with the number of texts done.
    Returns: (layers, texts, d_model), float32 on the CPU.
    Raises: DataError for an empty or overlong text; LayerError for a layer the model does not have.
    """
    layers = range(model.n_layers) if layers is None else layers
    out = torch.empty(len(layers), len(texts), model.d_model)
    for chosen, input_ids, mask in batches(model, texts, add_special_tokens):
        last = mask.sum(dim=1) - 1
        rows = torch.arange(len(chosen), device=mask.device)
        kept = read_residuals(model, input_ids, mask, layers, lambda r, rows=rows, last=last: r[rows, last])
        out[:, chosen] = torch.stack([kept[layer] for layer in layers])
        progress(len(chosen))
    return out


class TokensAndNorms(NamedTuple):
    """What one reading of some texts gives."""

    last: Float[Tensor, "layers texts d_model"]
    """Residual stream at the last token, as of `last_token_activations`."""
    median_norms: Float[Tensor, " layers"]
    """Median length of the residual stream over all tokens of the texts but the first of each."""


def last_tokens_and_norms(
    model: LoadedModel, texts: Sequence[str], *, add_special_tokens: bool, progress: Progress = no_progress
) -> TokensAndNorms:
    """`last_token_activations` at all layers, and how long the residual stream is there.

    The first token (BOS, or what stands in its place) carries massive activations and is left out of the norms.

    Arguments:
        model: any loaded model.
        texts: complete texts.
        add_special_tokens: as in `last_token_activations`.
        progress: called with the number of texts done.
    Returns: float32 on the CPU, in the residual stream's own units.
    Raises: as `last_token_activations`; DataError where no text has two tokens.
    """
    layers = range(model.n_layers)
    out = torch.empty(len(layers), len(texts), model.d_model)
    norms: list[list[Tensor]] = [[] for _ in layers]
    for chosen, input_ids, mask in batches(model, texts, add_special_tokens):
        counted: Bool[Tensor, "batch pos"] = mask.bool()
        counted[:, 0] = False
        last = mask.sum(dim=1) - 1
        rows = torch.arange(len(chosen), device=mask.device)
        lengths: list[Tensor] = []

        def select(
            residual: Tensor, counted: Tensor = counted, rows: Tensor = rows, last: Tensor = last, to: list = lengths
        ) -> Tensor:
            to.append(residual[counted].float().norm(dim=-1).cpu())
            return residual[rows, last]

        kept = read_residuals(model, input_ids, mask, layers, select)
        out[:, chosen] = torch.stack([kept[layer] for layer in layers])
        for so_far, found in zip(norms, lengths, strict=True):  # hooks fire in the order of the layers
            so_far.append(found)
        progress(len(chosen))
    if not norms[0] or not sum(map(len, norms[0])):
        raise DataError("median residual norms need texts of at least two tokens.")
    return TokensAndNorms(out, torch.stack([torch.cat(found).median() for found in norms]))


Positions = Literal["last", "first", "all"] | int
"""Which tokens of a text are read: one by its name or index, negative ones from the end, or all of them."""


@overload
def activations(
    model: LoadedModel,
    texts: str | Sequence[str],
    positions: Literal["last", "first"] | int = "last",
    *,
    layers: Sequence[int] | None = None,
    prepend_bos: bool | None = None,
    progress: Progress | None = None,
) -> np.ndarray: ...


@overload
def activations(
    model: LoadedModel,
    texts: str | Sequence[str],
    positions: Literal["all"],
    *,
    layers: Sequence[int] | None = None,
    prepend_bos: bool | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]: ...


def activations(
    model: LoadedModel,
    texts: str | Sequence[str],
    positions: Positions = "last",
    *,
    layers: Sequence[int] | None = None,
    prepend_bos: bool | None = None,
    progress: Progress | None = None,
) -> np.ndarray | list[np.ndarray]:
    """The residual stream after each layer, `blocks.{l}.hook_resid_post`, as numpy.

    A text is read as `model.bridge.run_with_cache(text)` reads it: the same tokens, of `model.bridge.to_tokens`. So
    TransformerLens chooses for the architecture whether it begins with BOS (`bridge.cfg.default_prepend_bos`: not for
    Qwen or GPT-NeoX), whatever the tokenizer writes; contrast pairs and prompts go by the tokenizer instead
    (`LoadedModel.token_ids`). A text that holds BOS, as chat templates write it, gets a second one unless
    `prepend_bos=False`. One thing differs: a text beyond the context is refused here and cut there.

    Arguments:
        model: any loaded model.
        texts: complete texts, or one.
        positions: "last" (default), "first" (BOS, where there is one), an index (negative: from the end), or "all".
        layers: 0-based blocks, in the order wanted; None for all.
        prepend_bos: as in TransformerLens; None: its default for the architecture.
        progress: called with the number of texts done; None: a bar in a notebook.
    Returns: (texts, layers, d_model), float32; for "all" a list of (layers, tokens, d_model), one per text.
    Raises: ConfigError for other positions; DataError without texts, for an overlong text, or one that has no such
        position; LayerError for a layer the model does not have.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if positions not in ("last", "first", "all") and (isinstance(positions, bool) or not isinstance(positions, int)):
        raise ConfigError(f"positions {positions!r} is not 'last', 'first', 'all' or an index.")
    if not texts:
        raise DataError("there are no texts to read; give at least one.")
    ids = [model.bridge.to_tokens(text, prepend_bos=prepend_bos, truncate=False)[0].tolist() for text in texts]
    index = positions if isinstance(positions, int) else -1 if positions == "last" else 0
    for number, row in enumerate(ids):
        if not -len(row) <= index < len(row):
            raise DataError(f"text {number} has {len(row)} tokens, so there is no position {index}; drop it.")
    layers = range(model.n_layers) if layers is None else layers
    out: list[np.ndarray] = [np.empty(0)] * len(texts)
    with shown_progress(progress, "reading texts", len(texts), "texts") as report:
        for chosen, input_ids, mask in _batches(model, ids):
            kept = read_residuals(model, input_ids, mask, layers, lambda r, mask=mask: r[mask.bool()])
            rows = torch.stack([kept[layer] for layer in layers])  # (layers, tokens of all texts, d_model)
            for text, part in zip(chosen, rows.split([len(ids[text]) for text in chosen], dim=1), strict=True):
                out[text] = (part if positions == "all" else part[:, index]).numpy().copy()
            report(len(chosen))
    return out if positions == "all" else np.stack(out)


def quick_attention(model: LoadedModel) -> AbstractContextManager[None]:
    """The fastest attention of transformers that computes the same, where the architecture allows it."""
    if stock_attention_problem(model):
        return nullcontext()
    # The fused kernel has no soft cap on the logits (Gemma 2).
    capped = getattr(model.hf.config, "attn_logit_softcapping", None) is not None
    return stock_attention(model, "eager" if capped else "sdpa")
