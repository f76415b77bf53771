"""What a layer study measures on two loaded models.

1. Concept pairs, read in both models: CKA of all layer pairs on raw activations (of the positive members: one row per
   question) and on contrast differences, each with its permutation null; the layer maps `greedy`, `proportional` and
   `cka`, scored on the differences.
2. Projection texts: a ridge map for every pair of layers that a map uses, with out-of-fold R², R² along the carried
   direction, and R² of shuffled pairs; and the direction of every parent layer carried into every child layer
   (`direction_matrix`).
3. Calibration pairs, read in the child: the sign of every direction, those of controls too.
4. Held-out pairs, read in the child: AUROC of all directions at all layers (`concept_readout`).

Sources of directions: "transferred-MAP", "native", "parent-L" (layer L carried into every child layer), and controls,
which take the layers of the proportional map: "identity", "shuffled-pairs", "wrong-layer" (the map shifted by half of
the parent's depth), "random-isotropic-I", "random-covariance-I" (covariance of the concept pairs in the child),
"shuffled-labels-I".
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from interp_xfer.choices import Centering, Method
from interp_xfer.concept_readout import (
    MemberScores,
    compare_sources,
    layer_readouts,
    score_members,
    summarise_source,
)
from interp_xfer.concepts import ConceptVectors, Members, concept_from_differences, contrast_members
from interp_xfer.control_vectors import ControlSources, make_control, shifted_map
from interp_xfer.direction_matrix import carried_directions, n_readings
from interp_xfer.layer_maps import LayerMap, greedy, proportional
from interp_xfer.layer_matching import match_layers, score_map
from interp_xfer.model_maps import ProjectionSet, fit_projections
from interp_xfer.model_maps import n_readings as n_fit_readings
from interp_xfer.models import LoadedModel
from interp_xfer.paired_corpus import PairedCorpus
from interp_xfer.readout import Readout
from interp_xfer.similarity import paired_grams
from interp_xfer.similarity_nulls import PermutationNull, permutation_null
from interp_xfer.studies.layer_record import (
    DrawRange,
    DrawSummary,
    Estimate,
    LayerMeasured,
    LayerReadout,
    Similarity,
    Sizes,
    SourceSummaryRow,
)
from interp_xfer.studies.pipeline import Step, silent_step
from interp_xfer.tasks import ContrastPair, FitText
from interp_xfer.transfer import Calibration, calibrate, native_steering, signed_unit, transfer_concept

_KEEP_BYTES = 4 * 2**30  # rows of the projection texts that are kept in memory instead of being read again
_USED = "proportional"  # layer map of the controls: it covers every child layer and looks at no data
_N_SHUFFLED_LABELS = 10
_MANY = ("parent-", "random-", "shuffled-labels")  # sources whose directions are not stored one by one


class MeasureSettings(BaseModel):
    """How it is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    """Of problems, pairs, permutations, random maps and directions."""
    method: Method = "pca"
    centering: Centering = "symmetric"
    normalize_differences: bool = False
    n_random: int = Field(default=20, ge=1)
    """Draws of each kind of random direction."""
    n_permutations: int = Field(default=199, ge=19)
    n_bootstrap: int = Field(default=100, ge=1)
    """Half samples of the pairs."""


@dataclass(frozen=True)
class LayerSlices:
    """Disjoint parts of the training problems."""

    concept: tuple[ContrastPair, ...]
    calibration: tuple[ContrastPair, ...]
    texts: tuple[FitText, ...]
    held_out: tuple[ContrastPair, ...]


@dataclass(frozen=True, eq=False)
class LayerMeasurements:
    """The content of `layers.json` and `layers.safetensors`."""

    record: LayerMeasured
    tensors: dict[str, Tensor]
    """cka_NAME (n_parent, n_child), null_max_NAME (permutations); auroc_matrix, _low, _high and
    flipped_matrix (n_parent, n_child); direction_SOURCE (n_child, d_child)."""


def measure_layers(
    parent: LoadedModel, child: LoadedModel, slices: LayerSlices, settings: MeasureSettings, step: Step = silent_step
) -> LayerMeasurements:
    """Steps 1 to 4 of the module docstring.

    Arguments:
        parent: where the concept is found.
        child: where it is carried.
        slices: disjoint problems.
        settings: how it is measured.
        step: shows the progress of long steps.
    Raises: any InterpXferError of the stages.
    """
    with step("reading the concept pairs", 4 * len(slices.concept), "texts") as progress:
        parent_members = contrast_members(parent, slices.concept, progress)
        child_members = contrast_members(child, slices.concept, progress)
    with step("similarity of all layer pairs", 2, "matrices") as progress:
        nulls, maps = match(parent_members, child_members, settings)
        progress(2)
    concept, native = (
        concept_from_differences(
            members.differences,
            slices.concept,
            model.fingerprint,
            method=settings.method,
            centering=settings.centering,
            normalize_differences=settings.normalize_differences,
            seed=settings.seed,
        )
        for members, model in ((parent_members, parent), (child_members, child))
    )
    with step("calibrating the child", 4 * len(slices.calibration), "texts") as progress:
        calibration = calibrate(child, slices.calibration, progress=progress)
    corpus = PairedCorpus(parent, child, slices.texts, _KEEP_BYTES)
    wanted = {"ridge": {pair for layer_map in maps.values() for pair in layer_map.pairs}}
    total = len(slices.texts) * n_fit_readings(wanted, parent.d_model, child.d_model)
    with step("fitting ridge maps", total, "texts") as progress:
        fits = fit_projections(corpus, maps, along=concept, seed=settings.seed, progress=progress)
    alphas = _alphas(fits, parent.n_layers)
    with step("carrying every layer", 2 * n_readings(corpus) * len(slices.texts), "texts") as progress:
        every = carried_directions(corpus, concept.vectors, alphas, progress=progress)
        shuffled = carried_directions(corpus, concept.vectors, alphas, shuffle_seed=settings.seed, progress=progress)
    directions, flipped = _directions(
        concept, native, calibration, fits, parent_members, child_members, every, shuffled, settings
    )
    with step("reading held-out pairs", 2 * len(slices.held_out), "texts") as progress:
        scores = score_members(child, slices.held_out, directions, progress)
    record = LayerMeasured(
        pairs=Sizes(**{name: len(getattr(slices, name)) for name in Sizes.model_fields}),
        corpus=corpus.describe(),
        similarity={name: _null_record(null) for name, null in nulls.items()},
        maps=maps,
        fits={name: {c: fit.maps[c].diagnostics for c in sorted(fit.maps)} for name, fit in fits.items()},
        alphas=tuple(alphas),
        flipped={name: tuple(turned) for name, turned in flipped.items() if not name.startswith(_MANY)},
        cosine_with_native=_cosines(directions),
        **_readout(scores, settings),
    )
    tensors = {f"cka_{name}": null.observed for name, null in nulls.items()}
    tensors |= {f"null_max_{name}": null.null_max for name, null in nulls.items()}
    tensors |= _matrix(scores, parent.n_layers)
    tensors["flipped_matrix"] = torch.tensor([flipped[f"parent-{p}"] for p in range(parent.n_layers)])
    tensors |= {f"direction_{name}": rows.float() for name, rows in directions.items() if not name.startswith(_MANY)}
    return LayerMeasurements(record, tensors)


def match(
    parent: Members, child: Members, settings: MeasureSettings
) -> tuple[dict[str, PermutationNull], dict[str, LayerMap]]:
    """Similarities ("raw", "differences") with their nulls, and the three layer maps scored on the differences."""
    raw = paired_grams(parent.positive, child.positive)
    matched = match_layers(
        parent.differences,
        child.differences,
        n_bootstrap=settings.n_bootstrap,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
    )
    depths = (len(parent.positive), len(child.positive))
    fixed = {"greedy": greedy(*depths), "proportional": proportional(*depths)}
    maps = {name: score_map(layer_map, matched.null, seed=settings.seed) for name, layer_map in fixed.items()}
    nulls = {
        "raw": permutation_null(*raw, n_permutations=settings.n_permutations, seed=settings.seed),
        "differences": matched.null,
    }
    return nulls, {**maps, "cka": matched.layer_map}


def _alphas(fits: Mapping[str, ProjectionSet], n_parent: int) -> list[float]:
    """Ridge strength for each parent layer: what its fitted maps chose most often, else what all maps did."""
    chosen = {(p, c): fit.maps[c].diagnostics["alpha"] for fit in fits.values() for p, c in fit.layer_map.pairs}
    overall = Counter(chosen.values()).most_common(1)[0][0]
    out = []
    for layer in range(n_parent):
        own = Counter(alpha for (p, _), alpha in sorted(chosen.items()) if p == layer)
        out.append(own.most_common(1)[0][0] if own else overall)
    return out


def _directions(
    concept: ConceptVectors,
    native: ConceptVectors,
    calibration: Calibration,
    fits: Mapping[str, ProjectionSet],
    parent_members: Members,
    child_members: Members,
    every: Float[Tensor, "n_parent n_child d_child"],
    shuffled: Float[Tensor, "n_parent n_child d_child"],
    settings: MeasureSettings,
) -> tuple[dict[str, Float[Tensor, "n_child d_child"]], dict[str, list[bool]]]:
    """Source -> directions with their signs resolved, and which were turned round."""
    made = {
        f"transferred-{name}": transfer_concept(concept, fit.layer_map, fit, calibration) for name, fit in fits.items()
    }
    sources = ControlSources(
        controlled=made[f"transferred-{_USED}"],
        calibration=calibration,
        concept=concept,
        projection=fits[_USED],
        parent_members=parent_members,
        child_activations=torch.cat(child_members, dim=1),
    )
    made["native"] = native_steering(native, calibration)
    made["identity"] = make_control("identity", sources)
    for kind, draws in (
        ("random-isotropic", settings.n_random),
        ("random-covariance", settings.n_random),
        ("shuffled-labels", _N_SHUFFLED_LABELS),
    ):
        made |= {f"{kind}-{i}": make_control(kind, sources, settings.seed, i) for i in range(draws)}
    directions: dict[str, Tensor] = {name: steering.vectors.double() for name, steering in made.items()}
    flipped = {name: list(steering.flipped) for name, steering in made.items()}
    used = fits[_USED].layer_map
    wrong = shifted_map(used, used.n_parent_layers // 2)
    raw = {f"parent-{p}": rows for p, rows in enumerate(every)}
    raw["shuffled-pairs"] = torch.stack([shuffled[p, c] for p, c in used.pairs])
    raw["wrong-layer"] = torch.stack([every[p, c] for p, c in wrong.pairs])
    for name, rows in raw.items():
        signed = [signed_unit(row, mean) for row, mean in zip(rows, calibration.mean_differences, strict=True)]
        directions[name] = torch.stack([unit.vector for unit in signed]).double()
        flipped[name] = [unit.flipped for unit in signed]
    return directions, flipped


def _readout(scores: MemberScores, settings: MeasureSettings) -> dict[str, Any]:
    """AUROC of each source, random ones as a range over draws, and averages over layers."""
    real = [name for name in scores.positive if name.startswith("transferred-")]
    real += ["native", "identity", "shuffled-pairs", "wrong-layer"]
    draws = {
        kind: [name for name in scores.positive if name.startswith(f"{kind}-")]
        for kind in ("random-isotropic", "random-covariance", "shuffled-labels")
    }
    used = f"transferred-{_USED}"
    others = [name for name in real if name != used]
    summaries = {name: summarise_source(scores, name, draws["random-isotropic"])._asdict() for name in real}
    ranks = {name: {kind: summarise_source(scores, name, d).rank_p for kind, d in draws.items()} for name in real}
    return {
        "readout": {name: tuple(map(_layer_readout, layer_readouts(scores, name))) for name in real},
        "draws": {kind: _ranges(scores, names) for kind, names in draws.items()},
        "summary": {name: SourceSummaryRow(**{**s, "auroc": Estimate.of(s["auroc"])}) for name, s in summaries.items()},
        "rank_p": ranks,
        "draw_summary": {
            kind: DrawSummary(mean=float(means.mean()), low=float(means.min()), high=float(means.max()), n=len(names))
            for kind, names in draws.items()
            for means in [torch.stack([scores.wins(name, scores.layers(name)).mean() for name in names])]
        },
        "difference_from": {
            f"{used} minus {name}": Estimate.of(compare_sources(scores, used, name)) for name in others
        },
    }


def _layer_readout(readout: Readout | None) -> LayerReadout | None:
    if readout is None:
        return None
    auroc, accuracy = Estimate.of(readout.auroc), Estimate.of(readout.pair_accuracy)
    return LayerReadout(auroc=auroc, pair_accuracy=accuracy, n_pairs=readout.n_pairs)


def _ranges(scores: MemberScores, names: list[str]) -> tuple[DrawRange, ...]:
    """Mean, lowest and highest AUROC over draws, per child layer."""
    layers = scores.layers(names[0])
    areas = torch.stack([scores.wins(name, layers).mean(dim=(1, 2)) for name in names])
    return tuple(
        DrawRange(layer=c, mean=float(column.mean()), low=float(column.min()), high=float(column.max()))
        for c, column in zip(layers, areas.T, strict=True)
    )


def _matrix(scores: MemberScores, n_parent: int) -> dict[str, Tensor]:
    """AUROC of every parent layer's direction at every child layer, with intervals."""
    readouts = [layer_readouts(scores, f"parent-{p}") for p in range(n_parent)]
    ends = {"auroc_matrix": "estimate", "auroc_matrix_low": "low", "auroc_matrix_high": "high"}
    return {
        name: torch.tensor([[getattr(r.auroc, end) for r in row if r is not None] for row in readouts])
        for name, end in ends.items()
    }


def _null_record(null: PermutationNull) -> Similarity:
    return Similarity(threshold=null.threshold, p_value=null.p_value, largest=float(null.observed.max()))


def _cosines(directions: Mapping[str, Tensor]) -> dict[str, tuple[float | None, ...]]:
    """Cosine with the child's own direction at each layer; None where there is none."""
    return {
        name: tuple(float(a @ b) if a.norm() > 0 else None for a, b in zip(rows, directions["native"], strict=True))
        for name, rows in directions.items()
        if name.startswith("transferred-") or name in ("identity", "shuffled-pairs", "wrong-layer")
    }
