"""Every parent layer's direction in every child layer equals what the fitted map of that pair makes of it."""

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, OTHER_CORPUS, make_tokenizer, tiny

from interp_xfer.errors import ShapeError
from interp_xfer.maths.linear_maps import fit_ridge
from interp_xfer.maths.paired_sums import PairedSums
from interp_xfer.tasks import get_task, load_problems, projection_texts
from interp_xfer.transfer import all_pairs as direction_matrix
from interp_xfer.transfer.all_pairs import carried_directions, carried_with_shuffles, n_readings
from interp_xfer.transfer.corpus import PairedCorpus, stream_sums

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


def test_matrix_equals_fitted_maps(corpus, directions):
    found = carried_directions(corpus, directions, ALPHAS)
    sums = stream_sums(corpus, PAIRS).real
    for p, c in PAIRS:
        expected = fit_ridge(sums[p, c], [ALPHAS[p]]).map_direction(directions[p].double())
        torch.testing.assert_close(found[p, c], expected, atol=1e-10, rtol=1e-8)


def test_shuffles_equal_maps_fitted_on_the_shuffled_rows(corpus, directions, monkeypatch):
    """Oracle: the rows of the child put into the order of each draw, and a ridge map fitted on them."""
    orders, real = [], direction_matrix.rows_of_other_prompts

    def kept(*arguments):
        orders.append(real(*arguments))
        return orders[-1]

    monkeypatch.setattr(direction_matrix, "rows_of_other_prompts", kept)
    chosen = [(0, 1), (2, 0)]
    found = carried_with_shuffles(corpus, directions, ALPHAS, chosen, 3, seed=7)
    torch.testing.assert_close(found.every, carried_directions(corpus, directions, ALPHAS))
    batches = list(corpus.batches(range(N_LAYERS), range(2)))
    assert len(orders) == 3 * len(batches)
    for place, (p, c) in enumerate(chosen):
        for draw in range(3):
            sums = PairedSums(D_MODEL, 24)
            for number, batch in enumerate(batches):
                assert not bool((batch.texts == batch.texts[orders[3 * number + draw]]).any())
                sums.add(batch.x[p], batch.y[c][orders[3 * number + draw]])
            expected = fit_ridge(sums, [ALPHAS[p]]).map_direction(directions[p].double())
            torch.testing.assert_close(found.shuffled[draw, place], expected, atol=1e-10, rtol=1e-8)
    again = carried_with_shuffles(corpus, directions, ALPHAS, chosen, 2, seed=7).shuffled
    torch.testing.assert_close(again, found.shuffled[:2])  # more draws extend fewer
    assert not torch.allclose(carried_with_shuffles(corpus, directions, ALPHAS, chosen, 2, seed=8).shuffled, again)


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
