"""The unsteered answers of a child, made once for every cell that asks it the same questions.

A cell compares its steered answers with the child's own. Those do not depend on the parent, the layer map, the
projection, the unit or the strengths, so all cells of a child and a data set share one set: it is generated once, and
two cells can not differ in their baseline.
"""

from dataclasses import dataclass

from interp_xfer.answers import Answer, AnswerTable, answer_problems, make_engine
from interp_xfer.artifacts import complete, read_json, write_json
from interp_xfer.errors import ArtifactError
from interp_xfer.models import Fingerprint, LoadedModel
from interp_xfer.progress import Progress, no_progress
from interp_xfer.studies.config import Study
from interp_xfer.studies.run_store import RunStore
from interp_xfer.tasks import Problem, Task


@dataclass(frozen=True)
class Baseline:
    """Answers of one child at strength 0."""

    child: Fingerprint
    validation: AnswerTable
    test: AnswerTable


def make_baseline(
    study: Study,
    child: LoadedModel,
    task: Task,
    validation: tuple[Problem, ...],
    test: tuple[Problem, ...],
    store: RunStore,
    progress: Progress = no_progress,
) -> Baseline:
    """The child's unsteered answers to the questions of a study, kept in the run.

    Arguments:
        study: says how questions are asked.
        child: the model to ask.
        task: of the questions, with the study's prompt and examples.
        validation: questions that choose a strength.
        test: questions that are looked at once.
        store: where they are kept.
        progress: called with the number of answers just finished.
    Raises: as `answer_problems`.
    """
    engine = make_engine(child, None, study.generation)
    tables = [
        answer_problems(engine, problems, (0.0,), study.generation, task=task, progress=progress)
        for problems in (validation, test)
    ]
    splits = {
        split: {"first_prompt": table.first_prompt, "answers": [answer.to_dict() for answer in table.answers[0]]}
        for split, table in zip(("validation", "test"), tables, strict=True)
    }
    write_json(store.baseline(study), {"child": child.fingerprint.to_dict(), **splits})
    return Baseline(child.fingerprint, *tables)


def read_baseline(
    study: Study, validation: tuple[Problem, ...], test: tuple[Problem, ...], store: RunStore
) -> Baseline | None:
    """What `make_baseline` kept, or None.

    Raises: ArtifactError if it is damaged, or answers other questions.
    """
    path = store.baseline(study)
    if not path.exists():
        return None
    record = read_json(path)
    tables = []
    with complete(path):
        for split, problems in (("validation", validation), ("test", test)):
            answers = tuple(Answer.from_dict(values) for values in record[split]["answers"])
            if [answer.problem_id for answer in answers] != [problem.id for problem in problems]:
                raise ArtifactError(f"{path} answers other {split} questions than the study asks; delete it.")
            tables.append(AnswerTable((0.0,), problems, (answers,), record[split]["first_prompt"]))
        return Baseline(Fingerprint.from_dict(record["child"]), *tables)
