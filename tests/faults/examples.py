"""One small real example of every kind of file that is kept, made on tiny models, and how each is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

TRAIN = {"n_pairs": 8, "n_fit_texts": 8, "n_calibration": 4}
STUDY = {**TRAIN, "dataset": "sums", "n_validation": 2, "n_test": 3, "n_shots": 1, "max_new_tokens": 3}
GRID = (0.5, 1.0)


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str
    path: str
    """The file that is damaged, below the root of the examples; JSON, JSON lines or YAML by its ending."""
    read: Callable[[Path], Any]
    """By the public reader, from the root; what it returns is compared."""
    tensors: str | None = None
    """The tensors beside it."""
    free: str | None = None
    """A part of it that may hold any JSON."""
    made_again: bool = False
    """Entries that are not there are made again, so that fewer of them are no fault."""


def make_examples(root: Path) -> tuple[Kind, ...]:
    """Write the examples below `root`: stages as files of their own, and a run with everything that can be in one."""
    from interp_xfer.concepts.extract import ConceptVectors
    from interp_xfer.evaluation.record import EvaluationRecord, SearchRecord
    from interp_xfer.generation import FinishedAnswers
    from interp_xfer.interop.crosscheck import CrosscheckRecord
    from interp_xfer.measures.component_alignment import ComponentAlignment
    from interp_xfer.steering.vectors import SteeringVectors
    from interp_xfer.studies.baselines import read_baseline
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.sensitivity_record import read_sensitivity
    from interp_xfer.studies.study_data import load_data
    from interp_xfer.transfer.fit import ProjectionSet
    from interp_xfer.transfer.layer_map_record import LayerMapRecord

    study, keys, layers = _make_run(root)
    _make_stages(root, root / "run" / "concepts" / keys.concept, root / "run" / "transfers" / keys.transfer)
    data = load_data(study)

    def store(root: Path) -> RunStore:
        return RunStore(root / "run")

    def artifact(name: str, folder: str, read: Callable[[Path], Any]) -> Kind:
        return Kind(name, f"{folder}/{name}.json", read, f"{folder}/{name}.safetensors")

    concept, transfer = f"run/concepts/{keys.concept}", f"run/transfers/{keys.transfer}"
    alignment = f"run/alignments/{keys.alignment}"
    return (
        artifact("concept", concept, lambda root: ConceptVectors.load(root / concept)),
        artifact("transfer", transfer, lambda root: SteeringVectors.load(root / transfer)),
        artifact("projection", "stages/projection", lambda root: ProjectionSet.load(root / "stages/projection")),
        artifact("alignment", alignment, lambda root: ComponentAlignment.load(root / alignment)),
        artifact("layers", f"run/layers/{layers}", _layer_studies),
        Kind("map", "stages/map.json", lambda root: LayerMapRecord.read(root / "stages/map.json")),
        Kind("search", "stages/search.json", lambda root: SearchRecord.read(root / "stages/search.json")),
        Kind("evaluation", "stages/evaluation.json",
             lambda root: EvaluationRecord.read(root / "stages/evaluation.json")),
        Kind("crosscheck", "stages/crosscheck.json",
             lambda root: CrosscheckRecord.read(root / "stages/crosscheck.json"), free="items"),
        Kind("sensitivity", f"run/sensitivities/{keys.cell}.json", lambda r: read_sensitivity(store(r), keys.cell)),
        Kind("unfinished", f"run/unfinished/{keys.cell}.jsonl", lambda root: _finished(
            FinishedAnswers(store(root).unfinished(keys.cell))), made_again=True),
        Kind("baseline", f"run/baselines/{keys.baseline}.json",
             lambda root: read_baseline(keys.baseline, data, store(root))),
        Kind("cell", f"run/cells/{keys.cell}.json", _cells),
        Kind("items", f"run/items/{keys.cell}.jsonl", lambda root: store(root).read_items(keys.cell)),
        Kind("plan", "run/plan.json", lambda root: store(root).read_plan()),
        Kind("failure", "run/failures/0123456789ab.json", lambda root: store(root).read_failures()),
    )  # fmt: skip


def analyses_of(root: Path) -> dict[str, Any]:
    """Every table that the report of the run is made from."""
    from interp_xfer_analyses.page.remembering import RememberingStore
    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.registry import ANALYSES

    store = RememberingStore(root / "run")
    tables = {name: analysis.compute(store) for name, analysis in ANALYSES.items()}
    return {**tables, "page": write_report(store).read_text(encoding="utf-8")}


def _make_run(root: Path) -> tuple[Any, Any, str]:
    """A finished run of one cell, with a sensitivity, a layer study, and pieces of other runs beside it."""
    from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer, token_prompts

    from interp_xfer.errors import ShapeError
    from interp_xfer.generation import FinishedAnswers, SweepEngine
    from interp_xfer.models import load_model
    from interp_xfer.steering.vectors import SteeringVectors
    from interp_xfer.studies.baselines import make_baseline
    from interp_xfer.studies.cell_record import PlanCell, PlanLeftOut, PlanRecord
    from interp_xfer.studies.config import make_study
    from interp_xfer.studies.failures import failure_record
    from interp_xfer.studies.identity import read_contents, study_keys
    from interp_xfer.studies.layer_study import make_layer_study, run_layer_study
    from interp_xfer.studies.run_store import RunStore
    from interp_xfer.studies.runner import run_study
    from interp_xfer.studies.sensitivity import make_settings, measure_run
    from interp_xfer.studies.study_data import load_data

    hf_model("llama").save_pretrained(root / "parent")
    make_tokenizer().save_pretrained(root / "parent")
    hf_model("qwen2", 1, hidden_size=24).save_pretrained(root / "child")
    make_tokenizer(chat=False, corpus=OTHER_CORPUS).save_pretrained(root / "child")
    ends = {"parent": str(root / "parent"), "child": str(root / "child"), "dtype": "float32"}
    study = make_study({**STUDY, **ends, "strengths": GRID})
    data = load_data(study)
    keys = study_keys(study, read_contents(study, data))
    store, child = RunStore(root / "run"), load_model(ends["child"], dtype="float32")
    run_study(study, store)
    measure_run(
        store,
        make_settings(n_questions=2, n_random=2, strengths=(0.5,), window=2, n_generated=1),
        places={name: ends[name] for name in ("parent", "child")},
    )
    make_baseline(study, keys.baseline, child, data, store)
    small = {"n_pairs": 8, "n_calibration": 2, "n_fit_texts": 8, "n_held_out": 4, "n_random": 2}
    layers = run_layer_study(
        make_layer_study({**ends, **small, "dataset": "sums", "n_permutations": 19, "n_bootstrap": 2}), store.root
    )
    keep = FinishedAnswers(store.unfinished(keys.cell))
    engine = SweepEngine(child, SteeringVectors.load(store.transfer(keys.transfer)))
    engine.generate(token_prompts([2, 3, 4]), [0.5], max_new_tokens=2, keep=keep)
    cells = (
        PlanCell(key=keys.cell, name="a, b", native=False),
        PlanCell(key="0123456789ab", name="a, native", native=True),
    )
    left_out = (PlanLeftOut(name="c", reason="identity needs equal widths"),)
    PlanRecord(cells=cells, left_out=left_out).write(store.root / "plan.json")
    store.write_failure(failure_record("0123456789ab", "a, native", ShapeError("two rows are too few")))
    return study, keys, layers.name


def _make_stages(root: Path, concept: Path, transfer: Path) -> None:
    """What the single verbs write."""
    from tiny_models import random_steering

    from interp_xfer.concepts.extract import ConceptVectors
    from interp_xfer.evaluation.evaluate import evaluate
    from interp_xfer.evaluation.record import conditions, evaluation_record, search_record
    from interp_xfer.evaluation.search import search_lambda
    from interp_xfer.evaluation.settings import GenerationSettings
    from interp_xfer.interop.crosscheck import Crosscheck, crosscheck_record
    from interp_xfer.maths.layer_maps import LayerMap
    from interp_xfer.models import load_model
    from interp_xfer.tasks import get_task, load_problems, projection_texts
    from interp_xfer.transfer.fit import fit_projection
    from interp_xfer.transfer.layer_map_record import LayerMapRecord

    stages, sums = root / "stages", get_task("sums")
    parent, child = (load_model(str(root / name), dtype="float32") for name in ("parent", "child"))
    mapping = LayerMap((0, None, 2), 3, "manual", scores=(0.5, None, 0.25), p_permutation=0.05)
    LayerMapRecord(
        parent=parent.fingerprint, child=child.fingerprint, layer_map=mapping, dataset="sums",
        pairs="reasoning-vs-answer", n_pairs=8, seed=0, prompts=("0" * 16, "1" * 16),
    ).write(stages / "map.json")  # fmt: skip
    texts = projection_texts(sums, load_problems(sums, "train", 8, offset=40))
    found = ConceptVectors.load(concept)
    fit_projection(parent, child, texts, mapping, along=found).save(stages / "projection")
    steering, settings = random_steering(child), GenerationSettings(n_shots=0, max_new_tokens=2)
    asked = conditions(child.fingerprint, steering, settings, sums)
    options = {"grid": GRID, "settings": settings}
    searched = search_lambda(child, steering, load_problems(sums, "validation", 2), **options)
    search_record(asked, searched).write(stages / "search.json")
    test = load_problems(sums, "test", 2)
    evaluation_record(asked, evaluate(child, steering, test, searched.best, **options)).write(
        stages / "evaluation.json"
    )
    item = {"id": test[0].id, "ours": {"text": "7", "primary": True}, "lm_eval": {"text": "7"}, "same_text": True}
    theirs = Crosscheck(2, {"strict": 0.5}, {"strict": 0.5}, {"text": 1.0}, None, 12, "0.4", (item,))
    crosscheck_record(asked, 0.5, test, theirs).write(stages / "crosscheck.json")


def _layer_studies(root: Path) -> Any:
    from interp_xfer_analyses.questions.layer_records import load_layer_records

    from interp_xfer.studies.run_store import RunStore

    return load_layer_records(RunStore(root / "run"))


def _cells(root: Path) -> Any:
    from interp_xfer_analyses.cells import load_cells

    from interp_xfer.studies.run_store import RunStore

    return load_cells(RunStore(root / "run"))


def _finished(kept: Any) -> dict[str, Any]:
    return dict(kept._answers)


def plain(value: Any) -> Any:
    """A value that equals another one exactly where the two are the same, tensors included."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if isinstance(value, BaseModel):
        return (type(value).__name__, value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        entries = [plain(entry) for entry in (sorted(value) if isinstance(value, set | frozenset) else value)]
        return (type(value).__name__, entries)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return (type(value).__name__, {name: plain(entry) for name, entry in vars(value).items()})
    return repr(value)
