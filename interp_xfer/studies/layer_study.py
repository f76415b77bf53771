"""A study of layers: which parent layer resembles which child layer, and which concept directions survive the crossing.

It costs forward passes and linear algebra; nothing is generated and nothing is steered. Train problems are cut into
four disjoint slices: concept pairs, calibration pairs, texts for the projections, held-out pairs. Validation and test
questions are not touched, so that layers may be chosen by what comes out. `layer_measurements` says what is measured.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from interp_xfer.artifacts import save_artifact
from interp_xfer.choices import DTypeName, WeightProcessing
from interp_xfer.errors import ConfigError
from interp_xfer.models import LoadedModel, default_dtype, load_model, model_identity
from interp_xfer.studies.cell_record import versions
from interp_xfer.studies.identity import items_digest, key_of, shown_files, shown_models
from interp_xfer.studies.layer_measurements import LayerSlices, MeasureSettings, measure_layers
from interp_xfer.studies.pipeline import Step, silent_step
from interp_xfer.tasks import check_disjoint, contrast_pairs, get_task, load_problems, projection_texts


class LayerStudy(MeasureSettings):
    """Everything that determines the numbers of one layer study."""

    parent: str
    """Reference of the model the concept is found in."""
    child: str
    """Reference of the model it is carried into."""
    dataset: str
    """Name of a task."""
    data_dir: str | None = None
    """Folder of `<dataset>/<split>.jsonl`; None: the hub, or the variable INTERP_XFER_DATA."""
    dtype: DTypeName | None = None
    """None: float32 on CPU, bfloat16 on CUDA."""
    weight_processing: WeightProcessing = "none"
    pairs: str = "reasoning-vs-answer"
    """Kind of contrast pair."""
    n_pairs: int = Field(default=128, ge=8)
    """Pairs for the concept and for layer similarity."""
    n_calibration: int = Field(default=32, ge=1)
    """Pairs that settle signs in the child."""
    n_fit_texts: int = Field(default=256, ge=3)
    """Texts that projections are fitted on."""
    n_held_out: int = Field(default=256, ge=2)
    """Pairs that AUROC is measured on."""


def make_layer_study(values: dict[str, Any]) -> LayerStudy:
    """A validated study.

    Raises: ConfigError naming every wrong key and what is wrong with it.
    """
    try:
        return LayerStudy(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"the settings: {problems}") from None


def run_layer_study(study: LayerStudy, out: Path, step: Step = silent_step) -> Path:
    """`out`/layers/KEY with `layers.json` and `layers.safetensors`; made if it is not there yet.

    Arguments:
        study: what to run.
        out: directory of a run; other studies in it are left alone.
        step: shows the progress of long steps.
    Returns: the directory of the artifact.
    Raises: any InterpXferError of the stages.
    """
    slices = load_slices(study)
    contents = layer_contents(study, slices)
    key = layer_key(study, contents)
    target = Path(out) / "layers" / key
    if (target / "layers.json").exists():
        return target
    start = time.monotonic()
    models: list[LoadedModel] = []
    for reference in (study.parent, study.child):
        with step(f"loading {reference}", 1, "model") as progress:
            models.append(load_model(reference, dtype=study.dtype, weight_processing=study.weight_processing))
            progress(1)
    settings = MeasureSettings(**{name: getattr(study, name) for name in MeasureSettings.model_fields})
    parent, child = models
    measured = measure_layers(parent, child, slices, settings, step)
    record = {
        "key": key,
        "study": _shown(study, contents),
        "contents": contents,
        "parent": parent.fingerprint.to_dict(),
        "child": child.fingerprint.to_dict(),
        **measured.record,
        "wall_s": round(time.monotonic() - start, 1),
        "versions": versions(),
    }
    return save_artifact(target, "layers", record, measured.tensors)


def layer_contents(study: LayerStudy, slices: LayerSlices) -> dict[str, str]:
    """Digests of what a layer study is made from, as `identity.Contents` for a study."""
    return {
        "parent": model_identity(study.parent),
        "child": model_identity(study.child),
        "dtype": study.dtype or default_dtype(),
        **{name: items_digest(getattr(slices, name)) for name in ("concept", "calibration", "texts", "held_out")},
    }


def layer_key(study: LayerStudy, contents: Mapping[str, str]) -> str:
    """Twelve hex digits over contents and the settings of measuring."""
    settings = study.model_dump(mode="json", include={*MeasureSettings.model_fields, "weight_processing"})
    return key_of({"kind": "layers", "settings": settings, "contents": dict(contents)})


def _shown(study: LayerStudy, contents: Mapping[str, str]) -> dict[str, Any]:
    """The settings as they may be shown to anybody."""
    names = shown_models(study.parent, study.child, contents)
    return {**shown_files(study.model_dump(mode="json")), **names}


def load_slices(study: LayerStudy) -> LayerSlices:
    """Consecutive slices of train, disjoint by id and by text.

    Raises: DataError if train is too small; LeakError if two slices share a problem.
    """
    task = get_task(study.dataset)
    sizes = (study.n_pairs, study.n_calibration, study.n_fit_texts, study.n_held_out)
    problems = load_problems(task, "train", sum(sizes), study.data_dir, study.seed)
    parts = []
    for size in sizes:
        parts.append(problems[:size])
        problems = problems[size:]
    concept, calibration, texts, held_out = parts
    slices = LayerSlices(
        concept=tuple(contrast_pairs(concept, study.pairs, study.seed, task)),
        calibration=tuple(contrast_pairs(calibration, study.pairs, study.seed, task)),
        texts=tuple(projection_texts(task, texts)),
        held_out=tuple(contrast_pairs(held_out, study.pairs, study.seed, task)),
    )
    check_disjoint(
        {
            "contrast": slices.concept,
            "calibration": slices.calibration,
            "projection": slices.texts,
            "held-out": slices.held_out,
        }
    )
    return slices
