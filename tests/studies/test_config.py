"""Studies from YAML: strict keys, resolved values, and keys that change when the numbers do."""

import pytest
import yaml

from interp_xfer.errors import ConfigError
from interp_xfer.lambda_search import PAPER_GRID
from interp_xfer.studies.config import Study, load_study, make_study

BASE = {"parent": "org/parent", "child": "org/child", "dataset": "sums"}

CONCEPT_CHANGES = [
    {"parent": "org/other"}, {"dataset": "gsm8k"}, {"data_dir": "x"}, {"dtype": "bfloat16"}, {"seed": 1},
    {"weight_processing": "hooked-transformer"}, {"pairs": "instruction"}, {"n_pairs": 5}, {"few_shot": "x.jsonl"},
    {"method": "mean-difference"}, {"centering": "repe"}, {"normalize_differences": True},
]  # fmt: skip
TRANSFER_CHANGES = [
    {"child": "org/other"}, {"layer_map": "greedy"}, {"projection": "procrustes"}, {"n_fit_texts": 5},
    {"n_calibration": 5}, {"n_aligned": 5},
]  # fmt: skip
CELL_CHANGES = [
    {"n_validation": 5}, {"n_test": 5}, {"n_shots": 1}, {"max_new_tokens": 5}, {"system_prompt": "x.txt"},
    {"enable_thinking": True}, {"unit": "raw"}, {"operator": "clamp"}, {"tokens": "prompt"}, {"strengths": (0.1,)},
    {"with_its": False},
]  # fmt: skip


def keys(changes=None):
    study = make_study({**BASE, **(changes or {})})
    return study.concept_key, study.transfer_key, study.cell_key


def test_a_yaml_file_resolves_with_the_defaults_of_the_paper(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**BASE, "strengths": [0.1, 0.5], "n_test": 10}))
    study = load_study(path)
    assert study == Study(**BASE, strengths=(0.1, 0.5), n_test=10)
    assert load_study(path, {"n_test": 20, "unit": "raw"}).n_test == 20
    default = make_study(BASE)
    assert default.strengths == PAPER_GRID and default.n_shots == 5 and default.with_its
    assert (default.centering, default.projection, default.unit) == ("symmetric", "ridge", "relative")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parent: a\nchild: b\ndataset: sums\nlamda: 3\n", r"study.yaml: lamda: Extra inputs are not permitted"),
        ("parent: a\ndataset: sums\n", "child: Field required"),
        ("parent: a\nchild: b\ndataset: sums\nn_pairs: 1\n", "n_pairs: Input should be greater than or equal to 2"),
        ("parent: a\nchild: b\ndataset: sums\nn_test: many\nunit: x\n", "n_test: .*; unit: "),
        ("parent: a\nchild: b\ndataset: sums\n1: 2\n", "1: "),
        ("parent: a\nchild: b\ndataset: sums\nstrengths: []\n", "the grid of strengths is empty"),
        ("parent: a\nchild: b\ndataset: sums\nstrengths: [0.1, 0.1]\n", "names one twice"),
        ("parent: a\nchild: b\ndataset: sums\nstrengths: [0, 0.1]\n", "0 is the baseline"),
        ("parent: a\nchild: b\ndataset: sums\nstrengths: [.nan]\n", "strength"),
        ("- a\n- b\n", "must hold `key: value` lines; it holds list"),
        ("", "it holds NoneType"),
        ("a: [1\n", "is not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_study(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="there is no study file .*nowhere.yaml"):
        load_study(tmp_path / "nowhere.yaml")


def test_keys_change_with_what_they_depend_on():
    base = keys()
    assert base == keys() and all(len(key) == 12 for key in base)
    for changes in CONCEPT_CHANGES:
        assert all(a != b for a, b in zip(keys(changes), base, strict=True)), changes
    for changes in TRANSFER_CHANGES:
        assert keys(changes)[0] == base[0] and keys(changes)[1] != base[1] and keys(changes)[2] != base[2], changes
    for changes in CELL_CHANGES:
        assert keys(changes)[:2] == base[:2] and keys(changes)[2] != base[2], changes
    tried = {name for changes in (*CONCEPT_CHANGES, *TRANSFER_CHANGES, *CELL_CHANGES) for name in changes}
    assert set(Study.model_fields) - tried <= {"rationales", "scoring"}


def test_cells_that_differ_in_what_steers_share_their_baseline():
    base = make_study(BASE).baseline_key
    for changes in (
        {"parent": "org/other"}, {"layer_map": "greedy"}, {"projection": "procrustes"}, {"unit": "raw"},
        {"strengths": (0.1,)}, {"operator": "clamp"}, {"tokens": "prompt"}, {"with_its": False}, {"n_pairs": 5},
    ):  # fmt: skip
        assert make_study({**BASE, **changes}).baseline_key == base, changes
    for changes in (
        {"child": "org/other"}, {"dataset": "gsm8k"}, {"seed": 1}, {"n_test": 5}, {"n_validation": 5}, {"n_shots": 1},
        {"max_new_tokens": 5}, {"system_prompt": "x.txt"}, {"few_shot": "x.jsonl"}, {"scoring": "likelihood"},
        {"dtype": "bfloat16"}, {"weight_processing": "hooked-transformer"}, {"enable_thinking": True},
        {"data_dir": "x"},
    ):  # fmt: skip
        assert make_study({**BASE, **changes}).baseline_key != base, changes
