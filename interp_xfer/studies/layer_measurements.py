"""What a layer study measures on two loaded models.

1. Concept pairs, read in both models: CKA of all layer pairs on raw activations (of the positive members: one row per
   question) and on contrast differences, each with its permutation null; the layer maps `greedy`, `proportional` and
   `cka`, scored on the differences.
2. Projection texts: a ridge map for every pair of layers that a map uses, with out-of-fold R², R² along the carried
   direction, and R² of shuffled pairs; and the direction of every parent layer carried into every child layer
   (`transfer.all_pairs`).
3. Calibration pairs, read in the child: the sign of every direction, those of controls too.
4. Held-out pairs, read in the child: AUROC of all directions at all layers (`concept_readout`).

Sources of directions: "transferred-MAP", "native", "parent-L" (layer L carried into every child layer), and controls,
which take the layers of the proportional map: "identity", and in I draws each "random-isotropic-I",
"random-covariance-I" (covariance of the concept pairs in the child), "shuffled-labels-I", "shuffled-pairs-I" (maps of
wrongly paired rows), "wrong-layer-I" (every child layer takes another parent layer) and "wrong-map-I" (a random
monotone map).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from interp_xfer.arms.controls import ControlSources, make_control
from interp_xfer.bounds import MAX_DRAWS, Draws
from interp_xfer.concepts.extract import ConceptVectors, Members, concept_from_differences, contrast_members
from interp_xfer.fields import Json
from interp_xfer.maths.auroc import Readout
from interp_xfer.maths.cka import paired_grams
from interp_xfer.maths.layer_maps import LayerMap, greedy, other_layers, proportional, random_monotone
from interp_xfer.maths.layer_matching import match_layers, score_map
from interp_xfer.maths.permutation import PermutationNull, permutation_null
from interp_xfer.measures.concept_readout import (
    MemberScores,
    compare_sources,
    compare_with_draws,
    layer_readouts,
    score_members,
    summarise_draws,
    summarise_source,
)
from interp_xfer.models import LoadedModel
from interp_xfer.studies.config import ExtractionSettings
from interp_xfer.studies.layer_record import (
    DrawsAtLayer,
    DrawSummary,
    Estimate,
    LayerMeasured,
    LayerReadout,
    Similarity,
    Sizes,
    SourceSummaryRow,
)
from interp_xfer.studies.steps import Step, silent_step
from interp_xfer.tasks import ContrastPair, FitText
from interp_xfer.transfer.all_pairs import Carried, carried_with_shuffles, n_readings
from interp_xfer.transfer.carry import Calibration, calibrate, native_steering, signed_unit, transfer_concept
from interp_xfer.transfer.corpus import PairedCorpus
from interp_xfer.transfer.fit import ProjectionSet, fit_projections
from interp_xfer.transfer.fit import n_readings as n_fit_readings

_KEEP_BYTES = 4 * 2**30  # rows of the projection texts that are kept in memory instead of being read again
_USED = "proportional"  # layer map of the controls: it covers every child layer and looks at no data
_MADE = ("random-isotropic", "random-covariance", "shuffled-labels")
_DRAWN = (*_MADE, "shuffled-pairs", "wrong-layer", "wrong-map")
_MANY = ("parent-", *_DRAWN)  # sources whose directions are not stored one by one


class MeasureSettings(ExtractionSettings):
    """How it is measured."""

    n_random: Draws = 20
    """Draws of each control."""
    n_permutations: int = Field(default=199, ge=19, le=MAX_DRAWS)
    n_bootstrap: Draws = 100
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
        concept_from_differences(members.differences, slices.concept, model.fingerprint, settings.extraction)
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
    with step("carrying every layer", n_readings(corpus) * len(slices.texts), "texts") as progress:
        carried = carried_with_shuffles(
            corpus, concept.vectors, alphas, maps[_USED].pairs, settings.n_random, seed=settings.seed, progress=progress
        )
    directions, flipped = _directions(
        concept, native, calibration, fits, parent_members, child_members, carried, settings
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
        **_readout(scores, flipped),
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
    carried: Carried,
    settings: MeasureSettings,
) -> tuple[dict[str, Float[Tensor, "n_child d_child"]], dict[str, list[bool]]]:
    """Source -> directions with their signs resolved, and which were flipped."""
    made = {f"transferred-{name}": transfer_concept(concept, fit, calibration) for name, fit in fits.items()}
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
    draws = range(settings.n_random)
    made |= {f"{kind}-{i}": make_control(kind, sources, settings.seed, i) for kind in _MADE for i in draws}
    directions: dict[str, Tensor] = {name: steering.vectors.double() for name, steering in made.items()}
    flipped = {name: list(steering.flipped) for name, steering in made.items()}
    used = fits[_USED].layer_map
    raw = {f"parent-{p}": rows for p, rows in enumerate(carried.every)}
    raw |= {f"shuffled-pairs-{i}": rows for i, rows in enumerate(carried.shuffled)}
    for i in draws:
        others = {
            "wrong-layer": other_layers(used, settings.seed, i),
            "wrong-map": random_monotone(used.n_parent_layers, used.n_child_layers, settings.seed, i),
        }
        raw |= {f"{name}-{i}": torch.stack([carried.every[p, c] for p, c in m.pairs]) for name, m in others.items()}
    for name, rows in raw.items():
        signed = [signed_unit(row, mean) for row, mean in zip(rows, calibration.mean_differences, strict=True)]
        directions[name] = torch.stack([unit.vector for unit in signed]).double()
        flipped[name] = [unit.flipped for unit in signed]
    return directions, flipped


def _readout(scores: MemberScores, flipped: Mapping[str, list[bool]]) -> Json:
    """AUROC of each source and control, per layer and averaged over layers, and how the used transfer compares."""
    used = f"transferred-{_USED}"
    real = [name for name in scores.positive if name.startswith("transferred-")] + ["native", "identity"]
    draws = {kind: [name for name in scores.positive if name.startswith(f"{kind}-")] for kind in _DRAWN}
    summaries = {name: summarise_source(scores, name, draws["random-isotropic"])._asdict() for name in real}
    differences = {name: compare_sources(scores, used, name) for name in real if name != used}
    differences |= {kind: compare_with_draws(scores, used, names) for kind, names in draws.items()}
    return {
        "readout": {name: tuple(map(_layer_readout, layer_readouts(scores, name))) for name in real},
        "draws": {kind: _draws_at_layers(scores, names) for kind, names in draws.items()},
        "summary": {name: SourceSummaryRow(**{**s, "auroc": Estimate.of(s["auroc"])}) for name, s in summaries.items()},
        "rank_p": {
            name: {kind: summarise_source(scores, name, names).rank_p for kind, names in draws.items()} for name in real
        },
        "draw_summary": {kind: _draw_summary(scores, names, flipped) for kind, names in draws.items()},
        "difference_from": {f"{used} minus {name}": Estimate.of(found) for name, found in differences.items()},
    }


def _layer_readout(readout: Readout | None) -> LayerReadout | None:
    if readout is None:
        return None
    auroc, accuracy = Estimate.of(readout.auroc), Estimate.of(readout.pair_accuracy)
    return LayerReadout(auroc=auroc, pair_accuracy=accuracy, n_pairs=readout.n_pairs)


def _draws_at_layers(scores: MemberScores, names: list[str]) -> tuple[DrawsAtLayer, ...]:
    found = [(c, summarise_draws(scores, names, [c])) for c in scores.layers(names[0])]
    return tuple(
        DrawsAtLayer(layer=c, auroc=Estimate.of(at.auroc), lowest=at.lowest, highest=at.highest) for c, at in found
    )


def _draw_summary(scores: MemberScores, names: list[str], flipped: Mapping[str, list[bool]]) -> DrawSummary:
    whole = summarise_draws(scores, names)
    turned = tuple(sum(flipped[name]) for name in names)
    return DrawSummary(
        auroc=Estimate.of(whole.auroc), lowest=whole.lowest, highest=whole.highest, n=len(names), n_flipped=turned
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
        if name.startswith("transferred-") or name == "identity"
    }
