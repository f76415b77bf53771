"""How much variance a first principal component explains where there is no concept.

The share of a "symmetric" first component is no evidence by itself: swapping the members of pairs changes nothing in
it, so it is the same under shuffled labels, and the largest of min(n, d) components explains far more than 1 / d of
pure noise. Two values belong beside it: that of isotropic noise of the same shape, and that of differences between
texts that differ in everything but the concept.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from interp_xfer._checks import require_paired, require_rows
from interp_xfer.choices import Centering
from interp_xfer.directions import pca_directions
from interp_xfer.errors import ConfigError
from interp_xfer.streams import random_order, stream


def noise_share(n_pairs: int, d_model: int) -> float:
    """Share of the sum of squares along the first component of n isotropic normal differences, expected.

    (mu - 1.2065 sigma) / (n d), mu = (sqrt(n - 1) + sqrt(d))², sigma = (sqrt(n - 1) + sqrt(d)) (1 / sqrt(n - 1) +
    1 / sqrt(d))^(1/3): centre, scale and mean of the largest eigenvalue's distribution. 64 x 640: .026.

    Arguments:
        n_pairs: n, at least 2.
        d_model: d.
    Returns: between 0 and 1.
    Raises: ConfigError on fewer than two pairs or no width.
    Source: Johnstone 2001, doi 10.1214/aos/1009210544.
    """
    if n_pairs < 2 or d_model < 1:
        raise ConfigError(f"noise needs at least two differences and a width, got {n_pairs} x {d_model}.")
    a, b = (n_pairs - 1) ** 0.5, d_model**0.5
    largest = (a + b) ** 2 - 1.2065 * (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return min(1.0, largest / (n_pairs * d_model))


def unrelated_share(
    positive: Float[Tensor, "layers positive_pairs d_model"],
    negative: Float[Tensor, "layers negative_pairs d_model"],
    n_draws: int = 20,
    centering: Centering = "symmetric",
    normalize_differences: bool = False,
    seed: int = 0,
) -> Float[Tensor, "draws layers"]:
    """Share along the first component of as many differences between unrelated texts of the same class.

    Half of the differences are between positive members of two pairs, half between negative ones, each text used once
    as in the real pairs (of an odd number one is left out): questions differ, the concept does not.

    Arguments:
        positive: activations of the positive members.
        negative: of the negative members.
        n_draws: re-pairings.
        centering: as in `pca_directions`.
        normalize_differences: as in `pca_directions`.
        seed: of the re-pairings.
    Returns: one row a draw; a real share means something where it is above all of them.
    Raises: ShapeError on unpaired members, fewer than four pairs, or what `pca_directions` refuses.
    Source: house rule.
    """
    n = positive.shape[1]
    require_paired(n, negative.shape[1], "members", "the positive side", "the negative side", "on both sides")
    require_rows("pairs", n, 4, "differences between unrelated texts")
    draws = []
    for draw in range(n_draws):
        halves = []
        for number, side in enumerate((positive, negative)):
            order = random_order(stream(seed, "unrelated-texts", draw, number), n)[: 2 * (n // 2)]
            halves.append(side[:, order[::2]] - side[:, order[1::2]])
        rows = torch.cat(halves, dim=1)
        shares = [pca_directions(layer, 1, centering, normalize_differences, seed).explained_variance for layer in rows]
        draws.append(torch.cat(shares))
    return torch.stack(draws)
