"""Carrying a concept from parent to child: map the direction, unit length, sign from the child's own labels.

For child layer c with parent layer p = layer_map(c):

1. v_c = v_p W_pc, the linear part only (a direction is a difference, the bias cancels);
2. v_c is scaled to unit length (ridge shrinks it; strength has its own unit);
3. v_c is negated where the labelled differences of calibration pairs, read in the child, say so. The sign never comes
   from evaluation accuracy. On real pairs of models a third of the layers come out reversed otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from einops import reduce
from jaxtyping import Float
from pandas import DataFrame
from torch import Tensor

from interp_xfer.concepts.extract import ConceptVectors, Members, members_and_norms
from interp_xfer.errors import FingerprintError, LeakError, ShapeError
from interp_xfer.fields import Digest, Json, Positive
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.maths.layer_maps import LayerMap, proportional
from interp_xfer.models import Fingerprint, LoadedModel, require_same_model
from interp_xfer.plain import numbers, span
from interp_xfer.progress import Progress, shown_progress
from interp_xfer.steering.origins import ConceptOrigin, Corpus, ProjectionOrigin
from interp_xfer.steering.vectors import SteeringVectors
from interp_xfer.tasks import Pairs, as_pairs
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.fit import ProjectionSet


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is measured in the child before it is steered: which way the concept points, and how long its stream is."""

    mean_differences: Float[Tensor, "child_layers d_child"]
    """Mean contrast difference of the calibration pairs at each layer."""
    residual_norms: Float[Tensor, " child_layers"]
    """Median residual norm at each layer over the tokens of the calibration texts."""
    child: Fingerprint
    prompts: PromptHashes
    n_pairs: int
    members: Members | None = None
    """What the differences were taken of; None where it was not kept."""

    def __repr__(self) -> str:
        norms, n = span(self.residual_norms.tolist(), 1), len(self.residual_norms)
        return f"Calibration({self.child.reference}: {self.n_pairs} pairs, {n} residual norms {norms})"

    def to_dict(self) -> Json:
        """Plain JSON: all but the mean differences and what they were taken of."""
        return {**self._description.to_dict(), "residual_norms": numbers(self.residual_norms.tolist())}

    def to_pandas(self) -> DataFrame:
        """One row a layer: residual norm, and length of the mean difference."""
        lengths = self.mean_differences.norm(dim=-1).tolist()
        rows = enumerate(zip(self.residual_norms.tolist(), lengths, strict=True))
        return DataFrame({"layer": n, "residual_norm": norm, "mean_difference": size} for n, (norm, size) in rows)

    @property
    def _description(self) -> "_CalibrationFile":
        return _CalibrationFile(child=self.child, n_pairs=self.n_pairs, prompts=tuple(self.prompts.to_list()))

    def save(self, directory: Path | str) -> Path:
        """Write `calibration.json` and `calibration.safetensors`, without `members`."""
        tensors = {name: getattr(self, name).clone() for name in ("mean_differences", "residual_norms")}
        return self._description.save(directory, tensors)

    @classmethod
    def load(cls, directory: Path | str) -> "Calibration":
        """What `save` wrote.

        Raises: ArtifactError if files are missing or damaged.
        """
        found, tensors = _CalibrationFile.load(directory)
        n_layers, d_model = found.child.n_layers, found.child.d_model
        shapes: dict[str, tuple[int, ...]] = {"mean_differences": (n_layers, d_model), "residual_norms": (n_layers,)}
        require_tensors(tensors, shapes, directory)
        means, norms = tensors["mean_differences"], tensors["residual_norms"]
        return cls(means, norms, found.child, PromptHashes.from_list(found.prompts), found.n_pairs)


class _CalibrationFile(Record):
    """`calibration.json`."""

    kind: Literal["calibration"] = "calibration"
    child: Fingerprint
    n_pairs: Positive
    prompts: tuple[Digest, ...]


def calibrate(child: LoadedModel, pairs: Pairs, *, progress: Progress | None = None) -> Calibration:
    """Mean contrast differences and median residual norms of the child.

    Arguments:
        child: the model to steer.
        pairs: labelled pairs of the same kind as the concept's, from training problems; or plain texts, see
            `interp_xfer.tasks.as_pairs`.
        progress: called with twice the number of texts done: each is read for two measures. None: a bar in a notebook.
    Raises: DataError without pairs.
    """
    pairs = as_pairs(pairs)
    with shown_progress(progress, "calibrating the child", 4 * len(pairs), "texts") as report:
        members, norms = members_and_norms(child, pairs, lambda n: report(2 * n))
    means = reduce(members.differences.double(), "layers pairs d_model -> layers d_model", "mean").float()
    return Calibration(means, norms, child.fingerprint, PromptHashes.of(pairs), len(pairs), members)


def transfer_concept(concept: ConceptVectors, projection: ProjectionSet, calibration: Calibration) -> SteeringVectors:
    """The concept in the child's space: one signed unit vector per mapped child layer.

    Arguments:
        concept: found in the parent.
        projection: maps from parent to child layers and the layer map they were fitted for, on texts that share nothing
            with the contrast pairs.
        calibration: measured in the child.
    Raises: FingerprintError if the parts belong to different models; LeakError if the projection corpus holds
        a question of the contrast pairs; ShapeError if a mapped direction vanishes.
    Source: arXiv 2512.19069, section 3, for the setting; arXiv 2506.06609 for directions under linear maps; sign and
        unit length are house rules.
    """
    mapping = projection.layer_map
    require_same_model(projection.parent, concept.model, "the projection (parent side)")
    require_same_model(projection.child, calibration.child, "the projection (child side)")
    directions = {c: projection.maps[c].map_direction(concept.vectors[p].double()) for p, c in mapping.pairs}
    fitted = FittedOn(
        projection.kind,
        projection.corpus,
        {c: projection.maps[c].diagnostics for _, c in mapping.pairs},
        projection.prompts,
    )
    return steering_from_directions(concept, mapping, directions, fitted, calibration)


def require_fit(concept: ConceptVectors, mapping: LayerMap, projection: ProjectionSet) -> None:
    """Raise FingerprintError unless a projection is for the model of a concept and for a layer map.

    Raises: FingerprintError otherwise.
    """
    require_same_model(projection.parent, concept.model, "the projection (parent side)")
    own = projection.layer_map
    if (own.parent_of, own.n_parent_layers) != (mapping.parent_of, mapping.n_parent_layers):
        raise FingerprintError(
            f"the projection was fitted for a {own.strategy} layer map, not for this {mapping.strategy} one; fit it "
            "again for the map in use."
        )


@dataclass(frozen=True, eq=False)
class FittedOn:
    """Where mapped directions come from."""

    kind: str
    """Of the projection."""
    corpus: Corpus | None
    fits: dict[int, dict[str, float]]
    """Child layer -> diagnostics of its map."""
    prompts: PromptHashes
    """The texts of the corpus."""


def steering_from_directions(
    concept: ConceptVectors,
    mapping: LayerMap,
    directions: Mapping[int, Float[Tensor, " d_child"]],
    fitted: FittedOn,
    calibration: Calibration,
) -> SteeringVectors:
    """`transfer_concept` for directions that were mapped before, so that the maps need not be kept.

    Arguments:
        concept: found in the parent.
        mapping: which parent layer each child layer was fed from.
        directions: child layer -> v_p W, any length.
        fitted: what the maps were fitted on.
        calibration: measured in the child.
    Raises: LeakError if the corpus holds a question of the contrast pairs; ShapeError if a direction vanishes.
    """
    if shared := fitted.prompts.values & concept.prompts.values:
        raise LeakError(
            f"{len(shared)} ids or texts of the projection corpus are also contrast pairs; the map would reproduce the "
            f"child's own vector. Fit the projection on other texts."
        )
    vectors = torch.zeros(calibration.mean_differences.shape)
    flipped = [False] * mapping.n_child_layers
    for p, c in mapping.pairs:
        if not directions[c].norm() > 0:
            raise ShapeError(
                f"the direction of parent layer {p} is mapped to zero at child layer {c}; use another map."
            )
        vectors[c], flipped[c] = signed_unit(directions[c], calibration.mean_differences[c])
    return SteeringVectors(
        vectors=vectors,
        residual_norms=calibration.residual_norms,
        layer_map=mapping,
        child=calibration.child,
        parent=concept.model,
        flipped=tuple(flipped),
        concept=_origin(concept),
        projection=ProjectionOrigin(
            kind=fitted.kind,
            corpus=fitted.corpus,
            fits={c: fitted.fits[c] for _, c in mapping.pairs},
            calibration_pairs=calibration.n_pairs,
        ),
        prompts=concept.prompts | fitted.prompts | calibration.prompts,
    )


class SignedUnit(NamedTuple):
    """A direction as it is used for steering."""

    vector: Float[Tensor, " d_child"]
    """Unit length, float32."""
    flipped: bool
    """It pointed the wrong way and was flipped."""


def signed_unit(direction: Float[Tensor, " d_child"], mean_difference: Float[Tensor, " d_child"]) -> SignedUnit:
    """A direction of the child at unit length, on the side of the child's own labelled differences; kept on a tie.

    Arguments:
        direction: any length but zero.
        mean_difference: of calibration pairs, at the same layer.
    Raises: ShapeError for a direction of length zero.
    """
    norm = direction.double().norm()
    if not norm > 0:
        raise ShapeError("a direction of length 0 cannot be scaled to unit length; leave the layer out.")
    flipped = bool(direction.double() @ mean_difference.double() < 0)
    return SignedUnit((direction.double() / norm * (-1 if flipped else 1)).float(), flipped)


def native_steering(concept: ConceptVectors, calibration: Calibration) -> SteeringVectors:
    """The child's own concept as steering vectors: the upper reference for a transfer.

    Raises: FingerprintError if concept and calibration belong to different models.
    """
    require_same_model(concept.model, calibration.child, "the native concept")
    n_layers = concept.model.n_layers
    return SteeringVectors(
        vectors=concept.vectors,
        residual_norms=calibration.residual_norms,
        layer_map=replace(proportional(n_layers, n_layers), strategy="native"),
        child=concept.model,
        parent=concept.model,
        flipped=(False,) * n_layers,
        concept=_origin(concept),
        projection=ProjectionOrigin(kind="native"),
        prompts=concept.prompts | calibration.prompts,
    )


def _origin(concept: ConceptVectors) -> ConceptOrigin:
    return ConceptOrigin(
        **concept.settings.model_dump(),
        explained_variance=_within(concept.explained_variance, 0.0, 1.0),
        mean_cosine=_within(concept.mean_cosine, -1.0, 1.0),
    )


def _within(values: Tensor, low: float, high: float) -> tuple[float | None, ...]:
    """Shares and cosines, which rounding may put just beyond their ends; None for NaN."""
    return tuple(None if value != value else min(max(value, low), high) for value in values.tolist())
