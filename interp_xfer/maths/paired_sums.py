"""Streamed sums of paired activations: all that a linear map between two models needs, at a size that rows do not grow.

1. Rows (x of the parent, y of the child, one per paired token) arrive in chunks and are added, in float64, to the
   n, sum x, sum y, XᵀX, XᵀY and YᵀY of a fold. All rows of one prompt belong to one fold, because tokens of a prompt
   are dependent. Values are taken relative to the mean of the first chunk, which keeps the sums small and exact.
2. `moments` adds folds up and centres them: what a fit sees.
   `SharedSums` keep those of one parent layer once for several child layers.
3. `out_of_fold_r2` fits on all folds but one, scores the one, and pools: 1 - sum |y - x W - b|² / sum |y - mean y|²,
   with the mean of the training folds, so that a map that has learnt nothing scores 0 or less.

Memory in float64 is 8 (d_p² + d_p d_c + d_c²) bytes a fold: 0.51 GB for 5120 -> 4096.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired
from interp_xfer.errors import ConfigError, ShapeError

_BLOCK = 1024  # columns; only blocks on and above the diagonal of XᵀX are multiplied out


@dataclass(frozen=True, eq=False)
class Moments:
    """Centred sums over some rows."""

    n: int
    """Number of rows."""

    mean_x: Float[Tensor, " d_parent"]
    """Mean parent activation."""

    mean_y: Float[Tensor, " d_child"]
    """Mean child activation."""

    xx: Float[Tensor, "d_parent d_parent"]
    """sum (x - mean)(x - mean)ᵀ."""

    xy: Float[Tensor, "d_parent d_child"]
    """sum (x - mean)(y - mean)ᵀ."""

    yy: Float[Tensor, "d_child d_child"] | None
    """sum (y - mean)(y - mean)ᵀ, where asked for."""


Candidates = Callable[[Moments], Iterator[tuple[float, Tensor]]]
"""From training moments to (setting, weight) for each setting tried; weights are (d_parent, d_child)."""


class PairedSums:
    """Sums of paired rows, kept by fold. Add chunks, then fit a projection on them.

    Arguments:
        d_parent: width of the parent.
        d_child: width of the child.
        n_folds: of the cross-validation; three hold 5120 -> 4096 within 3 GB.
    Raises: ConfigError when n_folds is below 1.
    """

    def __init__(self, d_parent: int, d_child: int, n_folds: int = 3):
        if n_folds < 1:
            raise ConfigError(f"paired sums need at least one fold, got {n_folds}; use 2 or more to cross-validate.")
        self.d_parent, self.d_child, self.n_folds = d_parent, d_child, n_folds
        self.rows_in_fold = [0] * n_folds
        self._shift: tuple[Tensor, Tensor] | None = None

        def zeros(*shape: int) -> list[Tensor]:
            return [torch.zeros(shape, dtype=torch.float64) for _ in range(n_folds)]

        self._owns_parent_sums = True
        self._x, self._y = zeros(d_parent), zeros(d_child)
        self._xx, self._xy, self._yy = zeros(d_parent, d_parent), zeros(d_parent, d_child), zeros(d_child, d_child)

    @property
    def n_rows(self) -> int:
        """Rows added so far."""
        return sum(self.rows_in_fold)

    @property
    def filled_folds(self) -> tuple[int, ...]:
        """Folds that hold rows."""
        return tuple(fold for fold, n in enumerate(self.rows_in_fold) if n)

    def add(
        self,
        x: Float[Tensor, "parent_rows d_parent"],
        y: Float[Tensor, "child_rows d_child"],
        fold: int | Int[Tensor, " parent_rows"] = 0,
    ) -> None:
        """Add a chunk of paired rows.

        Arguments:
            x: parent activations.
            y: child activations of the same tokens.
            fold: of every row, or one per row; the same for all rows of a prompt (prompt number modulo n_folds).
        Raises: ShapeError on unpaired rows, other widths or NaN; ConfigError on a fold out of range.
        """
        require_paired(len(x), len(y), "rows")
        if x.shape[1] != self.d_parent or y.shape[1] != self.d_child:
            raise ShapeError(
                f"sums for widths {self.d_parent} -> {self.d_child} got rows of {x.shape[1]} -> {y.shape[1]}; "
                "use one PairedSums per (parent layer, child layer) pair of the same two models."
            )
        require_finite("parent activations", x)
        require_finite("child activations", y)
        if not len(x):
            return
        x, y = x.double().cpu(), y.double().cpu()
        if self._shift is None:
            self._shift = (x.mean(dim=0), y.mean(dim=0))
        x, y = x - self._shift[0], y - self._shift[1]  # shared sums see the same first chunk, so the same shift of x
        folds = torch.full((len(x),), fold) if isinstance(fold, int) else fold.cpu()
        for number in folds.unique().tolist():
            if not 0 <= number < self.n_folds:
                raise ConfigError(f"fold {number} does not exist, folds are 0 to {self.n_folds - 1}; take it modulo.")
            inside = folds == number
            whole = bool(inside.all())  # spares a copy of the chunk
            self._add_to_fold(number, x if whole else x[inside], y if whole else y[inside])

    def moments(self, folds: Collection[int] | None = None, with_yy: bool = False) -> Moments:
        """Centred sums over the given folds, or all of them.

        Arguments:
            folds: which folds.
            with_yy: also sum up the child's own scatter.
        Returns: the moments; the tensors are copies.
        Raises: ShapeError when the folds hold fewer than two rows.
        """
        chosen = range(self.n_folds) if folds is None else sorted(folds)
        n = sum(self.rows_in_fold[f] for f in chosen)
        if n < 2 or self._shift is None:
            raise ShapeError(
                f"a map from {self.d_parent} to {self.d_child} needs paired rows, got {n}; add some first."
            )
        x, y = _total(self._x, chosen) / n, _total(self._y, chosen) / n
        xx = _mirror(_total(self._xx, chosen).addr_(x, x, alpha=-n))
        xy = _total(self._xy, chosen).addr_(x, y, alpha=-n)
        yy = _mirror(_total(self._yy, chosen).addr_(y, y, alpha=-n)) if with_yy else None
        return Moments(n, x + self._shift[0], y + self._shift[1], xx, xy, yy)

    def project_outputs(self, matrix: Float[Tensor, "d_child outputs"]) -> "PairedSums":
        """The sums of the same rows with y replaced by y @ matrix; the parent's sums are shared, not copied.

        Arguments:
            matrix: for example one unit direction as a column, or a random sketch.
        Returns: sums of widths (d_parent, outputs).
        Raises: ShapeError before any row was added.
        """
        if self._shift is None:
            raise ShapeError("paired sums without rows cannot be projected; add rows first.")
        matrix = matrix.double()
        reduced = PairedSums(0, 0, self.n_folds)
        reduced.d_parent, reduced.d_child, reduced.rows_in_fold = self.d_parent, matrix.shape[1], self.rows_in_fold[:]
        reduced._shift = (self._shift[0], self._shift[1] @ matrix)
        reduced._x, reduced._xx = self._x, self._xx
        reduced._y = [y @ matrix for y in self._y]
        reduced._xy = [xy @ matrix for xy in self._xy]
        reduced._yy = [matrix.T @ (_mirror(yy) @ matrix) for yy in self._yy]
        return reduced

    def residual(
        self, fold: int, weight: Float[Tensor, "d_parent d_child"] | None, bias: Float[Tensor, " d_child"]
    ) -> float:
        """The sum of |y - x W - b|² over the rows of one fold, without the rows.

        Arguments:
            fold: which fold.
            weight: W; None for 0, which with a mean as bias is the sum of squares around that mean.
            bias: b.
        Returns: a float.
        Raises: ShapeError before any row was added.
        """
        if self._shift is None:
            raise ShapeError("paired sums without rows have no residual; add rows first.")
        offset = bias - self._shift[1]
        squares = self._yy[fold].trace()
        if weight is not None:
            offset = offset + self._shift[0] @ weight
            fitted = _mirror(self._xx[fold]) @ weight
            # tr(Wᵀ X'X W - 2 Wᵀ X'Y), in place: each copy would be as large as the map.
            squares = squares + fitted.sub_(self._xy[fold], alpha=2).mul_(weight).sum()
            squares = squares + 2 * offset @ (self._x[fold] @ weight)
        squares = squares + self.rows_in_fold[fold] * offset.square().sum() - 2 * offset @ self._y[fold]
        return float(squares)

    def _add_to_fold(self, fold: int, x: Tensor, y: Tensor) -> None:
        self._y[fold] += y.sum(dim=0)
        self._xy[fold].addmm_(x.T, y)
        squares = [(self._yy[fold], y)]
        if self._owns_parent_sums:
            self.rows_in_fold[fold] += len(x)
            self._x[fold] += x.sum(dim=0)
            squares.append((self._xx[fold], x))
        for total, rows in squares:
            for start in range(0, rows.shape[1], _BLOCK):
                total[start : start + _BLOCK, start:].addmm_(rows[:, start : start + _BLOCK].T, rows[:, start:])


class SharedSums:
    """Paired sums of one parent layer with several child layers, or other targets; XᵀX is kept and added up once.

    Arguments:
        d_parent: width of the parent.
        d_children: name of a target -> its width.
        n_folds: as in `PairedSums`.
    Raises: ConfigError without targets.
    """

    def __init__(self, d_parent: int, d_children: Mapping[Hashable, int], n_folds: int = 3):
        if not d_children:
            raise ConfigError("shared sums need at least one child layer; name it with its width.")
        self._sums: dict[Hashable, PairedSums] = {}
        for name, d_child in d_children.items():
            if not self._sums:
                self._sums[name] = self._owner = PairedSums(d_parent, d_child, n_folds)
                continue
            sums = PairedSums(0, d_child, n_folds)
            sums.d_parent, sums._owns_parent_sums = d_parent, False
            sums._x, sums._xx, sums.rows_in_fold = self._owner._x, self._owner._xx, self._owner.rows_in_fold
            sums._xy = [torch.zeros((d_parent, d_child), dtype=torch.float64) for _ in range(n_folds)]
            self._sums[name] = sums

    def add(
        self,
        x: Float[Tensor, "parent_rows d_parent"],
        ys: Mapping[Hashable, Float[Tensor, "child_rows _"]],
        fold: int | Int[Tensor, " parent_rows"] = 0,
    ) -> None:
        """Add a chunk of rows, the same for every target.

        Arguments:
            x: parent activations.
            ys: name of each target -> its rows.
            fold: as in `PairedSums.add`.
        Raises: ShapeError where a target is missing, or as `PairedSums.add`.
        """
        if set(ys) != set(self._sums):
            raise ShapeError(
                f"rows were given for {list(ys)}, but the sums are of {list(self._sums)}; give all of them."
            )
        for name, sums in self._sums.items():
            sums.add(x, ys[name], fold)

    def of(self, name: Hashable) -> PairedSums:
        """The sums of one target; the parent's side is shared, not copied, and nothing may be added to them."""
        return self._sums[name]


def out_of_fold_r2(sums: PairedSums, candidates: Candidates, with_yy: bool = False) -> dict[float, float]:
    """Share of the child's variance that each setting explains in prompts it was not fitted on.

    R² = 1 - sum_f |Y_f - X_f W_-f - b_-f|² / sum_f |Y_f - mean_-f|², over folds f; -f is all other folds.

    Arguments:
        sums: rows in two folds or more.
        candidates: yields (setting, weight) for training moments.
        with_yy: whether the fit needs the child's own scatter.
    Returns: setting -> R²; 0 or less means that nothing was learnt.
    Raises: ShapeError when all rows sit in one fold, or the child does not vary.
    """
    folds = sums.filled_folds
    if len(folds) < 2:
        raise ShapeError(
            f"all {sums.n_rows} rows are in one fold, so no setting can be chosen or scored out of fold; "
            "spread the prompts over folds (prompt number modulo n_folds), or give a single setting."
        )
    residuals: dict[float, float] = {}
    total = 0.0
    for fold in folds:
        of_fold, around_mean = _fold_residuals(sums, fold, candidates, with_yy)
        total += around_mean
        for setting, residual in of_fold.items():
            residuals[setting] = residuals.get(setting, 0.0) + residual
    if not total > 0:
        raise ShapeError(f"the child activations of all {sums.n_rows} rows are equal; the layer is constant: skip it.")
    return {setting: 1 - residual / total for setting, residual in residuals.items()}


def _fold_residuals(
    sums: PairedSums, fold: int, candidates: Candidates, with_yy: bool
) -> tuple[dict[float, float], float]:
    """Residual of each setting on a fold, fitted on the others, and the residual of their mean.

    A function of its own so that the sums of one fold's fit are gone before those of the next are made.
    """
    train = sums.moments([f for f in sums.filled_folds if f != fold], with_yy)
    of_fold = {
        setting: sums.residual(fold, weight, train.mean_y - train.mean_x @ weight)
        for setting, weight in candidates(train)
    }
    return of_fold, sums.residual(fold, None, train.mean_y)


def _total(parts: list[Tensor], folds: Collection[int]) -> Tensor:
    total = torch.zeros_like(parts[0])
    for fold in folds:
        total += parts[fold]
    return total


def _mirror(matrix: Tensor) -> Tensor:
    """Copies the blocks above the diagonal below it, in place."""
    for start in range(0, len(matrix), _BLOCK):
        stop = start + _BLOCK
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
    return matrix
