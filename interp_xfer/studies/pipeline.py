"""One cell of a study, from problems to scored answers; each stage reads the artifact of the one before.

problems -> concept (parent) -> steering vectors (parent and child) -> search (validation) -> evaluation (test) -> cell.
A finished artifact is read instead of made, so the same call resumes; with all of them there, no model is loaded.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from interp_xfer.concepts.extract import ConceptVectors, concept_from_differences, contrast_differences
from interp_xfer.evaluation.answers import make_engine
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.search import search_lambda
from interp_xfer.generation import FinishedAnswers
from interp_xfer.generation.memory import free_unused
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.measures.component_alignment import AlreadyRead, measure_alignment, n_texts, why_not_aligned
from interp_xfer.models import LoadedModel, load_model, require_same_model
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.baselines import Baseline
from interp_xfer.studies.cell_record import CellRecord, cell_record, item_records
from interp_xfer.studies.config import Study
from interp_xfer.studies.execution import Execution
from interp_xfer.studies.identity import Contents, Keys, read_contents, shareable, study_keys
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.study_data import StudyData, load_data
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.carry import calibrate, transfer_concept
from interp_xfer.transfer.corpus import PairedCorpus
from interp_xfer.transfer.fit import (
    MEASURED,
    UNFITTED,
    ProjectionSet,
    fit_projection,
    fit_projections,
    map_layers,
    n_passes,
)

_ALIGNMENT_ROWS = 5  # per parent dimension: what the maps of all pairs of layers are fitted on


@runtime_checkable
class Step(Protocol):
    """Shows one long step: `with step("extracting", 256, "texts") as progress: ... progress(n)`."""

    def __call__(self, description: str, total: int, unit: str = "") -> AbstractContextManager[Progress]:
        """A context that yields the function to call with the number of units just done."""
        ...


@contextmanager
def silent_step(description: str, total: int, unit: str = "") -> Iterator[Progress]:
    """Shows nothing."""
    yield no_progress


class StudyModels:
    """Loads parent and child when they are first needed."""

    def __init__(self, study: Study, step: Step, execution: Execution | None = None) -> None:
        self._study, self._step = study, step
        self.execution = execution or Execution()
        self._loaded: dict[str, LoadedModel] = {}

    def get(self, reference: str) -> LoadedModel:
        """The model of that reference."""
        if reference not in self._loaded:
            with self._step(f"loading {reference}", 1, "model") as progress:
                study = self._study
                self._loaded[reference] = load_model(
                    reference,
                    dtype=study.dtype,
                    device=self.execution.device,
                    weight_processing=study.weight_processing,
                )
                progress(1)
        return self._loaded[reference]

    def forget(self, reference: str) -> None:
        """Free a model that is not needed any more."""
        self.keep(*(set(self._loaded) - {reference}))

    def keep(self, *references: str) -> None:
        """Free all others."""
        others = set(self._loaded) - set(references)
        for reference in others:
            del self._loaded[reference]
        if others:
            free_unused()


def run_study(
    study: Study, store: RunStore, step: Step = silent_step, execution: Execution | None = None
) -> CellRecord:
    """The record of the study's cell; made if it is not there yet.

    Arguments:
        study: what to run.
        store: where artifacts and records go; finished ones are reused.
        step: shows the progress of long steps.
        execution: where it runs.
    Returns: the content of `cells/<key>.json`.
    Raises: any InterpXferError of the stages; what was finished before stays and is reused next time.
    """
    execution = execution or Execution()
    data = load_data(study)
    contents = read_contents(study, data, execution.device)
    store.write_study(shareable(study, contents))
    key = study_keys(study, contents).cell
    if (finished := store.finished_cell(key)) is not None:
        return finished
    store.require_writable()
    return run_cell(study, contents, data, StudyModels(study, step, execution), store, step)


def run_cell(
    study: Study,
    contents: Contents,
    data: StudyData,
    models: StudyModels,
    store: RunStore,
    step: Step = silent_step,
    baseline: Baseline | None = None,
) -> CellRecord:
    """The record of a cell, made with what several cells share.

    Arguments:
        study: what to run.
        contents: of `read_contents`.
        data: of `load_data`.
        models: those that are loaded already are used.
        store: where artifacts and records go; finished ones are reused.
        step: shows the progress of long steps.
        baseline: the child's unsteered answers; None answers here.
    Returns: the content of `cells/<key>.json`.
    Raises: any InterpXferError of the stages.
    """
    start = time.monotonic()
    keys = study_keys(study, contents)
    steering = make_steering(study, keys, data, models, store, step)
    if contents.parent != contents.child:
        models.forget(study.parent)
    seconds = {"extract_and_transfer": round(time.monotonic() - start, 1)}
    child = models.get(study.child)
    require_same_model(steering.child, child.fingerprint, "the steering vectors")
    if baseline is not None:
        require_same_model(baseline.child, child.fingerprint, "the unsteered answers")
    settings = models.execution.generation(study)
    engine = make_engine(child, steering, settings)
    keep = FinishedAnswers(store.unfinished(keys.cell))
    mark = time.monotonic()
    n_arms = len(study.strengths) + 1
    with step("searching lambda", n_arms * len(data.validation), "answers") as progress:
        search = search_lambda(
            child, steering, data.validation, grid=study.strengths, settings=settings, task=data.task, engine=engine,
            known=baseline and baseline.validation, keep=keep, progress=progress,
        )  # fmt: skip
    seconds["search"] = round(time.monotonic() - mark, 1)
    mark = time.monotonic()
    n_test_arms = n_arms if study.with_its else 2
    with step("evaluating", n_test_arms * len(data.test), "answers") as progress:
        result = evaluate(
            child, steering, data.test, search.best, with_its=study.with_its, grid=study.strengths, settings=settings,
            task=data.task, engine=engine, known=baseline and baseline.test, keep=keep, progress=progress,
        )  # fmt: skip
    seconds["evaluate"] = round(time.monotonic() - mark, 1)
    record = cell_record(study, contents, steering, search, result, engine.path, seconds)
    record = store.write_cell(record, item_records(search, result))
    keep.forget()
    return record


def make_steering(
    study: Study, keys: Keys, data: StudyData, models: StudyModels, store: RunStore, step: Step = silent_step
) -> SteeringVectors:
    """The steering vectors of a study: Algorithm 1 in the parent, then the transfer; read where they are there.

    Every stage reads the artifact of the one before, also where that was made a moment ago: what is interrupted and
    goes on gives what would have come out at once.
    """
    if store.transfer(keys.transfer).exists():
        return SteeringVectors.load(store.transfer(keys.transfer))
    parent = models.get(study.parent)
    differences: Tensor | None = None
    if not store.concept(keys.concept).exists():
        with step("extracting the concept", 2 * len(data.pairs), "texts") as progress:
            differences = contrast_differences(parent, data.pairs, progress)
            made = concept_from_differences(
                differences,
                data.pairs,
                parent.fingerprint,
                method=study.method,
                centering=study.centering,
                normalize_differences=study.normalize_differences,
                seed=study.seed,
            )
        made.save(store.concept(keys.concept))
    concept = ConceptVectors.load(store.concept(keys.concept))
    require_same_model(concept.model, parent.fingerprint, "the concept")
    child = models.get(study.child)
    mapping = study_layer_map(study, parent, child, data, step)
    corpus: PairedCorpus | None = None
    if study.projection in UNFITTED:
        projection = fit_projection(parent, child, data.fit_texts, mapping, study.projection, seed=study.seed)
    else:
        total = len(data.fit_texts) * n_passes(mapping, parent.d_model, child.d_model)
        with step(f"fitting the {study.projection} projection", total, "texts") as progress:
            corpus = PairedCorpus(parent, child, data.fit_texts, part_rows=_ALIGNMENT_ROWS * parent.d_model)
            fits = fit_projections(
                corpus, {"": mapping}, study.projection, along=concept, seed=study.seed, progress=progress
            )
            projection = fits[""]
    with step("calibrating the child", 4 * len(data.calibration), "texts") as progress:
        calibration = calibrate(child, data.calibration, progress=progress)
    part = corpus and corpus.first_part()
    known = AlreadyRead(differences, calibration.members)
    place = store.alignment(keys.alignment)
    align_components(study, place, data, parent, child, concept, projection, part, known, step)
    steering = transfer_concept(concept, mapping, projection, calibration)
    return SteeringVectors.load(steering.save(store.transfer(keys.transfer)))


def align_components(
    study: Study,
    place: Path,
    data: StudyData,
    parent: LoadedModel,
    child: LoadedModel,
    concept: ConceptVectors,
    projection: ProjectionSet,
    corpus: PairedCorpus | None,
    known: AlreadyRead,
    step: Step = silent_step,
) -> None:
    """Compare the components of both models, and keep what comes out; nothing where there are too few pairs."""
    pairs, n_child, held_out = data.pairs, min(study.n_aligned, len(data.pairs)), data.calibration
    shared = concept.prompts.values & PromptHashes.of(held_out).values
    if shared or why_not_aligned(n_child, len(held_out)):
        return
    alphas = usual_alphas(projection, parent.n_layers)
    total = n_texts(len(pairs), n_child, len(held_out), corpus, known)
    with step("comparing components", total, "texts") as progress:
        found = measure_alignment(parent, child, concept, pairs, n_child, held_out, corpus, alphas, known, progress)
    found.save(place)


def usual_alphas(projection: ProjectionSet, n_parent_layers: int) -> list[float] | None:
    """Ridge strength that the fitted maps of each parent layer chose most often, or all of them; None without any."""
    if projection.kind != "ridge":
        return None
    chosen = {(p, c): projection.maps[c].diagnostics["alpha"] for p, c in projection.layer_map.pairs}
    overall = Counter(chosen.values())
    layers = [Counter(alpha for (p, _), alpha in sorted(chosen.items()) if p == n) for n in range(n_parent_layers)]
    return [(of_layer or overall).most_common(1)[0][0] for of_layer in layers]


def study_layer_map(study: Study, parent: LoadedModel, child: LoadedModel, data: StudyData, step: Step) -> LayerMap:
    """The layer map of a study; the measured ones read the contrast pairs in both models."""
    if study.layer_map not in MEASURED:
        return map_layers(parent, child, strategy=study.layer_map, seed=study.seed)
    with step("matching layers by CKA", 4 * len(data.pairs), "texts") as progress:
        return map_layers(parent, child, data.pairs, strategy=study.layer_map, seed=study.seed, progress=progress)
