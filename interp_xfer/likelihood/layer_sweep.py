"""log p(gold answer) with some layers steered, at many strengths, without computing anything twice that stays the same.

A window is a set of neighbouring layers that are steered together, one layer or several; the others are not. In the
unit `relative` a window of N layers spreads the strength over its N layers, as `steer` does with vectors for those
layers alone (`windowed`), so one strength is the same share of the residual stream for every window.

1. Unsteered, once: the beginning that all prompts share, then every question; kept are log p, and the residual stream
   after the lowest layer of every window (`models.replay`).
2. For each window, passes begin at that stream: nothing below the window is computed again. The upper layers of the
   shared beginning run once per (window, strength), or not at all where steering leaves it alone
   (`tokens="generated"`).
3. Rows, one per (question, strength), fill a batch; each has its own strength.

Architectures that the stock attention does not cover run whole rows, with step 2 but without the shared beginning.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import ConfigError, DataError
from interp_xfer.generation.prefixes import PrefixKV, SharedPrefixes
from interp_xfer.generation.steps import IMPLEMENTATION, PrefixStep, PromptStep, SlotCache, Step, register, run_step
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.models import LoadedModel
from interp_xfer.models.bridge_check import refuse_overflow
from interp_xfer.passes.replay import StoredStream, replaying, storing
from interp_xfer.passes.stock_attention import stock_attention, stock_attention_problem
from interp_xfer.passes.teacher_forcing import RowBatch, TargetRow, row_batch, shared_length, target_log_probabilities
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.hooks import TOKEN_SCOPES, Steerer, checked_strengths
from interp_xfer.steering.vectors import SteeringVectors

Window = tuple[int, ...]

# Padded tokens of one pass; bounds the attention scores.
_POSITIONS = 2048
# Of stored residual streams; more questions than fit go one group after another.
_STORED_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class LayerSweep:
    """What steering each window does to the likelihood of the gold answers."""

    windows: tuple[Window, ...]
    strengths: tuple[float, ...]
    log_p: Float[Tensor, "windows strengths questions"]
    """Nats, summed over the tokens of the answer, float64."""
    unsteered: Float[Tensor, " questions"]

    @property
    def change(self) -> Float[Tensor, "windows strengths questions"]:
        """Steered minus unsteered."""
        return self.log_p - self.unsteered


def single_layers(steering: SteeringVectors) -> tuple[Window, ...]:
    """A window for each steered layer."""
    return tuple((layer,) for layer in steering.steered_layers)


def tiled_windows(steering: SteeringVectors, width: int) -> tuple[Window, ...]:
    """Windows of `width` steered layers that cover all of them without overlap, the last one shorter if need be.

    Raises: ConfigError for a width below 2.
    """
    if width < 2:
        raise ConfigError(f"a window of {width} layers is no window; give at least 2.")
    layers = steering.steered_layers
    return tuple(layers[start : start + width] for start in range(0, len(layers), width))


def windowed(steering: SteeringVectors, window: Window) -> SteeringVectors:
    """The same vectors for the layers of a window only.

    Raises: ConfigError for an empty window, or a layer that has no vector.
    """
    if not window or len(set(window)) != len(window):
        raise ConfigError(f"window {window} must name at least one layer, and none twice.")
    if missing := sorted(set(window) - set(steering.steered_layers)):
        raise ConfigError(
            f"layers {missing} have no steering vector; choose from {', '.join(map(str, steering.steered_layers))}."
        )
    parent_of = tuple(p if c in window else None for c, p in enumerate(steering.layer_map.parent_of))
    kept = torch.tensor([float(c in window) for c in range(len(parent_of))])
    return replace(
        steering,
        vectors=steering.vectors * kept[:, None],
        layer_map=LayerMap(parent_of, steering.layer_map.n_parent_layers, f"{steering.layer_map.strategy}-window"),
    )


@torch.inference_mode()
def sweep_windows(
    model: LoadedModel,
    steering: SteeringVectors,
    rows: Sequence[TargetRow],
    windows: Sequence[Window],
    strengths: Sequence[float],
    *,
    operator: str = "add",
    tokens: TokenScope = "all",
    unit: StrengthUnit = "relative",
    progress: Progress = no_progress,
) -> LayerSweep:
    """Log p of every gold answer with every window steered at every strength.

    Arguments:
        model: the child.
        steering: vectors made for it.
        rows: prompt and gold answer of each question (`gold_answers.gold_rows`).
        windows: layers that are steered together.
        strengths: 0 leaves a row unsteered.
        operator: see `interp_xfer.steering.operators`.
        tokens: as in `steer`; the answer counts as generated.
        unit: of the strengths; relative to the N layers of each window.
        progress: called with the number of (window, strength, question) just finished.
    Returns: the sweep, in the order given; each value is that of a plain pass under `steer`.
    Raises: DataError without rows; ConfigError for a window without vectors, an unknown scope, or a strength that is
        not finite; FingerprintError for vectors of another model; ModelError for a model that overflows in float16
        unsteered.
    Source: house rule.
    """
    if not rows or not windows:
        raise DataError(f"{len(rows)} questions and {len(windows)} windows; a sweep needs at least one of each.")
    checked_strengths(strengths)
    if tokens not in TOKEN_SCOPES:
        raise ConfigError(f"tokens {tokens!r} is not one of {', '.join(TOKEN_SCOPES)}.")
    run = _Sweep(model, rows, windows, tokens)
    log_p = torch.empty(len(windows), len(strengths), len(rows), dtype=torch.float64)
    unsteered = torch.empty(len(rows), dtype=torch.float64)
    steerers = [Steerer(model, windowed(steering, window), operator, unit) for window in windows]
    with run.ready():
        for group in run.groups():
            unsteered[group] = run.store(group)
            for w, (window, steerer) in enumerate(zip(windows, steerers, strict=True)):
                for chosen, values in run.steered(steerer, min(window), group, strengths, progress):
                    for (k, question), value in zip(chosen, values.tolist(), strict=True):
                        log_p[w, k, question] = value
    for row, value in zip(rows, unsteered.tolist(), strict=True):
        if not math.isfinite(value):
            refuse_overflow(model, row.ids)
    return LayerSweep(tuple(windows), tuple(strengths), log_p, unsteered)


class _Sweep:
    """Passes of one sweep: what is stored from the unsteered ones, and where the steered ones begin."""

    def __init__(
        self, model: LoadedModel, rows: Sequence[TargetRow], windows: Sequence[Window], tokens: TokenScope
    ) -> None:
        self._model, self._rows = model, rows
        self._tokens: TokenScope = tokens
        self._lowest = sorted({min(window) for window in windows})
        self._fast = stock_attention_problem(model) is None
        self._start = shared_length(rows) if self._fast else 0
        self._prefix: PrefixKV | None = None
        self._prefix_stream = StoredStream()
        self._stream: dict[int, Tensor] = {}
        self._extras: dict[int, int | None] = {}

    def ready(self) -> ExitStack:
        """Attention in place, and the shared beginning run."""
        stack = ExitStack()
        if self._fast:
            register()
            stack.enter_context(stock_attention(self._model, IMPLEMENTATION))
        if self._start:
            with storing(self._model, self._lowest) as stored:
                self._prefix = self._run_prefix(None, -1, 0.0)
            self._prefix_stream = stored
        return stack

    def groups(self) -> Iterator[list[int]]:
        """Questions of similar length whose stored streams fit into memory together."""
        element = next(self._model.hf.parameters()).element_size()
        per_token = len(self._lowest) * self._model.d_model * element
        group: list[int] = []
        for index in sorted(range(len(self._rows)), key=lambda i: len(self._rows[i].ids)):
            if group and (len(group) + 1) * len(self._rows[index].ids) * per_token > _STORED_BYTES:
                yield group
                group = []
            group.append(index)
        yield group

    def store(self, group: Sequence[int]) -> Float[Tensor, " questions"]:
        """Run the questions of a group unsteered, keep their streams; log p of each."""
        log_p = torch.empty(len(group), dtype=torch.float64)
        width = max(len(self._rows[index].ids) for index in group) - 1 - self._start
        kept: dict[int, list[Tensor]] = {layer: [] for layer in self._lowest}
        done = 0
        for part in _batches([len(self._rows[index].ids) - self._start for index in group]):
            batch = row_batch(self._model, [self._rows[group[i]] for i in part], self._start)
            with storing(self._model, self._lowest) as stored:
                out = self._pass(batch, [self._prefix] * len(part))
            for layer in self._lowest:
                missing = width - batch.input_ids.shape[1]
                kept[layer].append(torch.nn.functional.pad(stored.states[layer], (0, 0, 0, missing)))
            self._extras = stored.extras
            log_p[part] = self._log_p(batch, out)
            done += len(part)
        self._stream = {layer: torch.cat(parts) for layer, parts in kept.items()}
        return log_p

    def steered(
        self, steerer: Steerer, lowest: int, group: Sequence[int], strengths: Sequence[float], progress: Progress
    ) -> Iterator[tuple[list[tuple[int, int]], Float[Tensor, " rows"]]]:
        """((strength index, question), ...) and their log p, batch by batch, with one window steered."""
        todo = [(k, position) for k in range(len(strengths)) for position in range(len(group))]
        prefixes: dict[float, PrefixKV | None] = {}
        with self._model.bridge.hooks(fwd_hooks=steerer.hooks()):
            for part in _batches([len(self._rows[group[position]].ids) - self._start for _, position in todo]):
                chosen = [todo[i] for i in part]
                values = [strengths[k] for k, _ in chosen]
                prefixes = {value: prefixes.get(value) for value in dict.fromkeys(values)}
                for value, known in prefixes.items():
                    prefixes[value] = known or self._run_prefix(steerer, lowest, value)
                batch = row_batch(self._model, [self._rows[group[position]] for _, position in chosen], self._start)
                index = torch.tensor([position for _, position in chosen], device=batch.input_ids.device)
                states = self._stream[lowest][index, : batch.input_ids.shape[1]]
                per_row = torch.tensor(values, dtype=torch.float32)
                steerer.begin(steerer.plan(per_row, batch.steered(self._tokens)))
                with replaying(self._model, lowest, states, self._extras[lowest]):
                    out = self._pass(batch, [prefixes[value] for value in values])
                steerer.finish()
                yield [(k, group[position]) for k, position in chosen], self._log_p(batch, out)
                progress(len(chosen))

    def _run_prefix(self, steerer: Steerer | None, lowest: int, strength: float) -> PrefixKV | None:
        """Keys and values of the shared beginning; those at and below the window are the unsteered ones."""
        if not self._start:
            return None
        if steerer is not None and (self._tokens == "generated" or strength == 0):
            return self._prefix  # steering leaves it alone
        ids = self._rows[0].ids[: self._start]
        batch = row_batch(self._model, [TargetRow((*ids, 0), len(ids) + 1)])
        step = PrefixStep(self._model, len(ids))
        with ExitStack() as stack:
            if steerer is not None:
                assert self._prefix is not None
                step.kept[0].keys += self._prefix.keys[: lowest + 1]
                step.kept[0].values += self._prefix.values[: lowest + 1]
                steerer.begin(steerer.plan(torch.tensor([strength]), batch.steered(self._tokens)))
                stored = self._prefix_stream
                stack.enter_context(replaying(self._model, lowest, stored.states[lowest], stored.extras[lowest]))
            self._forward(batch, step)
        if steerer is not None:
            steerer.finish()
        return step.kept[0]

    def _pass(self, batch: RowBatch, prefixes: Sequence[PrefixKV | None]) -> Tensor:
        """One pass over rows behind their prefixes: states after the final norm, or logits without the fast path."""
        if not self._fast:
            return self._model.hf(
                input_ids=batch.input_ids, attention_mask=batch.real.long(), use_cache=False
            ).logits  # fmt: skip
        scratch = SlotCache(self._model, *batch.input_ids.shape, one_layer=True)
        kept = [prefix for prefix in prefixes if prefix is not None]  # all of them or none
        return self._forward(batch, PromptStep(scratch, 0, SharedPrefixes(kept) if kept else None, self._start))

    def _forward(self, batch: RowBatch, step: Step) -> Tensor:
        return run_step(self._model, step, batch.input_ids, batch.position.expand(len(batch.input_ids), -1))

    def _log_p(self, batch: RowBatch, out: Tensor) -> Float[Tensor, " rows"]:
        chosen = out[batch.predicting[:, 0], batch.predicting[:, 1]]
        return batch.per_row(target_log_probabilities(self._model, chosen, batch.targets, normed=self._fast)).cpu()


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in order, at most `_POSITIONS` padded tokens at once."""
    batch: list[int] = []
    width = 0
    for index, length in enumerate(lengths):
        if batch and max(width, length) * (len(batch) + 1) > _POSITIONS:
            yield batch
            batch, width = [], 0
        batch.append(index)
        width = max(width, length)
    yield batch
