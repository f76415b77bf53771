"""What vectors say about where they come from: how a concept was found, and how it was carried into another model."""

from interp_xfer.choices import Centering
from interp_xfer.fields import Cosine, Count, Fraction, Positive
from interp_xfer.files.records import Record


class ConceptSettings(Record):
    """How a concept was found."""

    kind: str
    """Of the contrast pairs."""
    n_pairs: Positive
    method: str
    """Name of the extraction method."""
    centering: Centering | None
    """None where no component was taken."""
    normalize_differences: bool
    seed: int


class ConceptOrigin(Record):
    """The concept behind steering vectors; what does not apply, for example to random ones, is None."""

    kind: str
    """Of the contrast pairs."""
    n_pairs: Positive | None = None
    method: str | None = None
    centering: Centering | None = None
    normalize_differences: bool | None = None
    seed: int | None = None
    explained_variance: tuple[Fraction | None, ...] | None = None
    """Share by parent layer; None for a mean difference."""
    mean_cosine: tuple[Cosine | None, ...] | None = None
    """With the mean difference, by parent layer."""


class Corpus(Record):
    """Texts that linear maps were fitted on."""

    n_texts: Count
    n_rows: Count
    """Paired tokens."""
    paired_fraction: Fraction
    """Of the child's tokens."""
    seed: int | None = None
    """Of shuffled pairs and sketches."""


class ProjectionOrigin(Record):
    """The maps behind steering vectors; what does not apply is None."""

    kind: str
    """A projection, "native", or "control:NAME"."""
    corpus: Corpus | None = None
    """None for maps that were not fitted."""
    fits: dict[int, dict[str, float]] | None = None
    """Child layer -> diagnostics of its map."""
    calibration_pairs: Positive | None = None
    controls: str | None = None
    """Kind of the projection that a control stands beside."""
    seed: int | None = None
    """Of a control."""
    draw: Count | None = None
    """Of a control that is drawn several times: which."""
    same_as_real: Count | None = None
    """Child layers in which a control has the parent layer of what it stands beside."""
