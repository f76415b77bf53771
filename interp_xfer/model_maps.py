"""From two loaded models to a layer map and one linear projection per mapped pair of layers.

`fit_projection` streams an ordinary text corpus through both models, pairs tokens by the characters they end at, adds
the paired rows to float64 sums, and fits one map for every child layer that the layer map feeds. Texts must be disjoint
from the contrast pairs and from every evaluation question: `transfer_concept` and the evaluation refuse otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from interp_xfer.activations import pad_right, read_residuals
from interp_xfer.artifacts import complete, load_artifact, save_artifact
from interp_xfer.choices import ProjectionKind
from interp_xfer.concepts import contrast_differences
from interp_xfer.errors import ConfigError, DataError
from interp_xfer.layer_maps import STRATEGIES, LayerMap, random_monotone
from interp_xfer.layer_matching import Method, match_layers
from interp_xfer.models import Fingerprint, LoadedModel
from interp_xfer.paired_sums import PairedSums
from interp_xfer.progress import Progress, no_progress
from interp_xfer.projections import (
    Projection,
    fit_low_rank,
    fit_procrustes,
    fit_ridge,
    identity,
    random_orthogonal,
)
from interp_xfer.prompt_hashes import PromptHashes
from interp_xfer.tasks import ContrastPair, FitText
from interp_xfer.token_pairing import TokenPair, paired_positions, tokens_with_offsets

FITTED: dict[str, Callable[[PairedSums], Projection]] = {
    "ridge": fit_ridge,
    "procrustes": fit_procrustes,
    "low-rank": fit_low_rank,
}
"""Projections that need a corpus."""

UNFITTED: dict[str, Callable[[int, int], Projection]] = {"identity": identity, "random-orthogonal": random_orthogonal}
"""Projections that need the widths alone."""

MEASURED: dict[str, Method] = {"cka": "monotone", "cka-argmax": "argmax"}
"""Layer maps that are measured on contrast pairs."""

_TEXTS_PER_BATCH = 16
_SUMS_BYTES = 4 * 2**30  # paired sums of one pass over the corpus; more layer pairs take more passes


@dataclass(frozen=True, eq=False)
class ProjectionSet:
    """One linear map per child layer that has a parent layer."""

    maps: dict[int, Projection]
    """Child layer -> map from its parent layer."""
    layer_map: LayerMap
    parent: Fingerprint
    child: Fingerprint
    kind: str
    corpus: dict[str, Any]
    """n_texts, n_rows and paired_fraction (of the child's tokens); empty for maps that were not fitted."""
    prompts: PromptHashes
    """The texts of the corpus."""

    def save(self, directory: Path | str) -> Path:
        """Write `projection.json` and `projection.safetensors`."""
        tensors: dict[str, Tensor] = {}
        for layer, projection in self.maps.items():
            tensors[f"{layer}.weight"] = projection.weight.float()
            tensors[f"{layer}.bias"] = projection.bias.float()
        description = {
            "kind_of_map": self.kind,
            "parent": self.parent.to_dict(),
            "child": self.child.to_dict(),
            "layer_map": self.layer_map.to_dict(),
            "corpus": self.corpus,
            "fits": {
                str(layer): {"kind": p.kind, "n_rows": p.n_rows, "diagnostics": p.diagnostics}
                for layer, p in self.maps.items()
            },
            "prompts": self.prompts.to_list(),
        }
        return save_artifact(Path(directory), "projection", description, tensors)

    @classmethod
    def load(cls, directory: Path | str) -> "ProjectionSet":
        """What `save` wrote (weights are stored as float32).

        Raises: ArtifactError if files are missing or damaged.
        """
        description, tensors = load_artifact(Path(directory), "projection")
        with complete(directory):
            maps = {
                int(layer): Projection(
                    tensors[f"{layer}.weight"].double(),
                    tensors[f"{layer}.bias"].double(),
                    fit["kind"],
                    fit["n_rows"],
                    fit["diagnostics"],
                )
                for layer, fit in description["fits"].items()
            }
            return cls(
                maps=maps,
                layer_map=LayerMap.from_dict(description["layer_map"]),
                parent=Fingerprint.from_dict(description["parent"]),
                child=Fingerprint.from_dict(description["child"]),
                kind=description["kind_of_map"],
                corpus=description["corpus"],
                prompts=PromptHashes.from_list(description["prompts"]),
            )


def map_layers(
    parent: LoadedModel,
    child: LoadedModel,
    pairs: Sequence[ContrastPair] = (),
    strategy: str = "cka",
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> LayerMap:
    """Which parent layer feeds each child layer.

    Arguments:
        parent: the model the concept was found in.
        child: the model to steer.
        pairs: contrast pairs that both models read; used by the measured strategies alone.
        strategy: "greedy" (the paper: n -> n), "proportional" (equal relative depth), "cka" (best monotone path through
            the CKA of contrast differences), "cka-argmax" (one argmax per child layer) or "random-monotone" (control).
        seed: of random maps and resampling.
        progress: called with the number of texts done (both members of each pair, in both models).
    Raises: ConfigError for an unknown strategy; DataError or ShapeError if a measured one has too few pairs.
    """
    if strategy in STRATEGIES:
        if strategy == "random-monotone":
            return random_monotone(parent.n_layers, child.n_layers, seed)
        return STRATEGIES[strategy](parent.n_layers, child.n_layers)
    if strategy not in MEASURED:
        raise ConfigError(f"layer map {strategy!r} is not one of {', '.join([*STRATEGIES, *MEASURED])}.")
    x = contrast_differences(parent, pairs, progress)
    y = contrast_differences(child, pairs, progress)
    return match_layers(x, y, method=MEASURED[strategy], seed=seed).layer_map


def fit_projection(
    parent: LoadedModel,
    child: LoadedModel,
    texts: Sequence[FitText],
    mapping: LayerMap,
    kind: ProjectionKind = "ridge",
    *,
    progress: Progress = no_progress,
) -> ProjectionSet:
    """One linear map for every child layer that the layer map feeds.

    Arguments:
        parent: the model the concept was found in.
        child: the model to steer.
        texts: ordinary texts, disjoint from contrast pairs and evaluation questions; unused by "identity" and
            "random-orthogonal". At least ten rows (paired tokens) per parent dimension are advisable.
        mapping: which layers to pair.
        kind: see `interp_xfer.projections`.
        progress: called with the number of texts done; `n_passes` times over the corpus in all.
    Raises: ConfigError for an unknown kind; DataError for an empty corpus; ShapeError for too few rows or widths that
        do not fit "identity".
    """
    if kind in UNFITTED:
        maps = {c: UNFITTED[kind](parent.d_model, child.d_model) for _, c in mapping.pairs}
        return ProjectionSet(maps, mapping, parent.fingerprint, child.fingerprint, kind, {}, PromptHashes())
    if kind not in FITTED:
        raise ConfigError(f"projection {kind!r} is not one of {', '.join([*FITTED, *UNFITTED])}.")
    if not texts:
        raise DataError(f"a {kind} projection needs texts to be fitted on; give some that are no contrast pairs.")
    corpus = [_pair_tokens(parent, child, text.text) for text in texts]
    maps = {}
    for pairs in _passes(mapping, parent.d_model, child.d_model):
        sums = _stream_sums(parent, child, corpus, pairs, progress)
        while sums:  # each pair's sums are freed as soon as its map is fitted
            (_, child_layer), pair_sums = sums.popitem()
            maps[child_layer] = FITTED[kind](pair_sums)
    n_child_tokens = sum(len(item.child_ids) for item in corpus)
    n_rows = sum(len(item.pairs) for item in corpus)
    return ProjectionSet(
        maps=dict(sorted(maps.items())),
        layer_map=mapping,
        parent=parent.fingerprint,
        child=child.fingerprint,
        kind=kind,
        corpus={"n_texts": len(texts), "n_rows": n_rows, "paired_fraction": n_rows / n_child_tokens},
        prompts=PromptHashes.of(texts),
    )


def n_passes(mapping: LayerMap, d_parent: int, d_child: int) -> int:
    """How often the corpus is read: layer pairs share a pass as long as their sums fit in memory."""
    return len(_passes(mapping, d_parent, d_child))


@dataclass(frozen=True)
class _PairedText:
    parent_ids: list[int]
    child_ids: list[int]
    pairs: list[TokenPair]


def _pair_tokens(parent: LoadedModel, child: LoadedModel, text: str) -> _PairedText:
    parent_ids, parent_offsets = tokens_with_offsets(parent.tokenizer, text)
    child_ids, child_offsets = tokens_with_offsets(child.tokenizer, text)
    # The first position carries massive activations in most models, whatever the token; it tells nothing about a text.
    pairs = [pair for pair in paired_positions(parent_offsets, child_offsets) if pair.parent > 0 and pair.child > 0]
    return _PairedText(parent_ids, child_ids, pairs)


def _passes(mapping: LayerMap, d_parent: int, d_child: int) -> list[list[tuple[int, int]]]:
    n_folds = 3
    bytes_per_pair = 8 * n_folds * (d_parent**2 + d_parent * d_child + d_child**2)
    size = max(1, _SUMS_BYTES // bytes_per_pair)
    pairs = list(mapping.pairs)
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


def _stream_sums(
    parent: LoadedModel,
    child: LoadedModel,
    corpus: Sequence[_PairedText],
    pairs: Sequence[tuple[int, int]],
    progress: Progress,
) -> dict[tuple[int, int], PairedSums]:
    sums = {pair: PairedSums(parent.d_model, child.d_model) for pair in pairs}
    parent_layers = sorted({p for p, _ in pairs})
    child_layers = sorted({c for _, c in pairs})
    for start in range(0, len(corpus), _TEXTS_PER_BATCH):
        batch = [
            (number, item) for number, item in enumerate(corpus[start : start + _TEXTS_PER_BATCH], start) if item.pairs
        ]
        if batch:
            x = _read_rows(parent, [item.parent_ids for _, item in batch], parent_layers,
                           [[pair.parent for pair in item.pairs] for _, item in batch])  # fmt: skip
            y = _read_rows(child, [item.child_ids for _, item in batch], child_layers,
                           [[pair.child for pair in item.pairs] for _, item in batch])  # fmt: skip
            any_sums = next(iter(sums.values()))
            folds = Tensor([number % any_sums.n_folds for number, item in batch for _ in item.pairs]).long()
            for (p, c), pair_sums in sums.items():
                pair_sums.add(x[p], y[c], folds)
        progress(min(_TEXTS_PER_BATCH, len(corpus) - start))
    return sums


def _read_rows(
    model: LoadedModel, ids: Sequence[list[int]], layers: Sequence[int], positions: Sequence[list[int]]
) -> dict[int, Tensor]:
    input_ids, mask = pad_right(ids, model.tokenizer.pad_token_id, model.device)
    rows = [row for row, chosen in enumerate(positions) for _ in chosen]
    columns = [position for chosen in positions for position in chosen]
    return read_residuals(model, input_ids, mask, layers, lambda residual: residual[rows, columns])
