"""The analyses by name: one file per question, each with `compute(store) -> table` and `figure(table) -> Figure`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from analyses import (
    concept_profile,
    flips,
    inference_scaling,
    lambda_robustness,
    layer_sensitivity,
    mapping_comparison,
    pc_alignment,
    results_table,
    transfer_profile,
)
from analyses.drafts import Draft
from analyses.tables import Table
from interp_xfer.errors import ConfigError
from interp_xfer.studies.run_store import RunStore
from interp_xfer.words import unknown


@dataclass(frozen=True)
class Analysis:
    """One question to a run."""

    name: str
    question: str
    """Title of the figure."""
    compute: Callable[[RunStore], Table]
    figure: Callable[[Any], go.Figure]
    draw: Callable[[Any], Draft]
    """The same figure before Plotly has checked it, for pages with many."""
    describe: Callable[[Any], str]
    """The key numbers of a table in words: the figure's text alternative."""
    caption: str
    """How to read the figure."""
    null: str
    """What the figure looks like when there is no effect."""
    by_cell: bool = False
    """The figure of one cell shows more than the figure of many."""


ANALYSES: dict[str, Analysis] = {
    analysis.name: analysis
    for analysis in (
        Analysis(
            "results-table",
            "What came out, and what was published?",
            results_table.compute,
            results_table.figure,
            results_table.draw,
            results_table.describe,
            "Each dot is the change in accuracy at the chosen strength λ* against the unsteered baseline on the same "
            "test questions, with its paired 95 % interval; open diamonds are published changes for the same parent, "
            "child and data set.",
            "Dots scatter on both sides of 0 and about 19 of 20 intervals cover it; one cell in 20 reaches "
            "p < .05 by luck.",
        ),
        Analysis(
            "lambda-robustness",
            "How do answers change with the strength?",
            lambda_robustness.compute,
            lambda_robustness.figure,
            lambda_robustness.draw,
            lambda_robustness.describe,
            "Solid: test, dashed: validation; bands are 95 % Wilson intervals, dotted lines the unsteered baselines, "
            "the star is λ*, chosen on validation. The same accuracies are drawn over the length of the shift that was "
            "applied: if models differ over strength but agree there, the difference was the length of their residual "
            "streams. Several cells: one line per child, ± is half the widest interval.",
            "The curve stays inside the band around the baseline. The best of many strengths lies above the baseline "
            "by luck: with 18 strengths and 1,319 questions by 1 to 2 points.",
            by_cell=True,
        ),
        Analysis(
            "inference-scaling",
            "What do λ* and the vote over strengths change?",
            inference_scaling.compute,
            inference_scaling.figure,
            inference_scaling.draw,
            inference_scaling.describe,
            "Bars: accuracy with 95 % Wilson intervals. Points: paired change from the baseline with 95 % interval and "
            "its p. The curve shows the vote over k strengths, the mean and range over sets of k.",
            "The intervals cover 0. A vote spends one generation for every strength, and voting "
            "among noisy answers gains without any steering; compare it with a vote among unsteered samples at "
            "equal k.",
            by_cell=True,
        ),
        Analysis(
            "flips",
            "Which questions were gained and lost?",
            flips.compute,
            flips.figure,
            flips.draw,
            flips.describe,
            "Gained: wrong at baseline and right in the arm; lost: the reverse. Few cells are bars, many are dots: "
            "each dot a cell, on the dotted line as many gained as lost.",
            "Both bars are of about equal length, whatever their length; dots lie on both sides of the dotted line.",
        ),
        Analysis(
            "concept-profile",
            "Where in the parent is the concept?",
            concept_profile.compute,
            concept_profile.figure,
            concept_profile.draw,
            concept_profile.describe,
            "Share of the variance of the contrast differences along the concept direction, per parent layer, and its "
            "cosine with the mean difference: near 1, the direction is the labelled concept, near 0 a nuisance axis.",
            "A random direction explains a share of one over the width, and has a cosine near 0.",
        ),
        Analysis(
            "transfer-profile",
            "How was the concept carried into the child?",
            transfer_profile.compute,
            transfer_profile.figure,
            transfer_profile.draw,
            transfer_profile.describe,
            "Per child layer: the parent layer it was fed from, how much of its activation the map predicts on texts "
            "it was not fitted on (R²), and the median length of its residual stream. Open triangles: the mapped "
            "direction pointed the wrong way on the child's own labelled pairs and was turned round.",
            "A map between unrelated layers has an R² of 0 or less. A direction without meaning in the child is turned "
            "round at half of the layers.",
        ),
        Analysis(
            "pc-alignment",
            "Do the components of parent and child agree?",
            pc_alignment.compute,
            pc_alignment.figure,
            pc_alignment.draw,
            pc_alignment.describe,
            "Every parent layer against every child layer, on contrast pairs that took no part in finding the "
            "directions. Scores need no map: what both models share per pair (positive minus negative member: the "
            "question and the class cancel), within a class (the question stays), and over both classes, where any two "
            "models that separate them correlate. Cosines compare directions themselves. Dots lie beyond what the "
            "largest of all pairs of layers reaches by chance in 1 of 20 (number in brackets); the line is the layer "
            "map. Whatever else differs alike between the members, such as their length, counts as agreement.",
            "No dots in 19 of 20 runs. Scores over both classes are high, without dots. Cosines of the "
            "coordinates of two unrelated models are about 0 whatever the models share; the null of cosines is random "
            "directions with the covariance of the parent's contrast differences.",
            by_cell=True,
        ),
        Analysis(
            "mapping-comparison",
            "Does it matter how layers and directions are mapped?",
            mapping_comparison.compute,
            mapping_comparison.figure,
            mapping_comparison.draw,
            mapping_comparison.describe,
            "Circles: one setting against another, everything else equal, averaged over the pairs of cells that have "
            "both; right of 0 the first one answers more questions. Squares: each cell against its unsteered "
            "baseline. Intervals are 95 %, paired by question, for each row alone; a filled marker has p < .05 after "
            "max-T adjustment for all comparisons, or all cells, of its data set. Every cell is read at its own λ*, "
            "chosen on validation; native is the child's own concept.",
            "Markers scatter on both sides of 0, about 19 of 20 intervals cover it, and none is filled in 19 of 20 "
            "data sets. Settings that differ no more than a random projection does from a fitted one do not matter.",
        ),
        Analysis(
            "layer-sensitivity",
            "Which child layers respond?",
            layer_sensitivity.compute,
            layer_sensitivity.figure,
            layer_sensitivity.draw,
            layer_sensitivity.describe,
            "Validation questions, log p of the gold answer. Gradient: its slope at strength 0 when a layer alone is "
            "steered, with 95 % intervals over questions, for the transferred direction and the child's own; between "
            "the grey lines lie random directions. Sweep: its change at a strength, divided by that strength, so that "
            "a layer that responds linearly has the value of its slope; bars are windows of layers steered together. "
            "Points below: change in the accuracy of generated answers, for windows chosen by depth alone. Likelihood "
            "is not accuracy, and a slope holds near strength 0 only.",
            "Slopes stay between the dashed lines at all layers in 19 of 20 runs, and inside the grey band at 19 of "
            "20 layers. Random directions with a resolved sign have slopes too, so the rank among draws stands beside "
            "each z. Gradient and sweep agree at small strengths by construction; what counts is whether they still "
            "do at large ones.",
            by_cell=True,
        ),
    )
}


def get_analysis(name: str) -> Analysis:
    """The analysis of that name.

    Raises: ConfigError for an unknown name, with the names there are.
    """
    from analyses.layer_analyses import LAYER_ANALYSES  # which needs the class above

    everything = {**ANALYSES, **LAYER_ANALYSES}
    if name not in everything:
        raise ConfigError(unknown("analysis", name, everything))
    return everything[name]
