"""The table of linear maps from parent to child, controls last. A new one is a function and an entry.

A map is fitted on paired rows, or made from both widths alone. A function given in place of a name takes the `Moments`
of paired rows and returns W (d_parent, d_child); its R² is measured out of fold like that of the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from interp_xfer.errors import ConfigError
from interp_xfer.kinds import Table
from interp_xfer.maths.linear_maps import (
    Projection,
    fit_low_rank,
    fit_procrustes,
    fit_ridge,
    fit_weight,
    identity,
    random_orthogonal,
)
from interp_xfer.maths.paired_sums import Moments, PairedSums

Fit = Callable[[PairedSums, PairedSums | None, int], Projection]
"""From sums of paired rows, sums of rows paired at random where they are measured, and a seed."""
Make = Callable[[int, int, int, tuple[int, int]], Projection]
"""From both widths, a seed and (parent layer, child layer)."""


@dataclass(frozen=True)
class LinearMapKind:
    """One kind of linear map: `fit` or `make`."""

    name: str
    summary: str
    fit: Fit | None = None
    make: Make | None = None
    is_ridge: bool = False
    """It chooses an "alpha", on which R² along a direction rests."""
    wrong_pairs: bool = False
    """A control: it is fitted on rows paired with those of other texts."""

    def __post_init__(self) -> None:
        if (self.fit is None) == (self.make is None):
            raise ConfigError(f"a linear map is fitted or made: give {self.name!r} either `fit` or `make`.")

    @property
    def needs_texts(self) -> bool:
        """Whether it is fitted."""
        return self.fit is not None


def fitted_by(function: Callable[[Moments], Float[Tensor, "d_parent d_child"]], name: str) -> Fit:
    """The fit of a function that gives weights from moments."""

    def fit(sums: PairedSums, wrong: PairedSums | None, seed: int) -> Projection:
        return replace(fit_weight(sums, function), kind=name)

    return fit


LINEAR_MAPS: Table[LinearMapKind] = Table(
    "projection",
    (
        LinearMapKind(
            "ridge", "ridge regression", lambda s, w, seed: fit_ridge(s, shuffled=w, seed=seed), is_ridge=True
        ),
        LinearMapKind("procrustes", "rotation and one scale", lambda s, w, seed: fit_procrustes(s)),
        LinearMapKind("low-rank", "between leading components", lambda s, w, seed: fit_low_rank(s)),
        LinearMapKind(
            "identity", "coordinates copied", make=lambda d_parent, d_child, seed, pair: identity(d_parent, d_child)
        ),
        LinearMapKind(
            "shuffled-pairs",
            "control: ridge on wrong pairs",
            lambda s, w, seed: fit_ridge(s, seed=seed),
            is_ridge=True,
            wrong_pairs=True,
        ),
        LinearMapKind("random-orthogonal", "control: a random rotation", make=random_orthogonal),
    ),
    lambda name, function: LinearMapKind(name, "a function", fitted_by(function, name)),
)
