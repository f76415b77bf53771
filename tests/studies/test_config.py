"""Studies from YAML: strict keys, resolved values."""

import pytest
import yaml

from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.search import PAPER_GRID
from interp_xfer.studies.config import Study, load_study, make_study

BASE = {"parent": "org/parent", "child": "org/child", "dataset": "sums"}


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
        (
            "parent: a\nchild: b\ndataset: sums\n1: 2\n",
            r"study.yaml is not YAML of plain settings \(line 4, column 1\): a name that is not text \(1\)",
        ),
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
    with pytest.raises(ConfigError, match="study file .*nowhere.yaml cannot be read: there is no such file"):
        load_study(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_test": 10**9}, "n_test: Input should be less than or equal to 1000000, not 1000000000"),
        ({"n_pairs": 10**26}, "n_pairs: Input should be less than or equal to 1000000, not 1000000"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, not -1"),
        ({"seed": 10**26}, "seed: Input should be less than or equal to 4294967295"),
        ({"n_shots": 10**9}, "n_shots: Input should be less than or equal to 1000"),
        ({"max_new_tokens": 10**9}, "max_new_tokens: Input should be less than or equal to 1000000"),
        ({"strengths": [1e9]}, r"strength 1e\+09 is out of bounds; give 0, or a size from 1e-06 to 1e\+06"),
        ({"strengths": [1e-9]}, "strength 1e-09 is out of bounds"),
        ({"strengths": [0.1, 0.1 + 1e-12]}, r"names one twice: 0.1 \(in float32, as it is applied\)"),
        ({"strengths": [float("inf")]}, "strength inf is not a finite number"),
        ({"strengths": [n + 1 for n in range(1001)]}, "strengths: Tuple should have at most 1000 items"),
        ({"parent": " "}, "parent: it is empty"),
        ({"few_shot": "a\nb"}, "few_shot: it holds a line end or another control character"),
        ({"child": "\ud800"}, r"child: it holds half of a character \(.ud800\) at character 1"),
        ({"data_dir": "x" * 5000}, "data_dir: it has 5000 characters, and 4096 are the most"),
        ({"parent": "https://me:word@host/a"}, "parent: it is an address of the web; give a name or a path"),
        ({"lamda": 1, "unti": "raw"}, "unti: Extra inputs are not permitted; did you mean 'unit'?"),
    ],
)
def test_what_no_run_could_finish_is_refused_with_its_bound(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_study({**BASE, **changes})
    assert "word" not in str(caught.value) and len(str(caught.value)) < 500
