"""Do the components of a concept in two models agree? What two loaded models have to be read for, kept as an artifact.

1. The parent's first direction of each layer is its concept; the child finds its own from contrast pairs that the
   parent's was found from too. Further components are the strongest principal components once the first is taken out.
   First directions are signed by class.
2. Both models read held-out pairs, which took part in no direction; the scores of both members on every component are
   kept. They say everything about agreement that needs no map (`maths.score_correlation`).
3. The parent's components are carried into every child layer by ridge maps (`transfer.all_pairs`), fitted on texts that
   hold none of the pairs, and compared with the child's: cosine of the first, principal angles of the spans.
4. Where the widths are equal, the same without a map. Coordinates of two models share no meaning unless one was made
   from the other, so that this is about 0 between strangers, whatever they have in common.

Cosines need a harder null than directions drawn from the whole space: activations vary along few axes, and anything
that lies along them is close to everything else that does. So random directions with the covariance of the parent's
contrast differences, the concept itself taken out by centring, take the place of its first direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Float
from pandas import DataFrame
from torch import Tensor

from interp_xfer.checks import require_finite
from interp_xfer.concepts.extract import ConceptVectors, Members, concept_from_differences, contrast_members
from interp_xfer.concepts.methods import Extraction
from interp_xfer.errors import LeakError, ShapeError
from interp_xfer.fields import Digest, Json, NotNegative, Positive, damaged
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.maths.directions import further_components
from interp_xfer.maths.random_directions import random_covariance_matched
from interp_xfer.maths.score_correlation import MINIMUM_PAIRS
from interp_xfer.maths.subspaces import principal_cosines
from interp_xfer.models import Fingerprint, LoadedModel
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.origins import ConceptSettings, Corpus
from interp_xfer.tasks import ContrastPair
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.all_pairs import carried_directions, n_readings
from interp_xfer.transfer.corpus import PairedCorpus

N_COMPONENTS = 3
N_DRAWS = 19
"""Random directions: the fewest whose largest is a threshold at 5 %. They are carried too, at some cost."""
DEFAULT_ALPHA = 1e-4
"""Ridge strength where no fitted map of the study has one."""


@dataclass(frozen=True, eq=False)
class CosineMatrix:
    """Directions of all parent layers beside those of all child layers, in one space."""

    cosines: Float[Tensor, "n_parent n_child"]
    """Of the first components, signed by class in their own model."""
    null: Float[Tensor, "draws n_parent n_child"]
    """Of random directions in place of the parent's first."""
    angles: Float[Tensor, "n_parent n_child k"]
    """Cosines of the principal angles between the spans of all components."""


class AlignmentSettings(Record):
    """How components were found and compared."""

    concept: ConceptSettings
    """Of the parent."""
    n_pairs_child: Positive
    """Of the concept's pairs, those that the child's components were found from."""
    n_held_out: Positive
    n_components: Positive
    alphas: tuple[NotNegative, ...] | None
    """Ridge strength by parent layer; None where nothing was carried."""
    corpus: Corpus | None


@dataclass(frozen=True, eq=False)
class ComponentAlignment:
    """Scores and cosines of the components of two models."""

    parent_scores: Float[Tensor, "n_parent 2 k held_out"]
    """Of the positive (0) and negative (1) members of held-out pairs."""
    child_scores: Float[Tensor, "n_child 2 k held_out"]
    """Of the same members."""
    carried: CosineMatrix | None
    """In the child's space; None without fit texts."""
    raw: CosineMatrix | None
    """Without a map; None where the widths differ."""
    child_components: Float[Tensor, "n_child k d_child"]
    """The first is the child's own concept."""
    parent: Fingerprint
    child: Fingerprint
    settings: AlignmentSettings
    prompts: PromptHashes
    """Of all pairs and texts."""

    def __repr__(self) -> str:
        s, spaces = self.settings, [name for name, matrix in self._spaces.items() if matrix is not None]
        return (
            f"ComponentAlignment({self.parent.reference}, {self.child.reference}: {self.parent.n_layers} x "
            f"{self.child.n_layers} layers, {s.n_components} components, {s.n_held_out} held-out pairs, "
            f"cosines {' and '.join(spaces) or 'none'})"
        )

    @property
    def _spaces(self) -> dict[str, CosineMatrix | None]:
        return {"carried": self.carried, "raw": self.raw}

    def to_dict(self) -> Json:
        """Plain JSON: cosines of first components by space, parent layer and child layer; `save` keeps the rest."""
        cosines = {name: matrix and matrix.cosines.float().tolist() for name, matrix in self._spaces.items()}
        return {**self._description.to_dict(), "cosines": cosines}

    def to_pandas(self) -> DataFrame:
        """One row a pair of layers: cosine of first components in each space."""
        there = {name: matrix.cosines.float().tolist() for name, matrix in self._spaces.items() if matrix is not None}
        return DataFrame(
            {"parent_layer": p, "child_layer": c, **{name: rows[p][c] for name, rows in there.items()}}
            for p in range(self.parent.n_layers)
            for c in range(self.child.n_layers)
        )

    def save(self, directory: Path | str) -> Path:
        """Write `alignment.json` and `alignment.safetensors`."""
        tensors = {name: getattr(self, name).float() for name in _PLAIN}
        for space, matrix in self._spaces.items():
            if matrix is not None:
                tensors |= {f"{space}.{name}": getattr(matrix, name).float() for name in ("cosines", "null", "angles")}
        return self._description.save(directory, tensors)

    @property
    def _description(self) -> "_Description":
        return _Description(
            parent=self.parent,
            child=self.child,
            settings=self.settings,
            has_carried=self.carried is not None,
            has_raw=self.raw is not None,
            prompts=tuple(self.prompts.to_list()),
        )

    @classmethod
    def load(cls, directory: Path | str) -> "ComponentAlignment":
        """What `save` wrote, in float32.

        Raises: ArtifactError if files are missing or damaged.
        """
        found, tensors = _Description.load(directory)
        require_tensors(tensors, found.shapes, directory)
        with damaged(directory):
            for name, values in tensors.items():
                require_finite(name, values)
        return cls(
            **{name: tensors[name] for name in _PLAIN},
            carried=_matrix_in(tensors, "carried"),
            raw=_matrix_in(tensors, "raw"),
            parent=found.parent,
            child=found.child,
            settings=found.settings,
            prompts=PromptHashes.from_list(found.prompts),
        )


_PLAIN = ("parent_scores", "child_scores", "child_components")


class _Description(Record):
    """`alignment.json`."""

    kind: Literal["alignment"] = "alignment"
    parent: Fingerprint
    child: Fingerprint
    settings: AlignmentSettings
    has_carried: bool
    has_raw: bool
    """Whether there are cosines of that space."""
    prompts: tuple[Digest, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What the tensors must look like."""
        layers, k, n = (self.parent.n_layers, self.child.n_layers), self.settings.n_components, self.settings.n_held_out
        out: dict[str, tuple[int, ...]] = {
            "parent_scores": (layers[0], 2, k, n),
            "child_scores": (layers[1], 2, k, n),
            "child_components": (layers[1], k, self.child.d_model),
        }
        for space in [name for name, there in (("carried", self.has_carried), ("raw", self.has_raw)) if there]:
            out |= {f"{space}.cosines": layers, f"{space}.null": (N_DRAWS, *layers), f"{space}.angles": (*layers, k)}
        return out


@dataclass(frozen=True, eq=False)
class AlreadyRead:
    """Activations that an earlier stage read; what is None is read here."""

    parent_differences: Float[Tensor, "n_parent pairs d_parent"] | None = None
    """Of all contrast pairs."""
    child_held_out: Members | None = None


def measure_alignment(
    parent: LoadedModel,
    child: LoadedModel,
    concept: ConceptVectors,
    pairs: Sequence[ContrastPair],
    n_child: int,
    held_out: Sequence[ContrastPair],
    corpus: PairedCorpus | None = None,
    alphas: Sequence[float] | None = None,
    known: AlreadyRead | None = None,
    progress: Progress = no_progress,
) -> ComponentAlignment:
    """Steps 1 to 4 of the module docstring.

    Arguments:
        parent: where the concept was found.
        child: the other model.
        concept: of the parent.
        pairs: all of the concept; the parent's components are found from them.
        n_child: how many of them, from the first, the child's are found from.
        held_out: other pairs of the same kind.
        corpus: ordinary texts; None: nothing is carried.
        alphas: ridge strength per parent layer; None: `DEFAULT_ALPHA` for all.
        known: activations that are there already.
        progress: called with the number of texts done, `n_texts` in all.
    Raises: LeakError where held-out pairs or texts share a question with the concept's pairs; ShapeError on fewer than
        two pairs or four held-out ones; any error of the stages.
    Source: the question of arXiv 2512.19069, section 4.2 and figure 2; how it is answered is a house rule.
    """
    known = known or AlreadyRead()
    if reason := why_not_aligned(min(n_child, len(pairs)), len(held_out)):
        raise ShapeError(f"components cannot be compared: {reason}.")
    concept.prompts.require_disjoint(held_out, "concept's pairs", "held-out")
    if corpus is not None:
        require_no_shared_text(concept, corpus)
    differences = known.parent_differences
    if differences is None:
        differences = contrast_members(parent, pairs, progress).differences
    own_pairs = pairs[:n_child]
    child_differences = contrast_members(child, own_pairs, progress).differences
    found = concept.settings
    centering = found.centering or "symmetric"
    extraction = Extraction(found.method, centering, found.normalize_differences, found.seed)
    own = concept_from_differences(child_differences, own_pairs, child.fingerprint, extraction)
    k = n_components(n_child, len(held_out))
    sides = ((concept, differences), (own, child_differences))
    parent_components, child_components = (
        further_components(side.vectors, rows, k - 1, centering, found.normalize_differences, found.seed)
        for side, rows in sides
    )
    read = [contrast_members(parent, held_out, progress), known.child_held_out]
    members = [contrast_members(child, held_out, progress) if side is None else side for side in read]
    scores = [_scores(side, rows) for side, rows in zip(members, (parent_components, child_components), strict=True)]
    draws = random_covariance_matched(differences, N_DRAWS, found.seed, name="component-null").transpose(0, 1)
    every = torch.cat([parent_components, draws], dim=1)  # (n_parent, k + draws, d_parent)
    carried = None
    alphas = list(alphas or [DEFAULT_ALPHA] * parent.n_layers)
    if corpus is not None:
        moved = carried_directions(corpus, every, alphas, progress=progress)
        carried = cosine_matrix(moved.transpose(1, 2), child_components, k)
    raw = None
    if parent.d_model == child.d_model:
        raw = cosine_matrix(every[:, None].expand(-1, child.n_layers, -1, -1), child_components, k)
    return ComponentAlignment(
        parent_scores=scores[0],
        child_scores=scores[1],
        carried=carried,
        raw=raw,
        child_components=child_components,
        parent=parent.fingerprint,
        child=child.fingerprint,
        settings=AlignmentSettings(
            concept=concept.settings,
            n_pairs_child=n_child,
            n_held_out=len(held_out),
            n_components=k,
            alphas=tuple(alphas) if corpus is not None else None,
            corpus=corpus and corpus.describe(),
        ),
        prompts=concept.prompts | PromptHashes.of(held_out) | (PromptHashes() if corpus is None else corpus.prompts),
    )


def require_no_shared_text(concept: ConceptVectors, corpus: PairedCorpus) -> None:
    """Raise LeakError unless maps fitted on the corpus know nothing of the pairs.

    Raises: LeakError otherwise.
    """
    if shared := corpus.prompts.values & concept.prompts.values:
        raise LeakError(
            f"{len(shared)} ids or texts of the projection corpus are also contrast pairs; carried components would "
            "reproduce the child's own. Fit on other texts."
        )


def n_components(n_pairs: int, n_held_out: int) -> int:
    """How many components so many pairs allow: at most three, of which the scores of held-out pairs are no basis."""
    return max(1, min(N_COMPONENTS, n_pairs - 1, n_held_out - 2))


def why_not_aligned(n_pairs: int, n_held_out: int) -> str | None:
    """Why components cannot be compared from so many pairs, or None."""
    if n_pairs < 2:
        return f"the child reads {n_pairs} of the contrast pairs, and at least 2 are needed (n_aligned)"
    if n_held_out < MINIMUM_PAIRS:
        return f"there are {n_held_out} calibration pairs, and at least {MINIMUM_PAIRS} are needed (n_calibration)"
    return None


def n_texts(n_pairs: int, n_child: int, n_held_out: int, corpus: PairedCorpus | None, known: AlreadyRead) -> int:
    """How many texts `measure_alignment` reads in all."""
    pairs = n_child + n_pairs * (known.parent_differences is None)
    pairs += n_held_out * (1 + (known.child_held_out is None))
    return 2 * pairs + (0 if corpus is None else corpus.n_texts * n_readings(corpus))


def cosine_matrix(
    directions: Float[Tensor, "n_parent n_child sets d"], child_components: Float[Tensor, "n_child k d"], k: int
) -> CosineMatrix:
    """Cosines with the child's first component, and principal angles between spans.

    Arguments:
        directions: of every parent layer in the space of every child layer: k components, then random ones.
        child_components: of every child layer.
        k: how many of the directions are components.
    Returns: float64.
    """
    first, spans = [], []
    for layer, own in enumerate(child_components.double()):  # one at a time: all would be copied in double precision
        units = torch.nn.functional.normalize(directions[:, layer].double(), dim=-1)
        first.append(einsum(units, own[0], "parent sets d, d -> sets parent"))
        spans.append(principal_cosines(units[:, :k], own[None]))
    cosines = torch.stack(first, dim=2)
    return CosineMatrix(cosines[0], cosines[k:], torch.cat(spans, dim=1))


def _matrix_in(tensors: Mapping[str, Tensor], space: str) -> CosineMatrix | None:
    if f"{space}.cosines" not in tensors:
        return None
    return CosineMatrix(*(tensors[f"{space}.{name}"] for name in ("cosines", "null", "angles")))


def _scores(members: Members, components: Float[Tensor, "layers k d"]) -> Float[Tensor, "layers 2 k pairs"]:
    rows = torch.stack([members.positive, members.negative], dim=1).double()
    return einsum(rows, components.double(), "layers side pairs d, layers k d -> layers side k pairs")
