"""Refusals shared by the pure modules: what is wrong, with its shape, and what to do about it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_xfer.errors import ShapeError


def require_finite(name: str, values: Tensor) -> None:
    """Pass, or raise ShapeError when `values` holds NaN or infinity.

    Arguments:
        name: what the values are called in the message, for example "differences".
        values: any shape.
    Raises: ShapeError with the number of bad entries and the rows (first axis) they sit in.
    """
    bad = ~torch.isfinite(values)
    if bad.any():
        where = bad if bad.dim() < 2 else bad.flatten(1).any(dim=1)
        rows = where.nonzero().flatten().tolist()
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise ShapeError(
            f"{name} of shape {tuple(values.shape)} hold {int(bad.sum())} NaN or infinite values (rows {shown}); "
            "read the activations again in float32, or drop those rows."
        )


def require_unit(name: str, rows: Tensor, filled: Sequence[int] | None = None) -> None:
    """Pass, or raise ShapeError when rows are not float32 of length 1, or those that should be zero are not.

    Arguments:
        name: what a row is, in the plural, for example "steering vectors".
        rows: (rows, width).
        filled: which rows have length 1; the others are zero. None: all.
    Raises: ShapeError naming the first wrong row and its length.
    """
    if rows.dtype != torch.float32:
        raise ShapeError(f"{name} are {rows.dtype}; give them in float32.")
    require_finite(name, rows)
    wanted = torch.ones(len(rows)) if filled is None else torch.zeros(len(rows))
    wanted[list(filled or ())] = 1
    lengths = rows.detach().cpu().double().norm(dim=-1)
    wrong = ((lengths - wanted).abs() > torch.where(wanted == 0, 0, 1e-3)).nonzero().flatten().tolist()
    if wrong:
        raise ShapeError(
            f"{name} must have length 1, and 0 at layers without one; layer {wrong[0]} has length "
            f"{lengths[wrong[0]]:.4g} instead of {wanted[wrong[0]]:g}. Scale it, or leave it out of the layer map."
        )


def require_rows(name: str, found: int, needed: int, why: str) -> None:
    """Pass, or raise ShapeError when fewer than `needed` rows are there.

    Arguments:
        name: what a row is, in the plural, for example "pairs".
        found: number of rows.
        needed: the least number that the computation allows.
        why: the computation, for example "the unbiased estimator".
    Raises: ShapeError naming both numbers.
    """
    if found < needed:
        raise ShapeError(f"{why} needs at least {needed} {name}, got {found}; give it more {name}.")


def require_paired(
    found_x: int, found_y: int, rows: str, x: str = "the parent", y: str = "the child", remedy: str = "in both models"
) -> None:
    """Pass, or raise ShapeError when two sides do not have the same number of rows.

    Arguments:
        found_x: rows of one side.
        found_y: rows of the other.
        rows: what a row is, in the plural.
        x: what the first side is called.
        y: what the second side is called.
        remedy: where the same rows should have been read.
    Raises: ShapeError naming both numbers.
    """
    if found_x != found_y:
        raise ShapeError(
            f"{x} has {found_x} {rows} and {y} {found_y}; rows must be paired: "
            f"read the same {rows} in the same order {remedy}."
        )
