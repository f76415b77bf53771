"""Where a study runs, and in how much memory: what changes no number, and so stands in no setting, key or record."""

from dataclasses import dataclass, replace

from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.studies.config import Study


@dataclass(frozen=True)
class Execution:
    """Of one machine, not of a study."""

    device: str | None = None
    """As in `load_model`; None: CUDA where there is one. (`dtype` of a study that names none follows it.)"""
    max_memory: int | None = None
    """Bytes that a sweep may add to the model; None: half of what is free."""

    def generation(self, study: Study) -> GenerationSettings:
        """How the study asks, within this memory."""
        return replace(study.generation, max_memory=self.max_memory)
