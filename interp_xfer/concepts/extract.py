"""Algorithm 1: a concept direction for every layer of a model, from contrast pairs (arXiv 2512.19069, section 3).

1. Both members of each pair are rendered zero-shot and run; the residual stream after every block is read at the last
   token.
2. The differences, positive minus negative, give one direction per layer: the first principal component, or the mean
   difference (`interp_xfer.maths.directions`).
3. The sign of a component is taken from the labels and folded into the vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pandas import DataFrame
from torch import Tensor

from interp_xfer.checks import require_unit
from interp_xfer.choices import Centering
from interp_xfer.concepts.methods import DEFAULT, METHODS, Extraction, unit_direction
from interp_xfer.errors import DataError, ShapeError
from interp_xfer.fields import Digest, Json, damaged
from interp_xfer.files.records import Record, require_tensors
from interp_xfer.maths.directions import difference_cosines, mean_difference, resolve_sign
from interp_xfer.models import Fingerprint, LoadedModel
from interp_xfer.passes.activations import last_token_activations, last_tokens_and_norms
from interp_xfer.plain import numbers, span
from interp_xfer.progress import Progress, no_progress, shown_progress
from interp_xfer.steering.origins import ConceptSettings
from interp_xfer.tasks import ContrastPair, Pairs, adds_special_tokens, as_pairs, render_pair
from interp_xfer.tasks.prompt_hashes import PromptHashes


@dataclass(frozen=True, eq=False)
class ConceptVectors:
    """One unit direction per layer of the model the concept was found in."""

    vectors: Float[Tensor, "layers d_model"]
    """Unit rows; positive members lie on their positive side."""
    explained_variance: Float[Tensor, " layers"]
    """Share of the differences' variance along the direction (see `PrincipalDirections`); NaN for the mean."""
    mean_cosine: Float[Tensor, " layers"]
    """Cosine of the direction with the mean difference: near 1, PCA found the concept; near 0, a nuisance axis."""
    cosine_spread: Float[Tensor, " layers"]
    """Standard deviation over pairs of the cosine with the mean difference; wide predicts failure (2505.22637)."""
    model: Fingerprint
    settings: ConceptSettings
    prompts: PromptHashes
    """The questions of the contrast pairs."""

    def __post_init__(self) -> None:
        shape = (self.model.n_layers, self.model.d_model)
        if tuple(self.vectors.shape) != shape:
            raise ShapeError(
                f"concept vectors have shape {tuple(self.vectors.shape)}, but {self.model.reference} has {shape[0]} "
                f"layers of d_model {shape[1]}; extract the concept from this model."
            )
        require_unit("concept vectors", self.vectors)
        for name, (low, high) in _PER_LAYER.items():
            values = getattr(self, name)
            # NaN: a mean explains no variance, and differences of length 0 have no cosine.
            if tuple(values.shape) != shape[:1] or bool(((values < low - 1e-4) | (values > high + 1e-4)).any()):
                raise ShapeError(
                    f"{name} must have one value from {low} to {high} for each of {shape[0]} layers, got shape "
                    f"{tuple(values.shape)}; extract the concept again."
                )

    def __repr__(self) -> str:
        s, cosines = self.settings, span(numbers(self.mean_cosine.tolist()))
        return (
            f"ConceptVectors({s.kind}, {self.model.reference}: {self.model.n_layers} layers, d_model "
            f"{self.model.d_model}, {s.method} of {s.n_pairs} pairs, cosine with the mean {cosines})"
        )

    def to_dict(self) -> Json:
        """Plain JSON: all but the vectors, which `save` keeps."""
        return {**self._description.to_dict(), **{name: numbers(getattr(self, name).tolist()) for name in _PER_LAYER}}

    def to_pandas(self) -> DataFrame:
        """One row a layer."""
        columns = {name: getattr(self, name).tolist() for name in _PER_LAYER}
        return DataFrame(
            {"layer": layer, **{name: values[layer] for name, values in columns.items()}}
            for layer in range(self.model.n_layers)
        )

    @property
    def _description(self) -> "_Description":
        return _Description(model=self.model, settings=self.settings, prompts=tuple(self.prompts.to_list()))

    def save(self, directory: Path | str) -> Path:
        """Write `concept.json` and `concept.safetensors` (vectors named `blocks.{l}.hook_resid_post`)."""
        tensors = {_hook(i): vector.clone() for i, vector in enumerate(self.vectors)}
        tensors |= {name: getattr(self, name).clone() for name in _PER_LAYER}
        return self._description.save(directory, tensors)

    @classmethod
    def load(cls, directory: Path | str) -> "ConceptVectors":
        """What `save` wrote.

        Raises: ArtifactError if files are missing or damaged.
        """
        found, tensors = _Description.load(directory)
        n_layers, d_model = found.model.n_layers, found.model.d_model
        shapes: dict[str, tuple[int, ...]] = {name: (n_layers,) for name in _PER_LAYER}
        shapes |= {_hook(layer): (d_model,) for layer in range(n_layers)}
        require_tensors(tensors, shapes, directory)
        with damaged(directory):
            return cls(
                vectors=torch.stack([tensors[_hook(layer)] for layer in range(n_layers)]),
                **{name: tensors[name] for name in _PER_LAYER},
                model=found.model,
                settings=found.settings,
                prompts=PromptHashes.from_list(found.prompts),
            )


class _Description(Record):
    """`concept.json`."""

    kind: Literal["concept"] = "concept"
    model: Fingerprint
    settings: ConceptSettings
    prompts: tuple[Digest, ...]


_PER_LAYER = {"explained_variance": (0, 1), "mean_cosine": (-1, 1), "cosine_spread": (0, 1)}
"""Name -> lowest and highest."""


def _hook(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_post"


class Members(NamedTuple):
    """Last-token activations of both members of each contrast pair."""

    positive: Float[Tensor, "layers pairs d_model"]
    negative: Float[Tensor, "layers pairs d_model"]

    @property
    def differences(self) -> Float[Tensor, "layers pairs d_model"]:
        """Positive minus negative."""
        return self.positive - self.negative


def contrast_members(model: LoadedModel, pairs: Sequence[ContrastPair], progress: Progress = no_progress) -> Members:
    """Residual stream after every layer at the last token of both members.

    Raises: DataError without pairs.
    """
    activations = last_token_activations(
        model, _texts(model, pairs), add_special_tokens=adds_special_tokens(model.tokenizer), progress=progress
    )
    return Members(activations[:, 0::2], activations[:, 1::2])


def members_and_norms(
    model: LoadedModel, pairs: Sequence[ContrastPair], progress: Progress = no_progress
) -> tuple[Members, Float[Tensor, " layers"]]:
    """`contrast_members`, and the median residual norm of each layer over the tokens of both, from one reading.

    Raises: DataError without pairs.
    """
    activations, norms = last_tokens_and_norms(
        model, _texts(model, pairs), add_special_tokens=adds_special_tokens(model.tokenizer), progress=progress
    )
    return Members(activations[:, 0::2], activations[:, 1::2]), norms


def _texts(model: LoadedModel, pairs: Sequence[ContrastPair]) -> list[str]:
    """Positive and negative members in turn."""
    if not pairs:
        raise DataError("no contrast pairs; give at least one.")
    return [member for pair in pairs for member in render_pair(model.tokenizer, pair)]


def contrast_differences(
    model: LoadedModel, pairs: Sequence[ContrastPair], progress: Progress = no_progress
) -> Float[Tensor, "layers pairs d_model"]:
    """Residual stream of the positive member minus that of the negative one, at the last token of each.

    Raises: DataError without pairs.
    """
    return contrast_members(model, pairs, progress).differences


def extract_concept(
    model: LoadedModel,
    pairs: Pairs,
    *,
    method: str | Callable[[Tensor], Tensor] = "pca",
    centering: Centering = "symmetric",
    normalize_differences: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> ConceptVectors:
    """The concept that separates the members of the pairs, at every layer of the model.

    Arguments:
        model: the parent (or the child, for native vectors).
        pairs: training pairs of one kind; or plain texts, see `interp_xfer.tasks.as_pairs`.
        method: a name of `METHODS`, or a function from differences (pairs, d_model) to a direction (d_model).
        centering: preparation of the differences for PCA; "ordered" loses the concept and is kept to show it.
        normalize_differences: unit length for each difference first, as the paper's formula says (its code does not).
        seed: of the "repe" swaps.
        progress: called with the number of texts done; None: a bar in a notebook.
    Returns: unit vectors (n_layers, d_model), float32, signed.
    Raises: DataError without pairs; ConfigError for an unknown method; ShapeError for degenerate differences.
    Source: arXiv 2512.19069, algorithm 1; arXiv 2310.01405.
    """
    extraction = Extraction(METHODS.accept(method), centering, normalize_differences, seed)
    pairs = as_pairs(pairs)
    with shown_progress(progress, "extracting the concept", 2 * len(pairs), "texts") as report:
        differences = contrast_differences(model, pairs, report)
    return concept_from_differences(differences, pairs, model.fingerprint, extraction)


def concept_from_differences(
    differences: Float[Tensor, "layers pairs d_model"],
    pairs: Sequence[ContrastPair],
    model: Fingerprint,
    extraction: Extraction = DEFAULT,
) -> ConceptVectors:
    """`extract_concept` for differences that were read before.

    Arguments:
        differences: of the pairs, from `contrast_differences`.
        pairs: what they are the differences of.
        model: where they were read.
        extraction: how.
    Returns: unit vectors (n_layers, d_model), float32, signed.
    Raises: ConfigError for an unknown method; ShapeError for degenerate differences.
    Source: arXiv 2512.19069, algorithm 1; arXiv 2310.01405.
    """
    kind = METHODS[extraction.method]
    vectors, explained, cosines, spreads = [], [], [], []
    for layer_differences in differences.double():
        mean = mean_difference(layer_differences)
        found = kind.find(layer_differences, extraction)
        unit = unit_direction(found.direction, layer_differences.shape[1], kind.name)
        vector = unit * resolve_sign(unit, layer_differences)
        explained.append(float("nan") if found.explained_variance is None else found.explained_variance)
        vectors.append(vector)
        cosines.append(vector @ mean)
        spreads.append(difference_cosines(layer_differences).std(correction=0))
    return ConceptVectors(
        vectors=torch.stack(vectors).float(),
        explained_variance=torch.tensor(explained, dtype=torch.float64).float(),
        mean_cosine=torch.stack(cosines).float(),
        cosine_spread=torch.stack(spreads).float(),
        model=model,
        settings=ConceptSettings(
            kind=pairs[0].kind,
            n_pairs=len(pairs),
            method=kind.name,
            centering=extraction.centering if kind.centres else None,
            normalize_differences=extraction.normalize_differences,
            seed=extraction.seed,
        ),
        prompts=PromptHashes.of(pairs),
    )
