"""Steering vectors without the concept, or with it in the wrong place: what a real transfer has to beat.

Every control is a `SteeringVectors` like the one it controls: same child, same steered layers, unit length, same
residual norms, and its sign resolved on the same calibration pairs (which alone lifts a random direction above chance).
`projection["kind"]` is "control:NAME", with seed and number of the draw. The upper reference is
`transfer.native_steering`.

- `random-isotropic`: any direction; `random-covariance`: one that lies where the child's activations vary.
- `shuffled-labels`: a concept from pairs whose labels were shuffled, carried by the real map.
- `shuffled-pairs`: the real concept, carried by a map fitted on wrongly paired rows.
- `wrong-layer`: the real concept from other parent layers (`layer_maps.other_layers`, `random_monotone`).
- `identity`: the real concept with its coordinates copied, cut or padded with zeros.
- `negated`: the same vectors, flipped; no sign is resolved.

A new control is a function and a line in `CONTROLS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.concepts.extract import ConceptVectors, Members
from interp_xfer.concepts.methods import METHODS, Extraction
from interp_xfer.errors import ConfigError, FingerprintError, LayerError
from interp_xfer.kinds import Table
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.maths.linear_maps import identity
from interp_xfer.maths.random_directions import random_covariance_matched, random_isotropic, shuffled_label_differences
from interp_xfer.models import require_same_model
from interp_xfer.steering.origins import ProjectionOrigin
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.transfer.carry import Calibration, signed_unit, transfer_concept
from interp_xfer.transfer.fit import ProjectionSet

Source = TypeVar("Source")


@dataclass(frozen=True, eq=False)
class ControlSources:
    """What controls are made from; each needs only some of it."""

    controlled: SteeringVectors
    """The real transfer."""
    calibration: Calibration
    """That of the real transfer."""
    concept: ConceptVectors | None = None
    """In the parent; for wrong-layer, shuffled-pairs, identity."""
    projection: ProjectionSet | None = None
    """The real one; for shuffled-labels."""
    parent_members: Members | None = None
    """Activations of the concept's pairs in the parent; for shuffled-labels."""
    child_activations: Float[Tensor, "child_layers rows d_child"] | None = None
    """Of any texts; for random-covariance."""
    shuffled_projection: ProjectionSet | None = None
    """Of kind "shuffled-pairs", for the layer map of the real transfer."""
    other_projection: ProjectionSet | None = None
    """For another layer map; for wrong-layer."""


Control = Callable[[ControlSources, int, int], SteeringVectors]
"""From sources, a seed and the number of a draw to steering vectors."""


def make_control(name: str, sources: ControlSources, seed: int = 0, draw: int = 0) -> SteeringVectors:
    """Steering vectors of one control.

    Arguments:
        name: a key of `CONTROLS`.
        sources: at least what the control needs.
        seed: of random directions and shuffles.
        draw: which of many; the direction of a layer depends on seed, name, layer and draw alone.
    Returns: the same type, child, layers and length as the vectors that are controlled.
    Raises: ConfigError for an unknown name, or where a source is missing; FingerprintError where a source belongs to
        other models or maps; LayerError where a wrong-layer map is the real one, or leaves out a steered layer.
    Source: house rule; arXiv 2501.17148 and 2407.12404 on what steering results need beside them.
    """
    make = CONTROLS[name].make
    require_same_model(sources.calibration.child, sources.controlled.child, "the calibration")
    return make(sources, seed, draw)


def random_isotropic_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """Directions drawn uniformly, independent between layers."""
    child = sources.controlled.child
    drawn = random_isotropic(1, child.n_layers, child.d_model, seed, first=draw)[0]
    return _control(sources, "random-isotropic", drawn, seed=seed, draw=draw)


def random_covariance_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """Directions drawn with the covariance of the child's activations."""
    rows = _needed(sources.child_activations, "random-covariance", "child_activations")
    drawn = random_covariance_matched(rows, 1, seed, first=draw)[0]
    return _control(sources, "random-covariance", drawn, seed=seed, draw=draw)


def shuffled_labels_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """A concept found by the same method after the labels of all members were shuffled, carried by the real map."""
    members = _needed(sources.parent_members, "shuffled-labels", "parent_members")
    projection = _needed(sources.projection, "shuffled-labels", "projection")
    settings = sources.controlled.concept
    method = METHODS[_needed(settings.method, "shuffled-labels", "a concept that was extracted")]
    options = Extraction(method.name, settings.centering or "symmetric", bool(settings.normalize_differences), seed)
    differences = shuffled_label_differences(members.positive, members.negative, seed, draw)
    vectors = torch.zeros(sources.calibration.mean_differences.shape, dtype=torch.float64)
    for p, c in _same_layers(sources, projection).pairs:
        found = method.find(differences[p], options).direction
        vectors[c] = projection.maps[c].map_direction(found)
    return _control(sources, "shuffled-labels", vectors, seed=seed, draw=draw)


def shuffled_pairs_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """The real concept, carried by a map that was fitted on rows paired with those of other texts.

    The seed is that of the projection.
    """
    projection = _needed(sources.shuffled_projection, "shuffled-pairs", "shuffled_projection")
    concept = _needed(sources.concept, "shuffled-pairs", "concept")
    if not LINEAR_MAPS[projection.kind].wrong_pairs:
        raise ConfigError(f"shuffled_projection is of kind {projection.kind!r}; fit one of kind 'shuffled-pairs'.")
    _same_layers(sources, projection)
    made = transfer_concept(concept, projection, sources.calibration)
    control = _control(sources, "shuffled-pairs", made.vectors, seed=projection.corpus and projection.corpus.seed)
    return replace(control, prompts=control.prompts | made.prompts)


def wrong_layer_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """The real concept from other parent layers, carried by maps that were fitted for them.

    The other map may leave out no child layer that is steered; those it has beside them are dropped.
    """
    projection = _needed(sources.other_projection, "wrong-layer", "other_projection")
    concept = _needed(sources.concept, "wrong-layer", "concept")
    other, real = projection.layer_map, sources.controlled.layer_map
    if missing := [c for _, c in real.pairs if other.parent_of[c] is None]:
        raise LayerError(
            f"the {other.strategy} map gives no parent layer to child layers {missing}, which are steered by the real "
            "transfer; use a map that covers them."
        )
    same = [c for p, c in real.pairs if other.parent_of[c] == p]
    if len(same) == len(real.pairs):
        raise LayerError(f"the {other.strategy} map equals the real one; take `other_layers` of it, or another draw.")
    made = transfer_concept(concept, projection, sources.calibration)
    kept = tuple(p if real.parent_of[c] is not None else None for c, p in enumerate(other.parent_of))
    control = _control(sources, "wrong-layer", made.vectors, same_as_real=len(same))
    layer_map = LayerMap(kept, other.n_parent_layers, other.strategy)
    return replace(control, layer_map=layer_map, prompts=control.prompts | made.prompts)


def identity_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """The real concept with its coordinates copied; cut, or padded with zeros, where the widths differ."""
    concept = _needed(sources.concept, "identity", "concept")
    copy = identity(concept.model.d_model, sources.controlled.child.d_model, cut_or_pad=True)
    vectors = torch.zeros(sources.calibration.mean_differences.shape, dtype=torch.float64)
    for p, c in sources.controlled.layer_map.pairs:
        vectors[c] = copy.map_direction(concept.vectors[p].double())
    return _control(sources, "identity", vectors)


def negated_control(sources: ControlSources, seed: int, draw: int) -> SteeringVectors:
    """The real vectors, flipped."""
    real = sources.controlled
    return replace(
        real,
        vectors=-real.vectors,
        flipped=tuple(not flipped for flipped in real.flipped),
        projection=real.projection.model_copy(update={"kind": "control:negated", "controls": real.projection.kind}),
    )


@dataclass(frozen=True)
class ControlKind:
    """One control."""

    name: str
    summary: str
    make: Control


CONTROLS: Table[ControlKind] = Table(
    "control",
    (
        ControlKind("random-isotropic", "any direction", random_isotropic_control),
        ControlKind("random-covariance", "where the child's activations vary", random_covariance_control),
        ControlKind("shuffled-labels", "a concept of shuffled labels", shuffled_labels_control),
        ControlKind("shuffled-pairs", "carried by a map of wrong pairs", shuffled_pairs_control),
        ControlKind("wrong-layer", "from other parent layers", wrong_layer_control),
        ControlKind("identity", "coordinates copied", identity_control),
        ControlKind("negated", "turned round", negated_control),
    ),
)


def _control(
    sources: ControlSources, name: str, vectors: Float[Tensor, "child_layers d_child"], **details: Any
) -> SteeringVectors:
    """The controlled vectors with other directions: unit length and sign as `transfer_concept` does it."""
    real = sources.controlled
    made = torch.zeros(real.vectors.shape)
    flipped = [False] * len(made)
    for c in real.steered_layers:
        made[c], flipped[c] = signed_unit(vectors[c], sources.calibration.mean_differences[c])
    return replace(
        real,
        vectors=made,
        flipped=tuple(flipped),
        projection=ProjectionOrigin(
            kind=f"control:{name}",
            controls=real.projection.kind,
            calibration_pairs=sources.calibration.n_pairs,
            **details,
        ),
    )


def _needed(source: Source | None, control: str, name: str) -> Source:
    if source is None:
        raise ConfigError(f"control {control!r} needs {name}; give it to ControlSources.")
    return source


def _same_layers(sources: ControlSources, projection: ProjectionSet) -> LayerMap:
    if projection.layer_map.parent_of != sources.controlled.layer_map.parent_of:
        raise FingerprintError(
            f"the projection was fitted for a {projection.layer_map.strategy} layer map, but the vectors to be "
            f"controlled use a {sources.controlled.layer_map.strategy} one; fit it for that map."
        )
    return projection.layer_map
