"""`SteeringVectors`: one unit direction per steered child layer, and everything needed to judge and repeat it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.artifacts import complete, load_artifact, save_artifact
from interp_xfer.choices import StrengthUnit
from interp_xfer.errors import ConfigError, ShapeError
from interp_xfer.layer_maps import LayerMap
from interp_xfer.models import Fingerprint
from interp_xfer.prompt_hashes import PromptHashes

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
    concept: dict[str, Any]
    """Description of the concept: pairs, method, settings."""
    projection: dict[str, Any]
    """Description of the projection: kind, corpus, and fit quality per child layer."""
    prompts: PromptHashes
    """Every question that took part: contrast pairs, projection corpus, calibration pairs."""

    def __post_init__(self) -> None:
        layers = (self.child.n_layers, self.child.d_model)
        if tuple(self.vectors.shape) != layers:
            raise ShapeError(
                f"steering vectors have shape {tuple(self.vectors.shape)} but {self.child.reference} has {layers[0]} "
                f"layers of d_model {layers[1]}; fit a projection first: interp-xfer project."
            )
        if self.layer_map.n_child_layers != layers[0] or len(self.residual_norms) != layers[0]:
            raise ShapeError(
                f"layer map ({self.layer_map.n_child_layers}) and residual norms ({len(self.residual_norms)}) must "
                f"have one entry for each of the {layers[0]} child layers."
            )

    @property
    def steered_layers(self) -> tuple[int, ...]:
        """Child layers that have a vector."""
        return tuple(child for _, child in self.layer_map.pairs)

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
        tensors = {f"blocks.{layer}.hook_resid_post": self.vectors[layer].clone() for layer in self.steered_layers}
        tensors["residual_norms"] = self.residual_norms.clone()
        return save_artifact(
            Path(directory),
            "transfer",
            {
                "parent": self.parent.to_dict(),
                "child": self.child.to_dict(),
                "layer_map": self.layer_map.to_dict(),
                "flipped": list(self.flipped),
                "concept": self.concept,
                "projection": self.projection,
                "prompts": self.prompts.to_list(),
            },
            tensors,
        )

    @classmethod
    def load(cls, directory: Path | str) -> "SteeringVectors":
        """What `save` wrote.

        Raises: ArtifactError if files are missing or damaged.
        """
        description, tensors = load_artifact(Path(directory), "transfer")
        with complete(directory):
            child = Fingerprint.from_dict(description["child"])
            layer_map = LayerMap.from_dict(description["layer_map"])
            vectors = torch.zeros(child.n_layers, child.d_model)
            for _, layer in layer_map.pairs:
                vectors[layer] = tensors[f"blocks.{layer}.hook_resid_post"]
            return cls(
                vectors=vectors,
                residual_norms=tensors["residual_norms"],
                layer_map=layer_map,
                child=child,
                parent=Fingerprint.from_dict(description["parent"]),
                flipped=tuple(description["flipped"]),
                concept=description["concept"],
                projection=description["projection"],
                prompts=PromptHashes.from_list(description["prompts"]),
            )
