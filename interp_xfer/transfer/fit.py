"""From two loaded models to a layer map and one linear projection per mapped pair of layers.

`fit_projection` streams an ordinary text corpus through both models, pairs tokens by the characters they end at, adds
the paired rows to float64 sums, and fits one map for every child layer that the layer map feeds. Texts must be disjoint
from the contrast pairs and from every evaluation question: `transfer_concept` and the evaluation refuse otherwise.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from interp_xfer.concepts.extract import ConceptVectors, contrast_differences
from interp_xfer.errors import ConfigError, DataError, InterpXferError, as_value
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS, LayerMapInputs
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.maths.linear_maps import Projection, ridge_r2_along
from interp_xfer.maths.paired_sums import Moments, PairedSums
from interp_xfer.models import LoadedModel
from interp_xfer.progress import Progress, no_progress, shown_progress
from interp_xfer.tasks import FitText, Pairs, as_pairs
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.corpus import LayerPair, PairedCorpus, passes, stream_sums
from interp_xfer.transfer.projections import ProjectionSet

_TEXTS_PER_BATCH = 16
_SUMS_BYTES = 4 * 2**30  # paired sums of one pass over the corpus; more layer pairs take more passes


def map_layers(
    parent: LoadedModel,
    child: LoadedModel,
    pairs: Pairs = (),
    strategy: str | Callable[[LayerMapInputs], LayerMap | Sequence[int | None]] = "cka",
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> LayerMap:
    """Which parent layer feeds each child layer.

    Arguments:
        parent: the model the concept was found in.
        child: the model to steer.
        pairs: contrast pairs that both models read, or plain texts (`interp_xfer.tasks.as_pairs`); used by the measured
            strategies alone.
        strategy: a name of `LAYER_MAPS`, or a function from `LayerMapInputs` to a map or its parent layers; it gets the
            contrast differences where pairs are given.
        seed: of random maps and resampling.
        progress: called with the number of texts done (both members of each pair, in both models); None: a bar in a
            notebook.
    Raises: ConfigError for an unknown strategy; DataError or ShapeError if a measured one has too few pairs.
    """
    kind = LAYER_MAPS[LAYER_MAPS.accept(strategy)]
    x = y = None
    if kind.needs_pairs or (callable(strategy) and pairs):
        pairs = as_pairs(pairs)
        with shown_progress(progress, "matching layers", 4 * len(pairs), "texts") as report:
            x, y = (contrast_differences(model, pairs, report) for model in (parent, child))
    return kind.layer_map(LayerMapInputs(parent.n_layers, child.n_layers, seed, x, y))


def fit_projection(
    parent: LoadedModel,
    child: LoadedModel,
    texts: Sequence[FitText],
    mapping: LayerMap,
    kind: str | Callable[[Moments], Tensor] = "ridge",
    *,
    along: ConceptVectors | None = None,
    measure_shuffled: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> ProjectionSet:
    """One linear map for every child layer that the layer map feeds.

    Arguments:
        parent: the model the concept was found in.
        child: the model to steer.
        texts: ordinary texts, disjoint from contrast pairs and evaluation questions; unused by kinds that are not
            fitted. At least ten rows (paired tokens) per parent dimension are advisable.
        mapping: which layers to pair.
        kind: a name of `LINEAR_MAPS`, or a function from `Moments` of paired rows to W (d_parent, d_child).
        along: a concept of the parent: ridge maps also store "r2_along", the R² of the child's score on the mapped
            direction. Costs three more factorisations per map.
        measure_shuffled: ridge maps also store "shuffled_r2", the R² of rows paired with those of other texts, on 64
            random combinations of child dimensions. Costs about a tenth of the time and next to no memory.
        seed: of random maps, shuffled pairs and sketches.
        progress: called with the number of texts done; `n_passes` times over the corpus in all. None: a bar in a
            notebook.
    Raises: ConfigError for an unknown kind; DataError for an empty corpus; ShapeError for too few rows or widths that
        do not fit "identity".
    """
    name = LINEAR_MAPS.accept(kind)
    if make := LINEAR_MAPS[name].make:
        maps = {pair[1]: make(parent.d_model, child.d_model, seed, pair) for pair in mapping.pairs}
        return ProjectionSet(maps, mapping, parent.fingerprint, child.fingerprint, name, None, PromptHashes())
    if not texts:
        raise DataError(f"a {name} projection needs texts to be fitted on; give some that are no contrast pairs.")
    corpus = PairedCorpus(parent, child, texts, texts_per_batch=_TEXTS_PER_BATCH)
    total = n_passes(mapping, parent.d_model, child.d_model) * corpus.n_texts
    with shown_progress(progress, "fitting the maps", total, "texts") as report:
        sets = fit_projections(
            corpus, {"": mapping}, name, along=along, measure_shuffled=measure_shuffled, seed=seed, progress=report
        )
    return sets[""]


def fit_projections(
    corpus: PairedCorpus,
    mappings: Mapping[str, LayerMap],
    kind: str = "ridge",
    *,
    along: ConceptVectors | None = None,
    measure_shuffled: bool = True,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, ProjectionSet]:
    """Linear maps for several layer maps at once: a pair of layers that two of them share is fitted once.

    Arguments:
        corpus: what to fit on.
        mappings: name -> layer map.
        kind: a name of `LINEAR_MAPS` that is fitted.
        along: as in `fit_projection`; so are the others.
        measure_shuffled: whether to store "shuffled_r2".
        seed: of shuffled pairs and sketches.
        progress: called with the number of texts done.
    Returns: name -> projections.
    Raises: ConfigError for an unknown kind; ShapeError for too few rows.
    """
    if not LINEAR_MAPS[kind].needs_texts:
        fitted_kinds = [name for name, entry in LINEAR_MAPS.items() if entry.needs_texts]
        raise ConfigError(f"projection {kind!r} is not fitted; choose from {', '.join(fitted_kinds)}.")
    wanted = {kind: {pair for mapping in mappings.values() for pair in mapping.pairs}}
    fitted: dict[LayerPair, Projection] = {}
    for made in fit_each(corpus, wanted, along=along, measure_shuffled=measure_shuffled, seed=seed, progress=progress):
        if isinstance(made.projection, InterpXferError):
            raise made.projection
        fitted[made.pair] = made.projection
    return {
        name: ProjectionSet(
            maps={c: fitted[p, c] for p, c in mapping.pairs},
            layer_map=mapping,
            parent=corpus.parent.fingerprint,
            child=corpus.child.fingerprint,
            kind=kind,
            corpus=corpus.describe(seed),
            prompts=corpus.prompts,
        )
        for name, mapping in mappings.items()
    }


class FittedMap(NamedTuple):
    """One map of `fit_each`."""

    pair: LayerPair
    kind: str
    projection: Projection | InterpXferError
    """The error where this map cannot be fitted, so that the others are."""


def fit_each(
    corpus: PairedCorpus,
    wanted: Mapping[str, Collection[LayerPair]],
    *,
    along: ConceptVectors | None = None,
    measure_shuffled: bool = True,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Iterator[FittedMap]:
    """Every wanted map once, one at a time: maps of several kinds are fitted on the same sums.

    The sums of a pair of layers are freed before those of the next are used, and no map is kept here, so that memory
    does not grow with the number of kinds. Shuffled pairs have sums of their own, and so a reading of their own.

    Arguments:
        corpus: what to fit on.
        wanted: kind, a name of `LINEAR_MAPS` that is fitted -> pairs of layers.
        along: as in `fit_projection`; so are the others.
        measure_shuffled: whether ridge maps store "shuffled_r2".
        seed: of shuffled pairs and sketches.
        progress: called with the number of texts done; `n_readings` times over the corpus in all.
    Returns: yields the maps, in the order in which they are fitted.
    """
    for kinds in _same_sums(wanted):
        wrong_pairs, ridge = LINEAR_MAPS[kinds[0]].wrong_pairs, any(LINEAR_MAPS[kind].is_ridge for kind in kinds)
        union = sorted({pair for kind in kinds for pair in wanted[kind]})
        for pairs in passes(union, corpus.parent.d_model, corpus.child.d_model, _SUMS_BYTES):
            left = corpus.n_texts

            def report(n: int) -> None:
                nonlocal left
                left -= n
                progress(n)

            try:
                found = stream_sums(
                    corpus,
                    pairs,
                    with_shuffled=measure_shuffled and ridge and not wrong_pairs,
                    shuffle_seed=seed if wrong_pairs else None,
                    seed=seed,
                    progress=report,
                )
            except InterpXferError as error:
                found = as_value(error)
            if isinstance(found, InterpXferError):
                progress(left)  # of a reading that was given up
                yield from (FittedMap(p, kind, found) for kind in kinds for p in pairs if p in wanted[kind])
                continue
            real, shuffled = found
            del found
            while real:  # each pair's sums are freed as soon as its maps are fitted
                pair, sums = real.popitem()
                wrong = shuffled.pop(pair, None)
                for kind in kinds:
                    if pair in wanted[kind]:
                        direction = along and along.vectors[pair[0]]
                        yield FittedMap(pair, kind, _fit(kind, sums, wrong, direction, seed))


def _fit(
    kind: str, sums: PairedSums, wrong: PairedSums | None, direction: Tensor | None, seed: int
) -> Projection | InterpXferError:
    try:
        entry = LINEAR_MAPS[kind]
        assert entry.fit is not None
        made = entry.fit(sums, wrong, seed)
        if direction is not None and entry.is_ridge:
            mapped = made.map_direction(direction.double())
            made.diagnostics["r2_along"] = ridge_r2_along(sums, made.diagnostics["alpha"], mapped)
    except InterpXferError as error:
        return as_value(error)
    return replace(made, kind=kind)


def _same_sums(wanted: Mapping[str, Collection[LayerPair]]) -> list[list[str]]:
    """Kinds that are fitted on the same sums."""
    groups = ([kind for kind in wanted if LINEAR_MAPS[kind].wrong_pairs == wrong] for wrong in (False, True))
    return [kinds for kinds in groups if kinds]


def n_readings(wanted: Mapping[str, Collection[LayerPair]], d_parent: int, d_child: int) -> int:
    """How often `fit_each` reads the corpus."""
    unions = ({pair for kind in kinds for pair in wanted[kind]} for kinds in _same_sums(wanted))
    return sum(len(passes(sorted(union), d_parent, d_child, _SUMS_BYTES)) for union in unions)


def n_passes(mapping: LayerMap, d_parent: int, d_child: int) -> int:
    """How often the corpus is read: layer pairs share a reading as long as their sums fit in memory."""
    return len(passes(mapping.pairs, d_parent, d_child, _SUMS_BYTES))
