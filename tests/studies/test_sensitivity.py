"""Layer sensitivity of a run of two tiny models: slope against sweep, questions used, resume, refusals, command."""

import json
import shutil
import sys

import pytest
import torch
from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer

from interp_xfer.errors import ArtifactError, ConfigError
from interp_xfer.studies import study_models
from interp_xfer.studies.config import Study
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_study
from interp_xfer.studies.sensitivity import checked_windows, make_settings, measure_run, sweep_plan
from interp_xfer.studies.sensitivity_record import Sensitivity, read_sensitivity
from interp_xfer.studies.study_data import load_data

EPSILON = 0.01
SETTINGS = {"n_questions": 4, "n_random": 3, "strengths": (EPSILON, -EPSILON, 0.7), "window": 2, "n_generated": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of one cell, with a native cell beside it."""
    root = tmp_path_factory.mktemp("run")
    hf_model("llama").save_pretrained(root / "parent")
    make_tokenizer().save_pretrained(root / "parent")
    hf_model("gemma3", 1, hidden_size=24, max_position_embeddings=1024).save_pretrained(root / "child")
    make_tokenizer(chat=False, corpus=OTHER_CORPUS).save_pretrained(root / "child")
    store = RunStore(root / "run")
    study = Study(
        parent=str(root / "parent"), child=str(root / "child"), dataset="sums", n_pairs=6, n_fit_texts=10,
        n_calibration=4, n_validation=2, n_test=3, n_shots=1, max_new_tokens=4, strengths=(0.5,), with_its=False,
        dtype="float32",
    )  # fmt: skip
    return study, run_study(study, store).key, store.root


@pytest.fixture(scope="module")
def measured(finished):
    """The measurement of that cell, and the run with it."""
    study, _, root = finished
    store = RunStore(shutil.copytree(root, root.parent / "measured"))
    (record,) = measure_run(store, make_settings(**SETTINGS), places=places(root))
    return study, store, record


def places(root):
    return {role: str(root.parent / role) for role in ("parent", "child")}


def test_a_slope_is_the_central_difference_of_the_sweep(measured):
    """Two computations: one backward pass, and passes under steering at plus and minus .01, per question and layer.

    Float32 log p of about 100 nats is good to 1e-5 of itself, so a difference over .02 is good to about .05.
    """
    _, _, record = measured
    assert record.sweep is not None and record.settings.strengths == (-EPSILON, EPSILON, 0.7)
    singles = [window for window in record.sweep.windows if len(window) == 1]
    assert singles == [(layer,) for layer in record.layers]
    change = torch.tensor(record.sweep.change[: len(singles)]).double()  # layers strengths questions
    central = ((change[:, 1] - change[:, 0]) / (2 * EPSILON)).T
    slopes = torch.tensor(record.slopes["transferred"]).double()
    torch.testing.assert_close(slopes, central, rtol=0.01, atol=0.1)
    assert float(slopes.abs().max()) > 1  # so that the tolerance above means something


def test_questions_are_validation_and_more_than_the_search_had(measured):
    study, _, record = measured
    data = load_data(study.model_copy(update={"n_validation": 4}))
    assert record.problem_ids == tuple(problem.id for problem in data.validation)
    assert not set(record.problem_ids) & {problem.id for problem in data.test}
    assert len(record.log_p) == len(record.n_answer_tokens) == 4 and max(record.log_p) < 0


def test_directions_and_draws(measured):
    """Both directions for each question; draws have one slope a layer, of the size that the formulas say."""
    _, _, record = measured
    assert list(record.slopes) == ["transferred", "native"] and record.slopes["native"] != record.slopes["transferred"]
    n = len(record.layers)
    assert {len(row) for values in record.slopes.values() for row in values} == {n}
    for kind, deviation in record.deviations.items():
        draws = torch.tensor(record.random_slopes[kind]).double()
        assert draws.shape == (3, n)
        z = draws / torch.tensor(deviation).double()
        assert 0.2 < float(z.square().mean().sqrt()) < 3  # 9 draws: chi square beyond these ends has p < 1e-3
    assert record.left_out == ()


def test_generation_check_is_windows_by_depth(measured):
    _, _, record = measured
    plain, *steered = record.generation
    assert plain.window == () and plain.strength == 0 and len(plain.correct) == 2
    assert [(arm.window, arm.strength) for arm in steered] == [
        (window, strength) for window in ((0, 1), (2,)) for strength in (EPSILON, 0.7)
    ]


def test_windows(models):
    from tiny_models import random_steering

    steering = random_steering(models["llama"], layers=(0, 2))
    assert sweep_plan(steering, None) == (((0,), (2,)), ((0, 2),))
    tiles = tuple((i,) for i in range(7))
    assert checked_windows(tiles) == ((0,), (3,), (6,)) and checked_windows(tiles[:1]) == ((0,),)


def test_again_loads_nothing_and_other_settings_are_refused(measured, monkeypatch):
    _, store, record = measured
    monkeypatch.setattr(study_models, "load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    assert measure_run(store, make_settings(**SETTINGS), record.key) == (record,)
    with pytest.raises(ArtifactError, match="window was 2, asked is 3. Ask for the same, or delete the file"):
        measure_run(store, make_settings(**{**SETTINGS, "window": 3}))


def test_an_error_leaves_nothing_and_the_next_call_measures(finished, tmp_path, monkeypatch):
    from interp_xfer.studies import sensitivity

    _, key, root = finished
    store = RunStore(shutil.copytree(root, tmp_path / "run"))
    settings = make_settings(**{**SETTINGS, "generation": False})

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sensitivity, "sweep_windows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            measure_run(store, settings, places=places(root))
    assert not store.sensitivity(key).parent.exists()
    (record,) = measure_run(store, settings, places=places(root))
    assert record.left_out == ("nothing was generated (--no-generation)",)


def test_refusals_before_anything_is_loaded(finished, tmp_path, monkeypatch):
    study, key, root = finished
    store = RunStore(shutil.copytree(root, tmp_path / "run"))
    monkeypatch.setattr(study_models, "load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(ConfigError, match=f"unknown cell 'abc'; choose from {key}"):
        measure_run(store, make_settings(), "abc")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interp_xfer.studies.identity.model_identity", lambda reference: "0" * 16)
    with pytest.raises(ConfigError, match=f"parent, child of cell {key} are not what the cell was made from. Say"):
        measure_run(store, make_settings())
    with pytest.raises(ConfigError, match="n_test cannot be set for a finished cell; only parent, child, data_dir"):
        measure_run(store, make_settings(), places={"n_test": "3"})


def test_another_operator_is_refused(finished, tmp_path):
    study, _, root = finished
    store = RunStore(tmp_path / "run")
    record = run_study(study.model_copy(update={"operator": "norm_preserving"}), store)
    with pytest.raises(ConfigError, match=f"cell {record.key} steers with the operator 'norm_preserving'; the"):
        measure_run(store, make_settings(), places=places(root))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_questions": 1}, "n_questions: Input should be greater than or equal to 2"),
        ({"strengths": (0.1, 0.0)}, "strengths: 0 is the baseline, which is always run; leave it out of the grid$"),
        ({"window": 1}, "window: Input should be greater"),
        ({"layers": 3}, "layers: Extra inputs"),
    ],
)
def test_settings_are_checked(wrong, words):
    with pytest.raises(ConfigError, match=words):
        make_settings(**wrong)


def test_a_damaged_record_is_named(measured, tmp_path):
    _, store, record = measured
    copy = RunStore(shutil.copytree(store.root, tmp_path / "run"))
    path = copy.sensitivity(record.key)
    values = json.loads(path.read_text())
    values["log_p"][0] = "much"
    path.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=r"is damaged \(log_p.0: .*Delete it and make it again"):
        read_sensitivity(copy, record.key)
    assert read_sensitivity(copy, "0" * 12) is None


def first(row):
    return (row[0][1:], *row[1:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: {"log_p": r.log_p[1:]}, "not every one of 4 questions has its log p"),
        (lambda r: {"layers": (0, 1, 9)}, "the layers are not some of the 3 of the child"),
        (lambda r: {"layers": r.layers[::-1]}, "the layers are not some of the 3"),
        (lambda r: {"scales": r.scales[1:]}, "not every value by layer has 3 entries"),
        (lambda r: {"slopes": {**r.slopes, "native": first(r.slopes["native"])}}, "not every value by layer has 3"),
        (lambda r: {"slopes": {"native": r.slopes["native"]}}, "not every direction has slopes of 4 questions"),
        (lambda r: {"deviations": {}}, "the random directions are not"),
        (lambda r: {"settings": r.settings.model_copy(update={"n_random": 5})}, "there are not 5 draws"),
        (lambda r: {"sweep": r.sweep.model_copy(update={"change": r.sweep.change[1:]})}, "not one change for each"),
        (lambda r: {"sweep": r.sweep.model_copy(update={"windows": ((0,),)})}, "does not begin with every layer"),
        (lambda r: {"generation": r.generation[1:]}, "the generated arms do not begin with the unsteered"),
    ],
)
def test_records_that_cannot_be(measured, tmp_path, change, words):
    """Each is written with a checksum of its own, so that only its content tells."""
    _, _, record = measured
    path = record.model_copy(update=change(record)).write(tmp_path / "s.json")
    with pytest.raises(ArtifactError, match=f"s.json is damaged .*{words}"):
        Sensitivity.read(path)


def test_a_measurement_belongs_to_a_cell_and_to_vectors(measured, tmp_path):
    _, store, record = measured
    copy = RunStore(shutil.copytree(store.root, tmp_path / "run"))
    path = copy.sensitivity(record.key)
    record.model_copy(update={"key": "0" * 12}).write(path)
    with pytest.raises(ArtifactError, match="holds the measurement of cell 000000000000. Delete it and measure again"):
        read_sensitivity(copy, record.key)
    record.model_copy(update={"steering": "0" * 16}).write(path)
    with pytest.raises(ArtifactError, match="was measured with other steering vectors"):
        measure_run(copy, make_settings(**SETTINGS))


def test_the_command_as_it_is_typed(finished, tmp_path, monkeypatch, capsys):
    from interp_xfer_cli.main import main

    _, key, root = finished
    store = RunStore(shutil.copytree(root, tmp_path / "run"))
    arguments = ["sensitivity", str(store.root), "--questions", "2", "--random", "2", "--no-sweep", "--no-generation"]
    arguments += [part for role, place in places(root).items() for part in ("--set", f"{role}={place}")]
    monkeypatch.setattr(sys, "argv", ["interp-xfer", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main()
    out = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "2 validation questions, 3 steered layers" in out and "there is no sweep (--no-sweep)" in out
    record = read_sensitivity(store, key)
    assert record is not None and record.sweep is None and record.generation == ()
    assert (store.root / "figures" / "layer-sensitivity.json").exists()
