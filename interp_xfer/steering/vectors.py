"""`SteeringVectors`: one unit direction per steered child layer, and everything needed to judge and repeat it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_unit
from interp_xfer.choices import StrengthUnit
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.fields import Digest, damaged
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.models import Fingerprint
from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
from interp_xfer.tasks.prompt_hashes import PromptHashes

STRENGTH_UNITS: tuple[StrengthUnit, ...] = ("relative", "raw")


@dataclass(frozen=True, eq=False)
class SteeringVectors:
    """Directions in the residual stream of a child model, ready to steer it."""

    vectors: Float[Tensor, "child_layers d_child"]
    """Unit rows; zero rows where the layer map has no parent layer."""
    residual_norms: Float[Tensor, " child_layers"]
    """Median length of the child's residual stream after each layer (first token of each text left out)."""
    layer_map: LayerMap
    """Which parent layer each row came from."""
    child: Fingerprint
    """The model these vectors steer."""
    parent: Fingerprint
    """The model the concept was found in; the child itself for native vectors."""
    flipped: tuple[bool, ...]
    """Child layers whose mapped direction pointed the wrong way on the calibration pairs and was turned round."""
    concept: ConceptOrigin
    """Pairs, method, settings, and how much of the pairs' variance it explains."""
    projection: ProjectionOrigin
    """Kind, corpus, and fit quality per child layer."""
    prompts: PromptHashes
    """Every question that took part: contrast pairs, projection corpus, calibration pairs."""

    def __post_init__(self) -> None:
        layers = (self.child.n_layers, self.child.d_model)
        if tuple(self.vectors.shape) != layers:
            raise ShapeError(
                f"steering vectors have shape {tuple(self.vectors.shape)} but {self.child.reference} has {layers[0]} "
                f"layers of d_model {layers[1]}; fit a projection first: interp-xfer project."
            )
        counts = (self.layer_map.n_child_layers, len(self.residual_norms), len(self.flipped))
        if set(counts) != {layers[0]}:
            raise ShapeError(
                f"layer map ({counts[0]}), residual norms ({counts[1]}) and signs ({counts[2]}) must have one entry "
                f"for each of the {layers[0]} child layers."
            )
        if self.layer_map.n_parent_layers != self.parent.n_layers:
            raise ShapeError(
                f"the layer map is from {self.layer_map.n_parent_layers} layers, but {self.parent.reference} has "
                f"{self.parent.n_layers}; use a map of these two models."
            )
        require_unit("steering vectors", self.vectors, self.steered_layers)
        require_finite("residual norms", self.residual_norms)
        if not bool((self.residual_norms > 0).all()):
            raise ShapeError(
                f"residual norms must be above 0, got {self.residual_norms.min():g}; calibrate the child again."
            )

    @property
    def steered_layers(self) -> tuple[int, ...]:
        """Child layers that have a vector."""
        return tuple(child for _, child in self.layer_map.pairs)

    @property
    def digest(self) -> str:
        """Sixteen hex digits over all that decides what these vectors do to answers: vectors, layers, norms, child."""
        content = hashlib.sha256(f"{self.child.digest}|{self.steered_layers}|".encode())
        for tensor in (self.vectors, self.residual_norms):
            content.update((tensor.detach().float().cpu() + 0.0).numpy().tobytes())  # -0.0 becomes 0.0
        return content.hexdigest()[:16]

    def strength_scales(self, unit: StrengthUnit) -> tuple[float, ...]:
        """Length of the shift at each child layer for strength 1.

        raw: 1 (the paper, arXiv 2512.19069). relative: m_l / N, m_l the median residual norm of the layer, N the number
        of steered layers, so that one number means the same share of the stream in every model, layer and map (house
        rule).

        Raises: ConfigError for another unit.
        """
        if unit == "raw":
            return (1.0,) * len(self.residual_norms)
        if unit == "relative":
            return tuple(float(norm) / len(self.steered_layers) for norm in self.residual_norms)
        raise ConfigError(f"strength unit {unit!r} is not one of {', '.join(STRENGTH_UNITS)}.")

    def save(self, directory: Path | str) -> Path:
        """Write `transfer.json` and `transfer.safetensors` (tensors named `blocks.{l}.hook_resid_post`)."""
        tensors = {_hook(layer): self.vectors[layer].clone() for layer in self.steered_layers}
        description = _Description(
            digest=self.digest,
            parent=self.parent,
            child=self.child,
            layer_map=self.layer_map,
            flipped=self.flipped,
            concept=self.concept,
            projection=self.projection,
            prompts=tuple(self.prompts.to_list()),
        )
        return description.save(directory, {**tensors, "residual_norms": self.residual_norms.clone()})

    @classmethod
    def load(cls, directory: Path | str) -> "SteeringVectors":
        """What `save` wrote.

        Raises: ArtifactError if files are missing or damaged.
        """
        found, tensors = _Description.load(directory)
        child = found.child
        steered = [layer for _, layer in found.layer_map.pairs]
        shapes = {_hook(layer): (child.d_model,) for layer in steered}
        require_tensors(tensors, {**shapes, "residual_norms": (child.n_layers,)}, directory)
        with damaged(directory):
            vectors = torch.zeros(child.n_layers, child.d_model)
            for layer in steered:
                if layer < child.n_layers:
                    vectors[layer] = tensors[_hook(layer)]
            loaded = cls(
                vectors=vectors,
                residual_norms=tensors["residual_norms"],
                layer_map=found.layer_map,
                child=child,
                parent=found.parent,
                flipped=found.flipped,
                concept=found.concept,
                projection=found.projection,
                prompts=PromptHashes.from_list(found.prompts),
            )
            if loaded.digest != found.digest:
                raise ShapeError(f"the vectors have digest {loaded.digest}, but {found.digest} was written")
        return loaded


class _Description(Record):
    """`transfer.json`."""

    kind: Literal["transfer"] = "transfer"
    digest: Digest
    parent: Fingerprint
    child: Fingerprint
    layer_map: LayerMap
    flipped: tuple[bool, ...]
    concept: ConceptOrigin
    projection: ProjectionOrigin
    prompts: tuple[Digest, ...]


def _hook(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_post"
