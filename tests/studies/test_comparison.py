"""The plan of a comparison: every cell once, in an order that shares work, nothing impossible and nothing unsaid."""

from itertools import product

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError
from interp_xfer.studies.comparison import make_comparison, plan_comparison

BASE = {"parent": "org/parent", "child": "org/child", "dataset": "sums"}
MAPS = ("greedy", "proportional", "cka", "cka-argmax", "optimal-transport", "random-monotone")
KINDS = ("ridge", "procrustes", "low-rank", "shuffled-pairs", "random-orthogonal")


def plan(widths=None, **changes):
    values = {name: value for name, value in {**BASE, **changes}.items() if value is not None}
    return plan_comparison(make_comparison(values), widths)


def test_defaults_are_the_papers_map_a_control_and_both_units():
    found = plan()
    mappings = {(c.study.layer_map, c.study.projection, c.study.unit) for c in found.cells if not c.native}
    kinds = ("ridge", "procrustes", "random-orthogonal")
    assert mappings == set(product(("greedy", "proportional", "cka"), kinds, ("relative", "raw")))
    assert [c.name for c in found.cells if c.native] == ["sums, child, native, relative", "sums, child, native, raw"]
    assert found.left_out == () and len(found.cells) == 20


@given(
    st.lists(st.sampled_from(MAPS), min_size=1, max_size=5), st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    st.lists(st.sampled_from(("relative", "raw")), min_size=1, max_size=3), st.booleans(),
)  # fmt: skip
def test_each_combination_once_with_stable_names(maps, kinds, units, native):
    lists = {"layer_maps": maps, "projections": kinds, "units": units, "native": native}
    found = plan(**lists)
    n = len(set(maps)) * len(set(kinds)) * len(set(units))
    assert len(found.cells) == n + native * len(set(units))
    assert len({cell.key for cell in found.cells}) == len({cell.name for cell in found.cells}) == len(found.cells)
    assert found == plan(**lists)
    turned = plan(**{**lists, "layer_maps": maps[::-1]})
    assert {(c.key, c.name) for c in turned.cells} == {(c.key, c.name) for c in found.cells}


def test_cells_of_a_pair_are_neighbours_and_native_ones_run_once_a_child():
    found = plan_comparison(
        make_comparison(
            {
                "parents": ["a/p", "a/q"],
                "children": ["a/c", "a/d"],
                "datasets": ["sums", {"dataset": "gsm8k", "n_test": 7}],
            }
        )
    )
    pairs = [(cell.study.parent, cell.study.child, cell.study.dataset) for cell in found.cells if not cell.native]
    assert len(set(pairs)) == 8 == 1 + sum(a != b for a, b in zip(pairs, pairs[1:], strict=False))
    native = [(cell.study.child, cell.study.dataset, cell.study.unit) for cell in found.cells if cell.native]
    assert len(native) == len(set(native)) == 2 * 2 * 2
    assert all(c.study.parent == c.study.child and c.study.projection == "identity" for c in found.cells if c.native)
    assert {cell.study.n_test for cell in found.cells if cell.study.dataset == "gsm8k"} == {7}
    assert {cell.study.n_test for cell in found.cells if cell.study.dataset == "sums"} == {None}


def test_what_cannot_be_run_is_left_out_with_its_reason():
    found = plan({"org/parent": 64, "org/child": 32}, projections=["ridge", "identity"], layer_maps=["greedy"])
    assert {left.reason for left in found.left_out} == {
        "identity needs equal widths, but the models are 64 and 32 wide"
    }
    assert len(found.left_out) == 2
    assert plan({"org/parent": 64}, projections=["identity"], layer_maps=["greedy"]).left_out == ()
    few = plan(layer_maps=["greedy", "cka"], n_pairs=4)
    assert {left.reason for left in few.left_out} == {"cka needs 8 contrast pairs or more, but n_pairs is 4"}
    out = plan(operator="project_out", layer_maps=["greedy"], projections=["ridge"])
    assert [left.name for left in out.left_out] == ["sums, parent -> child, greedy, ridge, raw"]
    with pytest.raises(ConfigError, match="no cell of the comparison can be run: .*parent and child are the same"):
        plan(child="org/parent", layer_maps=["greedy"], projections=["ridge"], units=["raw"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_maps": ["nearest"]}, "layer_maps.0: unknown layer map"),
        ({"layer_maps": []}, "layer_maps: Tuple should have at least 1 item"),
        ({"layer_maps": "cka"}, r"layer_maps must be a list, such as \['cka'\]"),
        ({"layer_map": "cka", "layer_maps": ["cka"]}, "layer_map and layer_maps are both given"),
        ({"lamda": 1}, "x.yaml: lamda: Extra inputs"),
        ({"strengths": [0]}, "0 is the baseline"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_comparison({**BASE, **changes}, "x.yaml")
    with pytest.raises(ConfigError, match="a comparison needs child"):
        make_comparison({"parent": "a", "dataset": "sums"})
    with pytest.raises(ConfigError, match="seed cannot differ between data sets"):
        make_comparison({"parent": "a", "child": "b", "datasets": [{"dataset": "sums", "seed": 1}]})
    with pytest.raises(ConfigError, match="names none"):
        make_comparison({"parent": "a", "child": "b", "datasets": [{"n_test": 1}]})


def test_cells_that_only_a_path_tells_apart_are_refused():
    lists = {"layer_maps": ["greedy"], "projections": ["ridge"], "units": ["raw"], "native": False}
    with pytest.raises(
        ConfigError, match=r"2 cells differ in nothing but where a file or folder lies \(first: sums, m"
    ):
        plan(**lists, parent=None, parents=["/x/m", "/y/m"])
    assert len(plan(**lists, parent=None, parents=["/x/m", "/y/n"]).cells) == 2


def test_resolved_settings_make_the_same_plan():
    first = make_comparison({**BASE, "n_test": 9, "layer_map": "cka", "strengths": [0.1, 0.2]})
    again = make_comparison(yaml.safe_load(yaml.safe_dump(first.settings())))
    assert plan_comparison(again) == plan_comparison(first)


def test_more_cells_than_anybody_runs_are_refused_before_they_are_listed():
    lists = {"parents": [f"org/{n}" for n in range(1000)], "children": ["a"], "layer_maps": MAPS, "projections": KINDS}
    many = make_comparison({**lists, "datasets": [{"dataset": "sums", "n_test": n + 1} for n in range(10)]})
    with pytest.raises(ConfigError, match="the comparison has 600000 cells, and 100000 are the most"):
        plan_comparison(many)
