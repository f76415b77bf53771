"""Keys go by contents: a changed file is another cell, the same content elsewhere is the same, and no path counts."""

import json
import shutil

import pytest

from interp_xfer.errors import ConfigError, DataError, ModelError
from interp_xfer.models import model_identity
from interp_xfer.studies.config import Study, make_study
from interp_xfer.studies.identity import Contents, Keys, read_contents, shareable, study_keys
from interp_xfer.studies.study_data import load_data

BASE = make_study({"parent": "a/b", "child": "c/d", "dataset": "sums"})
CONTENTS = Contents(
    parent="1" * 16, child="2" * 16, dtype="float32", pairs="3" * 16, calibration="4" * 16, fit_texts="5" * 16,
    validation="6" * 16, test="7" * 16, asking="8" * 16,
)  # fmt: skip
KINDS = Keys._fields
AFTER = {
    "concept": {"concept", "transfer", "alignment", "cell"}, "transfer": {"transfer", "alignment", "cell"},
    "alignment": {"alignment"}, "baseline": {"baseline", "cell"}, "cell": {"cell"},
}  # fmt: skip
SETTINGS = {
    "seed": (1, "concept"), "method": ("mean-difference", "concept"), "centering": ("repe", "concept"),
    "normalize_differences": (True, "concept"), "layer_map": ("greedy", "transfer"),
    "projection": ("procrustes", "transfer"), "n_aligned": (3, "alignment"), "enable_thinking": (True, "baseline"),
    "scoring": ("likelihood", "baseline"), "unit": ("raw", "cell"), "operator": ("clamp", "cell"),
    "tokens": ("prompt", "cell"), "strengths": ((0.1,), "cell"), "with_its": (False, "cell"),
}  # fmt: skip
READ = {"pairs": "concept", "calibration": "transfer", "fit_texts": "transfer", "validation": "baseline",
        "test": "baseline", "asking": "baseline", "child": "transfer"}  # fmt: skip


def changed(study=BASE, contents=CONTENTS):
    before, after = study_keys(BASE, CONTENTS), study_keys(study, contents)
    return {kind for kind, a, b in zip(KINDS, before, after, strict=True) if a != b}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_in_the_keys_of_what_it_changes_and_no_other(name):
    value, kind = SETTINGS[name]
    assert changed(BASE.model_copy(update={name: value})) == AFTER[kind]


@pytest.mark.parametrize("name", READ)
def test_a_content_is_in_the_keys_of_what_is_made_from_it(name):
    expected = AFTER[READ[name]] | (AFTER["baseline"] if name == "child" else set())
    assert changed(contents=CONTENTS.model_copy(update={name: "0" * 16})) == expected


def test_what_both_models_are_loaded_with_is_in_every_key():
    everything = set(KINDS)
    assert changed(contents=CONTENTS.model_copy(update={"dtype": "bfloat16"})) == everything
    assert changed(BASE.model_copy(update={"weight_processing": "hooked-transformer"})) == everything


def test_every_other_setting_is_said_by_a_content():
    """Sizes, files and names are in the rows and prompts that were read, and so in no key themselves."""
    rest = set(Study.model_fields) - set(SETTINGS) - {"weight_processing"}
    assert rest == {
        "parent", "child", "dataset", "data_dir", "dtype", "pairs", "rationales", "n_pairs", "n_fit_texts",
        "n_calibration", "n_validation", "n_test", "n_shots", "max_new_tokens", "system_prompt", "few_shot",
    }  # fmt: skip
    other = {
        "parent": "x", "child": "y", "dataset": "gsm8k", "data_dir": "d", "dtype": "float16", "pairs": "instruction",
        "rationales": "r", "n_pairs": 9, "n_fit_texts": 9, "n_calibration": 9, "n_validation": 9, "n_test": 9,
        "n_shots": 1, "max_new_tokens": 9, "system_prompt": "s", "few_shot": "f",
    }  # fmt: skip
    assert set(other) == rest and changed(make_study({**BASE.model_dump(), **other})) == set()


@pytest.fixture
def gsm8k(tmp_path):
    """A data folder, and a study of it."""

    def rows(split, n):
        lines = [{"question": f"{split} question {i}: 1 + {i}?", "answer": f"1 + {i}\n#### {1 + i}"} for i in range(n)]
        (tmp_path / "data" / "gsm8k").mkdir(parents=True, exist_ok=True)
        path = tmp_path / "data" / "gsm8k" / f"{split}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    files = {"train": rows("train", 60), "test": rows("test", 5)}
    (tmp_path / "prompt.txt").write_text("Solve it.")
    shot = {"question": "What is 7 + 8?", "answer": "7 + 8 is 15\n#### 15"}
    (tmp_path / "shots.jsonl").write_text(json.dumps(shot) + "\n")
    study = make_study(
        {
            "parent": "bundled:gemma-3-270m", "child": "bundled:smollm2-135m-instruct", "dataset": "gsm8k",
            "data_dir": str(tmp_path / "data"), "n_pairs": 4, "n_calibration": 2, "n_fit_texts": 3, "n_validation": 2,
            "n_test": 3, "n_shots": 1, "system_prompt": str(tmp_path / "prompt.txt"),
            "few_shot": str(tmp_path / "shots.jsonl"),
        }
    )  # fmt: skip
    return study, files


def keys(study):
    return study_keys(study, read_contents(study, load_data(study)))


def replace_text(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_changed_prompt_or_example_is_another_cell_under_the_same_name(gsm8k, tmp_path):
    study, _ = gsm8k
    before = keys(study)
    replace_text(tmp_path / "prompt.txt", "Solve", "Solve slowly")
    prompt = keys(study)
    assert prompt.cell != before.cell and prompt.transfer == before.transfer
    replace_text(tmp_path / "shots.jsonl", "7 + 8 is 15", "it is 15")
    assert keys(study).cell not in (before.cell, prompt.cell)


def test_a_changed_row_is_another_cell_only_where_it_is_read(gsm8k):
    study, files = gsm8k
    before = keys(study)
    data = load_data(study)
    unread = files["test"].read_text().splitlines()[4]
    replace_text(files["test"], unread, unread.replace("test question 4", "test question four"))
    assert keys(study) == before
    replace_text(files["test"], f"#### {data.test[0].answer}", "#### 99")
    assert keys(study).cell != before.cell and keys(study).transfer == before.transfer
    replace_text(files["train"], data.pairs[0].questions[0], "A new one?")
    assert keys(study).concept != before.concept


def test_the_folder_may_lie_elsewhere_and_be_named_by_the_variable(gsm8k, tmp_path, monkeypatch):
    study, _ = gsm8k
    before = keys(study)
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    moved = study.model_copy(update={"data_dir": str(tmp_path / "other")})
    assert keys(moved) == before
    monkeypatch.setenv("INTERP_XFER_DATA", str(tmp_path / "other"))
    unnamed = study.model_copy(update={"data_dir": None})
    assert keys(unnamed) == before
    for path in (tmp_path / "other" / "gsm8k").iterdir():
        path.write_text(path.read_text().replace("question", "Question 1;").replace('"Question 1;"', '"question"'))
    assert keys(unnamed).concept != before.concept and keys(unnamed).baseline != before.baseline


def test_sizes_are_not_clipped(gsm8k):
    study, _ = gsm8k
    for changes, words in (
        ({"n_test": 100}, "gsm8k test has 5 problems; offset 0 leaves 5 of the 100 that are asked for"),
        ({"n_validation": 400}, "gsm8k validation has .* of the 400 that are asked for. Ask for fewer"),
        ({"n_fit_texts": 500}, "gsm8k train has .* of the 506 that are asked for"),
    ):
        with pytest.raises(DataError, match=words):
            load_data(study.model_copy(update=changes))


def test_a_model_folder_is_its_files(folders, tmp_path):
    before = model_identity(str(folders / "child"))
    copy = tmp_path / "elsewhere"
    shutil.copytree(folders / "child", copy)
    (copy / "README.md").write_text("notes")
    assert model_identity(str(copy)) == before != model_identity(str(folders / "parent"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rope_theta": 123.0}))
    assert model_identity(str(copy)) != before


def test_a_branch_is_the_commit_it_points_to(monkeypatch, tmp_path):
    import huggingface_hub

    class Hub:
        commit: str | None = "a" * 40

        def model_info(self, name, revision=None, timeout=None):
            if self.commit is None:
                raise OSError("no route to host")
            return type("Info", (), {"sha": self.commit})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    first = model_identity("org/name")
    assert first == model_identity("org/name@main") == model_identity("org/name@" + "a" * 40)
    Hub.commit = "b" * 40
    assert model_identity("org/name") != first
    Hub.commit = None
    cached = f"snapshots/{'a' * 40}/config.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: cached)
    assert model_identity("org/name") == first
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(ModelError, match="cannot find out which commit org/name is: no route to host. Check the"):
        model_identity("org/name")


def test_records_say_no_path(tmp_path):
    study = BASE.model_copy(
        update={"parent": str(tmp_path / "x" / "model"), "child": f"gguf:{tmp_path}/y.gguf", "data_dir": str(tmp_path),
                "few_shot": "shots/mine.jsonl", "system_prompt": "../prompt.txt"}
    )  # fmt: skip
    shown = shareable(study, CONTENTS)
    assert str(tmp_path) not in shown.model_dump_json()
    assert (shown.parent, shown.child, shown.data_dir) == ("model", "gguf:y.gguf", tmp_path.name)
    assert (shown.few_shot, shown.system_prompt) == ("shots/mine.jsonl", "prompt.txt")
    assert study_keys(shown, CONTENTS) == study_keys(study, CONTENTS)


def test_two_folders_of_one_name_stay_two_models(tmp_path):
    study = BASE.model_copy(update={"parent": str(tmp_path / "x" / "m"), "child": str(tmp_path / "y" / "m")})
    shown = shareable(study, CONTENTS)
    assert (shown.parent, shown.child) == ("m-11111111", "m-22222222")
    same = shareable(study, CONTENTS.model_copy(update={"child": CONTENTS.parent}))
    assert same.parent == same.child == "m"


def test_examples_that_are_not_there(gsm8k):
    study, _ = gsm8k
    with pytest.raises(ConfigError, match="n_shots=5, but gsm8k has 1 few-shot examples"):
        load_data(study.model_copy(update={"n_shots": 5}))
