"""Figures of results without a run: the numbers drawn are those of the result."""

import numpy as np
import pytest
import torch

from interp_xfer.errors import ConfigError

GRID = (0.1, 0.3, 1.0)


@pytest.fixture(scope="module")
def table():
    from fake_runs import answer_table

    return answer_table("test", 30, (0.0, 1.0, 0.1, 0.3), np.random.default_rng(0))


def traces(figure, panel=0):
    """Traces of a panel that show something."""
    axis = "x" if panel == 0 else f"x{panel + 1}"
    return [
        trace for trace in figure.data if (trace.xaxis or "x") == axis and any(v is not None for v in trace.x or ())
    ]


def test_steering_vectors():
    from fake_runs import make_study, steering_vectors

    from interp_xfer import plot

    steering = steering_vectors(make_study(), np.random.default_rng(0))
    layers, fits, norms = plot(steering).data[:3]
    assert list(layers.y) == list(steering.layer_map.parent_of)
    assert list(fits.y) == [steering.projection.fits[layer]["r2"] for layer in range(10)]
    assert list(norms.y) == steering.residual_norms.tolist()
    assert [symbol != "circle" for symbol in layers.marker.symbol] == list(steering.flipped)


def test_concept_vectors(models):
    from interp_xfer import contrast_pairs, extract_concept, load_problems, plot

    concept = extract_concept(models["llama"], contrast_pairs(load_problems("sums", "train", 8)))
    (line,) = traces(plot(concept))
    assert list(line.y) == concept.mean_cosine.tolist() and list(line.x) == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["cka", "proportional"])
def test_layer_map(strategy):
    from interp_xfer import plot
    from interp_xfer.maths.layer_maps import proportional
    from interp_xfer.maths.layer_matching import match_layers

    if strategy == "proportional":
        found = proportional(4, 7)
        assert all(list(trace.y) == list(found.parent_of) for trace in traces(plot(found)))
        return
    numbers = [torch.randn(n, 20, 8, generator=torch.Generator().manual_seed(n)) for n in (4, 7)]
    found = match_layers(*numbers, method="monotone").layer_map
    figure = plot(found)
    assert [list(trace.y) for trace in traces(figure)] == [list(found.scores), list(found.held_out_scores)]
    heat, edge, line = traces(figure, 1)
    np.testing.assert_allclose(np.array(heat.z).T, found.bootstrap)
    assert list(edge.y) == list(line.y) == list(found.parent_of)


def test_search_has_intervals_the_baseline_and_the_best(table):
    from interp_xfer import SearchResult, plot
    from interp_xfer.stats.intervals import wilson_interval

    figure = plot(SearchResult(0.3, GRID, table))
    band, line, star, baseline = traces(figure)
    expected = [wilson_interval(sum(a.correct for a in table.at(strength)), 30) for strength in GRID]
    assert list(line.x) == list(GRID) and list(line.y) == pytest.approx([e.estimate for e in expected])
    assert list(band.y) == pytest.approx([*(e.high for e in expected), *(e.low for e in reversed(expected))])
    assert (star.x, star.y) == ((0.3,), (line.y[1],))
    assert set(baseline.y) == {sum(a.correct for a in table.at(0.0)) / 30}
    assert "shift" not in line.hovertemplate
    assert list(traces(plot(table))[1].y) == list(line.y), "answers alone: the same curve"


@pytest.mark.parametrize("with_vote", [True, False])
def test_evaluation_has_arms_and_changes_with_intervals(table, with_vote):
    from interp_xfer import plot
    from interp_xfer.evaluation.evaluate import _evaluated

    found = _evaluated(table, 0.3, GRID if with_vote else ())
    figure = plot(found)
    arms, changes = traces(figure), traces(figure, 1)
    assert [arm.y[0] for arm in arms] == ["baseline", "λ* = 0.3", "vote"][: 2 + with_vote]
    for drawn, arm in zip(arms, found.arms, strict=True):
        ends = (drawn.x[0], drawn.x[0] - drawn.error_x.arrayminus[0], drawn.x[0] + drawn.error_x.array[0])
        assert ends == pytest.approx(tuple(arm.summary.accuracy))
    for drawn, arm in zip(changes, found.arms[1:], strict=True):
        d = arm.difference
        ends = (drawn.x[0], drawn.x[0] - drawn.error_x.arrayminus[0], drawn.x[0] + drawn.error_x.array[0])
        assert ends == pytest.approx((100 * d.delta, 100 * d.low, 100 * d.high))


def test_alignment_is_a_heat_map_of_each_measure(models):
    from interp_xfer import contrast_pairs, extract_concept, load_problems, plot
    from interp_xfer.measures.component_alignment import measure_alignment

    parent, child = models["qwen3"], models["llama"]
    pairs = contrast_pairs(load_problems("sums", "train", 20))
    found = measure_alignment(parent, child, extract_concept(parent, pairs[:12]), pairs[:12], 12, pairs[12:])
    figure = plot(found)
    heat = [trace for trace in figure.data if trace.type == "heatmap"]
    differences = [(scores[:, 0, 0] - scores[:, 1, 0]).numpy() for scores in (found.parent_scores, found.child_scores)]
    expected = np.corrcoef(*differences)[: len(differences[0]), len(differences[0]) :]
    np.testing.assert_allclose(np.array(heat[0].z, dtype=float), expected, atol=1e-3)
    np.testing.assert_allclose(np.array(heat[3].z, dtype=float), found.raw.cosines.numpy(), atol=1e-3)
    assert len(heat) == 5 and any("Nothing was fitted" in a.text for a in figure.layout.annotations)


def test_other_things_have_no_figure():
    from interp_xfer import plot

    with pytest.raises(ConfigError, match="no figure of a dict; there are figures of ConceptVectors, SteeringVectors"):
        plot({})
