"""The analyses of layer studies by name; they read `layers/` of a run, which only `interp-xfer layers` writes.

Kept apart from those of steered runs, so that a report of a steered run has no empty figures.
"""

from analyses import concept_readout, layer_similarity
from analyses.registry import Analysis

LAYER_ANALYSES: dict[str, Analysis] = {
    analysis.name: analysis
    for analysis in (
        Analysis(
            "layer-similarity",
            "Which parent layer resembles which child layer?",
            layer_similarity.compute,
            layer_similarity.figure,
            layer_similarity.draw,
            layer_similarity.describe,
            "Centred kernel alignment (unbiased) of all layer pairs over the same prompts, on raw activations and on "
            "contrast differences, with the layer maps drawn over them. Third panel: share of random halves of the "
            "prompts in which the CKA map chose this parent layer.",
            "Unrelated layers have a CKA of about 0, and the largest of all pairs stays below the dashed line in 19 of "
            "20 shuffles of the prompts. A map that is chosen by chance is spread over many parent layers.",
        ),
        Analysis(
            "concept-readout",
            "At which child layers can the concept be read along the transferred direction?",
            concept_readout.compute,
            concept_readout.figure,
            concept_readout.draw,
            concept_readout.describe,
            "AUROC of held-out contrast pairs read in the child, bands are 95 % intervals over pairs; the grey band is "
            "the range of random directions, whose signs were resolved like all others. The matrix shows every parent "
            "layer carried into every child layer.",
            "A direction without meaning in the child stays inside the grey band. Pairs that are easy to tell apart "
            "lift that band above .5.",
        ),
    )
}
