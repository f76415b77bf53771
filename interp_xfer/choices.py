"""The closed vocabularies of settings, in one light module, so that a command line can offer them without torch.

What each word means stands where it is computed.
"""

from typing import Literal

DTypeName = Literal["float32", "bfloat16", "float16"]
"""`interp_xfer.models.loading`."""

WeightProcessing = Literal["none", "hooked-transformer"]
"""`interp_xfer.models.loading`."""

Method = Literal["pca", "mean-difference"]
"""`interp_xfer.concepts.extract`."""

Centering = Literal["symmetric", "repe", "ordered"]
"""`interp_xfer.maths.directions`."""

LayerMapName = Literal["greedy", "proportional", "cka", "cka-argmax", "optimal-transport", "random-monotone"]
"""`interp_xfer.transfer.fit.map_layers`."""

ProjectionKind = Literal["ridge", "procrustes", "low-rank", "shuffled-pairs", "identity", "random-orthogonal"]
"""`interp_xfer.maths.linear_maps`."""

OperatorName = Literal["add", "project_out", "norm_preserving", "clamp", "piecewise"]
"""`interp_xfer.steering.operators`."""

TokenScope = Literal["all", "prompt", "generated"]
"""`interp_xfer.steering.hooks`."""

StrengthUnit = Literal["relative", "raw"]
"""`interp_xfer.steering.vectors.SteeringVectors.strength_scales`."""

Scoring = Literal["generate", "likelihood"]
"""`interp_xfer.evaluation.answers`."""
