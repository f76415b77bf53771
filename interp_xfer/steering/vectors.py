"""`SteeringVectors`: one unit direction per steered child layer, and everything needed to judge and repeat it."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pandas import DataFrame
from torch import Tensor

from interp_xfer.checks import require_finite, require_unit
from interp_xfer.choices import StrengthUnit
from interp_xfer.errors import ConfigError, LayerError, ShapeError
from interp_xfer.fields import Digest, Json, damaged
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.models import Fingerprint, LoadedModel
from interp_xfer.passes.activations import last_tokens_and_norms
from interp_xfer.plain import numbers
from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
from interp_xfer.tasks.prompt_hashes import PromptHashes

STRENGTH_UNITS: tuple[StrengthUnit, ...] = ("relative", "raw")

Vector = Float[Tensor, " d_model"] | np.ndarray | Sequence[float]
"""A direction from anywhere."""

NORM_TEXTS = (
    "The train leaves the station at half past seven and arrives before noon.",
    "To make the soup, cut two onions into small pieces and cook them slowly in butter.",
    "She opened the window, looked at the garden, and wrote a short letter to her brother.",
    "Water boils at a lower temperature in the mountains, because the air is thinner there.",
    "If you add the numbers from one to ten, you get fifty-five.",
    "The museum is closed on Mondays; on other days it opens at ten and costs eight euros.",
)
"""Ordinary texts on which the length of a residual stream is measured where no others are named."""


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

    def __repr__(self) -> str:
        n, c = len(self.steered_layers), self.child
        made = "" if self.concept.kind == self.projection.kind else f", {self.projection.kind}"
        turned = f", {sum(self.flipped)} turned round" if any(self.flipped) else ""
        models = c.reference if self.parent == c else f"{self.parent.reference} -> {c.reference}"
        shape = f"{n} of {c.n_layers} layers, d_model {c.d_model}"
        return f"SteeringVectors({self.concept.kind}{made}, {models}: {shape}{turned})"

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        vectors: Mapping[int, Vector],
        *,
        name: str = "given",
        texts: Sequence[str] = NORM_TEXTS,
        residual_norms: Float[Tensor, " layers"] | None = None,
    ) -> "SteeringVectors":
        """Steering vectors from anywhere: a probe, a dictionary feature, another tool.

        They are scaled to unit length; the strength says how far they push. Nothing is known of the texts that they
        were made from, so that no evaluation can be refused for using one of them.

        Arguments:
            model: what is steered.
            vectors: layer -> direction of d_model numbers, any length but 0.
            name: what they are called in figures and records.
            texts: the unit "relative" needs the length of the model's residual stream: it is measured at all tokens of
                these texts but the first, median by layer, in one or a few forward passes. Default: six ordinary
                sentences (`NORM_TEXTS`).
            residual_norms: these lengths where they are known, one for each layer; nothing is read then.
        Raises: LayerError without vectors, or for a layer that the model does not have; ShapeError for a vector of
            another width, one that is not finite, or one of length 0.
        """
        rows = torch.zeros(model.n_layers, model.d_model)
        if not vectors:
            raise LayerError("there are no vectors; give one for at least one layer, as {12: vector}.")
        for layer, vector in vectors.items():
            place = model.hook_name(layer)
            given = torch.as_tensor(vector).detach().cpu().double()
            if tuple(given.shape) != (model.d_model,):
                raise ShapeError(
                    f"the vector for {place} has shape {tuple(given.shape)}, but {model.name} has d_model "
                    f"{model.d_model}; give one number for each dimension of its residual stream."
                )
            require_finite(f"the vector for {place}", given)
            if not given.norm() > 0:
                raise ShapeError(f"the vector for {place} has length 0, so that it has no direction; leave it out.")
            rows[layer] = (given / given.norm()).float()
        if residual_norms is None:
            residual_norms = last_tokens_and_norms(model, texts, add_special_tokens=True).median_norms
        return cls(
            vectors=rows,
            residual_norms=torch.as_tensor(residual_norms, dtype=torch.float32).cpu(),
            layer_map=LayerMap(tuple(n if n in vectors else None for n in range(model.n_layers)), model.n_layers, name),
            child=model.fingerprint,
            parent=model.fingerprint,
            flipped=(False,) * model.n_layers,
            concept=ConceptOrigin(kind=name),
            projection=ProjectionOrigin(kind=name),
            prompts=PromptHashes(),
        )

    def at(self, layers: Collection[int]) -> "SteeringVectors":
        """The same vectors at these layers alone.

        In the unit "relative" strength is divided over the layers that are steered, so that fewer are pushed further.

        Raises: LayerError without layers, or for one that has no vector.
        """
        if missing := sorted(set(layers) - set(self.steered_layers)):
            raise LayerError(f"layer {missing[0]} has no steering vector; there are {list(self.steered_layers)}.")
        if not layers:
            raise LayerError(f"there are no layers to steer; name some of {list(self.steered_layers)}.")
        fits = self.projection.fits
        kept = [layer in layers for layer in range(self.layer_map.n_child_layers)]
        parent_of = tuple(p if k else None for p, k in zip(self.layer_map.parent_of, kept, strict=True))
        return replace(
            self,
            vectors=self.vectors * torch.tensor(kept)[:, None],
            layer_map=replace(self.layer_map, parent_of=parent_of),
            flipped=tuple(f and k for f, k in zip(self.flipped, kept, strict=True)),
            projection=self.projection.model_copy(
                update={"fits": fits and {layer: fit for layer, fit in fits.items() if kept[layer]}}
            ),
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

    def to_dict(self) -> Json:
        """Plain JSON: all but the vectors, which `save` keeps."""
        return {**self._description.to_dict(), "residual_norms": numbers(self.residual_norms.tolist())}

    def to_pandas(self) -> DataFrame:
        """One row a child layer: parent layer, sign, residual norm, and how well the map fits where it was fitted."""
        fits = self.projection.fits or {}
        return DataFrame(
            {
                "layer": layer,
                "parent_layer": parent,
                "flipped": self.flipped[layer],
                "residual_norm": float(self.residual_norms[layer]),
                **fits.get(layer, {}),
            }
            for layer, parent in enumerate(self.layer_map.parent_of)
        )

    @property
    def _description(self) -> "_Description":
        return _Description(
            digest=self.digest,
            parent=self.parent,
            child=self.child,
            layer_map=self.layer_map,
            flipped=self.flipped,
            concept=self.concept,
            projection=self.projection,
            prompts=tuple(self.prompts.to_list()),
        )

    def save(self, directory: Path | str) -> Path:
        """Write `transfer.json` and `transfer.safetensors` (tensors named `blocks.{l}.hook_resid_post`)."""
        tensors = {_hook(layer): self.vectors[layer].clone() for layer in self.steered_layers}
        return self._description.save(directory, {**tensors, "residual_norms": self.residual_norms.clone()})

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
