"""Component alignment of a study: a measure beside the cells, with a key of its own; no cell needs it.

It is made from finished artifacts (concept, steering vectors) and the study's texts. What the stages before have just
read is used where it is still in memory; the numbers are the same without.
"""

from collections import Counter

from interp_xfer.concepts.extract import ConceptVectors
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.measures.component_alignment import AlreadyRead, measure_alignment, n_texts, why_not_aligned
from interp_xfer.models import require_same_model
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import Keys
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.steps import Step, silent_step
from interp_xfer.studies.study_data import StudyData
from interp_xfer.studies.study_models import StudyModels
from interp_xfer.studies.transfers import SeenTexts, corpus_of
from interp_xfer.tasks.prompt_hashes import PromptHashes


def align_components(
    study: Study,
    keys: Keys,
    data: StudyData,
    models: StudyModels,
    store: RunStore,
    seen: SeenTexts | None = None,
    step: Step = silent_step,
) -> None:
    """Compare the components of parent and child, and keep what comes out; nothing where it is there already.

    Arguments:
        study: which comparison; below two pairs for the child, or four held-out ones, there is none.
        keys: of the study; concept and steering vectors must be in the store.
        data: the study's pairs and texts.
        models: loads parent and child where they are not loaded.
        store: where the comparison is kept.
        seen: what was read in making the vectors.
        step: shows the progress.
    Raises: any InterpXferError of `measure_alignment`.
    """
    place, pairs, held_out = store.alignment(keys.alignment), data.pairs, data.calibration
    n_child = min(study.n_aligned, len(pairs))
    concept = ConceptVectors.load(store.concept(keys.concept))
    shared = concept.prompts.values & PromptHashes.of(held_out).values
    if place.exists() or shared or why_not_aligned(n_child, len(held_out)):
        return
    steering = SteeringVectors.load(store.transfer(keys.transfer))
    parent, child = models.get(study.parent), models.get(study.child)
    require_same_model(concept.model, parent.fingerprint, "the concept")
    require_same_model(steering.child, child.fingerprint, "the steering vectors")
    seen = seen or SeenTexts()
    corpus = None
    if LINEAR_MAPS[study.projection].needs_texts:
        corpus = (seen.corpus or corpus_of(data, parent, child)).first_part()
    known = AlreadyRead(seen.parent_differences, seen.child_calibration)
    total = n_texts(len(pairs), n_child, len(held_out), corpus, known)
    alphas = usual_alphas(steering)
    with step("comparing components", total, "texts") as progress:
        found = measure_alignment(parent, child, concept, pairs, n_child, held_out, corpus, alphas, known, progress)
    found.save(place)


def usual_alphas(steering: SteeringVectors) -> list[float] | None:
    """Ridge strength that the fitted maps of each parent layer chose most often, or all of them; None without any."""
    if steering.projection.kind != "ridge":
        return None
    fits = steering.projection.fits or {}
    chosen = {(p, c): fits[c]["alpha"] for p, c in steering.layer_map.pairs}
    overall = Counter(chosen.values())
    layers = [
        Counter(alpha for (p, _), alpha in sorted(chosen.items()) if p == n) for n in range(steering.parent.n_layers)
    ]
    return [(of_layer or overall).most_common(1)[0][0] for of_layer in layers]
