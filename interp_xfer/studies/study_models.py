"""The models of a study in memory: loaded when they are first needed, freed when they are not needed any more."""

from interp_xfer.generation.memory import free_unused
from interp_xfer.models import LoadedModel, load_model
from interp_xfer.studies.config import Study
from interp_xfer.studies.execution import Execution
from interp_xfer.studies.steps import Step


class StudyModels:
    """Loads parent and child when they are first needed."""

    def __init__(self, study: Study, step: Step, execution: Execution | None = None) -> None:
        self._study, self._step = study, step
        self.execution = execution or Execution()
        self._loaded: dict[str, LoadedModel] = {}

    def get(self, reference: str) -> LoadedModel:
        """The model of that reference."""
        if reference not in self._loaded:
            with self._step(f"loading {reference}", 1, "model") as progress:
                study = self._study
                self._loaded[reference] = load_model(
                    reference,
                    dtype=study.dtype,
                    device=self.execution.device,
                    weight_processing=study.weight_processing,
                )
                progress(1)
        return self._loaded[reference]

    def keep(self, *references: str) -> None:
        """Free all others."""
        others = set(self._loaded) - set(references)
        for reference in others:
            del self._loaded[reference]
        if others:
            free_unused()
