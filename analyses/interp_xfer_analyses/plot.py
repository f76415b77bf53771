"""Figures of results as they come out of the functions of `interp_xfer`, without a run directory.

A run's figures (`questions`) are drawn by the same code where there is one of the same question.
"""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from interp_xfer.concepts.extract import ConceptVectors
from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.answers import AnswerTable
from interp_xfer.evaluation.evaluate import Arm, Evaluation
from interp_xfer.evaluation.search import SearchResult
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.measures.component_alignment import ComponentAlignment
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer_analyses.cells import short_name
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.drawing.drafts import Draft
from interp_xfer_analyses.drawing.heat_maps import add_heat_map, add_map_line, layer_ticks, place_colour_bars
from interp_xfer_analyses.drawing.panels import Panel, arrange, axes, axis_name, category_labels
from interp_xfer_analyses.questions import concept_profile, pc_alignment, transfer_profile
from interp_xfer_analyses.questions.lambda_panels import draw_accuracy
from interp_xfer_analyses.questions.lambda_rows import Row
from interp_xfer_analyses.questions.pc_alignment_rows import PcAlignment


def plot(result: Any) -> go.Figure:
    """The figure of a result, to be shown in a notebook or written with `write_html` and `write_image`.

    Arguments:
        result: concept vectors (agreement with the mean difference by layer), steering vectors (how they were carried),
            a layer map (with its scores), answers or a strength search (accuracy over strength), an evaluation (its
            arms and their change from the baseline), or a component alignment (heat maps with their null).
    Raises: ConfigError for anything else.
    """
    for kind, draw in FIGURES.items():
        if isinstance(result, kind):
            return draw(result).figure()
    known = ", ".join(kind.__name__ for kind in FIGURES)
    raise ConfigError(f"there is no figure of a {type(result).__name__}; there are figures of {known}.")


def _concept(concept: ConceptVectors) -> Draft:
    parent = short_name(concept.model.reference)
    cosines = concept.mean_cosine.tolist()
    rows = (concept_profile.Row(f"{parent}, {concept.settings.kind}", parent, *at) for at in enumerate(cosines))
    return concept_profile.draw(concept_profile.ConceptProfile(tuple(rows), ()))


def _steering(steering: SteeringVectors) -> Draft:
    label = f"{short_name(steering.parent.reference)} → {short_name(steering.child.reference)}"
    rows = transfer_profile.rows_of(steering, label)
    return transfer_profile.draw(transfer_profile.TransferProfile(tuple(rows), ()))


def _layer_map(found: LayerMap) -> Draft:
    """Similarity, where it was measured; and the map, over how often resamples chose each parent layer."""
    out = Draft()
    height = min(max(20 * found.n_parent_layers, 240), 420)
    content = []
    if found.scores is not None:
        content.append(Panel("Similarity along the map", "child layer", "similarity", height))
        out.set(xaxis=layer_ticks(found.n_child_layers), yaxis={"rangemode": "tozero"})
    similarity = (
        ("similarity", found.scores, "solid", style.BLUE),
        ("on prompts that did not choose the map", found.held_out_scores, "dot", style.ORANGE),
    )
    for name, scores, dash, colour in similarity:
        if scores is not None:
            out.scatter(
                x=list(range(len(scores))), y=list(scores), mode="lines+markers", name=name,
                line={"color": colour, "dash": dash}, marker={"size": 6},
                hovertemplate="child layer %{x}: %{y:.3f}<extra></extra>", **axes(0),
            )  # fmt: skip
    panel, bars = len(content), []
    content.append(Panel(f"Layer map: {found.strategy}", "child layer", "parent layer", height))
    if found.bootstrap:
        shares = [list(row) for row in zip(*found.bootstrap, strict=True)]  # rows: parent layers
        add_heat_map(out, panel, shares, "coloraxis", "share of resamples")
        out.set(coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1})
        bars = [("coloraxis", panel, "share")]
    else:
        ticks = (("x", found.n_child_layers), ("y", found.n_parent_layers))
        out.set({axis_name(letter, panel): layer_ticks(n) for letter, n in ticks})
    add_map_line(out, panel, found.strategy, found.parent_of, showlegend=True)
    return place_colour_bars(arrange(out, content), bars)


def _search(found: SearchResult) -> Draft:
    return _strengths(found.table, found.best)


def _answers(table: AnswerTable) -> Draft:
    return _strengths(table, None)


def _strengths(table: AnswerTable, best: float | None) -> Draft:
    rows = []
    for strength in sorted(table.strengths):
        values = table.summary(strength).to_dict()
        values["rules"] = {rule: count / values["n"] for rule, count in values["rules"].items()}
        rows.append(
            Row(
                key="", label="", parent="", child="", dataset=table.problems[0].task, unit="",
                split="answers" if best is None else "validation", strength=strength, is_lambda_star=strength == best,
                shift_length=None, shift_share=None, compression=None, **values,
            )
        )  # fmt: skip
    return draw_accuracy(rows)


def _evaluation(found: Evaluation) -> Draft:
    """Accuracy of each arm, and its change from the baseline, with 95 % intervals."""
    out = Draft()
    n = found.baseline.summary.n
    content = [
        Panel(f"Accuracy, {n} questions", "accuracy", "", 60 + 40 * len(found.arms)),
        Panel("Change from the baseline", "percentage points", "", 60 + 40 * len(found.arms)),
    ]
    names = [_arm_name(arm) for arm in found.arms]
    narrow: dict[str, Any] = {}
    for panel in (0, 1):
        narrow |= category_labels(out, panel, names)
    for arm, name in zip(found.arms, names, strict=True):
        colour, s, d = style.ARM_COLOURS[arm.name], arm.summary, arm.difference
        _interval(out, 0, name, colour, s.accuracy, f"{s.correct} of {s.n} right")
        if d is not None:
            shown = tuple(100 * value for value in (d.delta, d.low, d.high))
            _interval(out, 1, name, colour, shown, f"{d.fixed} gained, {d.broken} lost, {style.p_text(d.p_value)}")
    out.set({axis_name("x", 0): {"tickformat": ".0%", "rangemode": "tozero"}, axis_name("x", 1): {"zeroline": True}})
    return arrange(out, content, narrow=narrow)


def _interval(out: Draft, panel: int, label: str, colour: str, value: Sequence[float], note: str) -> None:
    estimate, low, high = value
    out.scatter(
        x=[estimate], y=[label], mode="markers", showlegend=False, marker={"color": colour, "size": 9},
        error_x={
            "type": "data", "symmetric": False, "color": colour, "array": [high - estimate],
            "arrayminus": [estimate - low],
        },
        hovertemplate=f"{style.plain(label)}: %{{x}}<br>{note}<extra></extra>", **axes(panel),
    )  # fmt: skip


def _arm_name(arm: Arm) -> str:
    return style.ARM_NAMES[arm.name] + (f" = {arm.strength:g}" if arm.strength else "")


def _alignment(found: ComponentAlignment) -> Draft:
    label = f"{short_name(found.parent.reference)} → {short_name(found.child.reference)}"
    rows, measures, comparison = pc_alignment.compare(found, "", label)
    return pc_alignment.draw(PcAlignment(tuple(rows), tuple(measures), (comparison,), ()))


FIGURES: dict[type, Callable[[Any], Draft]] = {
    ConceptVectors: _concept,
    SteeringVectors: _steering,
    LayerMap: _layer_map,
    AnswerTable: _answers,
    SearchResult: _search,
    Evaluation: _evaluation,
    ComponentAlignment: _alignment,
}
"""Type of a result -> what draws it."""
