"""How long steps of a study are shown; what shows them is given from outside."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from interp_xfer.progress import Progress, no_progress


@runtime_checkable
class Step(Protocol):
    """Shows one long step: `with step("extracting", 256, "texts") as progress: ... progress(n)`."""

    def __call__(self, description: str, total: int, unit: str = "") -> AbstractContextManager[Progress]:
        """A context that yields the function to call with the number of units just done."""
        ...


@contextmanager
def silent_step(description: str, total: int, unit: str = "") -> Iterator[Progress]:
    """Shows nothing."""
    yield no_progress


def named_step(step: Step, name: str) -> Step:
    """The same steps with a name before what they do."""

    def named(description: str, total: int, unit: str = "") -> AbstractContextManager[Progress]:
        return step(f"{name}: {description}", total, unit)

    return named
