"""Model references, loading as a TransformerLens bridge, fingerprints."""

from interp_xfer.models.bundled import BUNDLED
from interp_xfer.models.fingerprint import Fingerprint, require_same_model
from interp_xfer.models.identity import model_identity
from interp_xfer.models.loaded import LoadedModel
from interp_xfer.models.loading import default_dtype, load_model, wrap_model
from interp_xfer.models.references import ModelReference, parse_reference

__all__ = [
    "BUNDLED",
    "Fingerprint",
    "LoadedModel",
    "ModelReference",
    "default_dtype",
    "load_model",
    "model_identity",
    "parse_reference",
    "require_same_model",
    "wrap_model",
]
