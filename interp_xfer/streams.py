"""Random numbers: everything that is drawn has a stream of its own, named by what it is for.

A stream follows from a seed, a name and counters (layer, draw, batch, ...), and from nothing else. So a draw does not
depend on how many were drawn before it, nor on other layers, batches or names; and a seed has no neighbours whose
streams overlap with its own, as seed + 1 would have.

The parts are hashed to 256 bits, which seed a generator of numpy: that of torch on a CPU takes 32 bits, few enough for
two of a hundred thousand streams to be the same.
"""

import hashlib
import json
import random

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def stream(seed: int, name: str, *counters: int | str) -> np.random.Generator:
    """The random numbers of one thing.

    Arguments:
        seed: any integer; another one changes every stream.
        name: what is drawn, such as "random-isotropic".
        counters: which of them: a layer, a draw, a batch, an id.
    Returns: a generator at its beginning; equal arguments give equal numbers.
    Source: house rule; sha256 as the mixing function, `numpy.random.SeedSequence` for the entropy.
    """
    return np.random.default_rng(int.from_bytes(hashlib.sha256(_key(seed, name, *counters).encode()).digest()))


def word_stream(seed: int, name: str, *counters: int | str) -> random.Random:
    """`stream` for texts: with `choice` and `sample` for any Python objects.

    Arguments:
        seed: any integer.
        name: what is drawn.
        counters: which of them.
    Returns: a generator at its beginning.
    """
    return random.Random(_key(seed, name, *counters))


def normals(numbers: np.random.Generator, *shape: int) -> Float[Tensor, "..."]:
    """Independent N(0, 1), float64, on the CPU."""
    return torch.from_numpy(numbers.standard_normal(shape))


def random_order(numbers: np.random.Generator, n: int) -> Int[Tensor, " n"]:
    """A permutation of 0, ..., n - 1, each with equal probability."""
    return torch.from_numpy(numbers.permutation(n))


def _key(seed: int, name: str, *counters: int | str) -> str:
    return json.dumps([seed, name, *counters])
