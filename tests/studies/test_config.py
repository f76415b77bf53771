"""Studies from YAML: strict keys, resolved values."""

import pytest
import yaml

from interp_xfer.errors import ConfigError
from interp_xfer.lambda_search import PAPER_GRID
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
