"""The analyses by name; a new one is a file of `questions/` and a line here."""

from interp_xfer.errors import ConfigError
from interp_xfer.words import unknown
from interp_xfer_analyses.analysis import Analysis
from interp_xfer_analyses.questions import (
    concept_profile,
    concept_readout,
    flips,
    inference_scaling,
    lambda_robustness,
    layer_sensitivity,
    layer_similarity,
    mapping_comparison,
    pc_alignment,
    results_table,
    transfer_profile,
)

ANALYSES: dict[str, Analysis] = {
    question.ANALYSIS.name: question.ANALYSIS
    for question in (
        results_table,
        lambda_robustness,
        inference_scaling,
        flips,
        concept_profile,
        transfer_profile,
        pc_alignment,
        mapping_comparison,
        layer_sensitivity,
        layer_similarity,
        concept_readout,
    )
}


def get_analysis(name: str) -> Analysis:
    """The analysis of that name.

    Raises: ConfigError for an unknown name, with the names there are.
    """
    if name not in ANALYSES:
        raise ConfigError(unknown("analysis", name, ANALYSES))
    return ANALYSES[name]
