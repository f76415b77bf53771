"""What a docstring promises under Raises is what is raised: one row for each promise that was once another error.

Runtime type checks are off, as for a user; they would refuse some of these calls before the code can.
"""

import json

import pytest
import torch
from tiny_models import unchecked

from interp_xfer.concepts.extract import extract_concept
from interp_xfer.errors import ConfigError, DataError, LayerError, ShapeError
from interp_xfer.evaluation.write_rationales import load_training
from interp_xfer.interop.crosscheck import crosscheck
from interp_xfer.maths.cka import cka_matrix, paired_grams
from interp_xfer.maths.directions import difference_cosines, pca_directions
from interp_xfer.maths.layer_maps import cka_matched, greedy, manual
from interp_xfer.maths.layer_matching import match_layers, optimal_transport, score_map
from interp_xfer.maths.linear_maps import fit_procrustes, fit_ridge
from interp_xfer.maths.paired_sums import PairedSums
from interp_xfer.maths.permutation import permutation_null
from interp_xfer.measures.component_alignment import measure_alignment
from interp_xfer.measures.concept_readout import (
    MemberScores,
    compare_sources,
    layer_readouts,
    score_members,
    summarise_source,
)
from interp_xfer.streams import normals, stream
from interp_xfer.tasks import contrast_pairs, load_problems


def normal(*shape: int, draw: int = 0) -> torch.Tensor:
    return normals(stream(0, "promised errors", draw), *shape)


SCORES = MemberScores({"real": normal(2, 5)}, {"real": normal(2, 5, draw=1)})
ONE_PAIR = MemberScores({"real": normal(2, 1)}, {"real": normal(2, 1, draw=1)})
NULL = permutation_null(*paired_grams([normal(8, 4)], [normal(8, 4, draw=1)]), n_permutations=19)

PROMISES = {
    "readouts of an unknown source": (lambda: layer_readouts(SCORES, "other"), ConfigError, "no scores of 'other'"),
    "readouts of one pair": (lambda: layer_readouts(ONE_PAIR, "real"), ShapeError, "at least 2 pairs"),
    "wins of an unknown source": (lambda: SCORES.wins("other", [0]), ConfigError, "no scores of 'other'"),
    "a summary of an unknown source": (lambda: summarise_source(SCORES, "other", ["real"]), ConfigError, "no scores"),
    "a summary without draws": (lambda: summarise_source(SCORES, "real", []), ConfigError, "no random direction"),
    "a comparison with an unknown source": (lambda: compare_sources(SCORES, "real", "x"), ConfigError, "no scores"),
    "an unknown centering": (lambda: pca_directions(normal(6, 4), 1, "none"), ConfigError, "one of symmetric, repe"),
    "cosines with nothing": (lambda: difference_cosines(normal(6, 4), torch.zeros(4)), ShapeError, "length 0"),
    "an unknown estimator": (
        lambda: cka_matrix([normal(6, 4)], [normal(6, 4)], "best"), ConfigError, "unbiased, biased",
    ),
    "layers of other prompts": (
        lambda: cka_matrix([normal(6, 4), normal(5, 4)], [normal(6, 4)]), ShapeError, "a layer has 5 prompts",
    ),
    "an unknown match": (lambda: cka_matched(normal(3, 3), "best"), ConfigError, "one of monotone, argmax"),
    "an unknown method": (lambda: match_layers([normal(9, 4)], [normal(9, 4)], "best"), ConfigError, "transport"),
    "a map of no layer": (lambda: score_map(manual([None], 1), NULL), LayerError, "nothing can be scored"),
    "a map of other depths": (lambda: score_map(greedy(2, 2), NULL), LayerError, "does not fit a map"),
    "sums without rows": (lambda: fit_ridge(PairedSums(4, 3)), ShapeError, "rows"),
    "a rotation without rows": (lambda: fit_procrustes(PairedSums(4, 3)), ShapeError, "rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROMISES)
def test_promise(name):
    call, error, message = PROMISES[name]
    with unchecked(), pytest.raises(error, match=message):
        call()


def test_promises_of_what_reads_models(models):
    model, pairs = models["llama"], contrast_pairs(load_problems("sums", "train", 9))
    with pytest.raises(DataError, match="no problems to cross-check"):
        crosscheck(model, [])
    with pytest.raises(ConfigError, match="no directions to score"):
        score_members(model, pairs, {})
    concept = extract_concept(model, pairs[:5])
    with pytest.raises(ShapeError, match="cannot be compared: the child reads 1 of the contrast pairs"):
        measure_alignment(model, model, concept, pairs[:5], 1, pairs[5:])
    with pytest.raises(ShapeError, match="cannot be compared: there are 3 calibration pairs"):
        measure_alignment(model, model, concept, pairs[:5], 5, pairs[6:])


def test_a_training_split_that_does_not_reach(tmp_path):
    with pytest.raises(DataError):
        load_training("gsm8k", 2, tmp_path)
    (tmp_path / "arc_challenge").mkdir()
    row = {
        "id": "q1", "question": "Which is heavy?", "choices": {"text": ["a leaf", "a table"], "label": ["A", "B"]},
        "answerKey": "B",
    }  # fmt: skip
    for split in ("train", "validation", "test"):
        row |= {"id": split, "question": f"Which is heavy in {split}?"}
        (tmp_path / "arc_challenge" / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "rationales.jsonl").write_text("")
    with pytest.raises(DataError, match="no rationale for any of the"):
        load_training("arc_challenge", 1, tmp_path, rationales=tmp_path / "rationales.jsonl")
    with pytest.raises(DataError):
        load_training("arc_challenge", 1, tmp_path, offset=5)


def test_a_plan_that_the_solver_does_not_find(monkeypatch):
    """Whatever it is that stops it: the plan is not read."""
    from types import SimpleNamespace

    import interp_xfer.maths.layer_matching as layer_matching

    found = SimpleNamespace(success=False, x=None, message="The problem is infeasible.")
    monkeypatch.setattr(layer_matching, "linprog", lambda *_, **__: found)
    with pytest.raises(LayerError, match="no transport plan .* of 3 parent and 2 child layers: The problem is infeas"):
        optimal_transport(normal(3, 2))
