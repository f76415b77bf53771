"""`interp-xfer map` as a file: a layer map, the two models it is for, and the questions it was measured on."""

from typing import Literal

from pydantic import model_validator

from interp_xfer.fields import Count, Digest
from interp_xfer.files.records import Record
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.models import Fingerprint, require_same_model
from interp_xfer.transfer.projections import require_depths


class LayerMapRecord(Record):
    """A layer map of two models."""

    kind: Literal["map"] = "map"
    parent: Fingerprint
    child: Fingerprint
    layer_map: LayerMap
    dataset: str | None
    """None for a map that reads no questions."""
    pairs: str | None
    """Kind of the contrast pairs."""
    n_pairs: Count
    seed: int
    prompts: tuple[Digest, ...]
    """Of the contrast pairs, hashed as in `PromptHashes`."""

    @model_validator(mode="after")
    def _of_these(self) -> "LayerMapRecord":
        require_depths(self.layer_map, self.parent, self.child, "the layer map")
        return self

    def require(self, source: str, parent: Fingerprint | None = None, child: Fingerprint | None = None) -> None:
        """Raise FingerprintError unless the map is for these models.

        Raises: FingerprintError naming both models and what differs.
        """
        for side, made_for, found in (("parent", self.parent, parent), ("child", self.child, child)):
            if found is not None:
                require_same_model(made_for, found, f"the layer map {source} ({side} side)")
