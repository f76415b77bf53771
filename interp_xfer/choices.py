"""The closed vocabularies of settings, in one light module, so that a command line can offer them without torch.

Kinds that others may add to (layer maps, operators, ...) are tables beside their functions (`kinds`).

What each word means stands where it is computed.
"""

from typing import Literal

DTypeName = Literal["float32", "bfloat16", "float16"]
"""`interp_xfer.models.loading`."""

WeightProcessing = Literal["none", "hooked-transformer"]
"""`interp_xfer.models.loading`."""

Centering = Literal["symmetric", "repe", "ordered"]
"""`interp_xfer.maths.directions`."""

TokenScope = Literal["all", "prompt", "generated"]
"""`interp_xfer.steering.hooks`."""

StrengthUnit = Literal["relative", "raw"]
"""`interp_xfer.steering.vectors.SteeringVectors.strength_scales`."""

Scoring = Literal["generate", "likelihood"]
"""`interp_xfer.evaluation.answers`."""
