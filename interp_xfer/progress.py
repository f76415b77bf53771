"""Progress of long steps: a rich bar on a terminal, plain lines elsewhere; of public functions, a bar in a notebook.

A step reports by calling `progress(n)` with the number of units just done; the library itself never prints.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol, cast, runtime_checkable

Progress = Callable[[int], None]

_SECONDS_BETWEEN_LINES = 15.0


@runtime_checkable
class Stream(Protocol):
    """What progress is written to: standard error, or anything like it."""

    def write(self, text: str, /) -> object:
        """Write some text."""

    def flush(self) -> object:
        """Make it visible."""

    def isatty(self) -> bool:
        """Whether somebody watches."""
        ...


class _Courtesy:
    """A stream whose failures end nothing: hours of work are worth more than a line nobody reads any more."""

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except (OSError, ValueError):  # full, or closed
                self._stream = None
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = None

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()


def no_progress(_: int) -> None:
    """Reports nothing; the default of everything that is no step of its own."""


def in_notebook() -> bool:
    """Whether this runs in Jupyter or IPython."""
    ipython = sys.modules.get("IPython")  # who runs in it has imported it
    return ipython is not None and ipython.get_ipython() is not None


@contextmanager
def shown_progress(progress: Progress | None, description: str, total: int, unit: str = "") -> Iterator[Progress]:
    """The progress of a step that a person may have called.

    Arguments:
        progress: what the caller gave; it is used as it is. None: a bar in a notebook, silence elsewhere.
        description: what is being done.
        total: number of units.
        unit: word for the units, "texts" or "answers".
    Yields: the function to call with the number of units just done.
    """
    if progress is not None or not in_notebook():
        yield progress or no_progress
        return
    with warnings.catch_warnings():  # without ipywidgets it says so and writes a bar of characters
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    with tqdm(total=total, desc=description, unit=f" {unit}") as bar:

        def report(done: int) -> None:
            bar.update(done)

        yield report


@contextmanager
def progress_bar(description: str, total: int, unit: str = "", stream: Stream | None = None) -> Iterator[Progress]:
    """Shows the progress of one step on standard error.

    Arguments:
        description: what is being done.
        total: number of units.
        unit: word for the units, "texts" or "answers".
        stream: where to write; standard error by default. Where it cannot be written, the step goes on in silence.
    Yields: the function to call with the number of units just done.
    """
    target = _Courtesy(sys.stderr if stream is None else stream)
    if not target.isatty():
        yield from _plain(description, total, unit, target)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(file=cast("IO[str]", target))) as bars:
        task = bars.add_task(description, total=total)
        yield lambda done: bars.advance(task, done)


def _plain(description: str, total: int, unit: str, stream: Stream) -> Iterator[Progress]:
    start = last = time.monotonic()
    done = 0

    def report(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and done < total:
            last = now
            stream.write(f"{description}: {done}/{total} {unit}, {now - start:.0f} s\n")
            stream.flush()

    stream.write(f"{description} ...\n")
    stream.flush()
    yield report
    stream.write(f"{description}: {done}/{total} {unit}, {time.monotonic() - start:.1f} s\n")
    stream.flush()
