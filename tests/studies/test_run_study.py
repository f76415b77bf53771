"""A whole study on two tiny models of different family, width and tokenizer, from disk to cell; resume, interrupt."""

import json
import shutil
from collections import Counter, defaultdict
from contextlib import contextmanager

import pytest
from tiny_models import hf_model

from interp_xfer.concepts.extract import ConceptVectors
from interp_xfer.errors import ArtifactError, ConfigError, DataError, ShapeError
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.studies import alignment, cells, study_models, transfers
from interp_xfer.studies.config import Study
from interp_xfer.studies.identity import read_contents, study_keys
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_study
from interp_xfer.studies.study_data import load_data

STRENGTHS = (0.5, 2.0)
N_VALIDATION, N_TEST = 3, 4


@pytest.fixture
def study(folders):
    return Study(
        parent=str(folders / "parent"), child=str(folders / "child"), dataset="sums", n_pairs=6, n_fit_texts=10,
        n_calibration=4, n_validation=N_VALIDATION, n_test=N_TEST, n_shots=1, max_new_tokens=4, strengths=STRENGTHS,
        dtype="float32",
    )  # fmt: skip


@pytest.fixture
def loads(monkeypatch):
    """Names of the models that were loaded."""
    names = []
    load_model = study_models.load_model

    def counted(reference, **options):
        names.append(reference.rpartition("/")[2])
        return load_model(reference, **options)

    monkeypatch.setattr(study_models, "load_model", counted)
    return names


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "run")


def keys(study):
    return study_keys(study, read_contents(study, load_data(study)))


def files(store):
    found = [path for path in store.root.rglob("*") if path.is_file()]
    return Counter(path.relative_to(store.root).parts[0] for path in found)


def test_from_problems_to_a_cell_and_back(study, store, loads):
    steps = defaultdict(int)

    @contextmanager
    def step(description, total, unit=""):
        done = []
        yield done.append
        assert sum(done) == total, description
        steps[description.split()[0]] += 1

    record = run_study(study, store, step).model_dump(mode="json")
    assert loads == ["parent", "child"]
    assert steps == {
        "loading": 2,
        "reading": 1,
        "fitting": 1,
        "calibrating": 1,
        "comparing": 1,
        "searching": 1,
        "evaluating": 1,
    }
    assert files(store) == {"study.yaml": 1, "concepts": 2, "transfers": 2, "alignments": 2, "cells": 1, "items": 1}
    written = json.loads(store.cell(keys(study).cell).read_text())
    assert written.pop("checksum") and written == record == store.read_cells()[0].model_dump(mode="json")
    for key in (
        "key", "status", "study", "parent", "child", "concept", "projection", "layer_map", "flipped", "residual_norms",
        "validation", "test", "first_prompt", "generation_path", "wall_s", "versions",
    ):  # fmt: skip
        assert record[key] is not None, key
    assert record["status"] == "success" and record["key"] == keys(study).cell
    assert record["parent"]["d_model"] == 32 and record["child"]["d_model"] == 24
    assert record["generation_path"] == "shared prefix"
    assert set(record["wall_s"]) == {"extract_and_transfer", "search", "evaluate"}
    assert record["versions"]["transformer-lens"].startswith("4.")
    check_against_items(record, [item.to_dict() for item in store.read_items(keys(study).cell)])

    # The same call reads it, and loads nothing.
    loads.clear()
    assert run_study(study, store).model_dump(mode="json") == record and loads == []

    # Another search on the same vectors loads the child alone; another child none of the parent's concept again.
    run_study(study.model_copy(update={"n_shots": 0}), store)
    assert loads == ["child"] and files(store)["transfers"] == 2 and files(store)["cells"] == 2
    assert len(store.read_cells()) == 2


def check_against_items(record, items):
    """Every count of the cell again, from the single answers."""
    assert len(items) == (N_VALIDATION + N_TEST) * 3 + N_TEST
    groups = defaultdict(list)
    for item in items:
        groups[item["split"], item["arm"], item["strength"]].append(item)
        assert item["question"] and item["reference"] and item["stop_reason"] in ("eos", "complete", "length")
    for split, n in (("validation", N_VALIDATION), ("test", N_TEST)):
        assert record[split]["n"] == n
        assert {row["strength"] for row in record[split]["strengths"]} == {0.0, *STRENGTHS}
        for row in record[split]["strengths"]:
            answers = groups[split, "sweep", row["strength"]]
            correct = sum(answer["correct"] for answer in answers)
            assert (row["n"], row["correct"]) == (len(answers), correct) == (n, correct)
            assert row["accuracy"] == pytest.approx(correct / n) and row["low"] <= row["accuracy"] <= row["high"]
            assert row["mean_tokens"] == pytest.approx(sum(a["n_tokens"] for a in answers) / n)
            assert row["invalid"] == sum(a["parsed"] is None for a in answers)
    best = record["validation"]["lambda_star"]
    counts = {s: sum(a["correct"] for a in groups["validation", "sweep", s]) for s in STRENGTHS}
    assert best == min(s for s in STRENGTHS if counts[s] == max(counts.values()))
    test = record["test"]
    assert test["baseline"]["strength"] == 0.0 and test["baseline"]["difference"] is None
    assert test["lambda_star"]["strength"] == best and test["lambda_star"]["difference"]["n"] == N_TEST
    assert test["vote"]["strength"] is None
    assert test["vote"]["correct"] == sum(item["correct"] for item in groups["test", "vote", None])
    assert set(test["best_of_grid"]) == {"strength", "p_adjusted", "note"}
    plain, *steered = (groups["test", "sweep", s] for s in (0.0, *STRENGTHS))
    same = [[a["text"] == b["text"] for a, b in zip(plain, row, strict=True)] for row in steered]
    assert test["unsteered_votes"]["texts"] == sum(2 * sum(column) > len(same) for column in zip(*same, strict=True))
    assert test["unsteered_votes"]["idle"] == sum(map(all, same))


def test_without_vote(study, store):
    record = run_study(study.model_copy(update={"with_its": False}), store)
    assert record.test.vote is None and record.test.best_of_grid is None
    assert len(record.test.strengths) == 2


VECTORS = {"study.yaml": 1, "concepts": 2, "transfers": 2}
ALIGNED = {**VECTORS, "alignments": 2}


@pytest.mark.parametrize(
    ("module", "where", "left", "reloaded"),
    [
        (transfers, "concept_from_differences", {"study.yaml": 1}, ["parent", "child"]),
        (transfers, "calibrate", {"study.yaml": 1, "concepts": 2}, ["parent", "child"]),
        (transfers, "steering_from_directions", {"study.yaml": 1, "concepts": 2}, ["parent", "child"]),
        (alignment, "measure_alignment", VECTORS, ["parent", "child"]),
        (cells, "search_lambda", ALIGNED, ["child"]),
        (cells, "evaluate", {**ALIGNED, "unfinished": 1}, ["child"]),
        (cells, "cell_record", {**ALIGNED, "unfinished": 1}, ["child"]),
    ],
)
def test_interrupted_runs_leave_whole_artifacts_and_go_on_from_there(
    study, store, loads, monkeypatch, module, where, left, reloaded
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, store)
    assert files(store) == left
    with pytest.raises(ArtifactError, match="has no finished cell; run the study first"):
        store.read_cells()
    loads.clear()
    record = run_study(study, store).model_dump(mode="json")
    assert loads == reloaded and files(store)["cells"] == 1
    check_against_items(record, [item.to_dict() for item in store.read_items(keys(study).cell)])


def test_answers_finished_before_an_interrupt_are_not_made_again(study, store, tmp_path, monkeypatch):
    whole = run_study(study, RunStore(tmp_path / "other"))
    engines, make_engine = [], cells.make_engine

    def watched(*arguments):
        engines.append(make_engine(*arguments))
        return engines[-1]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "make_engine", watched)
    with monkeypatch.context() as patch:
        patch.setattr(cells, "cell_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, store)
    again = run_study(study, store)
    assert engines[0].forward_tokens > 0 == engines[1].forward_tokens
    assert not store.unfinished(keys(study).cell).exists()
    assert again.model_copy(update={"wall_s": {}}) == whole.model_copy(update={"wall_s": {}})


def test_an_interrupt_between_answers_and_record_leaves_no_cell(study, store, monkeypatch):
    from interp_xfer.studies.cell_record import CellRecord

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CellRecord, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, store)
    assert "cells" not in files(store)
    run_study(study, store)
    assert files(store)["cells"] == files(store)["items"] == 1


def test_a_model_that_changed_meanwhile_is_another_cell(study, store, folders, tmp_path):
    """Same folder name, other weights, other configuration: nothing that is there is used."""
    child = tmp_path / "child"
    shutil.copytree(folders / "child", child)
    moved = study.model_copy(update={"child": str(child)})
    first = run_study(moved, store)
    config = json.loads((child / "config.json").read_text())
    (child / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    second = run_study(moved, store)
    hf_model("gemma3", 7, hidden_size=24, max_position_embeddings=1024).save_pretrained(child)
    third = run_study(moved, store)
    assert len({first.key, second.key, third.key}) == 3 == len(store.read_cells())
    assert len({record.keys.concept for record in (first, second, third)}) == 1
    assert len({record.keys.transfer for record in (first, second, third)}) == 3


def test_layer_map_by_cka_and_identity(study, store):
    """A model into itself: matched to the diagonal, the concept unchanged."""
    same = study.model_copy(
        update={"child": study.parent, "layer_map": "cka", "projection": "identity", "n_pairs": 24, "with_its": False}
    )
    record = run_study(same, store)
    assert record.layer_map.parent_of == (0, 1, 2) and record.projection.kind == "identity"
    steering = SteeringVectors.load(store.transfer(keys(same).transfer))
    assert steering.parent.digest == steering.child.digest
    cosines = (steering.vectors * ConceptVectors.load(store.concept(keys(same).concept)).vectors).sum(dim=1)
    assert cosines.abs().tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert record.flipped == tuple(bool(cosine < 0) for cosine in cosines)


def test_data_of_a_study_is_disjoint_and_seeded(study):
    data, again = load_data(study), load_data(study)
    assert data == again and load_data(study.model_copy(update={"seed": 1})) != data
    sizes = [len(part) for part in (data.pairs, data.calibration, data.fit_texts, data.validation, data.test)]
    assert sizes == [6, 4, 10, N_VALIDATION, N_TEST]
    ids = [id_ for pair in (*data.pairs, *data.calibration) for id_ in pair.problem_ids]
    ids += [item.id for item in (*data.fit_texts, *data.validation, *data.test)]
    assert len(ids) == len(set(ids))


def test_mistakes_are_found_before_a_model_is_loaded(study, store, loads):
    with pytest.raises(ConfigError, match="n_shots=99, but sums has"):
        run_study(study.model_copy(update={"n_shots": 99}), store)
    with pytest.raises(ConfigError, match="unknown kind of contrast pair 'x'"):
        run_study(study.model_copy(update={"pairs": "x"}), store)
    with pytest.raises(DataError):
        run_study(study.model_copy(update={"dataset": "gsm8k", "data_dir": str(store.root)}), store)
    assert loads == []


def test_damaged_records(study, store):
    record = run_study(study, store)
    cell, items = store.cell(record.key), store.items(record.key)
    whole = items.read_text()
    items.write_text(whole.replace('"correct": false', '"correct": true', 1))
    with pytest.raises(ArtifactError, match="does not hold the answers of its cell; delete the cell and run it again"):
        store.read_items(record.key)
    items.unlink()
    with pytest.raises(ArtifactError, match="is missing; delete the cell and run the study again"):
        store.read_items(record.key)
    with pytest.raises(ArtifactError, match="'../../x' is no key of .*; keys are twelve hex digits"):
        store.read_items("../../x")
    cell.write_text("{")
    with pytest.raises(ArtifactError, match="is damaged"):
        run_study(study, store)


def test_a_comparison_of_components_that_fails_stops_no_study(study, store, monkeypatch):
    """It is kept as a failure of its own; when the study is asked for again without its cell, it is tried again."""

    def broken(*_, **__):
        raise ShapeError("layer 2 is constant")

    with monkeypatch.context() as patch:
        patch.setattr(alignment, "measure_alignment", broken)
        record = run_study(study, store)
    (failure,) = store.read_failures()
    assert failure.key == record.keys.alignment and failure.message == "layer 2 is constant"
    assert store.read_alignment(record.keys.alignment) is None
    store.cell(record.key).unlink()
    run_study(study, store)
    assert store.read_failures() == [] and store.read_alignment(record.keys.alignment) is not None
