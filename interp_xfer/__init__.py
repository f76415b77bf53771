"""Does a concept found in one language model exist, and work, in another one?

The names below are the public surface; they are imported when first used, so that `import interp_xfer` is quick.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_xfer_analyses.plot import plot

    from interp_xfer.concepts.extract import ConceptVectors, extract_concept
    from interp_xfer.evaluation.answers import AnswerTable
    from interp_xfer.evaluation.evaluate import Evaluation, evaluate
    from interp_xfer.evaluation.search import PAPER_GRID, SearchResult, search_lambda
    from interp_xfer.evaluation.settings import GenerationSettings
    from interp_xfer.maths.layer_maps import LayerMap
    from interp_xfer.measures.component_alignment import ComponentAlignment
    from interp_xfer.models import LoadedModel, load_model, wrap_model
    from interp_xfer.passes.activations import activations
    from interp_xfer.steering.hooks import steer
    from interp_xfer.steering.vectors import SteeringVectors
    from interp_xfer.tasks import (
        ContrastPair,
        Problem,
        contrast_pairs,
        get_task,
        load_problems,
        projection_texts,
        render_prompt,
    )
    from interp_xfer.transfer.carry import Calibration, calibrate, native_steering, transfer_concept
    from interp_xfer.transfer.fit import ProjectionSet, fit_projection, map_layers

_HOME = {
    "AnswerTable": "evaluation.answers",
    "GenerationSettings": "evaluation.settings",
    "ConceptVectors": "concepts.extract",
    "extract_concept": "concepts.extract",
    "Evaluation": "evaluation.evaluate",
    "evaluate": "evaluation.evaluate",
    "PAPER_GRID": "evaluation.search",
    "SearchResult": "evaluation.search",
    "search_lambda": "evaluation.search",
    "ProjectionSet": "transfer.fit",
    "fit_projection": "transfer.fit",
    "map_layers": "transfer.fit",
    "LayerMap": "maths.layer_maps",
    "ComponentAlignment": "measures.component_alignment",
    "LoadedModel": "models",
    "load_model": "models",
    "wrap_model": "models",
    "activations": "passes.activations",
    "steer": "steering.hooks",
    "ContrastPair": "tasks",
    "Problem": "tasks",
    "contrast_pairs": "tasks",
    "get_task": "tasks",
    "load_problems": "tasks",
    "projection_texts": "tasks",
    "render_prompt": "tasks",
    "Calibration": "transfer.carry",
    "calibrate": "transfer.carry",
    "native_steering": "transfer.carry",
    "transfer_concept": "transfer.carry",
    "SteeringVectors": "steering.vectors",
}

__all__ = [
    "PAPER_GRID",
    "AnswerTable",
    "Calibration",
    "ComponentAlignment",
    "ConceptVectors",
    "ContrastPair",
    "Evaluation",
    "GenerationSettings",
    "LayerMap",
    "LoadedModel",
    "Problem",
    "ProjectionSet",
    "SearchResult",
    "SteeringVectors",
    "activations",
    "calibrate",
    "contrast_pairs",
    "evaluate",
    "extract_concept",
    "fit_projection",
    "get_task",
    "load_model",
    "load_problems",
    "map_layers",
    "native_steering",
    "plot",
    "projection_texts",
    "render_prompt",
    "search_lambda",
    "steer",
    "transfer_concept",
    "wrap_model",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("interp-xfer")
    if name == "plot":  # figures live in the other import package of the same distribution
        return import_module("interp_xfer_analyses.plot").plot
    if name not in _HOME:
        raise AttributeError(f"module 'interp_xfer' has no attribute {name!r}")
    return getattr(import_module(f"interp_xfer.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
