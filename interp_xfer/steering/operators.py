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
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp_xfer.kinds import Table

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


@dataclass(frozen=True)
class OperatorKind:
    """One operator."""

    name: str
    summary: str
    apply: Operator
    has_strength: bool = True
    """False: it does the same at every strength but 0, so there is nothing to search."""


OPERATORS: Table[OperatorKind] = Table(
    "operator",
    (
        OperatorKind("add", "h + c v", add),
        OperatorKind("project_out", "the direction removed", project_out, has_strength=False),
        OperatorKind("norm_preserving", "h + c v at the length of h", norm_preserving),
        OperatorKind("clamp", "the score along v becomes c", clamp),
        OperatorKind("piecewise", "whichever side h is on, strengthened", piecewise),
    ),
    lambda name, function: OperatorKind(name, "a function", function),
)


def has_strength(operator: str) -> bool:
    """Whether an operator does different things at different strengths; True for a function that is not loaded."""
    return operator not in OPERATORS or OPERATORS[operator].has_strength


def strength_grid(operator: str, grid: Sequence[float]) -> tuple[float, ...]:
    """The strengths of a grid at which an operator does different things: only 1.0 for one without strength."""
    return tuple(grid) if has_strength(operator) else (1.0,)
