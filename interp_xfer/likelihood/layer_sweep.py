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
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import ConfigError, DataError
from interp_xfer.generation.passes import SteeredPasses, UnsteeredPrefix
from interp_xfer.generation.prefixes import PrefixKV
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.models import LoadedModel
from interp_xfer.models.bridge_check import refuse_overflow
from interp_xfer.passes.batching import filled_batches
from interp_xfer.passes.replay import StoredStream, replaying, storing
from interp_xfer.passes.teacher_forcing import TargetRow, shared_length
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
    with run.passes.active():
        run.begin()
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
    """What the passes of a sweep store: the unsteered ones leave it, the steered ones begin there."""

    def __init__(
        self, model: LoadedModel, rows: Sequence[TargetRow], windows: Sequence[Window], tokens: TokenScope
    ) -> None:
        self.passes = SteeredPasses(model, None, tokens)
        self._model, self._rows = model, rows
        self._lowest = sorted({min(window) for window in windows})
        self._shared: tuple[int, ...] = ()
        self._prefix: list[PrefixKV] = []
        self._prefix_stream = StoredStream()
        self._stream: dict[int, Tensor] = {}
        self._extras: dict[int, int | None] = {}

    def begin(self) -> None:
        """Run the shared beginning, where there is one."""
        if self.passes.fast:
            self._shared = self._rows[0].ids[: shared_length(self._rows)]
        if self._shared:
            with storing(self._model, self._lowest) as self._prefix_stream:
                self._prefix = self.passes.prefixes([(self._shared, 0.0)])

    def groups(self) -> Iterator[list[int]]:
        """Questions of similar length whose stored streams fit into memory together."""
        per_token = len(self._lowest) * self._model.d_model * next(self._model.hf.parameters()).element_size()
        return filled_batches([len(row.ids) for row in self._rows], _STORED_BYTES // per_token, by_length=True)

    def store(self, group: Sequence[int]) -> Float[Tensor, " questions"]:
        """Run the questions of a group unsteered, keep their streams; log p of each."""
        log_p = torch.empty(len(group), dtype=torch.float64)
        own = self._own_lengths(group)
        kept: dict[int, list[Tensor]] = {layer: [] for layer in self._lowest}
        for part in filled_batches(own, _POSITIONS):
            rows = [self._rows[group[i]] for i in part]
            with storing(self._model, self._lowest) as stored:
                log_p[part] = self.passes.log_likelihoods(rows, [0.0] * len(rows), self._prefix * len(rows))
            for layer in self._lowest:
                missing = max(own) - 1 - stored.states[layer].shape[1]
                kept[layer].append(torch.nn.functional.pad(stored.states[layer], (0, 0, 0, missing)))
            self._extras = stored.extras
        self._stream = {layer: torch.cat(parts) for layer, parts in kept.items()}
        return log_p

    def steered(
        self, steerer: Steerer, lowest: int, group: Sequence[int], strengths: Sequence[float], progress: Progress
    ) -> Iterator[tuple[list[tuple[int, int]], Float[Tensor, " rows"]]]:
        """((strength index, question), ...) and their log p, batch by batch, with one window steered."""
        begin = None
        if self._shared:
            stored = self._prefix_stream
            begin = UnsteeredPrefix(self._prefix[0], lowest, stored.states[lowest], stored.extras[lowest])
        passes = SteeredPasses(self._model, steerer, self.passes.tokens, begin)
        stream = self._stream[lowest]
        with passes.active():
            for part in filled_batches(self._own_lengths(group) * len(strengths), _POSITIONS):
                where = [divmod(i, len(group)) for i in part]
                rows = [self._rows[group[position]] for _, position in where]
                values = [strengths[k] for k, _ in where]
                prefixes = passes.prefixes([(self._shared, value) for value in values]) if self._shared else []
                index = torch.tensor([position for _, position in where], device=stream.device)
                states = stream[index, : max(len(row.ids) for row in rows) - 1 - len(self._shared)]
                with replaying(self._model, lowest, states, self._extras[lowest]):
                    log_p = passes.log_likelihoods(rows, values, prefixes)
                yield [(k, group[position]) for k, position in where], log_p
                progress(len(part))

    def _own_lengths(self, group: Sequence[int]) -> list[int]:
        return [len(self._rows[index].ids) - len(self._shared) for index in group]
