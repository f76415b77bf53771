"""Statistics of accuracies: intervals, paired tests, selection among many strengths, sample sizes.

Every comparison is paired by question: b questions were right before and wrong after (broken), c the reverse (fixed).
Accuracies and effects are fractions, not points.

1. `intervals`: shares and means.
2. `paired`: two arms, interval and p value of one test.
3. `selection`: many strengths, the best of which looks good by luck.
4. `sample_size`: before the run.
"""

from interp_xfer.intervals import (
    Interval,
    clustered_standard_error,
    paired_bootstrap,
    score_interval,
    wilson_interval,
)
from interp_xfer.paired import (
    AveragedDifference,
    PairedDifference,
    averaged_difference,
    mcnemar_exact,
    mcnemar_score,
    paired_difference,
    tango_interval,
)
from interp_xfer.sample_size import minimum_detectable_effect, paired_power, required_n, required_n_sampled
from interp_xfer.selection import MaxT, cross_fitted_selection, max_t_sign_flip, rank_p_value

__all__ = [
    "AveragedDifference",
    "Interval",
    "MaxT",
    "PairedDifference",
    "averaged_difference",
    "clustered_standard_error",
    "cross_fitted_selection",
    "max_t_sign_flip",
    "mcnemar_exact",
    "mcnemar_score",
    "minimum_detectable_effect",
    "paired_bootstrap",
    "paired_difference",
    "paired_power",
    "rank_p_value",
    "required_n",
    "required_n_sampled",
    "score_interval",
    "tango_interval",
    "wilson_interval",
]
