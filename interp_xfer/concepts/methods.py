"""The table of extraction methods: from contrast differences of one layer to a direction.

A new one is a function and an entry; a function given in place of a name takes differences (pairs, d_model) and returns
a direction (d_model). Length and sign do not matter: unit length and the sign of the labels are settled afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite
from interp_xfer.choices import Centering
from interp_xfer.errors import ShapeError
from interp_xfer.kinds import Table
from interp_xfer.maths.directions import mean_difference, pca_directions


class Extraction(NamedTuple):
    """How a concept is found; what travels from settings to the functions that find it."""

    method: str = "pca"
    """A name of `METHODS`."""
    centering: Centering = "symmetric"
    """Preparation of the differences for PCA; "ordered" loses the concept and is kept to show it."""
    normalize_differences: bool = False
    """Unit length for each difference first, as the paper's formula says (its code does not)."""
    seed: int = 0
    """Of the "repe" swaps."""


DEFAULT = Extraction()
"""The paper's method, on differences as they are."""


class FoundDirection(NamedTuple):
    """What a method found at one layer."""

    direction: Tensor
    """(d_model), of any length but 0."""
    explained_variance: float | None = None
    """Share of the differences' variance along it, where the method is about variance."""


Find = Callable[[Float[Tensor, "pairs d_model"], Extraction], FoundDirection]


@dataclass(frozen=True)
class MethodKind:
    """One extraction method."""

    name: str
    summary: str
    find: Find
    centres: bool = False
    """Whether `centering` makes a difference to it."""


def _first_component(differences: Float[Tensor, "pairs d_model"], settings: Extraction) -> FoundDirection:
    found = pca_directions(differences, 1, *settings[1:])
    return FoundDirection(found.directions[0], float(found.explained_variance[0]))


def unit_direction(direction: Tensor, d_model: int, method: str) -> Float[Tensor, " d_model"]:
    """A direction at unit length, float64.

    Raises: ShapeError if it is of another width, not finite, or of length 0.
    """
    if tuple(direction.shape) != (d_model,):
        raise ShapeError(f"method {method} returned shape {tuple(direction.shape)}; return one direction ({d_model},).")
    require_finite(f"the direction of method {method}", direction)
    length = direction.double().norm()
    if not length > 0:
        raise ShapeError(f"method {method} returned a direction of length 0; these differences have none.")
    return direction.double() / length


METHODS: Table[MethodKind] = Table(
    "method",
    (
        MethodKind("pca", "first principal component (the paper)", _first_component, centres=True),
        MethodKind("mean-difference", "mean difference", lambda d, settings: FoundDirection(mean_difference(d))),
    ),
    lambda name, function: MethodKind(name, "a function", lambda d, settings: FoundDirection(function(d))),
)
