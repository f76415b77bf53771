"""One cell of a study: steering vectors that are there -> search (validation) -> evaluation (test) -> record."""

import time
from collections.abc import Mapping

from interp_xfer.evaluation.answers import make_engine
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.search import search_lambda
from interp_xfer.generation import FinishedAnswers
from interp_xfer.models import require_same_model
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.baselines import Baseline
from interp_xfer.studies.cell_record import CellRecord, cell_record
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import Contents, study_keys
from interp_xfer.studies.item_record import item_records
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.steps import Step, silent_step
from interp_xfer.studies.study_data import StudyData
from interp_xfer.studies.study_models import StudyModels


def run_cell(
    study: Study,
    contents: Contents,
    data: StudyData,
    models: StudyModels,
    store: RunStore,
    step: Step = silent_step,
    baseline: Baseline | None = None,
    seconds: Mapping[str, float] | None = None,
) -> CellRecord:
    """The record of a cell whose steering vectors are there.

    Arguments:
        study: what to run.
        contents: of `read_contents`.
        data: of `load_data`.
        models: those that are loaded already are used.
        store: where artifacts and records go; finished ones are reused.
        step: shows the progress of long steps.
        baseline: the child's unsteered answers; None answers here.
        seconds: what the stages before took, for the record.
    Returns: the content of `cells/<key>.json`.
    Raises: any InterpXferError of the stages.
    """
    keys = study_keys(study, contents)
    steering = SteeringVectors.load(store.transfer(keys.transfer))
    seconds = dict(seconds or {})
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
