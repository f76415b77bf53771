"""The closed vocabularies of settings, in one light module, so that a command line can offer them without torch.

What each word means stands where it is computed.
"""

from typing import Literal

DTypeName = Literal["float32", "bfloat16", "float16"]
"""`interp_xfer.models.loading`."""

WeightProcessing = Literal["none", "hooked-transformer"]
"""`interp_xfer.models.loading`."""

Method = Literal["pca", "mean-difference"]
"""`interp_xfer.concepts`."""

Centering = Literal["symmetric", "repe", "ordered"]
"""`interp_xfer.directions`."""

LayerMapName = Literal["greedy", "proportional", "cka", "cka-argmax", "optimal-transport", "random-monotone"]
"""`interp_xfer.model_maps.map_layers`."""

ProjectionKind = Literal["ridge", "procrustes", "low-rank", "shuffled-pairs", "identity", "random-orthogonal"]
"""`interp_xfer.projections`."""

OperatorName = Literal["add", "project_out", "norm_preserving", "clamp", "piecewise"]
"""`interp_xfer.operators`."""

TokenScope = Literal["all", "prompt", "generated"]
"""`interp_xfer.steering`."""

StrengthUnit = Literal["relative", "raw"]
"""`interp_xfer.vectors.SteeringVectors.strength_scales`."""

Scoring = Literal["generate", "likelihood"]
"""`interp_xfer.answers`."""
