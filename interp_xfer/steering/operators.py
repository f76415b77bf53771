"""How a steering vector changes the residual stream.

With unit vector v, shift delta = c v (c is the strength in the residual stream's own units) and score s = h . v:

| operator | new residual |
|---|---|
| `add` | h + delta |
| `project_out` | h - s v |
| `norm_preserving` | (h + delta) |h| / |h + delta| |
| `clamp` | h + (c - s) v |
| `piecewise` | h + sign(h . delta) delta |
"""

from collections.abc import Callable, Sequence
from typing import get_args

from jaxtyping import Float
from torch import Tensor

from interp_xfer.choices import OperatorName
from interp_xfer.errors import ConfigError

Residual = Float[Tensor, "batch pos d_model"]
Coefficient = Float[Tensor, "batch 1 1"]
Operator = Callable[[Residual, Float[Tensor, " d_model"], Coefficient], Residual]


def add(h: Residual, v: Float[Tensor, " d_model"], c: Coefficient) -> Residual:
    """`h + c v`: the paper's operator (arXiv 2512.19069, section 2)."""
    return h + c * v


def project_out(h: Residual, v: Float[Tensor, " d_model"], c: Coefficient) -> Residual:
    """`h - (h . v) v`: the direction removed; the coefficient does not matter (arXiv 2406.11717)."""
    return h - (h @ v).unsqueeze(-1) * v


def norm_preserving(h: Residual, v: Float[Tensor, " d_model"], c: Coefficient) -> Residual:
    """`h + c v`, rescaled to the length of h."""
    moved = h + c * v
    return moved * (h.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True))


def clamp(h: Residual, v: Float[Tensor, " d_model"], c: Coefficient) -> Residual:
    """`h + (c - h . v) v`: the score along v becomes c."""
    return h + (c - (h @ v).unsqueeze(-1)) * v


def piecewise(h: Residual, v: Float[Tensor, " d_model"], c: Coefficient) -> Residual:
    """`h + sign(h . c v) c v`: strengthens whichever side h is on (arXiv 2310.01405, appendix)."""
    delta = c * v
    return h + (h * delta).sum(dim=-1, keepdim=True).sign() * delta


OPERATORS: dict[str, Operator] = {
    "add": add,
    "project_out": project_out,
    "norm_preserving": norm_preserving,
    "clamp": clamp,
    "piecewise": piecewise,
}


WITHOUT_STRENGTH: frozenset[str] = frozenset({"project_out"})
"""Operators that do the same at every strength but 0: they are applied or not, and there is nothing to search."""


def strength_grid(operator: str, grid: Sequence[float]) -> tuple[float, ...]:
    """The strengths of a grid at which an operator does different things: only 1.0 for one without strength."""
    return (1.0,) if operator in WITHOUT_STRENGTH else tuple(grid)


def get_operator(name: str) -> Operator:
    """The operator of that name.

    Raises: ConfigError naming the known ones.
    """
    if name not in OPERATORS:
        raise ConfigError(f"operator {name!r} is not one of {', '.join(get_args(OperatorName))}.")
    return OPERATORS[name]
