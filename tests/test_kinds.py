"""Functions in place of names: they are used, and records say which they were."""

import pytest
import torch
from tiny_models import N_LAYERS, random_steering

from interp_xfer import extract_concept, fit_projection, map_layers, steer
from interp_xfer.concepts.methods import METHODS
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.kinds import function_name
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.steering.operators import OPERATORS
from interp_xfer.tasks import contrast_pairs, get_task, load_problems, projection_texts


@pytest.fixture(autouse=True)
def tables_as_before():
    yield
    for table in (METHODS, LAYER_MAPS, LINEAR_MAPS, OPERATORS):
        for name in [name for name in table if "@" in name]:
            table.remove(name)


@pytest.fixture(scope="module")
def pairs():
    return contrast_pairs(load_problems("sums", "train", 12))


@pytest.fixture(scope="module")
def texts():
    return projection_texts(get_task("sums"), load_problems("sums", "train", 20, offset=20))


def test_a_method(models, pairs):
    def mean(differences):
        return -3 * differences.mean(dim=0)

    found = extract_concept(models["llama"], pairs, method=mean)
    expected = extract_concept(models["llama"], pairs, method="mean-difference")
    torch.testing.assert_close(found.vectors, expected.vectors)  # length and sign are settled afterwards
    assert found.settings.method == function_name(mean) and found.settings.method.startswith("test_kinds.test_a_method")
    with pytest.raises(ShapeError, match="return one direction"):
        extract_concept(models["llama"], pairs, method=lambda differences: differences)
    with pytest.raises(ShapeError, match="a direction of length 0"):
        extract_concept(models["llama"], pairs, method=lambda differences: 0 * differences[0])


def test_a_layer_map(models, pairs):
    seen = []

    def zero(inputs):
        seen.append(inputs)
        return [0] * inputs.n_child

    found = map_layers(models["llama"], models["mistral"], pairs, zero)
    assert found.parent_of == (0,) * N_LAYERS and found.strategy == function_name(zero)
    assert seen[0].parent_differences.shape[:2] == (N_LAYERS, len(pairs))
    assert map_layers(models["llama"], models["mistral"], strategy=zero) == found and seen[1].parent_differences is None
    assert zero in [LAYER_MAPS[found.strategy].choose]


def test_a_linear_map(models, texts):
    def least_squares(moments):
        return torch.linalg.solve(moments.xx + 1e-6 * torch.eye(len(moments.xx)), moments.xy)

    parent, child = models["llama"], models["mistral"]
    mapping = map_layers(parent, child, strategy="proportional")
    found = fit_projection(parent, child, texts, mapping, least_squares)
    assert found.kind == function_name(least_squares) == found.maps[0].kind
    ridge = fit_projection(parent, child, texts, mapping, "ridge")
    # Ridge chose its strength to do best out of fold, so that it does no worse.
    for layer in range(N_LAYERS):
        assert found.maps[layer].diagnostics["r2"] <= ridge.maps[layer].diagnostics["r2"] + 1e-6
    with pytest.raises(ShapeError, match="return W"):
        fit_projection(parent, child, texts, mapping, lambda moments: moments.xx[:2])


def test_an_operator(models):
    def twice(h, v, c):
        return h + 2 * c * v

    model = models["llama"]
    steering, ids = random_steering(model), torch.tensor([[5, 6, 7]])
    with steer(model, steering, strength=0.1, operator=twice, unit="raw"):
        found = model.bridge(ids)
    with steer(model, steering, strength=0.2, operator="add", unit="raw"):
        expected = model.bridge(ids)
    torch.testing.assert_close(found, expected)


def test_names_tell_functions_apart():
    def one(x):
        return x

    first = function_name(one)

    def one(x):
        return x + 1

    assert function_name(one) != first
    assert function_name(torch.sin) != function_name(torch.cos)


@pytest.mark.parametrize("table", [METHODS, LAYER_MAPS, LINEAR_MAPS, OPERATORS], ids=lambda table: table.what)
def test_a_function_of_another_process_is_known_by_name_and_not_run(table):
    name = "somebody.elses@0123abcd"
    assert table.check(name) == name
    with pytest.raises(ConfigError, match=f"the {table.what} {name} is a function that was given by hand"):
        table[name]
    with pytest.raises(ValueError, match=f"unknown {table.what} 'x'"):
        table.check("x")
