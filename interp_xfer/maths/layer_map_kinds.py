"""The table of layer maps, controls last. A new one is a function of `LayerMapInputs` and an entry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from interp_xfer.errors import DataError
from interp_xfer.kinds import Table
from interp_xfer.maths.layer_maps import LayerMap, greedy, proportional, random_monotone
from interp_xfer.maths.layer_matching import Method, match_layers


@dataclass(frozen=True, eq=False)
class LayerMapInputs:
    """What a layer map may look at."""

    n_parent: int
    n_child: int
    """Depths."""
    seed: int = 0
    parent_differences: Float[Tensor, "n_parent pairs d_parent"] | None = None
    """Contrast differences at the last token; None where no pairs were read."""
    child_differences: Float[Tensor, "n_child pairs d_child"] | None = None


@dataclass(frozen=True)
class LayerMapKind:
    """One rule that says which parent layer feeds each child layer."""

    name: str
    summary: str
    choose: Callable[[LayerMapInputs], LayerMap | Sequence[int | None]]
    """A map, or its parent layers by child layer."""
    needs_pairs: bool = False
    """Both models read the contrast pairs first."""
    fewest_pairs: int = 0

    def layer_map(self, inputs: LayerMapInputs) -> LayerMap:
        """The map that the rule chooses.

        Raises: DataError where pairs are needed and were not read; LayerError for layers that are not there.
        """
        if self.needs_pairs and (inputs.parent_differences is None or inputs.child_differences is None):
            raise DataError(f"a {self.name} layer map is measured on contrast pairs; give some.")
        chosen = self.choose(inputs)
        if isinstance(chosen, LayerMap):
            return chosen
        return LayerMap(tuple(chosen), inputs.n_parent, self.name)


def _measured(inputs: LayerMapInputs, method: Method) -> LayerMap:
    assert inputs.parent_differences is not None and inputs.child_differences is not None
    return match_layers(inputs.parent_differences, inputs.child_differences, method, seed=inputs.seed).layer_map


_FEWEST = 8  # fewer pairs cannot be halved into two estimates

LAYER_MAPS: Table[LayerMapKind] = Table(
    "layer map",
    (
        LayerMapKind("cka", "best monotone path through CKA", partial(_measured, method="monotone"), True, _FEWEST),
        LayerMapKind("optimal-transport", "cheapest plan", partial(_measured, method="transport"), True, _FEWEST),
        LayerMapKind("cka-argmax", "largest CKA of each layer", partial(_measured, method="argmax"), True, _FEWEST),
        LayerMapKind("proportional", "equal relative depth", lambda i: proportional(i.n_parent, i.n_child)),
        LayerMapKind("greedy", "n -> n, as in the paper", lambda i: greedy(i.n_parent, i.n_child)),
        LayerMapKind("random-monotone", "control", lambda i: random_monotone(i.n_parent, i.n_child, i.seed)),
    ),
    lambda name, function: LayerMapKind(name, "a function", function),
)
