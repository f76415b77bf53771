"""Every parent layer's direction in every child layer equals what the fitted map of that pair makes of it."""

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, OTHER_CORPUS, make_tokenizer, tiny

from interp_xfer import direction_matrix
from interp_xfer.direction_matrix import carried_directions, n_readings
from interp_xfer.errors import ShapeError
from interp_xfer.paired_corpus import PairedCorpus, stream_sums
from interp_xfer.projections import fit_ridge
from interp_xfer.tasks import get_task, load_problems, projection_texts

ALPHAS = [1e-3, 1e-2, 1e-1]
PAIRS = [(p, c) for p in range(N_LAYERS) for c in range(2)]


@pytest.fixture(scope="module")
def corpus(models):
    child = tiny("llama", 1, make_tokenizer(chat=False, corpus=OTHER_CORPUS), hidden_size=24, num_hidden_layers=2)
    texts = projection_texts(get_task("sums"), load_problems("sums", "train", 20))
    return PairedCorpus(models["llama"], child, texts, keep_bytes=2**30)


@pytest.fixture
def directions():
    return torch.randn(N_LAYERS, D_MODEL, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shuffle_seed", [None, 5])
def test_matrix_equals_fitted_maps(corpus, directions, shuffle_seed):
    found = carried_directions(corpus, directions, ALPHAS, shuffle_seed=shuffle_seed)
    sums = stream_sums(corpus, PAIRS, shuffle_seed=shuffle_seed).real
    for p, c in PAIRS:
        expected = fit_ridge(sums[p, c], [ALPHAS[p]]).map_direction(directions[p].double())
        torch.testing.assert_close(found[p, c], expected, atol=1e-10, rtol=1e-8)


def test_several_directions_are_carried_as_each_alone(corpus, directions):
    several = torch.stack([directions, directions.flip(0), -2 * directions], dim=1)
    found = carried_directions(corpus, several, ALPHAS)
    assert found.shape == (N_LAYERS, 3, 2, 24)
    for number in range(3):
        torch.testing.assert_close(found[:, number], carried_directions(corpus, several[:, number], ALPHAS))


def test_groups_of_parent_layers_do_not_matter(corpus, directions, monkeypatch):
    expected, done = carried_directions(corpus, directions, ALPHAS), []
    assert n_readings(corpus) == 2
    monkeypatch.setattr(direction_matrix, "_SUMS_BYTES", 1)
    assert n_readings(corpus) == 1 + N_LAYERS
    torch.testing.assert_close(carried_directions(corpus, directions, ALPHAS, progress=done.append), expected)
    assert sum(done) == (1 + N_LAYERS) * corpus.n_texts


def test_refusals(corpus, directions):
    with pytest.raises(ShapeError, match="the strengths has 2 layers and the parent 3"):
        carried_directions(corpus, directions, ALPHAS[:2])
    with pytest.raises(ShapeError, match="the directions has 2 layers and the parent 3"):
        carried_directions(corpus, directions[:2], ALPHAS)
