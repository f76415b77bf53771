"""Layer sensitivity of the finished cells of a run: which child layers respond to the direction that was carried there.

1. Validation questions with their gold answers, never test questions.
2. Gradient: slope of log p(gold) at every steered layer, from one backward pass a question, for the transferred
   direction, the child's own (`native`), and draws of random directions with their signs resolved as those of a
   transfer. Nulls by formula beside the draws.
3. Sweep, teacher forced: each layer alone, and windows that tile all steered layers, at a few strengths.
4. Generation check: the lowest, middle and highest window, chosen by depth alone, at the two largest strengths.

A slope is per unit of strength of that layer steered alone, so it is the slope of its sweep at strength 0. In the unit
`relative` a strength is a share of the residual norm, summed over the layers of a window.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from interp_xfer.arms.controls import ControlSources, make_control
from interp_xfer.concepts.extract import concept_from_differences, contrast_members
from interp_xfer.errors import ArtifactError, ConfigError, DataError, ModelError
from interp_xfer.evaluation.answers import AnswerTable, answer_problems, make_engine
from interp_xfer.evaluation.gold_answers import gold_rows
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.likelihood.gradients import answer_gradients, directional_derivatives
from interp_xfer.likelihood.layer_sweep import LayerSweep, Window, single_layers, sweep_windows, tiled_windows, windowed
from interp_xfer.maths.gradient_nulls import covariance_deviation, isotropic_deviation
from interp_xfer.models import LoadedModel, require_same_model
from interp_xfer.passes.teacher_forcing import TargetRow
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.cell_record import CellRecord, versions
from interp_xfer.studies.config import Study
from interp_xfer.studies.execution import Execution
from interp_xfer.studies.identity import FILE_SETTINGS, Keys, read_contents
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.sensitivity_record import (
    COVARIANCE,
    ISOTROPIC,
    NATIVE,
    TRANSFERRED,
    GeneratedArm,
    Sensitivity,
    SensitivitySettings,
    Sweep,
    read_sensitivity,
    write_sensitivity,
)
from interp_xfer.studies.steps import Step, silent_step
from interp_xfer.studies.study_data import StudyData, load_data
from interp_xfer.studies.study_models import StudyModels
from interp_xfer.studies.validation import settings_problems
from interp_xfer.transfer.carry import Calibration, calibrate, native_steering
from interp_xfer.words import unknown


@dataclass(frozen=True, eq=False)
class Candidates:
    """Unit directions at every child layer, zero where a layer is not steered."""

    named: dict[str, Float[Tensor, "child_layers d_child"]]
    random: dict[str, Float[Tensor, "draws child_layers d_child"]]
    activations: Float[Tensor, "child_layers rows d_child"]
    """Of the child on the concept's pairs; their covariance is that of the second kind of random direction."""
    left_out: tuple[str, ...]


def make_settings(**values: object) -> SensitivitySettings:
    """Validated settings; those that are None take their defaults.

    Raises: ConfigError naming every wrong one.
    """
    try:
        return SensitivitySettings.model_validate({name: v for name, v in values.items() if v is not None})
    except ValidationError as error:
        raise ConfigError(f"layer sensitivity: {settings_problems(error, SensitivitySettings.model_fields)}") from None


def measure_run(
    store: RunStore,
    settings: SensitivitySettings,
    cell: str | None = None,
    step: Step = silent_step,
    places: Mapping[str, str] | None = None,
    execution: Execution | None = None,
) -> tuple[Sensitivity, ...]:
    """Layer sensitivity of all finished cells of a run, or of one; what is there is read.

    Arguments:
        store: of the run.
        settings: how it is measured.
        cell: key of a cell; None: all.
        step: shows the progress of long steps.
        places: as in `same_study`.
        execution: where it runs.
    Returns: one measurement a cell, in the order of the cells.
    Raises: ConfigError for an unknown cell, or one whose operator is not `add`, before anything runs; ArtifactError
        where a measurement with other settings is there.
    """
    records = store.read_cells()
    if cell is not None:
        keys = [record.key for record in records]
        records = [record for record in records if record.key == cell]
        if not records:
            raise ConfigError(f"{store.root}: {unknown('cell', cell, keys)}")
    for record in records:
        if record.study.operator != "add":
            raise ConfigError(
                f"cell {record.key} steers with the operator {record.study.operator!r}; the gradient is that of `add`. "
                f"Choose another cell with --cell KEY, or run the study with operator=add."
            )
    out: list[Sensitivity] = []
    models: StudyModels | None = None
    loaded: tuple[str, ...] = ()
    for record in records:
        found = read_sensitivity(store, record.key)
        if found is None:
            study, data = same_study(record, places or {}, execution and execution.device)
            wanted = (study.child, record.contents.dtype, study.weight_processing)
            if models is None or wanted != loaded:
                if models is not None:
                    models.keep()  # nothing: the child before makes room for this one
                models, loaded = StudyModels(study, step, execution), wanted
            found = measure_cell(study, record.keys, data, settings, models, store, step)
            write_sensitivity(store, found)
        elif found.settings != settings:
            path = store.sensitivity(record.key)
            raise ArtifactError(f"{path} was measured with other settings; {_changes(found.settings, settings)}.")
        elif found.steering != SteeringVectors.load(store.transfer(record.keys.transfer)).digest:
            path = store.sensitivity(record.key)
            raise ArtifactError(f"{path} was measured with other steering vectors. Delete it and measure again.")
        out.append(found)
    return tuple(out)


def same_study(record: CellRecord, places: Mapping[str, str], device: str | None = None) -> tuple[Study, StudyData]:
    """The study of a finished cell with its data, read again: only where everything is as it was.

    Arguments:
        record: of the cell; it names files and folders, but not where they lie.
        places: setting -> where its file or folder lies here; without one the name is looked up from the working
            directory.
        device: where the models will run.
    Raises: ConfigError for what is not a file setting, or where a content is another one now; any error of reading.
    """
    allowed = ("parent", "child", *FILE_SETTINGS)
    if wrong := [name for name in places if name not in allowed]:
        raise ConfigError(f"{', '.join(wrong)} cannot be set for a finished cell; only {', '.join(allowed)} can.")
    study = record.study.model_copy(update=dict(places))
    hint = f"Say where they lie here: --set {'=PATH, --set '.join(allowed[:3])}=PATH, ..."
    try:
        data = load_data(study)
        contents = read_contents(study, data, device)
    except (DataError, ModelError) as error:
        raise ConfigError(f"what cell {record.key} was made from cannot be read: {error} {hint}") from None
    there, now = record.contents.model_dump(), contents.model_dump()
    if changed := [name for name in there if there[name] != now[name]]:
        raise ConfigError(
            f"{', '.join(changed)} of cell {record.key} {'is' if len(changed) == 1 else 'are'} not what the cell was "
            f"made from. {hint}"
        )
    return study, data


def measure_cell(
    study: Study,
    keys: Keys,
    data: StudyData,
    settings: SensitivitySettings,
    models: StudyModels,
    store: RunStore,
    step: Step = silent_step,
) -> Sensitivity:
    """Steps 1 to 4 of the module docstring for one cell; nothing is written."""
    start = time.monotonic()
    # More validation questions than the study searched on are as disjoint from everything else as those.
    problems = load_data(study.model_copy(update={"n_validation": settings.n_questions})).validation
    data = replace(data, validation=problems)
    steering = SteeringVectors.load(store.transfer(keys.transfer))
    steering.prompts.require_disjoint(problems, "material of the steering vectors", "validation")
    child = models.get(study.child)
    require_same_model(steering.child, child.fingerprint, "the steering vectors")
    rows = gold_rows(child, data.task, problems, study.generation)
    candidates = make_candidates(study, data, child, steering, settings.n_random, step)
    layers = list(steering.steered_layers)
    scales = torch.tensor([windowed(steering, (c,)).strength_scales(study.unit)[c] for c in layers]).double()
    with step("differentiating log p(gold)", len(rows), "questions") as progress:
        found = answer_gradients(child, rows, tokens=study.tokens, progress=progress)
    mean = found.gradients.mean(dim=0)
    deviations = {
        ISOTROPIC: isotropic_deviation(mean[layers]) * scales,
        COVARIANCE: covariance_deviation(mean[layers], candidates.activations[layers]) * scales,
    }
    seconds = {"gradient": round(time.monotonic() - start, 1)}
    mark = time.monotonic()
    swept = _sweep(study, settings, child, steering, rows, step) if settings.sweep else None
    seconds["sweep"] = round(time.monotonic() - mark, 1)
    mark = time.monotonic()
    asking = models.execution.generation(study)
    arms = _generate(asking, settings, data, child, steering, step) if settings.generation else ()
    seconds["generation"] = round(time.monotonic() - mark, 1)
    left_out = [*candidates.left_out]
    left_out += [] if swept else ["there is no sweep (--no-sweep)"]
    left_out += [] if arms else ["nothing was generated (--no-generation)"]
    return Sensitivity(
        key=keys.cell,
        settings=settings,
        child=child.fingerprint,
        steering=steering.digest,
        unit=study.unit,
        tokens=study.tokens,
        problem_ids=tuple(problem.id for problem in problems),
        n_answer_tokens=tuple(len(row.targets) for row in rows),
        log_p=tuple(found.log_p.tolist()),
        layers=tuple(layers),
        scales=tuple(scales.tolist()),
        slopes={
            name: _rows(directional_derivatives(found.gradients, rows_)[:, layers] * scales)
            for name, rows_ in candidates.named.items()
        },
        random_slopes={
            kind: _rows(directional_derivatives(mean, draws)[:, layers] * scales)
            for kind, draws in candidates.random.items()
        },
        deviations={kind: tuple(values.tolist()) for kind, values in deviations.items()},
        sweep=swept,
        generation=arms,
        left_out=tuple(left_out),
        wall_s=seconds,
        versions=versions(),
    )


def make_candidates(
    study: Study, data: StudyData, child: LoadedModel, steering: SteeringVectors, n_random: int, step: Step
) -> Candidates:
    """The transferred direction, the child's own, and random ones, signs resolved on the calibration pairs."""
    with step("reading the concept's pairs", 2 * len(data.pairs), "texts") as progress:
        members = contrast_members(child, data.pairs, progress)
    with step("calibrating the child", 4 * len(data.calibration), "texts") as progress:
        calibration: Calibration = calibrate(child, data.calibration, progress=progress)
    named = {TRANSFERRED: steering.vectors}
    left_out = []
    if study.parent == study.child:
        left_out.append("the child's own direction is the one that steers (parent and child are one model)")
    else:
        own = concept_from_differences(members.differences, data.pairs, child.fingerprint, study.extraction)
        named[NATIVE] = native_steering(own, calibration).vectors
    activations = torch.cat([members.positive, members.negative], dim=1)
    sources = ControlSources(steering, calibration, child_activations=activations)
    random = {
        kind: torch.stack([make_control(kind, sources, study.seed, i).vectors for i in range(n_random)])
        for kind in (ISOTROPIC, COVARIANCE)
    }
    return Candidates(named, random, activations, tuple(left_out))


def sweep_plan(steering: SteeringVectors, width: int | None) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """Single layers, and windows that tile them.

    Arguments:
        steering: whose steered layers are swept.
        width: of a window; None: about a fifth of the steered layers, at least 2.
    """
    width = width or max(2, round(len(steering.steered_layers) / 5))
    return single_layers(steering), tiled_windows(steering, width)


def checked_windows(tiles: Sequence[Window]) -> tuple[Window, ...]:
    """The lowest, the middle and the highest window: chosen by depth, not by what they do."""
    return tuple(dict.fromkeys((tiles[0], tiles[len(tiles) // 2], tiles[-1])))


def _sweep(
    study: Study,
    settings: SensitivitySettings,
    child: LoadedModel,
    steering: SteeringVectors,
    rows: Sequence[TargetRow],
    step: Step,
) -> Sweep:
    singles, tiles = sweep_plan(steering, settings.window)
    windows = (*singles, *(tile for tile in tiles if len(tile) > 1))
    with step("sweeping layers", len(windows) * len(settings.strengths) * len(rows), "passes") as progress:
        found: LayerSweep = sweep_windows(
            child, steering, rows, windows, settings.strengths, tokens=study.tokens, unit=study.unit, progress=progress
        )
    change = tuple(_rows(of_window) for of_window in found.change)
    return Sweep(windows=windows, strengths=settings.strengths, change=change)


def _generate(
    asking: GenerationSettings,
    settings: SensitivitySettings,
    data: StudyData,
    child: LoadedModel,
    steering: SteeringVectors,
    step: Step,
) -> tuple[GeneratedArm, ...]:
    problems = data.validation[: settings.n_generated]
    windows = checked_windows(sweep_plan(steering, settings.window)[1])
    strengths = settings.strengths[-2:]
    arms: list[GeneratedArm] = []
    total = len(problems) * (1 + len(windows) * len(strengths))
    with step("checking by generation", total, "answers") as progress:
        engine = make_engine(child, steering, asking)
        plain = answer_problems(engine, problems, (0.0,), asking, task=data.task, progress=progress)
        arms.append(_arm((), 0.0, plain))
        for window in windows:
            engine = make_engine(child, windowed(steering, window), asking)
            table = answer_problems(engine, problems, strengths, asking, task=data.task, progress=progress)
            arms += [_arm(window, strength, table) for strength in strengths]
    return tuple(arms)


def _arm(window: Window, strength: float, table: AnswerTable) -> GeneratedArm:
    summary = table.summary(strength)
    correct = tuple(answer.correct for answer in table.at(strength))
    return GeneratedArm(
        window=window, strength=strength, correct=correct, invalid=summary.invalid, mean_tokens=summary.mean_tokens
    )


def _rows(values: Float[Tensor, "rows columns"]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def _changes(there: SensitivitySettings, wanted: SensitivitySettings) -> str:
    before, after = there.model_dump(), wanted.model_dump()
    found = [f"{name} was {before[name]}, asked is {after[name]}" for name in before if before[name] != after[name]]
    return f"{'; '.join(found)}. Ask for the same, or delete the file"
