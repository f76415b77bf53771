"""Components of two loaded models: copies and rotated copies agree fully, in the ways that can see it."""

import pytest
import torch
from tiny_models import N_LAYERS, OTHER_CORPUS, make_tokenizer, rotated_llamas, tiny

from interp_xfer.concepts.extract import contrast_differences, contrast_members, extract_concept
from interp_xfer.errors import LeakError
from interp_xfer.maths.score_correlation import score_null
from interp_xfer.measures.component_alignment import (
    N_DRAWS,
    AlreadyRead,
    ComponentAlignment,
    measure_alignment,
    n_components,
    n_texts,
    why_not_aligned,
)
from interp_xfer.tasks import contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.transfer.corpus import PairedCorpus

N_PAIRS, N_HELD_OUT = 20, 12


@pytest.fixture(scope="module")
def problems():
    return load_problems("sums", "train", N_PAIRS + N_HELD_OUT + 30)


@pytest.fixture(scope="module")
def pairs(problems):
    return contrast_pairs(problems[:N_PAIRS])


@pytest.fixture(scope="module")
def held_out(problems):
    return contrast_pairs(problems[N_PAIRS : N_PAIRS + N_HELD_OUT])


@pytest.fixture(scope="module")
def texts(problems):
    return projection_texts(get_task("sums"), problems[N_PAIRS + N_HELD_OUT :])


def first_scores(found):
    return found.parent_scores[:, :, 0], found.child_scores[:, :, 0]


def test_a_model_and_its_copy(models, pairs, held_out):
    """Diagonal 1: scores, coordinates and principal angles; nothing is carried without texts."""
    found = measure_alignment(
        models["llama"],
        tiny("llama", reference="tiny/copy"),
        extract_concept(models["llama"], pairs),
        pairs,
        len(pairs),
        held_out,
    )
    ones = torch.ones(N_LAYERS).double()
    torch.testing.assert_close(score_null(*first_scores(found)).observed.diagonal(), ones, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.raw.cosines.diagonal(), ones, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.raw.angles.diagonal().T, torch.ones(N_LAYERS, 3).double(), atol=1e-4, rtol=0)
    assert found.carried is None and found.raw.null.shape == (N_DRAWS, N_LAYERS, N_LAYERS)
    assert found.settings.n_held_out == N_HELD_OUT


def test_a_rotated_copy(pairs, held_out, texts, tmp_path):
    """Scores 1 without a map, cosine 1 after a fitted one, coordinates those of strangers; the artifact holds it."""
    parent, child, _ = rotated_llamas()
    concept = extract_concept(parent, pairs)
    corpus = PairedCorpus(parent, child, texts)
    done: list[int] = []
    found = measure_alignment(
        parent, child, concept, pairs, N_PAIRS, held_out, corpus, [1e-6] * N_LAYERS, progress=done.append
    )
    assert sum(done) == n_texts(N_PAIRS, N_PAIRS, N_HELD_OUT, corpus, AlreadyRead())
    null = score_null(*first_scores(found), n_permutations=99)
    assert null.observed.diagonal().min() > 0.999 and null.beyond.diagonal().all()
    assert found.carried.cosines.diagonal().min() > 0.99
    assert found.carried.angles.diagonal().min() > 0.95
    assert found.carried.cosines.diagonal().min() > found.carried.null.abs().max(dim=0).values.diagonal().max()
    assert found.raw.cosines.diagonal().abs().max() < 0.6  # 32 dimensions: sd .18
    back = ComponentAlignment.load(found.save(tmp_path / "alignment"))
    torch.testing.assert_close(back.carried.null, found.carried.null.float())
    torch.testing.assert_close(back.child_scores, found.child_scores.float())
    assert back.settings == found.settings and back.prompts == found.prompts and back.parent == found.parent


def test_what_was_read_before_is_not_read_again(models, pairs, held_out, texts):
    """The same numbers from activations of an earlier stage; a child of another width has no raw cosines."""
    parent = models["llama"]
    child = tiny("gemma3", 1, make_tokenizer(chat=False, corpus=OTHER_CORPUS), hidden_size=24)
    concept, corpus = extract_concept(parent, pairs), PairedCorpus(parent, child, texts, keep_bytes=2**30)
    expected = measure_alignment(parent, child, concept, pairs, 10, held_out, corpus)
    known = AlreadyRead(contrast_differences(parent, pairs), contrast_members(child, held_out))
    done: list[int] = []
    found = measure_alignment(parent, child, concept, pairs, 10, held_out, corpus, known=known, progress=done.append)
    assert sum(done) == n_texts(N_PAIRS, 10, N_HELD_OUT, corpus, known)
    assert found.raw is None and found.carried.cosines.shape == (N_LAYERS, N_LAYERS)
    for ours, theirs in zip(first_scores(found), first_scores(expected), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found.carried.cosines, expected.carried.cosines)
    assert (found.child_components[:, 0] * expected.child_components[:, 0]).sum(dim=1).min() > 0.9999


def test_leaks_are_refused(models, pairs, held_out, problems):
    model = models["llama"]
    concept = extract_concept(model, pairs)
    with pytest.raises(LeakError, match="1 of 13 held-out items .* are also in the concept's pairs"):
        measure_alignment(model, model, concept, pairs, 4, [*held_out, pairs[0]])
    corpus = PairedCorpus(model, model, projection_texts(get_task("sums"), problems[:3]))
    with pytest.raises(LeakError, match="of the projection corpus are also contrast pairs"):
        measure_alignment(model, model, concept, pairs, 4, held_out, corpus)


def test_how_many():
    assert [n_components(*sizes) for sizes in ((64, 24), (3, 24), (64, 4), (2, 24))] == [3, 2, 2, 1]
    assert why_not_aligned(2, 4) is None
    assert "reads 1 of the contrast pairs" in str(why_not_aligned(1, 24))
    assert "there are 3 calibration pairs, and at least 4 are needed" in str(why_not_aligned(64, 3))
