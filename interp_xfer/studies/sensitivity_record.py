"""What is kept of a layer-sensitivity measurement: `sensitivities/<cell key>.json` of a run, whole or absent.

Values of single questions are kept, so that every mean, interval and test can be computed again from the record.
Slopes and changes are in nats of log p(gold answer), strengths in the unit of the cell.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from interp_xfer.artifacts import write_json
from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import ArtifactError
from interp_xfer.models import Fingerprint
from interp_xfer.studies.run_store import RunStore, read_record

Values = tuple[float, ...]

TRANSFERRED, NATIVE = "transferred", "native"
ISOTROPIC, COVARIANCE = "random-isotropic", "random-covariance"


class SensitivitySettings(BaseModel):
    """How layer sensitivity is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_questions: int = Field(default=32, ge=2)
    """Validation questions, teacher forced."""
    n_random: int = Field(default=20, ge=1)
    """Draws of each kind of random direction."""
    strengths: Values = (0.1, 0.3, 1.0)
    """Of the sweep and, the last two, of the generation check; in the unit of the cell."""
    window: int | None = Field(default=None, ge=2)
    """Layers that are steered together; None: about a fifth of the steered ones."""
    sweep: bool = True
    generation: bool = True
    n_generated: int = Field(default=16, ge=1)
    """Of the questions, those that are answered by generation too."""

    @field_validator("strengths")
    @classmethod
    def _no_zero(cls, value: Values) -> Values:
        if not value or 0.0 in value or len(set(value)) != len(value):
            raise ValueError("give at least one strength, none of them 0 (it is always run) and none twice")
        return tuple(sorted(value))


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Sweep(_Record):
    """Teacher-forced sweep."""

    windows: tuple[tuple[int, ...], ...]
    """Single layers first, then neighbouring layers together."""
    strengths: Values
    change: tuple[tuple[Values, ...], ...]
    """[window][strength][question]: log p minus its unsteered value."""


class GeneratedArm(_Record):
    """Answers with one window steered at one strength."""

    window: tuple[int, ...]
    """Empty: unsteered."""
    strength: float
    correct: tuple[bool, ...]
    """By question."""
    invalid: int
    mean_tokens: float


class Sensitivity(_Record):
    """The measurement of one cell."""

    key: str
    """Of the cell."""
    settings: SensitivitySettings
    child: Fingerprint
    unit: StrengthUnit
    tokens: TokenScope
    problem_ids: tuple[str, ...]
    """Validation questions."""
    n_answer_tokens: tuple[int, ...]
    log_p: Values
    """Of each gold answer, unsteered."""
    layers: tuple[int, ...]
    """Steered child layers; the order of all values by layer."""
    scales: Values
    """Length of the shift at strength 1 where a layer is steered alone."""
    slopes: dict[str, tuple[Values, ...]]
    """Direction -> [question][layer]: d log p / d strength at strength 0."""
    random_slopes: dict[str, tuple[Values, ...]]
    """Kind of random direction -> [draw][layer]: the same, mean over questions."""
    deviations: dict[str, Values]
    """Kind of random direction -> [layer]: standard deviation of its slope by formula (`sensitivity_nulls`)."""
    sweep: Sweep | None
    generation: tuple[GeneratedArm, ...]
    """Unsteered first; empty where nothing was generated."""
    left_out: tuple[str, ...]
    """What was not measured, and why."""
    wall_s: dict[str, float]
    versions: dict[str, str]


def write_sensitivity(store: RunStore, record: Sensitivity) -> Path:
    """Keep a measurement."""
    return write_json(store.sensitivity(record.key), record.model_dump(mode="json"))


def read_sensitivity(store: RunStore, key: str) -> Sensitivity | None:
    """The measurement of a cell; None where none was made.

    Raises: ArtifactError if it is damaged, or that of another cell.
    """
    path = store.sensitivity(key)
    if not path.exists():
        return None
    record = read_record(path, Sensitivity)
    if record.key != key:
        raise ArtifactError(f"{path} holds the measurement of cell {record.key}. Delete it and measure again.")
    return record
