"""The analyses by name; a new one is a file of `questions/` and a line here."""

from interp_xfer.kinds import Table
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

ANALYSES: Table[Analysis] = Table(
    "analysis",
    (
        results_table.ANALYSIS,
        lambda_robustness.ANALYSIS,
        inference_scaling.ANALYSIS,
        flips.ANALYSIS,
        concept_profile.ANALYSIS,
        transfer_profile.ANALYSIS,
        pc_alignment.ANALYSIS,
        mapping_comparison.ANALYSIS,
        layer_sensitivity.ANALYSIS,
        layer_similarity.ANALYSIS,
        concept_readout.ANALYSIS,
    ),
)
