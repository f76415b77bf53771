"""`ProjectionSet`: the linear maps between two models, and what they were fitted on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pandas import DataFrame
from torch import Tensor

from interp_xfer.errors import ShapeError
from interp_xfer.fields import Count, Digest, Json, damaged
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.maths.linear_maps import Projection
from interp_xfer.models import Fingerprint
from interp_xfer.plain import span
from interp_xfer.steering.origins import Corpus
from interp_xfer.tasks.prompt_hashes import PromptHashes


@dataclass(frozen=True, eq=False)
class ProjectionSet:
    """One linear map per child layer that has a parent layer."""

    maps: dict[int, Projection]
    """Child layer -> map from its parent layer."""
    layer_map: LayerMap
    parent: Fingerprint
    child: Fingerprint
    kind: str
    corpus: Corpus | None
    """None if not fitted."""
    prompts: PromptHashes
    """The texts of the corpus."""

    def __post_init__(self) -> None:
        if sorted(self.maps) != [child for _, child in self.layer_map.pairs]:
            raise ShapeError(
                f"there are maps for child layers {sorted(self.maps)}, but the layer map feeds "
                f"{[child for _, child in self.layer_map.pairs]}; fit one for each of them."
            )
        require_depths(self.layer_map, self.parent, self.child, "the layer map of the projection")
        shape = (self.parent.d_model, self.child.d_model)
        for layer, made in self.maps.items():
            if tuple(made.weight.shape) != shape or len(made.bias) != shape[1]:
                raise ShapeError(
                    f"the map to child layer {layer} is {tuple(made.weight.shape)}, but the models are {shape[0]} and "
                    f"{shape[1]} wide; fit it for them."
                )

    def __repr__(self) -> str:
        fits = [made.diagnostics["r2"] for made in self.maps.values() if "r2" in made.diagnostics]
        quality = f", R2 {span(fits)}" if fits else ""
        shape = f"{self.parent.d_model} x {self.child.d_model}"
        models = f"{self.parent.reference} -> {self.child.reference}"
        return f"ProjectionSet({self.kind}, {models}: {len(self.maps)} maps of {shape}{quality})"

    def to_dict(self) -> Json:
        """Plain JSON: all but the maps themselves, which `save` keeps."""
        return self._description.to_dict()

    def to_pandas(self) -> DataFrame:
        """One row a map: its layers, the rows it was fitted on, and how well it fits."""
        return DataFrame(
            {"child_layer": c, "parent_layer": p, "n_rows": self.maps[c].n_rows, **self.maps[c].diagnostics}
            for p, c in self.layer_map.pairs
        )

    def save(self, directory: Path | str) -> Path:
        """Write `projection.json` and `projection.safetensors`."""
        tensors: dict[str, Tensor] = {}
        for layer, projection in self.maps.items():
            tensors[f"{layer}.weight"] = projection.weight.float()
            tensors[f"{layer}.bias"] = projection.bias.float()
        return self._description.save(directory, tensors)

    @property
    def _description(self) -> "_Description":
        return _Description(
            kind_of_map=self.kind,
            parent=self.parent,
            child=self.child,
            layer_map=self.layer_map,
            corpus=self.corpus,
            fits={
                layer: _Fit(kind=p.kind, n_rows=p.n_rows, diagnostics=p.diagnostics) for layer, p in self.maps.items()
            },
            prompts=tuple(self.prompts.to_list()),
        )

    @classmethod
    def load(cls, directory: Path | str) -> "ProjectionSet":
        """What `save` wrote (weights are stored as float32).

        Raises: ArtifactError if files are missing or damaged.
        """
        found, tensors = _Description.load(directory)
        d_parent, d_child = found.parent.d_model, found.child.d_model
        shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": (d_parent, d_child) for layer in found.fits}
        shapes |= {f"{layer}.bias": (d_child,) for layer in found.fits}
        require_tensors(tensors, shapes, directory)
        with damaged(directory):
            maps = {
                layer: Projection(
                    tensors[f"{layer}.weight"].double(),
                    tensors[f"{layer}.bias"].double(),
                    fit.kind,
                    fit.n_rows,
                    fit.diagnostics,
                )
                for layer, fit in found.fits.items()
            }
            return cls(
                maps=maps,
                layer_map=found.layer_map,
                parent=found.parent,
                child=found.child,
                kind=found.kind_of_map,
                corpus=found.corpus,
                prompts=PromptHashes.from_list(found.prompts),
            )


class _Fit(Record):
    """One map, without its tensors."""

    kind: str
    n_rows: Count
    diagnostics: dict[str, float]


class _Description(Record):
    """`projection.json`."""

    kind: Literal["projection"] = "projection"
    kind_of_map: str
    parent: Fingerprint
    child: Fingerprint
    layer_map: LayerMap
    corpus: Corpus | None
    fits: dict[int, _Fit]
    """By child layer."""
    prompts: tuple[Digest, ...]


def require_depths(mapping: LayerMap, parent: Fingerprint, child: Fingerprint, what: str) -> None:
    """Nothing, if a layer map has the depths of two models.

    Raises: ShapeError naming all of them.
    """
    depths = (mapping.n_parent_layers, mapping.n_child_layers)
    if depths != (parent.n_layers, child.n_layers):
        raise ShapeError(
            f"{what} is from {depths[0]} to {depths[1]} layers, but {parent.reference} has {parent.n_layers} and "
            f"{child.reference} {child.n_layers}; use a map of these two models."
        )
