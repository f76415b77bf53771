"""Typed errors. Each message says what was asked, what was found, and what to do about it.

Every error of the project derives from `InterpXferError`, so that the command line can print one clear line and leave
with a non-zero exit code, and a notebook can catch the one it expects.
"""

import traceback
from typing import TypeVar

from interp_xfer.redaction import without_secrets


class InterpXferError(Exception):
    """Base class: something the caller can mend. The message carries cause and remedy, and no secret.

    Messages quote what libraries and the user said, tokens and passwords included; they are masked here, before a
    message can reach a terminal or a file.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class ShapeError(InterpXferError):
    """Arrays whose shapes or values (NaN, too few rows, wrong width) do not allow the computation."""


class LayerError(InterpXferError):
    """A layer index that the model, concept or map does not have."""


class ModelError(InterpXferError):
    """A model reference that cannot be read, fetched, verified or converted."""


class FingerprintError(InterpXferError):
    """An artifact applied to a model, or joined with an artifact, that it was not made for."""


class DataError(InterpXferError):
    """A data set or row that is missing or malformed; names file and line where there is one."""


class LeakError(InterpXferError):
    """Texts shared between stages that must be disjoint (fit corpus, contrast pairs, validation, test)."""


class SteeringError(InterpXferError):
    """Steering that cannot be applied, or that was not applied although asked for."""


class ArtifactError(InterpXferError):
    """A file or directory of a run that is missing, incomplete or cannot be written."""


class WriteError(ArtifactError):
    """A place that cannot be written: full, read-only, forbidden, gone, or with a name that cannot be."""


class MissingError(ArtifactError):
    """A file of a run that is not there, as against one that is damaged: an analysis may do without it."""


class ConfigError(InterpXferError):
    """A setting outside its allowed values."""


Error = TypeVar("Error", bound=Exception)


def as_value(error: Error) -> Error:
    """The error, to be kept as a result: without the frames it passed, whose models and sums it would hold in memory.

    Where it was raised is kept as text, in its notes.
    """
    if error.__traceback__ is not None:
        error.add_note("raised at:\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip())
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
