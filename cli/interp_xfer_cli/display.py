"""What a person sees: tables, and the progress of long steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from interp_xfer.progress import Progress, progress_bar
from interp_xfer.stats.p_values import p_number

if TYPE_CHECKING:  # so that the command line starts without torch
    from interp_xfer.studies.cell_record import CellRecord

console = Console()


@contextmanager
def shown_step(description: str, total: int, unit: str = "") -> Iterator[Progress]:
    """A step of the pipeline with its progress bar on standard error."""
    with progress_bar(description, total, unit) as progress:
        yield progress


def points(fraction: float) -> str:
    """A fraction as percentage points."""
    return f"{100 * fraction:.1f}"


def print_cell(record: "CellRecord") -> None:
    """The three arms of a cell, with intervals and paired differences."""
    from interp_xfer.steering.operators import has_strength

    study, test = record.study, record.test
    sizes = f"{test.n} test and {record.validation.n} validation questions"
    table = Table(
        title=f"{study.parent} -> {study.child}, {study.dataset}, {sizes}",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    for name in ("arm", "lambda", "accuracy % [95 %]", "change [95 %]", "p", "invalid", "tokens"):
        table.add_column(name, justify="left" if name == "arm" else "right", no_wrap=True)
    applied = not has_strength(study.operator)
    for arm in test.arms:
        change = arm.difference
        table.add_row(
            arm.name.replace("lambda_star", study.operator if applied else "lambda*"),
            "-" if arm.strength is None or applied else f"{arm.strength:g}",
            f"{points(arm.accuracy)} [{points(arm.low)}, {points(arm.high)}]",
            "" if change is None else f"{100 * change.delta:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]",
            "" if change is None else p_number(change.p_value),
            str(arm.invalid),
            f"{arm.mean_tokens:.1f}",
        )
    console.print(table)


def print_rows(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A plain table of words."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
