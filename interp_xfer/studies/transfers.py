"""Steering vectors of all cells of one parent, child and data set, with everything they share computed once.

1. Contrast differences of the parent give the concept and, with those of the child, every measured layer map.
2. One reading of the corpus gives the sums of every pair of layers that some layer map wants, and every kind of
   projection is fitted on them; shuffled pairs have sums of their own.
3. One calibration of the child signs them all.

This is the one place where studies make vectors, for one cell or many. Every stage reads the artifact of the one
before, also where that was made a moment ago: what is interrupted and goes on gives what would have come out at once.
A layer map or a fit that fails takes down the cells that need it and no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from interp_xfer.concepts.extract import ConceptVectors, Members, concept_from_differences, contrast_differences
from interp_xfer.errors import InterpXferError, as_value
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS, LayerMapInputs
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS, Make
from interp_xfer.models import LoadedModel, require_same_model
from interp_xfer.steering.origins import Corpus
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import Keys
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.steps import Step, silent_step
from interp_xfer.studies.study_data import StudyData
from interp_xfer.studies.study_models import StudyModels
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.carry import FittedOn, calibrate, steering_from_directions
from interp_xfer.transfer.corpus import LayerPair, PairedCorpus
from interp_xfer.transfer.fit import FittedMap, fit_each, n_readings

_KEEP_BYTES = 2 * 2**30  # rows of small models are kept, so that a second reading runs no model
_PART_ROWS = 5  # per parent dimension: what the maps of all pairs of layers are fitted on


@dataclass(frozen=True, eq=False)
class SeenTexts:
    """What was read in making vectors, for a measure that reads the same; None where it was not read."""

    parent_differences: Float[Tensor, "n_parent pairs d_parent"] | None = None
    """Of the contrast pairs."""
    child_calibration: Members | None = None
    corpus: PairedCorpus | None = None


class Transfers(NamedTuple):
    """What became of the steering vectors of several studies."""

    failed: dict[str, InterpXferError]
    """Key of a transfer -> why these vectors could not be made."""
    seen: SeenTexts


class ConceptAndMaps(NamedTuple):
    """What the contrast pairs give."""

    concept: ConceptVectors
    maps: dict[str, LayerMap | InterpXferError]
    """Name of the rule -> map, or why there is none."""
    parent_differences: Tensor | None
    """Where the parent read the pairs."""


@dataclass
class _Mapped:
    """Directions in the child of one kind of projection."""

    directions: dict[LayerPair, Tensor] = field(default_factory=dict)
    fits: dict[LayerPair, dict[str, float]] = field(default_factory=dict)
    errors: dict[LayerPair, InterpXferError] = field(default_factory=dict)
    corpus: Corpus | None = None
    prompts: PromptHashes = field(default_factory=PromptHashes)


def make_transfers(
    studies: Sequence[tuple[Study, Keys]],
    data: StudyData,
    models: StudyModels,
    store: RunStore,
    step: Step = silent_step,
) -> Transfers:
    """Make the steering vectors of every study that has none yet.

    Arguments:
        studies: of one parent, child and data, with their keys; they may differ in layer map, projection and what
            comes after.
        data: theirs.
        models: loads parent and child where something has to be made.
        store: where the concept is read or kept, and the vectors are kept.
        step: shows the progress of long steps.
    Returns: what failed, and what was read.
    Raises: any InterpXferError of what all of them share: concept and calibration.
    """
    todo = {keys.transfer: study for study, keys in studies if not store.transfer(keys.transfer).exists()}
    if not todo:
        return Transfers({}, SeenTexts())
    first = next(iter(todo.values()))
    [concept_key] = {keys.concept for _, keys in studies}
    parent, child = models.get(first.parent), models.get(first.child)
    names = list(dict.fromkeys(study.layer_map for study in todo.values()))
    concept, maps, differences = read_pairs(first, store.concept(concept_key), names, data, parent, child, step)
    wanted: dict[str, set[LayerPair]] = {}
    for study in todo.values():
        mapping = maps[study.layer_map]
        if isinstance(mapping, LayerMap):
            wanted.setdefault(study.projection, set()).update(mapping.pairs)
    corpus = corpus_of(data, parent, child) if any(LINEAR_MAPS[kind].needs_texts for kind in wanted) else None
    mapped = _map_directions(wanted, concept, corpus, parent, child, first.seed, step)
    with step("calibrating the child", 4 * len(data.calibration), "texts") as progress:
        calibration = calibrate(child, data.calibration, progress=progress)
    failed = {}
    for key, study in todo.items():
        mapping = maps[study.layer_map]
        if isinstance(mapping, InterpXferError):
            failed[key] = mapping
            continue
        found = mapped[study.projection]
        try:
            for pair in mapping.pairs:
                if pair in found.errors:
                    raise found.errors[pair]
            fits = {c: found.fits[p, c] for p, c in mapping.pairs}
            steering = steering_from_directions(
                concept,
                mapping,
                {c: found.directions[p, c] for p, c in mapping.pairs},
                FittedOn(study.projection, found.corpus, fits, found.prompts),
                calibration,
            )
        except InterpXferError as error:
            failed[key] = as_value(error)
            continue
        steering.save(store.transfer(key))
    return Transfers(failed, SeenTexts(differences, calibration.members, corpus))


def corpus_of(data: StudyData, parent: LoadedModel, child: LoadedModel) -> PairedCorpus:
    """The texts that the maps of a study are fitted on."""
    return PairedCorpus(parent, child, data.fit_texts, keep_bytes=_KEEP_BYTES, part_rows=_PART_ROWS * parent.d_model)


def read_pairs(
    study: Study,
    place: Path,
    layer_maps: Sequence[str],
    data: StudyData,
    parent: LoadedModel,
    child: LoadedModel,
    step: Step = silent_step,
) -> ConceptAndMaps:
    """The concept, from the run or from the parent, and the layer maps; the pairs are read at most once a model.

    Arguments:
        study: its settings of the concept.
        place: directory where the concept is read or kept.
        layer_maps: names.
        data: its contrast pairs.
        parent: the model with the concept.
        child: the model to steer.
        step: shows progress.
    Raises: FingerprintError for a concept of another parent; as `extract_concept`.
    """
    known = place.exists()
    measured = any(LAYER_MAPS[name].needs_pairs for name in layer_maps)
    x = y = None
    if measured or not known:
        with step("reading the contrast pairs in the parent", 2 * len(data.pairs), "texts") as progress:
            x = contrast_differences(parent, data.pairs, progress)
    if measured:
        with step("reading the contrast pairs in the child", 2 * len(data.pairs), "texts") as progress:
            y = contrast_differences(child, data.pairs, progress)
    if not known:
        assert x is not None
        concept_from_differences(x, data.pairs, parent.fingerprint, study.extraction).save(place)
    concept = ConceptVectors.load(place)
    require_same_model(concept.model, parent.fingerprint, "the concept")
    maps: dict[str, LayerMap | InterpXferError] = {}
    for name in layer_maps:
        try:
            inputs = LayerMapInputs(parent.n_layers, child.n_layers, study.seed, x if measured else None, y)
            maps[name] = LAYER_MAPS[name].layer_map(inputs)
        except InterpXferError as error:
            maps[name] = as_value(error)
    return ConceptAndMaps(concept, maps, x)


def _map_directions(
    wanted: dict[str, set[LayerPair]],
    concept: ConceptVectors,
    corpus: PairedCorpus | None,
    parent: LoadedModel,
    child: LoadedModel,
    seed: int,
    step: Step,
) -> dict[str, _Mapped]:
    """The concept of each wanted pair of layers in the child, by kind of projection; the maps are not kept."""
    out = {kind: _Mapped() for kind in wanted}
    for kind in wanted:
        if make := LINEAR_MAPS[kind].make:
            for pair in sorted(wanted[kind]):
                _take(out[kind], _made(kind, make, pair, (parent.d_model, child.d_model), seed), concept)
    fitted = {kind: pairs for kind, pairs in wanted.items() if LINEAR_MAPS[kind].needs_texts}
    if corpus is not None:
        total = corpus.n_texts * n_readings(fitted, parent.d_model, child.d_model)
        with step(f"fitting {', '.join(fitted)}", total, "texts") as progress:
            for one in fit_each(corpus, fitted, along=concept, seed=seed, progress=progress):
                _take(out[one.kind], one, concept)
        for kind in fitted:
            out[kind].corpus, out[kind].prompts = corpus.describe(seed), corpus.prompts
    return out


def _made(kind: str, make: Make, pair: LayerPair, widths: tuple[int, int], seed: int) -> FittedMap:
    try:
        return FittedMap(pair, kind, make(*widths, seed, pair))
    except InterpXferError as error:
        return FittedMap(pair, kind, as_value(error))


def _take(mapped: _Mapped, made: FittedMap, concept: ConceptVectors) -> None:
    if isinstance(made.projection, InterpXferError):
        mapped.errors[made.pair] = made.projection
        return
    mapped.directions[made.pair] = made.projection.map_direction(concept.vectors[made.pair[0]].double())
    mapped.fits[made.pair] = made.projection.diagnostics
