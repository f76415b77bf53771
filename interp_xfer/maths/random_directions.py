"""Directions and pairings without the concept, for the rows of a table that a real result has to beat.

- random directions, isotropic or with the covariance of the child's activations, k draws each;
- differences whose labels were shuffled over all members of all pairs. (A swap within pairs would leave the symmetric
  principal component exactly as it is.)
- token rows paired with those of other prompts, for the R² and the map that chance gives.

The other controls are elsewhere: `layer_maps.random_monotone`, `projections.identity` and `random_orthogonal`.
"""

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.checks import require_finite, require_paired, require_rows
from interp_xfer.errors import ShapeError
from interp_xfer.streams import normals, random_order, stream


def random_isotropic(
    n_draws: int, n_layers: int, d_model: int, seed: int = 0, first: int = 0
) -> Float[Tensor, "draws layers d_model"]:
    """Unit vectors, uniform over all directions, independent between draws and layers.

    Each is a stream of its own: more draws or layers extend fewer.

    Arguments:
        n_draws: k; a rank p value of k draws cannot fall below 1 / (k + 1).
        n_layers: layers.
        d_model: width.
        seed: of the draws.
        first: number of the first draw.
    Returns: (draws, layers, d_model), float64.
    """
    return _unit(_normals(seed, "random-isotropic", range(first, first + n_draws), n_layers, d_model))


def random_covariance_matched(
    activations: Float[Tensor, "layers rows d_model"],
    n_draws: int,
    seed: int = 0,
    first: int = 0,
    name: str = "random-covariance",
) -> Float[Tensor, "draws layers d_model"]:
    """Unit vectors along draws of N(0, S_l), S_l the covariance of the given activations of layer l.

    v = Xcᵀ g, g ~ N(0, I): no d x d matrix is needed. Such vectors lie where activations vary, and steer more strongly
    than isotropic ones.

    Arguments:
        activations: of the model to be steered, at least two rows.
        n_draws: k.
        seed: of the draws; each of a layer is a stream of its own.
        first: number of the first draw.
        name: of the streams; draws for another purpose have another.
    Returns: (draws, layers, d_model), float64.
    Raises: ShapeError on NaN, fewer than two rows, or a constant layer.
    """
    require_finite("activations", activations)
    require_rows("rows", activations.shape[1], 2, "a covariance")
    centred = activations.double() - activations.double().mean(dim=1, keepdim=True)
    constant = (centred == 0).all(dim=2).all(dim=1).nonzero()[:, 0].tolist()
    if constant:
        raise ShapeError(f"layers {constant} are constant over {activations.shape[1]} rows; leave them out.")
    noise = _normals(seed, name, range(first, first + n_draws), *activations.shape[:2])
    return _unit(einsum(noise, centred, "draws layers rows, layers rows d_model -> draws layers d_model"))


def shuffled_label_differences(
    positive: Float[Tensor, "*layers positive_pairs d_model"],
    negative: Float[Tensor, "*layers negative_pairs d_model"],
    seed: int = 0,
    draw: int = 0,
) -> Float[Tensor, "*layers positive_pairs d_model"]:
    """Contrast differences with the labels of all members shuffled, the same way in every layer.

    Arguments:
        positive: activations of the positive members.
        negative: of the negative members.
        seed: of the shuffle.
        draw: which of many.
    Returns: as many differences, to be used like real ones.
    Raises: ShapeError on unpaired members or NaN.
    """
    n = positive.shape[-2]
    require_paired(n, negative.shape[-2], "members", "the positive side", "the negative side", "on both sides")
    members = torch.cat([positive, negative], dim=-2)
    require_finite("activations", members)
    order = random_order(stream(seed, "shuffled-labels", draw), 2 * n).to(members.device)
    return members[..., order[:n], :] - members[..., order[n:], :]


def rows_of_other_prompts(prompts: Int[Tensor, " rows"], numbers: np.random.Generator) -> Int[Tensor, " rows"]:
    """For each row the index of a row of another prompt, each row used once: y[result] is paired wrongly with x.

    Rows are put in random order prompt by prompt and moved on by the length of the longest prompt.

    Arguments:
        prompts: prompt number of each row.
        numbers: a `stream`, of which the order is drawn.
    Returns: a permutation of the rows.
    Raises: ShapeError when one prompt holds more than half of the rows.
    """
    n = len(prompts)
    _, number, counts = prompts.cpu().unique(return_inverse=True, return_counts=True)
    longest = int(counts.max()) if n else 0
    if 2 * longest > n or not n:
        raise ShapeError(
            f"one prompt holds {longest} of {n} rows, so not every row has a partner in another prompt; "
            "shuffle over more prompts at once."
        )
    within = random_order(numbers, n)  # inside a prompt
    order = within[random_order(numbers, len(counts))[number[within]].argsort(stable=True)]
    partner = torch.empty_like(order)
    partner[order] = order.roll(longest)
    return partner


def _normals(seed: int, name: str, draws: range, n_layers: int, n: int) -> Float[Tensor, "draws layers n"]:
    return torch.stack(
        [torch.stack([normals(stream(seed, name, layer, i), n) for layer in range(n_layers)]) for i in draws]
    )


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)
