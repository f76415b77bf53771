"""The problems of a study, stage by stage, disjoint by id and by text."""

from dataclasses import dataclass, replace

from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.write_rationales import load_training
from interp_xfer.likelihood.options import require_choices
from interp_xfer.studies.config import Study
from interp_xfer.tasks import (
    ContrastPair,
    FitText,
    Problem,
    Task,
    check_disjoint,
    contrast_pairs,
    get_task,
    load_few_shot,
    load_problems,
    load_system_prompt,
    projection_texts,
)


@dataclass(frozen=True)
class StudyData:
    """What each stage reads."""

    task: Task
    pairs: tuple[ContrastPair, ...]
    calibration: tuple[ContrastPair, ...]
    fit_texts: tuple[FitText, ...]
    validation: tuple[Problem, ...]
    test: tuple[Problem, ...]


def load_data(study: Study) -> StudyData:
    """The problems of a study: pairs, calibration and fit texts are consecutive slices of train.

    Raises: DataError if a split is smaller than what is asked of it; LeakError if two stages share a problem;
        ConfigError for more examples than there are.
    """
    task = get_task(study.dataset)
    if study.system_prompt is not None:
        task = replace(task, system_prompt=load_system_prompt(study.system_prompt))
    if study.few_shot is not None:
        task = replace(task, few_shot=load_few_shot(task, study.few_shot))
    if study.n_shots > len(task.few_shot):
        raise ConfigError(f"n_shots={study.n_shots}, but {task.name} has {len(task.few_shot)} few-shot examples.")
    sizes = (study.n_pairs, study.n_calibration, study.n_fit_texts)
    train = load_training(task, sum(sizes), study.data_dir, study.seed, rationales=study.rationales)
    first, second = sizes[0], sizes[0] + sizes[1]
    data = StudyData(
        task=task,
        pairs=tuple(contrast_pairs(train[:first], study.pairs, study.seed, task)),
        calibration=tuple(contrast_pairs(train[first:second], study.pairs, study.seed, task)),
        fit_texts=tuple(projection_texts(task, train[second:])),
        validation=tuple(load_problems(task, "validation", study.n_validation, study.data_dir, study.seed)),
        test=tuple(load_problems(task, "test", study.n_test, study.data_dir, study.seed)),
    )
    if study.scoring == "likelihood":
        require_choices([*data.validation, *data.test])
    check_disjoint(
        {
            "contrast": data.pairs,
            "calibration": data.calibration,
            "projection": data.fit_texts,
            "validation": data.validation,
            "test": data.test,
            "few-shot": task.few_shot,
        }
    )
    return data
