"""Synthetic runs: seeded fake answers in the real records, written by the real store.

Imported inside fixtures and tests only, so that the runtime type checks are in place first.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch

from interp_xfer.evaluation.answers import Answer, AnswerTable, summarise, voted
from interp_xfer.evaluation.evaluate import Arm, Evaluation
from interp_xfer.evaluation.search import SearchResult, choose_strength
from interp_xfer.evaluation.vote import vote
from interp_xfer.maths.layer_maps import proportional
from interp_xfer.models import Fingerprint
from interp_xfer.stats.paired import paired_difference
from interp_xfer.steering.origins import ConceptOrigin, ConceptSettings, Corpus, ProjectionOrigin
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies.cell_record import CellRecord, cell_record
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import Contents
from interp_xfer.studies.item_record import item_records
from interp_xfer.studies.run_store import RunStore
from interp_xfer.tasks import Problem
from interp_xfer.tasks.prompt_hashes import PromptHashes

HOSTILE = "<script>alert('x')</script> </textarea> & \"quoted\" `tick` ${dollar} {{ braces }} end"
PARENT, CHILD = "bundled:gemma-3-270m", "bundled:smollm2-135m-instruct"


def make_study(**changes) -> Study:
    values = {"parent": PARENT, "child": CHILD, "dataset": "sums", "n_pairs": 16, "n_validation": 24, "n_test": 32}
    return Study(**(values | changes))


def fingerprint(reference: str, n_layers: int) -> Fingerprint:
    return Fingerprint(
        reference=reference,
        revision="0123abc",
        architecture="FakeForCausalLM",
        n_layers=n_layers,
        d_model=8,
        dtype="float32",
        weights="a" * 16,
        config="c" * 16,
        tokenizer="b" * 16,
        chat_template=None,
        chat_date=None,
        chat_system=None,
        weight_processing="none",
    )


def contents(study: Study) -> Contents:
    """Digests of names: other names, other contents."""

    def digest(*values: object) -> str:
        return hashlib.sha256(repr(values).encode()).hexdigest()[:16]

    data = (study.dataset, study.data_dir, study.seed)
    return Contents(
        parent=digest(study.parent),
        child=digest(study.child),
        dtype=study.dtype or "float32",
        pairs=digest(data, study.pairs, study.n_pairs, study.rationales),
        calibration=digest(data, study.n_calibration),
        fit_texts=digest(data, study.n_fit_texts),
        validation=digest(data, study.n_validation),
        test=digest(data, study.n_test),
        asking=digest(study.n_shots, study.max_new_tokens, study.system_prompt, study.few_shot),
    )


def steering_vectors(study: Study, rng: np.random.Generator, n_parent=6, n_child=10, strategy=proportional):
    concept_rng = np.random.default_rng(
        zlib.crc32(f"{study.parent} {study.dataset}".encode())
    )  # cells share the concept
    layer_map = strategy(n_parent, n_child)
    vectors = torch.zeros(n_child, 8)
    vectors[:, 0] = torch.tensor([float(parent is not None) for parent in layer_map.parent_of])
    fits = {child: {"alpha": 0.01, "r2": float(rng.uniform(0.2, 0.8))} for _, child in layer_map.pairs}
    return SteeringVectors(
        vectors=vectors,
        residual_norms=torch.linspace(40, 800, n_child),
        layer_map=layer_map,
        child=fingerprint(study.child, n_child),
        parent=fingerprint(study.parent, n_parent),
        flipped=tuple(bool(value) for value in rng.random(n_child) < 0.3),
        concept=ConceptOrigin(
            kind=study.pairs,
            method=study.method,
            explained_variance=tuple(concept_rng.uniform(0.2, 0.7, n_parent).tolist()),
            mean_cosine=tuple(concept_rng.uniform(0.6, 1.0, n_parent).tolist()),
        ),
        projection=ProjectionOrigin(
            kind=study.projection,
            corpus=Corpus(n_texts=64, n_rows=640, paired_fraction=0.9),
            fits=fits,
            calibration_pairs=8,
        ),
        prompts=PromptHashes(),
    )


def answer_table(split, n, strengths, rng, *, effect=0.0, invalid=0.05, hostile=False) -> AnswerTable:
    """Answers whose chance to be right depends on the question, and falls at large strengths."""
    problems = tuple(
        Problem(f"{split}-{i}", f"{HOSTILE if hostile else 'How many?'} ({split} question {i})", None, str(10 + i))
        for i in range(n)
    )
    ability = rng.beta(1.2, 1.5, n)
    noise = rng.random(n)  # shared by all strengths, so that neighbouring strengths mostly agree
    rows = []
    for strength in strengths:
        chance = np.clip(ability + effect * (strength > 0) - 0.5 * max(0.0, strength - 0.5), 0, 1)
        draw = np.where(rng.random(n) < 0.8, noise, rng.random(n))
        lost = rng.random(n) < invalid * (1 + 3 * strength)
        rows.append(
            tuple(
                _answer(problem, strength, bool(draw[i] < chance[i]), bool(lost[i]), rng, hostile)
                for i, problem in enumerate(problems)
            )
        )
    return AnswerTable(
        tuple(strengths), problems, tuple(rows), f"The prompt of {split}-0. {HOSTILE if hostile else ''}"
    )


def _answer(problem, strength, right, invalid, rng, hostile) -> Answer:
    wrong = str(int(rng.integers(200, 205)))
    parsed = None if invalid else (problem.answer if right else wrong)
    steps = " ".join(f"Step {i}: add {int(rng.integers(1, 99))}." for i in range(int(rng.integers(2, 6))))
    return Answer(
        problem_id=problem.id,
        strength=strength,
        text=f"{HOSTILE if hostile else ''}{steps} " + ("I do not know" if invalid else f"#### {parsed}"),
        parsed=parsed,
        correct=parsed == problem.answer,
        rule=None if invalid else "hash",
        stop_reason="length" if rng.random() < 0.05 + 0.2 * strength else "stop",
        n_tokens=int(rng.integers(30, 60) + 60 * strength),
    )


def evaluation(table: AnswerTable, best: float, grid, with_its=True) -> Evaluation:
    baseline = Arm("baseline", 0.0, table.at(0.0), summarise(table.at(0.0)), None)

    def arm(name, strength, answers):
        right = [torch.tensor([answer.correct for answer in some]) for some in (baseline.answers, answers)]
        return Arm(name, strength, answers, summarise(answers), paired_difference(*right))

    votes = arm("vote", None, voted(table, grid, vote)) if with_its else None
    return Evaluation(baseline, arm("lambda_star", best, table.at(best)), votes, table)


def alignment(study: Study, parent: Fingerprint, child: Fingerprint, rng: np.random.Generator, n=12, raw=True):
    """Scores that share a part per pair at equal depth, and small cosines."""
    from interp_xfer.measures.component_alignment import AlignmentSettings, ComponentAlignment, CosineMatrix

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).float()

    layers, k = (parent.n_layers, child.n_layers), 2
    shared, sides = normal(n), [torch.tensor([2.0, -2.0])[:, None, None] + normal(count, 2, k, n) for count in layers]
    for scores in sides:
        scores[len(scores) // 2 :, 0, 0] += 9 * shared

    def matrix() -> CosineMatrix:
        return CosineMatrix(normal(*layers) / 9, normal(19, *layers) / 9, normal(*layers, k).abs().clamp(max=1))

    return ComponentAlignment(
        *sides, matrix(), matrix() if raw else None, normal(layers[1], k, 8), parent, child,
        AlignmentSettings(
            concept=ConceptSettings(
                kind=study.pairs, n_pairs=study.n_pairs, method=study.method, centering=study.centering,
                normalize_differences=study.normalize_differences, seed=study.seed,
            ),
            n_pairs_child=max(study.n_aligned, 1), n_held_out=n, n_components=k, alphas=None, corpus=None,
        ),
        PromptHashes(),
    )  # fmt: skip


def write_cell(store: RunStore, study: Study, seed=0, *, effect=0.0, invalid=0.05, hostile=False, **maps) -> CellRecord:
    rng = np.random.default_rng(seed)
    grid = study.strengths
    options = {"effect": effect, "invalid": invalid, "hostile": hostile}
    validation = answer_table("validation", study.n_validation, (0.0, *grid), rng, **options)
    search = SearchResult(choose_strength(validation, grid), grid, validation)
    strengths = (0.0, *grid) if study.with_its else (0.0, search.best)
    test = answer_table("test", study.n_test or 32, strengths, rng, **options)
    result = evaluation(test, search.best, grid, study.with_its)
    seconds = {"extract_and_transfer": 12.5, "search": 30.1, "evaluate": 40.2}
    record = cell_record(
        study, contents(study), steering_vectors(study, rng, **maps), search, result, "batched", seconds
    )
    found = alignment(study, record.parent, record.child, np.random.default_rng(seed))
    found.save(store.alignment(record.keys.alignment))
    store.write_study(study)
    return store.write_cell(record, item_records(search, result))


def demo_run(root: Path, **options) -> RunStore:
    """One cell with everything."""
    store = RunStore(root)
    write_cell(store, make_study(), seed=1, effect=0.05, **options)
    return store


PARENTS = ("microsoft/phi-4", "Qwen/Qwen2.5-14B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3")
CHILDREN = (
    "google/gemma-2-2b-it",
    "google/gemma-2-9b-it",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.2-3B-Instruct",
    "Qwen/Qwen2-7B-Instruct",
    "Qwen/Qwen3-0.6B",
)


def grid_run(
    root: Path, parents=PARENTS, children=CHILDREN, datasets=("gsm8k", "math", "arc_challenge"), n=16, **settings
):
    """All pairs of some models on some data sets."""
    store = RunStore(root)
    for number, (dataset, parent, child) in enumerate((d, p, c) for d in datasets for p in parents for c in children):
        study = make_study(parent=parent, child=child, dataset=dataset, n_validation=n, n_test=n, **settings)
        write_cell(store, study, seed=number, n_parent=4 + len(parent) % 5, n_child=8 + len(child) % 5)
    return store
