"""Rationales from a model: what is asked, what is kept, resumption, and that contrast pairs use them."""

import json

import pytest
from tiny_models import make_tokenizer, scripted_engine, tiny
from typer.testing import CliRunner

from interp_xfer.errors import ConfigError, DataError, FingerprintError
from interp_xfer.evaluation.write_rationales import load_training, open_store, write_rationales
from interp_xfer.generation import Generation, SweepEngine
from interp_xfer.studies.config import make_study
from interp_xfer.studies.study_data import load_data
from interp_xfer.tasks import contrast_pairs, get_task, load_problems

ARC = get_task("arc_challenge")
ROWS = [
    {
        "id": f"Item_{n}",
        "question": f"Which of these is heavier than {n} kilograms of water?",
        "choices": {"text": ["a feather", "a grape", f"a truck of {n}", "a leaf"], "label": list("ABCD")},
        "answerKey": "C",
    }
    for n in range(1, 25)
]


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "arc_challenge"
    folder.mkdir()
    for split, rows in (("train", ROWS[:12]), ("validation", ROWS[12:18]), ("test", ROWS[18:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def problems(data_dir):
    return load_problems(ARC, "train", data_dir=data_dir)


def good(problem):
    return f"Trucks are heavy.\n{ARC.format_answer(problem)}"


def writer(model, problems, accepted):
    """An engine whose texts for `accepted` ids end in the right answer."""
    by_id = {problem.id: problem for problem in problems}
    return scripted_engine(model, lambda name, _: good(by_id[name]) if name in accepted else "I do not know.")


@pytest.mark.parametrize("chat", [True, False])
def test_the_model_is_asked_with_the_answer_and_examples(chat, problems, tmp_path, monkeypatch):
    """The prompt as the engine gets it, through a chat template and without one."""
    model = tiny("llama", tokenizer=make_tokenizer(chat=chat))
    engine = scripted_engine(model, lambda name, strength: "no")
    seen = []
    generate = engine.generate

    def watched(prompts, strengths, **options):
        seen.extend(model.tokenizer.decode([*p.prefix, *p.suffix]) for p in prompts)
        assert strengths == [0.0] and options["max_new_tokens"] == 33
        return generate(prompts, strengths, **options)

    monkeypatch.setattr(engine, "generate", watched)
    store = open_store(tmp_path / "r.jsonl", ARC, model)
    assert write_rationales(model, ARC, problems[:2], store, n_shots=2, max_new_tokens=33, engine=engine) == 0
    text = seen[0]
    assert text.count("The correct answer is known:") == 3, "two examples and the question"
    assert "C. a truck of 1\n" in text and ARC.few_shot[0].reasoning in text and ARC.few_shot[2].question not in text
    assert ("<|im_start|>user" in text) == chat and ("\n\nQuestion: " in text) != chat


def test_kept_refused_and_resumed(models, problems, tmp_path, monkeypatch):
    monkeypatch.setattr("interp_xfer.evaluation.write_rationales.PROBLEMS_PER_WRITE", 2)
    model, path = models["llama"], tmp_path / "deep" / "r.jsonl"
    first = writer(model, problems, {problems[0].id, problems[2].id})
    done = []
    store = open_store(path, ARC, model)
    assert write_rationales(model, ARC, problems[:3], store, engine=first, progress=done.append) == 2
    assert len(first.calls) == 2 and sum(done) == 3, "written batch by batch"
    second = writer(model, problems, {problem.id for problem in problems})
    resumed = open_store(path, ARC, model)
    assert write_rationales(model, ARC, problems, resumed, engine=second) == 9, "none is asked twice"
    assert len(second.calls) == 5
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 12 and lines[1]["reasoning"] is None and lines[0]["reasoning"] == "Trucks are heavy."
    assert {line["fingerprint"]["digest"] for line in lines} == {model.fingerprint.digest}
    third = writer(model, problems, set())
    assert write_rationales(model, ARC, problems, open_store(path, ARC, model), engine=third) == 0
    assert third.calls == []


def test_texts_are_cut_at_stop_sequences_and_truncated_ones_refused(models, problems, tmp_path):
    model = models["llama"]
    texts = {
        problems[0].id: Generation(good(problems[0]) + "\n\nQuestion: Which", (5,), "complete"),
        problems[1].id: Generation(good(problems[1]), (5,), "length"),
        problems[2].id: Generation(good(problems[2]), (5,), "degenerate"),
    }
    store = open_store(tmp_path / "r.jsonl", ARC, model)
    engine = scripted_engine(model, lambda name, _: texts[name])
    assert write_rationales(model, ARC, problems[:3], store, engine=engine) == 1
    assert store.reasoning == {problems[0].id: "Trucks are heavy."} and len(store.refused) == 2


def test_an_engine_of_another_model_is_refused(models, problems, tmp_path):
    """The file would name a writer that wrote nothing."""
    store = open_store(tmp_path / "r.jsonl", ARC, models["llama"])
    with pytest.raises(FingerprintError, match="the engine: made for tiny/mistral-0"):
        write_rationales(models["llama"], ARC, problems[:2], store, engine=SweepEngine(models["mistral"]))


def test_a_real_model_writes_and_nothing_of_it_is_kept(models, problems, tmp_path):
    """A random model never states the answer; every attempt is recorded all the same."""
    model = models["llama"]
    store = open_store(tmp_path / "r.jsonl", ARC, model)
    assert write_rationales(model, ARC, problems[:2], store, n_shots=0, max_new_tokens=5) == 0
    assert store.refused == {problem.id for problem in problems[:2]}


def test_the_file_of_another_model_is_refused_and_a_copy_is_not(models, problems, tmp_path):
    path, model = tmp_path / "r.jsonl", models["llama"]
    open_store(path, ARC, model).add(problems[0], good(problems[0]))
    assert open_store(path, ARC, tiny("llama", reference="elsewhere/copy")).reasoning
    with pytest.raises(FingerprintError, match=r"r\.jsonl, line 1: written by"):
        open_store(path, ARC, tiny("llama", seed=1))


def test_problems_with_a_rationale_come_first(models, problems, data_dir, tmp_path):
    path = tmp_path / "r.jsonl"
    store = open_store(path, ARC, models["llama"])
    for index in (7, 3, 10):
        store.add(problems[index], good(problems[index]))
    ordered = load_training(ARC, None, data_dir, rationales=path)
    expected = [3, 7, 10, 0, 1, 2, 4, 5, 6, 8, 9, 11]
    assert [p.id for p in ordered] == [problems[i].id for i in expected]
    assert [p.reasoning is not None for p in ordered] == [True] * 3 + [False] * 9
    assert load_training(ARC, 4, data_dir, offset=2, rationales=path) == ordered[2:6]
    assert load_training(ARC, 4, data_dir, offset=2) == problems[2:6]
    assert len(contrast_pairs(ordered[:3])) == 3
    with pytest.raises(DataError, match="1 of 4 problems have no reasoning"):
        contrast_pairs(ordered[:4])
    with pytest.raises(DataError, match="train has 12 problems; offset 12 leaves none"):
        load_training(ARC, None, data_dir, offset=12, rationales=path)


def test_a_study_uses_them(models, problems, data_dir, tmp_path):
    path = tmp_path / "r.jsonl"
    store = open_store(path, ARC, models["llama"])
    for problem in problems[4:9]:
        store.add(problem, good(problem))
    values = {
        "parent": "a", "child": "b", "dataset": "arc_challenge", "data_dir": str(data_dir), "n_pairs": 3,
        "n_calibration": 2, "n_fit_texts": 7, "n_validation": 6, "n_test": 6, "scoring": "likelihood",
    }  # fmt: skip
    study = make_study({**values, "rationales": str(path)})
    data = load_data(study)
    assert [pair.problem_ids[0] for pair in data.pairs] == [p.id for p in problems[4:7]]
    assert [pair.problem_ids[0] for pair in data.calibration] == [p.id for p in problems[7:9]]
    assert data.pairs[0].positive == good(problems[4]) and len(data.fit_texts) >= 7
    with pytest.raises(ConfigError, match="scoring: Input should be 'generate' or 'likelihood'"):
        make_study({**values, "scoring": "guess"})


def test_likelihood_is_refused_before_any_model_is_loaded():
    study = make_study(
        {"parent": "a", "child": "b", "dataset": "sums", "n_pairs": 2, "n_fit_texts": 2, "n_validation": 2,
         "n_test": 2, "scoring": "likelihood"}
    )  # fmt: skip
    with pytest.raises(DataError, match="has no options to rank by likelihood"):
        load_data(study)


def test_examples_without_reasoning_are_refused(models, problems, tmp_path):
    from dataclasses import replace

    task = replace(ARC, few_shot=tuple(replace(shot, reasoning=None) for shot in ARC.few_shot))
    store = open_store(tmp_path / "r.jsonl", task, models["llama"])
    with pytest.raises(ConfigError, match="has no reasoning to show; use --n-shots 0"):
        write_rationales(models["llama"], task, problems, store)


def test_command(models, problems, data_dir, tmp_path, monkeypatch):
    from interp_xfer_cli.app import app

    monkeypatch.setattr("interp_xfer.models.load_model", lambda *_, **__: models["llama"])
    out = tmp_path / "made.jsonl"
    arguments = ["rationales", "--parent", "x", "--limit", "2", "--n-shots", "0", "--max-new-tokens", "3"]
    for new in ("0 of 2 new texts", "0 of 0 new texts"):
        result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--data-dir", str(data_dir)])
        assert result.exit_code == 0, result.output
        assert new in result.output.replace("\n", " ")
    assert len(out.read_text().splitlines()) == 2
