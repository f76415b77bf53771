"""A study of layers: which parent layer resembles which child layer, and which concept directions survive the crossing.

It costs forward passes and linear algebra; nothing is generated and nothing is steered. Train problems are cut into
four disjoint slices: concept pairs, calibration pairs, texts for the projections, held-out pairs. Validation and test
questions are not touched, so that layers may be chosen by what comes out. `layer_measurements` says what is measured.
"""

import time
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from interp_xfer.bounds import MAX_PROBLEMS
from interp_xfer.checks import require_finite
from interp_xfer.choices import DTypeName
from interp_xfer.errors import ConfigError
from interp_xfer.fields import Digest, Json, Key, NotNegative, damaged
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.models import Fingerprint, LoadedModel, default_dtype, load_model, model_identity
from interp_xfer.studies.cell_record import versions
from interp_xfer.studies.config import PairSettings
from interp_xfer.studies.identity import items_digest, key_of, shown_files, shown_models
from interp_xfer.studies.layer_measurements import LayerSlices, MeasureSettings, measure_layers
from interp_xfer.studies.layer_record import LayerMeasured
from interp_xfer.studies.steps import Step, silent_step
from interp_xfer.studies.validation import settings_problems
from interp_xfer.tasks import check_disjoint, contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.transfer.projections import require_depths


class LayerStudy(MeasureSettings, PairSettings):
    """Everything that determines the numbers of one layer study."""

    n_pairs: int = Field(default=128, ge=8, le=MAX_PROBLEMS)
    """Pairs for the concept and for layer similarity."""
    n_calibration: int = Field(default=32, ge=1, le=MAX_PROBLEMS)
    """Pairs that settle signs in the child."""
    n_fit_texts: int = Field(default=256, ge=3, le=MAX_PROBLEMS)
    """Texts that projections are fitted on."""
    n_held_out: int = Field(default=256, ge=2, le=MAX_PROBLEMS)
    """Pairs that AUROC is measured on."""


def make_layer_study(values: Json) -> LayerStudy:
    """A validated study.

    Raises: ConfigError naming every wrong key and what is wrong with it.
    """
    try:
        return LayerStudy(**values)
    except ValidationError as error:
        raise ConfigError(f"the settings: {settings_problems(error, LayerStudy.model_fields)}") from None


class LayerContents(Record):
    """Digests of what a layer study is made from, as `identity.Contents` for a study."""

    parent: Digest
    child: Digest
    dtype: DTypeName
    concept: Digest
    calibration: Digest
    texts: Digest
    held_out: Digest


class LayerStudyRecord(LayerMeasured):
    """`layers.json`."""

    kind: Literal["layers"] = "layers"
    key: Key
    study: LayerStudy
    """Files and folders by their names alone."""
    contents: LayerContents
    parent: Fingerprint
    child: Fingerprint
    wall_s: NotNegative
    versions: dict[str, str]

    @model_validator(mode="after")
    def _agree(self) -> "LayerStudyRecord":
        if self.key != layer_key(self.study, self.contents):
            raise ValueError(f"key {self.key} is not that of the study and contents in it")
        for name, layer_map in self.maps.items():
            require_depths(layer_map, self.parent, self.child, f"the {name} map")
            if sorted(self.fits.get(name, {})) != [c for _, c in layer_map.pairs]:
                raise ValueError(f"the fits of {name} are not those of its layers")
            if any("r2" not in fit for fit in self.fits[name].values()):
                raise ValueError(f"a fit of {name} has no r2")
            if f"transferred-{name}" not in self.flipped:
                raise ValueError(f"the signs of transferred-{name} are missing")
        if missing := {"greedy", "proportional", "cka"} - set(self.maps):
            raise ValueError(f"the layer map {missing.pop()} is missing")
        if self.maps["cka"].bootstrap is None or set(self.similarity) != set(_SIMILARITIES):
            raise ValueError("what the CKA map rests on is missing")
        if len(self.alphas) != self.parent.n_layers:
            raise ValueError(f"there are {len(self.alphas)} alphas for {self.parent.n_layers} parent layers")
        for rows in (*self.flipped.values(), *self.cosine_with_native.values(), *self.readout.values()):
            if len(rows) != self.child.n_layers:
                raise ValueError(f"a source has {len(rows)} entries for {self.child.n_layers} child layers")
        if any(row.layer >= self.child.n_layers for rows in self.draws.values() for row in rows):
            raise ValueError("a range over draws is of a layer that the child does not have")
        return self

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What the tensors must look like."""
        layers = (self.parent.n_layers, self.child.n_layers)
        out: dict[str, tuple[int, ...]] = {name: layers for name in (*_AUROC, "flipped_matrix")}
        out |= {f"cka_{name}": layers for name in _SIMILARITIES}
        out |= {f"null_max_{name}": (self.study.n_permutations,) for name in _SIMILARITIES}
        return out | {f"direction_{name}": (layers[1], self.child.d_model) for name in self.flipped}


_SIMILARITIES = ("raw", "differences")
_AUROC = ("auroc_matrix", "auroc_matrix_low", "auroc_matrix_high")
_DTYPES = {f"{kind}_{name}": torch.float64 for kind in ("cka", "null_max") for name in _SIMILARITIES}
_DTYPES["flipped_matrix"] = torch.bool


def load_layer_study(directory: Path | str) -> tuple[LayerStudyRecord, dict[str, Tensor]]:
    """What `run_layer_study` kept.

    Raises: ArtifactError if it is missing or damaged.
    """
    record, tensors = LayerStudyRecord.load(directory)
    require_tensors(tensors, record.shapes, directory, _DTYPES)
    with damaged(directory):
        for name, values in tensors.items():
            require_finite(name, values)
    return record, tensors


def run_layer_study(study: LayerStudy, out: Path, step: Step = silent_step, device: str | None = None) -> Path:
    """`out`/layers/KEY with `layers.json` and `layers.safetensors`; made if it is not there yet.

    Arguments:
        study: what to run.
        out: directory of a run; other studies in it are left alone.
        step: shows the progress of long steps.
        device: as in `load_model`.
    Returns: the directory of the artifact.
    Raises: any InterpXferError of the stages.
    """
    slices = load_slices(study)
    contents = layer_contents(study, slices, device)
    key = layer_key(study, contents)
    target = Path(out) / "layers" / key
    if (target / "layers.json").exists():
        return target
    start = time.monotonic()
    models: list[LoadedModel] = []
    for reference in (study.parent, study.child):
        with step(f"loading {reference}", 1, "model") as progress:
            models.append(
                load_model(reference, dtype=study.dtype, device=device, weight_processing=study.weight_processing)
            )
            progress(1)
    settings = MeasureSettings(**{name: getattr(study, name) for name in MeasureSettings.model_fields})
    parent, child = models
    measured = measure_layers(parent, child, slices, settings, step)
    record = LayerStudyRecord(
        key=key,
        study=_shown(study, contents),
        contents=contents,
        parent=parent.fingerprint,
        child=child.fingerprint,
        **{name: getattr(measured.record, name) for name in LayerMeasured.model_fields},
        wall_s=round(time.monotonic() - start, 1),
        versions=versions(),
    )
    return record.save(target, measured.tensors)


def layer_contents(study: LayerStudy, slices: LayerSlices, device: str | None = None) -> LayerContents:
    """What a layer study is made from, as it is now."""
    return LayerContents(
        parent=model_identity(study.parent),
        child=model_identity(study.child),
        dtype=study.dtype or default_dtype(device),
        **{name: items_digest(getattr(slices, name)) for name in ("concept", "calibration", "texts", "held_out")},
    )


def layer_key(study: LayerStudy, contents: LayerContents) -> str:
    """Twelve hex digits over contents and the settings of measuring."""
    settings = study.model_dump(mode="json", include={*MeasureSettings.model_fields, "weight_processing"})
    return key_of({"kind": "layers", "settings": settings, "contents": contents.to_dict()})


def _shown(study: LayerStudy, contents: LayerContents) -> LayerStudy:
    """The settings as they may be shown to anybody."""
    names = shown_models(study.parent, study.child, contents.to_dict())
    return study.model_copy(update={**shown_files(study.model_dump(mode="json")), **names})


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
