"""What is kept of a layer-sensitivity measurement: `sensitivities/<cell key>.json` of a run, whole or absent.

Values of single questions are kept, so that every mean, interval and test can be computed again from the record.
Slopes and changes are in nats of log p(gold answer), strengths in the unit of the cell.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from interp_xfer.bounds import MAX_LAYERS, MAX_PROBLEMS, MAX_STRENGTHS, Draws
from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import ArtifactError, ConfigError
from interp_xfer.evaluation.search import check_grid
from interp_xfer.fields import Count, Digest, Key, Layer, NotNegative, Positive
from interp_xfer.files.records import Record
from interp_xfer.models import Fingerprint
from interp_xfer.studies.run_store import RunStore

Values = tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...]

TRANSFERRED, NATIVE = "transferred", "native"
ISOTROPIC, COVARIANCE = "random-isotropic", "random-covariance"


class SensitivitySettings(BaseModel):
    """How layer sensitivity is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_questions: int = Field(default=32, ge=2, le=MAX_PROBLEMS)
    """Validation questions, teacher forced."""
    n_random: Draws = 20
    """Draws of each kind of random direction."""
    strengths: Values = Field(default=(0.1, 0.3, 1.0), max_length=MAX_STRENGTHS)
    """Of the sweep and, the last two, of the generation check; in the unit of the cell."""
    window: int | None = Field(default=None, ge=2, le=MAX_LAYERS)
    """Layers that are steered together; None: about a fifth of the steered ones."""
    sweep: bool = True
    generation: bool = True
    n_generated: int = Field(default=16, ge=1, le=MAX_PROBLEMS)
    """Of the questions, those that are answered by generation too."""

    @field_validator("strengths")
    @classmethod
    def _a_grid(cls, value: Values) -> Values:
        try:
            check_grid(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return tuple(sorted(value))


class Sweep(Record):
    """Teacher-forced sweep."""

    windows: tuple[tuple[Layer, ...], ...]
    """Single layers first, then neighbouring layers together."""
    strengths: Values
    change: tuple[tuple[Values, ...], ...]
    """[window][strength][question]: log p minus its unsteered value."""


class GeneratedArm(Record):
    """Answers with one window steered at one strength."""

    window: tuple[Layer, ...]
    """Empty: unsteered."""
    strength: float
    correct: tuple[bool, ...]
    """By question."""
    invalid: Count
    mean_tokens: NotNegative


class Sensitivity(Record):
    """The measurement of one cell."""

    kind: Literal["sensitivity"] = "sensitivity"
    key: Key
    """Of the cell."""
    settings: SensitivitySettings
    child: Fingerprint
    steering: Digest
    """Of the vectors."""
    unit: StrengthUnit
    tokens: TokenScope
    problem_ids: tuple[str, ...]
    """Validation questions."""
    n_answer_tokens: tuple[Positive, ...]
    log_p: Values
    """Of each gold answer, unsteered."""
    layers: tuple[Layer, ...]
    """Steered child layers; the order of all values by layer."""
    scales: tuple[NotNegative, ...]
    """Length of the shift at strength 1 where a layer is steered alone."""
    slopes: dict[str, tuple[Values, ...]]
    """Direction -> [question][layer]: d log p / d strength at strength 0."""
    random_slopes: dict[str, tuple[Values, ...]]
    """Kind of random direction -> [draw][layer]: the same, mean over questions."""
    deviations: dict[str, tuple[NotNegative, ...]]
    """Kind of random direction -> [layer]: standard deviation of its slope by formula (`maths.gradient_nulls`)."""
    sweep: Sweep | None
    generation: tuple[GeneratedArm, ...]
    """Unsteered first; empty where nothing was generated."""
    left_out: tuple[str, ...]
    """What was not measured, and why."""
    wall_s: dict[str, NotNegative]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _agree(self) -> "Sensitivity":
        n, layers = len(self.problem_ids), len(self.layers)
        if not {len(self.n_answer_tokens), len(self.log_p)} == {n} or not n:
            raise ValueError(f"not every one of {n} questions has its log p and number of tokens")
        if list(self.layers) != sorted({layer for layer in self.layers if layer < self.child.n_layers}):
            raise ValueError(f"the layers are not some of the {self.child.n_layers} of the child, in order")
        rows = [self.scales, *self.deviations.values()]
        rows += [row for values in (self.slopes, self.random_slopes) for of_one in values.values() for row in of_one]
        if {len(row) for row in rows} != {layers}:
            raise ValueError(f"not every value by layer has {layers} entries")
        if TRANSFERRED not in self.slopes or {len(of_one) for of_one in self.slopes.values()} != {n}:
            raise ValueError(f"not every direction has slopes of {n} questions")
        if set(self.random_slopes) != set(self.deviations) or set(self.deviations) != {ISOTROPIC, COVARIANCE}:
            raise ValueError("the random directions are not the isotropic and the covariance-matched ones")
        if {len(draws) for draws in self.random_slopes.values()} != {self.settings.n_random}:
            raise ValueError(f"there are not {self.settings.n_random} draws")
        if self.sweep is not None:
            self._check_sweep(self.sweep, n)
        if self.generation and (self.generation[0].window or self.generation[0].strength):
            raise ValueError("the generated arms do not begin with the unsteered one")
        n_generated = min(n, self.settings.n_generated)
        for arm in self.generation:
            if not set(arm.window) <= set(self.layers) or len(arm.correct) != n_generated or arm.invalid > n_generated:
                raise ValueError(
                    f"the generated arm of window {list(arm.window)} is not one of {n_generated} questions"
                )
        return self

    def _check_sweep(self, sweep: Sweep, n: int) -> None:
        if [window[0] for window in sweep.windows if len(window) == 1] != list(self.layers):
            raise ValueError("the sweep does not begin with every layer alone")
        if any(not window or not set(window) <= set(self.layers) for window in sweep.windows):
            raise ValueError("the sweep has a window of layers that are not steered")
        shape = {len(of_window) for of_window in sweep.change} | {len(sweep.strengths)}
        if len(sweep.change) != len(sweep.windows) or len(shape) != 1:
            raise ValueError("the sweep has not one change for each window and strength")
        if {len(row) for of_window in sweep.change for row in of_window} != {n}:
            raise ValueError(f"the sweep has not a change for each of the {n} questions")


def write_sensitivity(store: RunStore, record: Sensitivity) -> Path:
    """Keep a measurement."""
    return record.write(store.sensitivity(record.key))


def read_sensitivity(store: RunStore, key: str) -> Sensitivity | None:
    """The measurement of a cell; None where none was made.

    Raises: ArtifactError if it is damaged, or that of another cell.
    """
    path = store.sensitivity(key)
    if not os.path.lexists(path):
        return None
    record = Sensitivity.read(path)
    if record.key != key:
        raise ArtifactError(f"{path} holds the measurement of cell {record.key}. Delete it and measure again.")
    return record
