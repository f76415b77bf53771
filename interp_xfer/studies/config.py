"""A study: one parent, one child, one data set, and every setting that changes a number.

Written as YAML, validated strictly: an unknown key is an error. The resolved study is kept beside the results.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from interp_xfer.bounds import MAX_NEW_TOKENS, MAX_PROBLEMS, MAX_SHOTS, MAX_STRENGTHS, Name, Seed
from interp_xfer.choices import Centering, DTypeName, Scoring, StrengthUnit, TokenScope, WeightProcessing
from interp_xfer.concepts.methods import METHODS, Extraction
from interp_xfer.errors import ConfigError
from interp_xfer.evaluation.search import PAPER_GRID, check_grid
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.fields import Json
from interp_xfer.files.plain_yaml import parse_yaml
from interp_xfer.files.user_files import read_text
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.steering.operators import OPERATORS, strength_grid
from interp_xfer.studies.validation import settings_problems
from interp_xfer.tasks import CONTRAST_KINDS

# Names of the tables, or functions, which join them.
Method = Annotated[str, BeforeValidator(METHODS.named), AfterValidator(METHODS.check)]
LayerMap = Annotated[str, BeforeValidator(LAYER_MAPS.named), AfterValidator(LAYER_MAPS.check)]
LinearMap = Annotated[str, BeforeValidator(LINEAR_MAPS.named), AfterValidator(LINEAR_MAPS.check)]
Operator = Annotated[str, BeforeValidator(OPERATORS.named), AfterValidator(OPERATORS.check)]
Pairs = Annotated[Name, AfterValidator(CONTRAST_KINDS.check)]

STUDY_BYTES = 256 * 1024
"""Largest study file."""


class PairSettings(BaseModel):
    """Two models and the questions they read; every kind of study has these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parent: Name
    """Reference of the model the concept is found in."""
    child: Name
    """Reference of the model that it is carried into."""
    dataset: Name
    """Name of a task: see `interp-xfer datasets`."""
    data_dir: Name | None = None
    """Folder of `<dataset>/<split>.jsonl`; None: the hub, or the variable INTERP_XFER_DATA."""
    dtype: DTypeName | None = None
    """None: float32 on CPU, bfloat16 on CUDA."""
    weight_processing: WeightProcessing = "none"
    pairs: Pairs = "reasoning-vs-answer"
    """Kind of contrast pair."""


class ExtractionSettings(BaseModel):
    """How a concept is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Seed = 0
    """Of splits, generated problems, pairs, and all that is drawn."""
    method: Method = "pca"
    centering: Centering = "symmetric"
    normalize_differences: bool = False
    """True: unit length for each difference first, as the formula of arXiv 2512.19069 says."""

    @property
    def extraction(self) -> Extraction:
        """These settings for the functions that find concepts."""
        return Extraction(self.method, self.centering, self.normalize_differences, self.seed)


class Study(ExtractionSettings, PairSettings):
    """Everything that determines the numbers of one (parent, child, data set) cell."""

    rationales: Name | None = None
    """Path of a file written by `interp-xfer rationales`, for data without worked reasoning (ARC)."""
    n_pairs: int = Field(default=128, ge=2, le=MAX_PROBLEMS)
    """Training problems for the contrast pairs."""

    layer_map: LayerMap = "proportional"
    projection: LinearMap = "ridge"
    n_fit_texts: int = Field(default=512, ge=1, le=MAX_PROBLEMS)
    """Training problems whose texts the projection is fitted on, disjoint from the pairs."""
    n_calibration: int = Field(default=32, ge=1, le=MAX_PROBLEMS)
    """Training problems whose pairs settle the sign and measure residual norms in the child; components of both models
    are compared on them."""
    n_aligned: int = Field(default=64, ge=0, le=MAX_PROBLEMS)
    """Contrast pairs that the child reads too, for components of its own; below 2 none are compared."""

    n_validation: int = Field(default=128, ge=1, le=MAX_PROBLEMS)
    n_test: int | None = Field(default=None, ge=1, le=MAX_PROBLEMS)
    """None: the whole test split."""
    n_shots: int = Field(default=5, ge=0, le=MAX_SHOTS)
    max_new_tokens: int | None = Field(default=None, ge=1, le=MAX_NEW_TOKENS)
    """None: the task's own limit."""
    system_prompt: Name | None = None
    """Path of a text file; None: the task's own prompt."""
    few_shot: Name | None = None
    """Path of a JSONL file of examples; None: the task's own."""
    enable_thinking: bool = False
    scoring: Scoring = "generate"
    """`likelihood`: multiple choice by the length-normalised likelihood of the options; nothing is generated."""

    unit: StrengthUnit = "relative"
    operator: Operator = "add"
    tokens: TokenScope = "all"
    strengths: tuple[float, ...] = Field(default=PAPER_GRID, max_length=MAX_STRENGTHS, validate_default=True)
    """The grid; the baseline (0) is always run. An operator without strength is applied once, at 1."""
    with_its: bool = Field(default=True, validate_default=True)
    """Also vote over the grid on the test questions; not over a grid of one, which is no vote."""

    @field_validator("strengths")
    @classmethod
    def _that_differ(cls, value: tuple[float, ...], known: Any) -> tuple[float, ...]:
        return strength_grid(known.data.get("operator", ""), value)

    @field_validator("with_its")
    @classmethod
    def _of_several(cls, value: bool, known: Any) -> bool:
        return value and len(known.data.get("strengths", ())) > 1

    @property
    def generation(self) -> GenerationSettings:
        """How questions are asked and answers steered."""
        return GenerationSettings(
            n_shots=self.n_shots,
            max_new_tokens=self.max_new_tokens,
            unit=self.unit,
            operator=self.operator,
            tokens=self.tokens,
            enable_thinking=self.enable_thinking,
            scoring=self.scoring,
        )


def load_study(path: Path | str, overrides: Json | None = None) -> Study:
    """A study from a YAML file, with some settings replaced.

    Raises: ConfigError naming file, key and problem.
    """
    return make_study({**read_settings(path), **(overrides or {})}, str(path))


def read_settings(path: Path | str) -> Json:
    """The settings in a YAML file, not yet validated.

    Raises: ConfigError if it cannot be read, or holds anything but plain `key: value` lines.
    """
    values = parse_yaml(read_text(path, "study file", STUDY_BYTES, ConfigError), str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold `key: value` lines; it holds {type(values).__name__}.")
    return values


def make_study(values: Json, source: str = "the settings") -> Study:
    """A validated study.

    Raises: ConfigError naming every wrong key and what is wrong with it.
    """
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {settings_problems(error, Study.model_fields)}") from None
    check_grid(study.strengths)
    return study
