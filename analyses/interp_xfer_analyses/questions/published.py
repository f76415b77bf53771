"""Numbers of arXiv 2512.19069: Table 1 (accuracies) and Table 6 (chosen strengths), to be put beside ours."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from interp_xfer_analyses.cells import short_name

_SAME = {"math_full": "math"}  # the paper's MATH is the full test split; `math` here is 500 problems of it


@dataclass(frozen=True)
class Published:
    """One pair and data set; accuracies are fractions."""

    baseline: float
    lambda_star: float
    """Accuracy at the chosen strength."""
    strength: float | None
    """The chosen strength, raw unit; published for GSM8K alone."""


def published(parent: str, child: str, dataset: str) -> Published | None:
    """What the paper reports for this pair and data set; None if it is not in the paper.

    Arguments:
        parent: reference or short name; organisation and revision do not matter.
        child: the same.
        dataset: name of a task.
    """
    return _facts().get((_model(parent), _model(child), _SAME.get(dataset, dataset)))


@cache
def _facts() -> dict[tuple[str, str, str], Published]:
    facts = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
    strengths = {(row["parent"], row["child"]): row["lambda"] for row in facts["table6"]}
    out = {}
    for row in facts["table1"]:
        for dataset in facts["datasets"]:
            baseline, steered = row[dataset]
            strength = strengths[row["parent"], row["child"]] if dataset == facts["table6_dataset"] else None
            key = _model(row["parent"]), _model(row["child"]), dataset
            out[key] = Published(round(baseline / 100, 4), round(steered / 100, 4), strength)
    return out


def _model(reference: str) -> str:
    return short_name(reference.partition("@")[0]).lower()
