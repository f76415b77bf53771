"""Why a cell has no record: what went wrong, whose matter it is, and where in the program it happened.

The cells of a comparison are run one after another, and one that fails does not stop the others. So that a mistake in
this program is not taken for a property of the data, every failure is of one of three causes (`FailureCause`).
"""

import traceback

import torch

from interp_xfer.errors import InterpXferError
from interp_xfer.redaction import shareable, without_secrets
from interp_xfer.studies.cell_record import FailureCause, FailureRecord

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_CHARACTERS = 20_000  # of a traceback; the end says most


def failure_cause(error: BaseException) -> FailureCause:
    """Whose matter an error is."""
    if isinstance(error, InterpXferError):
        return "input"
    if isinstance(error, OSError | MemoryError | torch.OutOfMemoryError):
        return "machine"
    # Torch says by words alone that the memory of a CPU is full.
    if type(error) is RuntimeError and any(words in str(error) for words in _OUT_OF_MEMORY):
        return "machine"
    return "internal"


def failure_record(key: str, name: str, error: BaseException) -> FailureRecord:
    """What is kept of a cell that failed: message and traceback without secrets and without paths of this machine.

    Arguments:
        key: of the cell's settings.
        name: of the cell, for people.
        error: with its traceback.
    """
    trace = "".join(traceback.format_exception(error))
    return FailureRecord(
        key=key,
        name=name,
        error_type=type(error).__name__,
        message=shareable(str(error)),
        traceback=shareable(trace)[-_CHARACTERS:],
        cause=failure_cause(error),
    )


def failure_line(failure: FailureRecord) -> str:
    """One line for people about a failure."""
    return _line(failure.cause, failure.error_type, failure.message)


def error_line(error: BaseException) -> str:
    """The same about an error, for the user of this machine: its paths are whole."""
    return _line(failure_cause(error), type(error).__name__, without_secrets(str(error)))


def _line(cause: FailureCause, error_type: str, message: str) -> str:
    text = " ".join(f"{error_type}: {message}".split())
    if cause == "internal":
        return f"internal error, please report it with the traceback in the run's folder failures: {text}"
    return text
