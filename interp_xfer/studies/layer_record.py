"""The content of `layers.json`: what a layer study measured, by source of directions and by layer."""

from interp_xfer.fields import Cosine, Count, Fraction, Layer, NotNegative, Positive
from interp_xfer.files.records import Record
from interp_xfer.maths.layer_maps import LayerMap
from interp_xfer.stats.intervals import Interval
from interp_xfer.steering.origins import Corpus


class Sizes(Record):
    """Problems of each slice of train."""

    concept: Positive
    calibration: Positive
    texts: Positive
    held_out: Positive


class Similarity(Record):
    """CKA of all layer pairs against permuted prompts."""

    threshold: float
    """What the largest exceeds by chance in one of 20 shuffles."""
    p_value: Fraction
    """Of the largest."""
    largest: float


class Estimate(Record):
    """A number with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> "Estimate":
        """As a record."""
        return cls(estimate=interval.estimate, low=interval.low, high=interval.high)


class LayerReadout(Record):
    """A source at one child layer."""

    auroc: Estimate
    pair_accuracy: Estimate
    """Share of pairs whose positive member scores higher."""
    n_pairs: Positive


class DrawsAtLayer(Record):
    """AUROC of a control of several draws at one child layer."""

    layer: Layer
    auroc: Estimate
    """Mean over draws; interval over pairs and draws."""
    lowest: Fraction
    highest: Fraction


class SourceSummaryRow(Record):
    """A source averaged over child layers, as in `SourceSummary`."""

    auroc: Estimate
    random_mean: Fraction
    random_best: Fraction
    rank_p: Fraction
    n_layers: Positive


class DrawSummary(Record):
    """A control of several draws, averaged over child layers."""

    auroc: Estimate
    """Mean over draws; interval over pairs and draws."""
    lowest: Fraction
    """Mean over layers of the lowest draw."""
    highest: Fraction
    n: Positive
    """Draws."""
    n_flipped: tuple[Count, ...]
    """Draw -> child layers whose direction was flipped: what the same count of a transfer has to be read against,
    since neighbouring layers are alike."""


class LayerMeasured(Record):
    """All that is no tensor."""

    pairs: Sizes
    corpus: Corpus
    similarity: dict[str, Similarity]
    """raw, differences."""
    maps: dict[str, LayerMap]
    fits: dict[str, dict[int, dict[str, float]]]
    """Layer map -> child layer -> diagnostics of its ridge map."""
    alphas: tuple[NotNegative, ...]
    """Ridge strength by parent layer."""
    flipped: dict[str, tuple[bool, ...]]
    """Source -> child layers whose direction was flipped."""
    cosine_with_native: dict[str, tuple[Cosine | None, ...]]
    """Source -> by child layer."""
    readout: dict[str, tuple[LayerReadout | None, ...]]
    """Source -> by child layer; None where it has no direction."""
    draws: dict[str, tuple[DrawsAtLayer, ...]]
    """Control of several draws -> by child layer."""
    summary: dict[str, SourceSummaryRow]
    rank_p: dict[str, dict[str, Fraction]]
    """Source -> control of several draws -> rank p value among them."""
    draw_summary: dict[str, DrawSummary]
    difference_from: dict[str, Estimate]
    """"One minus other" -> mean AUROC, paired; over pairs, and over draws where the other is a control of several."""
