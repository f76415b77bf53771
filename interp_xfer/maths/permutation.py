"""Is a similarity better than chance? Permutation nulls for a whole matrix of layers.

Permuting whole prompts in one model breaks the pairing and keeps everything else. For a search over layers the same
permutation is applied to all layers, and the null is that of the largest entry of the matrix, so that having searched
1,120 pairs costs what it should (arXiv 2602.14486).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer.checks import require_finite
from interp_xfer.errors import ConfigError
from interp_xfer.maths.cka import cka_of_grams, unit_vectors
from interp_xfer.streams import random_order, stream


@dataclass(frozen=True, eq=False)
class PermutationNull:
    """A similarity matrix beside the largest entries that unrelated prompts give."""

    observed: Float[Tensor, "n_parent n_child"]
    """Similarity of the paired prompts."""

    null_max: Float[Tensor, " permutations"]
    """Largest entry of the matrix under each permutation."""

    p_value: float
    """Of the largest observed entry: (1 + #{null >= it}) / (permutations + 1)."""

    threshold: float
    """Entries above it are beyond chance at the level alpha, adjusted for the search."""


def permutation_null(
    parent: Float[Tensor, "n_parent prompts prompts"],
    child: Float[Tensor, "n_child prompts prompts"],
    n_permutations: int = 199,
    alpha: float = 0.05,
    seed: int = 0,
) -> PermutationNull:
    """CKA of all layer pairs against jointly permuted prompts, by the maximum over pairs.

    p = (1 + #{max S* >= max S}) / (K + 1); threshold = order statistic ceil((1 - alpha)(K + 1)) of max S*.

    Arguments:
        parent: centred Gram matrices from `similarity.paired_grams`.
        child: the same prompts.
        n_permutations: K, at least 1/alpha - 1.
        alpha: level of the threshold.
        seed: of the permutations.
    Returns: the observed matrix (n_parent, n_child), the null and its p value.
    Raises: ConfigError when K is too small for alpha; ShapeError when a similarity is NaN.
    Source: arXiv 2602.14486.
    """
    observed = cka_of_grams(parent, child)
    require_finite("layer similarities", observed)
    # Symmetric matrices with a constant diagonal sum: the entries above the diagonal say it all. The diagonal of biased
    # Gram matrices is not zero, so it stays in.
    n = parent.shape[1]
    rows, columns = torch.triu_indices(n, n)
    weight = torch.where(rows == columns, 1.0, 2.0).double().sqrt()
    flat = unit_vectors(child)
    left = unit_vectors(parent)[:, rows * n + columns] * weight
    largest = []
    for number in range(n_permutations):
        order = random_order(stream(seed, "permuted-prompts", number), n)
        right = flat[:, order[rows] * n + order[columns]] * weight
        largest.append((left @ right.T).max())
    null_max = torch.stack(largest) if largest else flat.new_zeros(0)
    threshold = null_threshold(null_max, alpha)
    p_value = (1 + int((null_max >= observed.max() - 1e-12).sum())) / (n_permutations + 1)
    return PermutationNull(observed, null_max, p_value, threshold)


def null_threshold(null: Float[Tensor, " draws"], alpha: float = 0.05) -> float:
    """The value that a statistic of the null exceeds with probability at most alpha.

    Order statistic ceil((1 - alpha)(K + 1)) of K draws.

    Arguments:
        null: draws.
        alpha: level.
    Returns: the threshold in the unit of the draws.
    Raises: ConfigError when K < 1/alpha - 1, where no order statistic reaches the level.
    Source: arXiv 2602.14486.
    """
    return float(null.sort().values[threshold_rank(len(null), alpha) - 1])


def threshold_rank(n_draws: int, alpha: float = 0.05) -> int:
    """Which of K sorted draws of a null is its threshold, counted from 1: ceil((1 - alpha)(K + 1)).

    Arguments:
        n_draws: K.
        alpha: level.
    Returns: between 1 and K.
    Raises: ConfigError when K < 1/alpha - 1, where no order statistic reaches the level.
    Source: arXiv 2602.14486.
    """
    rank = math.ceil((1 - alpha) * (n_draws + 1) - 1e-9)
    if not 1 <= rank <= n_draws:
        raise ConfigError(
            f"{n_draws} permutations cannot give a threshold at level {alpha}; "
            f"use at least {math.ceil(1 / alpha - 1 - 1e-9)}."
        )
    return rank
