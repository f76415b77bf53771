"""Rows of a corpus in two models: shared sums, kept rows, shuffled pairs, too few rows."""

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, OTHER_CORPUS, make_tokenizer, tiny

from interp_xfer.errors import ConfigError, DataError, ShapeError
from interp_xfer.maths.layer_maps import manual, proportional
from interp_xfer.maths.linear_maps import fit_ridge
from interp_xfer.maths.paired_sums import PairedSums, SharedSums
from interp_xfer.tasks import FitText, get_task, load_problems, projection_texts
from interp_xfer.transfer.corpus import PairedCorpus, passes, stream_sums
from interp_xfer.transfer.fit import fit_each, fit_projection, fit_projections


@pytest.fixture(scope="module")
def texts():
    return projection_texts(get_task("sums"), load_problems("sums", "train", 24))


@pytest.fixture(scope="module")
def child():
    return tiny("gemma3", 1, make_tokenizer(chat=False, corpus=OTHER_CORPUS), hidden_size=24, num_hidden_layers=3)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_shared_sums_equal_sums_of_their_own():
    shared = SharedSums(5, {"a": 3, "b": 4})
    own = {"a": PairedSums(5, 3), "b": PairedSums(5, 4)}
    for chunk in range(4):
        x, ys = normal(9, 5, seed=chunk) + 7, {"a": normal(9, 3, seed=50 + chunk), "b": normal(9, 4, seed=90 + chunk)}
        folds = torch.arange(9) % 3
        shared.add(x, ys, folds)
        for name, sums in own.items():
            sums.add(x, ys[name], folds)
    for name, sums in own.items():
        found, expected = fit_ridge(shared.of(name)), fit_ridge(sums)
        torch.testing.assert_close(found.weight, expected.weight)
        assert found.diagnostics == pytest.approx(expected.diagnostics)
        assert shared.of(name).n_rows == sums.n_rows == 36
    assert shared.of("a")._xx[0] is shared.of("b")._xx[0], "one copy of the parent's side"


def test_shared_sums_refuse_missing_targets():
    with pytest.raises(ConfigError, match="at least one child layer"):
        SharedSums(5, {})
    with pytest.raises(ShapeError, match=r"rows were given for \['a'\], but the sums are of \['a', 'b'\]"):
        SharedSums(5, {"a": 3, "b": 4}).add(normal(2, 5), {"a": normal(2, 3)})


def test_kept_rows_are_the_rows(models, child, texts):
    parent = models["llama"]
    read, kept = PairedCorpus(parent, child, texts), PairedCorpus(parent, child, texts, keep_bytes=2**30)
    for _ in range(2):  # the second time from memory
        done: list[int] = []
        for a, b in zip(read.batches([1], [2]), kept.batches([1], [2], done.append), strict=True):
            torch.testing.assert_close(a.x[1], b.x[1])
            torch.testing.assert_close(a.y[2], b.y[2])
            assert torch.equal(a.texts, b.texts)
        assert sum(done) == len(texts)
    assert kept.n_rows == sum(len(batch.texts) for batch in read.batches([], [0]))
    assert read.describe() == kept.describe()


@pytest.mark.parametrize("keep_bytes", [0, 2**30])
def test_texts_without_a_pair_of_tokens_are_counted_in_every_reading(models, child, texts, keep_bytes):
    corpus = PairedCorpus(models["llama"], child, [*texts, FitText("empty", "", "")], keep_bytes=keep_bytes)
    assert corpus.n_texts == len(texts) + 1 and corpus.describe().n_texts == corpus.n_texts
    for _ in range(2):
        done: list[int] = []
        assert sum(batch.n_texts for batch in corpus.batches([0], [0], done.append)) == len(texts)
        assert sum(done) == corpus.n_texts


@pytest.mark.parametrize("texts", [[], [FitText("a", "", "")], [FitText("a", "", ""), FitText("b", "", "")]])
def test_no_pair_of_tokens_at_all(models, child, texts):
    with pytest.raises(DataError, match=f"no token of {len(texts)} projection texts ends at the same character in tin"):
        PairedCorpus(models["llama"], child, texts)


def test_a_reading_that_is_given_up_is_counted_to_its_end(models, child, texts):
    """One text with most of the rows of its batch cannot be shuffled; the other kind is fitted, and counted."""
    long = FitText("long", " ".join(text.text for text in texts)[:570], "")
    corpus, done = PairedCorpus(models["llama"], child, [*texts[:3], long]), []
    made = list(fit_each(corpus, {"ridge": {(0, 0)}, "shuffled-pairs": {(0, 0)}}, progress=done.append))
    assert [one.kind for one in made if isinstance(one.projection, ShapeError)] == ["shuffled-pairs"]
    assert sum(done) == 2 * corpus.n_texts


def rows_of(corpus, **options):
    return [(batch.x, batch.y, batch.texts) for batch in corpus.batches(range(N_LAYERS), range(3), **options)]


def assert_same_rows(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_first_part_is_what_a_reading_of_the_whole_leaves_behind(models, child, texts, monkeypatch):
    """All layers of the first whole batches, although the reading asked for one layer of each model."""
    parent, options = models["llama"], {"texts_per_batch": 6, "part_rows": 100}
    whole = PairedCorpus(parent, child, texts, **options)
    expected = rows_of(PairedCorpus(parent, child, texts, texts_per_batch=6))
    n = next(n for n in range(5) if sum(len(batch[2]) for batch in expected[:n]) >= 100)
    assert 0 < n < len(expected)
    for _ in whole.batches([1], [2]):
        pass
    part = whole.first_part()
    assert (part.n_rows, part.n_texts) == (sum(len(batch[2]) for batch in expected[:n]), 6 * n)
    monkeypatch.setattr(parent.hf.base_model, "forward", lambda **_: pytest.fail("the parent was read again"))
    done: list[int] = []
    assert_same_rows(rows_of(part, progress=done.append), expected[:n])
    assert sum(done) == part.n_texts


@pytest.mark.parametrize(("part_bytes", "keep_bytes"), [(2**30, 0), (0, 0), (0, 2**30)])
def test_the_first_part_is_the_same_wherever_its_rows_come_from(models, child, texts, part_bytes, keep_bytes):
    """Read before the whole, read again because it is too large to keep, or cut out of a corpus that is kept."""
    parent = models["llama"]
    options = {"texts_per_batch": 6, "part_rows": 100, "part_bytes": part_bytes, "keep_bytes": keep_bytes}
    whole = PairedCorpus(parent, child, texts, **options)
    expected = rows_of(PairedCorpus(parent, child, texts, texts_per_batch=6))
    before = rows_of(whole.first_part())
    assert_same_rows(before, expected[: len(before)])
    assert_same_rows(rows_of(whole), expected)
    assert_same_rows(rows_of(whole.first_part()), before)
    small = PairedCorpus(parent, child, texts, texts_per_batch=6, part_rows=10**9)
    assert_same_rows(rows_of(small.first_part()), expected)


def test_batches_are_of_nearly_equal_size(models, child, texts):
    """17 texts in batches of at most 16: a batch of one text could not be shuffled."""
    sizes = [batch.n_texts for batch in PairedCorpus(models["llama"], child, texts[:17]).batches([0], [])]
    assert sizes == [8, 9]


def test_shuffled_pairs_teach_nothing(models, child, texts):
    """R² of wrongly paired rows is 0 or less, that of real ones is not; measured beside every ridge map."""
    parent = models["llama"]
    real = fit_projection(parent, child, texts, proportional(N_LAYERS, 3))
    wrong = fit_projection(parent, child, texts, proportional(N_LAYERS, 3), "shuffled-pairs", seed=3)
    for layer in range(3):
        diagnostics = real.maps[layer].diagnostics
        assert diagnostics["shuffled_r2"] < 0.01 < diagnostics["r2"]
        assert wrong.maps[layer].diagnostics["r2"] < 0.01
        assert "shuffled_r2" not in wrong.maps[layer].diagnostics
    assert wrong.kind == "shuffled-pairs" and wrong.corpus.seed == 3
    bare = fit_projection(parent, child, texts, proportional(N_LAYERS, 3), measure_shuffled=False)
    torch.testing.assert_close(bare.maps[1].weight, real.maps[1].weight)
    assert "shuffled_r2" not in bare.maps[1].diagnostics


def test_one_text_cannot_be_shuffled(models, child, texts):
    parent = models["llama"]
    assert stream_sums(PairedCorpus(parent, child, texts[:1]), [(0, 0)], with_shuffled=True).shuffled == {}
    with pytest.raises(ShapeError, match="one prompt holds"):
        fit_projection(parent, child, texts[:1], manual([0, None, None], N_LAYERS), "shuffled-pairs")


def test_layer_maps_share_fits(models, child, texts):
    """Two maps from one reading equal each map alone, and a common pair of layers is one object."""
    parent = models["llama"]
    first, second = manual([0, 1, 1], N_LAYERS), manual([0, 0, 1], N_LAYERS)
    both = fit_projections(PairedCorpus(parent, child, texts), {"first": first, "second": second})
    assert both["first"].maps[0] is both["second"].maps[0]
    alone = fit_projection(parent, child, texts, second)
    for layer in range(3):
        torch.testing.assert_close(both["second"].maps[layer].weight, alone.maps[layer].weight)
    with pytest.raises(ConfigError, match="projection 'identity' is not fitted; choose from ridge"):
        fit_projections(PairedCorpus(parent, child, texts), {"first": first}, "identity")


def test_fewer_rows_than_dimensions_need_regularisation(models, child):
    """Handbook, section 7: from texts to the refusal."""
    few = [FitText(str(i), f"Mia has {i} apples.", f"Mia has {i} apples.") for i in range(3)]
    sums = stream_sums(PairedCorpus(models["llama"], child, few), [(1, 1)]).real[1, 1]
    assert sums.n_rows <= D_MODEL
    with pytest.raises(ShapeError, match=f"{sums.n_rows} rows and no regularisation cannot fix a map from {D_MODEL}"):
        fit_ridge(sums, alphas=[0.0])
    assert fit_ridge(sums, alphas=[1.0]).n_rows == sums.n_rows


def test_passes_hold_shared_sides_once():
    pairs = [(1, 0), (0, 1), (1, 2), (0, 3)]
    one = 24 * (10**2 + 10 * 5 + 5**2)
    shared = 24 * (10 * 5 + 5**2)
    assert passes(pairs, 10, 5, 1) == [[(0, 1)], [(0, 3)], [(1, 0)], [(1, 2)]]
    assert passes(pairs, 10, 5, one + shared) == [[(0, 1), (0, 3)], [(1, 0), (1, 2)]]
    assert passes(pairs, 10, 5, 2 * (one + shared)) == [sorted(pairs)]
    assert passes([], 10, 5, 1) == []
