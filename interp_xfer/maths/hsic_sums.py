"""CKA from streamed sums, for more prompts than an n x n Gram matrix has room for.

With k_i = |x_i|², l_i = |y_i|², s = sum x_i, t = sum y_i, C = sum x_i y_iᵀ, the three terms of the U-statistic of HSIC
(arXiv 2010.15327, eq. 3) need no Gram matrix:

    tr(K~ L~)    = |C|² - sum k_i l_i
    1ᵀ K~ 1      = |s|² - sum k_i
    1ᵀ K~ L~ 1   = sᵀ C t - s . (sum l_i x_i) - t . (sum k_i y_i) + sum k_i l_i

The sums are exact; averaging CKA over minibatches is not. Values are taken relative to the first chunk's mean, which
changes nothing but the rounding. Memory is 8 (d_x² + d_x d_y + d_y²) bytes.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.maths.cka import Estimator


class HsicSums:
    """Sums over paired rows of two representations. Add chunks, then ask for `cka`.

    Source: house rule; equal to `similarity.linear_cka` on all rows at once.
    """

    def __init__(self) -> None:
        self.n = 0
        self._shift: tuple[Tensor, Tensor] | None = None
        self._sums: dict[str, dict[str, Tensor]] = {}

    def add(self, x: Float[Tensor, "parent_rows d_parent"], y: Float[Tensor, "child_rows d_child"]) -> None:
        """Add a chunk of paired rows; scale rows to unit length beforehand where that is wanted.

        Arguments:
            x: rows of one representation.
            y: the same rows in the other.
        Raises: ShapeError on unpaired rows or NaN.
        """
        require_paired(len(x), len(y), "rows")
        require_finite("parent activations", x)
        require_finite("child activations", y)
        x, y = x.double(), y.double()
        if self._shift is None:
            self._shift = (x.mean(dim=0), y.mean(dim=0))
        x, y = x - self._shift[0], y - self._shift[1]
        self.n += len(x)
        k, m = x.square().sum(dim=1), y.square().sum(dim=1)
        for name, a, b, norms_a, norms_b in (("xy", x, y, k, m), ("xx", x, x, k, k), ("yy", y, y, m, m)):
            parts = {
                "products": a.T @ b,
                "weighted_a": norms_b @ a,
                "weighted_b": norms_a @ b,
                "norms": (norms_a * norms_b).sum(),
                "sum_a": a.sum(dim=0),
                "sum_b": b.sum(dim=0),
                "trace_a": norms_a.sum(),
                "trace_b": norms_b.sum(),
            }
            so_far = self._sums.get(name)
            self._sums[name] = {key: part + so_far[key] for key, part in parts.items()} if so_far else parts

    def cka(self, estimator: Estimator = "unbiased") -> float:
        """Linear CKA of all rows added.

        Arguments:
            estimator: as in `similarity.linear_cka`.
        Returns: a float; NaN when a self-term is not positive.
        Raises: ShapeError on fewer than 4 rows.
        Source: arXiv 2010.15327, eq. 3.
        """
        require_rows("rows", self.n, 4, "CKA")
        between, self_x, self_y = (self._hsic(name, estimator) for name in ("xy", "xx", "yy"))
        # Self-terms of a constant layer are rounding noise around zero.
        return between / (self_x * self_y) ** 0.5 if min(self_x, self_y) > 0 else float("nan")

    def _hsic(self, pair: str, estimator: Estimator) -> float:
        """HSIC up to a factor that is the same for all three pairs."""
        n, part = self.n, self._sums[pair]
        s, t, products = part["sum_a"], part["sum_b"], part["products"]
        if estimator == "biased":
            return float((products - torch.outer(s, t) / n).square().sum())
        trace = products.square().sum() - part["norms"]
        totals = (s @ s - part["trace_a"]) * (t @ t - part["trace_b"])
        rows = s @ products @ t - s @ part["weighted_a"] - t @ part["weighted_b"] + part["norms"]
        return float(trace + totals / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows)
