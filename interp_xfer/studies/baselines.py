"""The unsteered answers of a child, made once for every cell that asks it the same questions.

A cell compares its steered answers with the child's own. Those do not depend on the parent, the layer map, the
projection, the unit or the strengths, so all cells of a child and a data set share one set: it is generated once, and
two cells can not differ in their baseline.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interp_xfer.errors import ArtifactError
from interp_xfer.evaluation.answers import Answer, AnswerTable, answer_problems, make_engine
from interp_xfer.fields import Key
from interp_xfer.files.records import Record
from interp_xfer.models import Fingerprint, LoadedModel
from interp_xfer.progress import Progress, no_progress
from interp_xfer.studies.config import Study
from interp_xfer.studies.execution import Execution
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.study_data import StudyData
from interp_xfer.tasks import Problem


class AnsweredSplit(Record):
    """Unsteered answers to the questions of one split."""

    first_prompt: str
    answers: tuple[Answer, ...]


class BaselineRecord(Record):
    """The content of `baselines/<key>.json`."""

    kind: Literal["baseline"] = "baseline"
    key: Key
    child: Fingerprint
    validation: AnsweredSplit
    test: AnsweredSplit


@dataclass(frozen=True)
class Baseline:
    """Answers of one child at strength 0."""

    child: Fingerprint
    validation: AnswerTable
    test: AnswerTable


def make_baseline(
    study: Study,
    key: str,
    child: LoadedModel,
    data: StudyData,
    store: RunStore,
    progress: Progress = no_progress,
    execution: Execution | None = None,
) -> Baseline:
    """The child's unsteered answers to the questions of a study, kept in the run.

    Arguments:
        study: says how questions are asked.
        key: of the baseline.
        child: the model to ask.
        data: the questions, with the study's prompt and examples.
        store: where they are kept.
        progress: called with the number of answers just finished.
        execution: where it runs.
    Raises: as `answer_problems`.
    """
    settings = (execution or Execution()).generation(study)
    engine = make_engine(child, None, settings)
    validation, test = (
        answer_problems(engine, problems, (0.0,), settings, task=data.task, progress=progress)
        for problems in (data.validation, data.test)
    )
    record = BaselineRecord(key=key, child=child.fingerprint, validation=_split(validation), test=_split(test))
    record.write(store.baseline(key))
    return Baseline(child.fingerprint, validation, test)


def read_baseline(key: str, data: StudyData, store: RunStore) -> Baseline | None:
    """What `make_baseline` kept, or None.

    Raises: ArtifactError if it is damaged, or answers other questions.
    """
    path = store.baseline(key)
    if not os.path.lexists(path):
        return None
    record = BaselineRecord.read(path)
    if record.key != key:
        raise ArtifactError(f"{path} holds the record of {record.key!r}. Delete it and make it again.")
    tables = [
        _table(path, name, split, problems)
        for name, split, problems in (
            ("validation", record.validation, data.validation),
            ("test", record.test, data.test),
        )
    ]
    return Baseline(record.child, *tables)


def _split(table: AnswerTable) -> AnsweredSplit:
    return AnsweredSplit(first_prompt=table.first_prompt, answers=table.answers[0])


def _table(path: Path, name: str, split: AnsweredSplit, problems: tuple[Problem, ...]) -> AnswerTable:
    if [answer.problem_id for answer in split.answers] != [problem.id for problem in problems]:
        raise ArtifactError(f"{path} answers other {name} questions than the study asks; delete it.")
    if any(answer.strength != 0 for answer in split.answers):
        raise ArtifactError(f"{path} holds {name} answers that are not unsteered; delete it.")
    return AnswerTable((0.0,), problems, (split.answers,), split.first_prompt)
