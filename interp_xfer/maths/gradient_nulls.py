"""How large a gradient along a direction would be by chance, without a single further pass.

For a fixed summed gradient G (of one layer) and a random unit vector v of width d:

- isotropic: `z = sqrt(d) cos(G, v)` has mean 0 and variance 1, and is normal up to terms of order 1/d;
- covariance-matched: v along a draw of N(0, S), S the covariance of activations. <G, v> then has variance of about
  GᵀSG / tr S, exact for large participation ratios; `z = <G, v> / sqrt(GᵀSG / tr S)`.

Directions that vary much in the model also move its answers much; the second null grants them that. Layers are drawn
independently, so the largest of L values of |z| has the Šidák p value 1 - (1 - p)^L.
"""

import math
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student
from torch import Tensor

from interp_xfer.checks import require_finite, require_rows
from interp_xfer.errors import ShapeError


class LargestZ(NamedTuple):
    """The layer that stands out most, judged for having looked at all of them."""

    layer: int
    """Index into the values given."""
    z: float
    p_value: float
    """Two-sided, Šidák over the values given."""


class MeanIntervals(NamedTuple):
    """Means over questions with their intervals."""

    estimate: Float[Tensor, "*rest"]
    low: Float[Tensor, "*rest"]
    high: Float[Tensor, "*rest"]


def isotropic_deviation(gradient: Float[Tensor, "layers d_model"]) -> Float[Tensor, " layers"]:
    """|G| / sqrt(d): standard deviation of <G, v> for isotropic random unit v.

    Arguments:
        gradient: G, mean over questions.
    Returns: nats per unit of the stream, float64.
    Raises: ShapeError on NaN, or a layer whose gradient is zero.
    """
    require_finite("gradients", gradient)
    length = gradient.double().norm(dim=-1)
    if bool((length == 0).any()):
        raise ShapeError(
            f"log p does not depend on layers {(length == 0).nonzero()[:, 0].tolist()} at the steered positions; "
            "leave them out, or steer other tokens."
        )
    return length / math.sqrt(gradient.shape[-1])


def covariance_deviation(
    gradient: Float[Tensor, "layers d_model"], activations: Float[Tensor, "layers rows d_model"]
) -> Float[Tensor, " layers"]:
    """sqrt(GᵀSG / tr S): standard deviation of <G, v> for unit v along draws of N(0, S), S the covariance of rows.

    Arguments:
        gradient: G, mean over questions.
        activations: of the model to be steered, at least two rows; no d x d matrix is made.
    Returns: nats per unit of the stream, float64.
    Raises: ShapeError on NaN, fewer than two rows, or a constant layer.
    Source: house rule (`controls.random_covariance_matched` draws such vectors).
    """
    require_finite("gradients", gradient)
    require_finite("activations", activations)
    require_rows("rows", activations.shape[1], 2, "a covariance")
    centred = activations.double() - activations.double().mean(dim=1, keepdim=True)
    trace = centred.square().sum(dim=(1, 2))
    if bool((trace == 0).any()):
        raise ShapeError(f"layers {(trace == 0).nonzero()[:, 0].tolist()} are constant over the rows; leave them out.")
    along = einsum(centred, gradient.double(), "layers rows d_model, layers d_model -> layers rows")
    return (along.square().sum(dim=1) / trace).sqrt()


def largest_z(z: Float[Tensor, " layers"]) -> LargestZ:
    """The largest |z| of independent layers, with its p value for the largest of so many.

    Arguments:
        z: N(0, 1) each under the null; NaN (a layer without a vector) is left out.
    Raises: ShapeError if every value is NaN.
    Source: Šidák 1967, doi 10.1080/01621459.1967.10482935.
    """
    there = (~torch.isnan(z)).nonzero()[:, 0]
    if len(there) == 0:
        raise ShapeError("no layer has a z value; no layer has a vector.")
    layer = int(there[z[there].abs().argmax()])
    alone = 2 * float(norm.sf(abs(float(z[layer]))))
    # 1 - (1 - p)^L without losing small p to rounding.
    p_value = 1.0 if alone >= 1 else -math.expm1(len(there) * math.log1p(-alone))
    return LargestZ(layer, float(z[layer]), p_value)


def mean_intervals(values: Float[Tensor, "questions *rest"]) -> MeanIntervals:
    """Mean over questions and its 95 % t interval, for every column.

    Arguments:
        values: one row for each question.
    Raises: ShapeError on NaN or fewer than two questions.
    Source: Student 1908; arXiv 2411.00640 on questions as the unit of sampling.
    """
    require_finite("values", values)
    require_rows("questions", len(values), 2, "an interval over questions")
    n = len(values)
    mean = values.double().mean(dim=0)
    half = float(student.ppf(0.975, n - 1)) * values.double().std(dim=0) / math.sqrt(n)
    return MeanIntervals(mean, mean - half, mean + half)
