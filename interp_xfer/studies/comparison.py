"""The plan of a mapping comparison: layer map x projection x strength unit, for pairs of models and data sets.

A pure function of settings: no model, no file. Each cell is one study (concept, transfer, search, evaluate) that
differs from its neighbours in one setting, so that every difference can be paired by test question. Beside the
transfers stand native cells, the child steered with its own concept: what a perfect transfer would be.

Cells of one parent, child and data set are neighbours in the plan, because they share most of their work.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from interp_xfer.bounds import MAX_CELLS
from interp_xfer.choices import StrengthUnit
from interp_xfer.errors import ConfigError
from interp_xfer.fields import Json
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
from interp_xfer.steering.operators import has_strength
from interp_xfer.studies.cell_record import PlanCell, PlanLeftOut, PlanRecord
from interp_xfer.studies.config import LayerMap, LinearMap, Study, make_study
from interp_xfer.studies.identity import asked_key, shown_files, shown_model
from interp_xfer.studies.validation import settings_problems
from interp_xfer.words import shown

AXES: dict[str, str] = {"layer_maps": "layer_map", "projections": "projection", "units": "unit"}
"""List of a comparison -> setting of a study."""
LISTS: dict[str, str] = {"parents": "parent", "children": "child", "datasets": "dataset", **AXES}
"""The same for everything that may be a list."""
_FIXED = ("parent", "child", "dtype", "weight_processing", "seed", *AXES.values())


class Comparison(BaseModel):
    """Settings that all cells share, and the lists of what is compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shared: Json
    """Settings of a study."""
    parents: tuple[str, ...] = Field(min_length=1)
    children: tuple[str, ...] = Field(min_length=1)
    datasets: tuple[Json, ...] = Field(min_length=1)
    """Each with `dataset` and the settings that differ there, such as `n_test` or `rationales`."""
    layer_maps: tuple[LayerMap, ...] = Field(default=("greedy", "proportional", "cka"), min_length=1)
    projections: tuple[LinearMap, ...] = Field(default=("ridge", "procrustes", "random-orthogonal"), min_length=1)
    units: tuple[StrengthUnit, ...] = Field(default=("relative", "raw"), min_length=1)
    native: bool = True
    """Also steer every child with its own concept."""

    @field_validator("datasets", mode="before")
    @classmethod
    def _named(cls, values: object) -> object:
        if not isinstance(values, list | tuple):
            return values
        return tuple({"dataset": value} if isinstance(value, str) else value for value in values)

    def settings(self) -> Json:
        """What `make_comparison` takes to make this comparison again."""
        return {**self.model_dump(mode="json", exclude={"shared"}), **self.shared}

    def shown_settings(self) -> Json:
        """The same as they may be shown to anybody: files and folders by their names alone."""
        values = shown_files(self.settings())
        values |= {name: [shown_model(reference) for reference in values[name]] for name in ("parents", "children")}
        return {**values, "datasets": [shown_files(entry) for entry in values["datasets"]]}

    def study(self, number: int = 0, **changes: object) -> Study:
        """The study of one data set, with some settings changed."""
        first = {"parent": self.parents[0], "child": self.children[0]}
        return make_study({**self.shared, **first, **self.datasets[number], **changes})


@dataclass(frozen=True)
class PlannedCell:
    """One cell to run."""

    study: Study
    name: str
    """Unique in the plan: data set, models, layer map, projection, unit."""
    native: bool = False
    """The child's own concept; reference, not a mapping."""

    @property
    def key(self) -> str:
        """Stable identifier: the key of the settings."""
        return asked_key(self.study)


@dataclass(frozen=True)
class LeftOut:
    """A combination that is not run."""

    name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Cells in the order in which they are run."""

    cells: tuple[PlannedCell, ...]
    left_out: tuple[LeftOut, ...]

    def record(self) -> PlanRecord:
        """What a run keeps of it."""
        return PlanRecord(
            cells=tuple(PlanCell(key=cell.key, name=cell.name, native=cell.native) for cell in self.cells),
            left_out=tuple(PlanLeftOut(name=left.name, reason=left.reason) for left in self.left_out),
        )


def make_comparison(values: Mapping[str, object], source: str = "the settings") -> Comparison:
    """A validated comparison from flat settings: those of a study, with lists for what is compared.

    `layer_maps`, `projections`, `units`, `parents`, `children` and `datasets` are lists; a setting in the singular
    fixes it. Settings of one data set stand beside its name: `datasets: [gsm8k, {dataset: math, n_test: 200}]`.

    Raises: ConfigError naming every wrong key and what is wrong with it.
    """
    shared = dict(values)
    lists = {name: shared.pop(name) for name in (*LISTS, "native") if name in shared}
    for plural, singular in LISTS.items():
        if plural in lists and singular in shared:
            raise ConfigError(f"{source}: {singular} and {plural} are both given; keep one of them.")
        if plural in lists and not isinstance(lists[plural], list | tuple):
            raise ConfigError(f"{source}: {plural} must be a list, such as [{shown(lists[plural])}].")
        if singular in shared:
            lists[plural] = (shared.pop(singular),)
    missing = [singular for plural, singular in list(LISTS.items())[:3] if not lists.get(plural)]
    if missing:
        raise ConfigError(f"{source}: a comparison needs {', '.join(missing)}, or a list of them.")
    try:
        comparison = Comparison.model_validate({"shared": shared, **lists})
    except ValidationError as error:
        raise ConfigError(f"{source}: {settings_problems(error, [*Study.model_fields, *LISTS])}") from None
    for entry in comparison.datasets:
        if "dataset" not in entry:
            raise ConfigError(f"{source}: an entry of datasets names none: {shown(entry)}; add `dataset: NAME`.")
        if wrong := [name for name in entry if name in _FIXED]:
            raise ConfigError(f"{source}: {', '.join(wrong)} cannot differ between data sets; move it out of the list.")
    for number in range(len(comparison.datasets)):
        try:
            comparison.study(number)
        except ConfigError as error:
            raise ConfigError(str(error).replace("the settings", source, 1)) from None
    return comparison


def plan_comparison(comparison: Comparison, widths: Mapping[str, int] | None = None) -> Plan:
    """The cells of a comparison, in the order in which they are run, each once.

    Arguments:
        comparison: what to compare.
        widths: residual widths of the models that are known beforehand; a combination that they rule out is left out
            with its reason instead of failing later.
    Returns: cells, and what was left out.
    Raises: ConfigError if no transfer is left, or there are more than `MAX_CELLS`.
    """
    lists = (comparison.parents, comparison.children, comparison.datasets, comparison.layer_maps)
    n_cells = math.prod(map(len, (*lists, comparison.projections, comparison.units)))
    if n_cells > MAX_CELLS:
        raise ConfigError(f"the comparison has {n_cells} cells, and {MAX_CELLS} are the most; make the lists shorter.")
    known = widths or {}
    cells: dict[Study, PlannedCell] = {}
    left_out: dict[str, LeftOut] = {}
    for study in _transfers(comparison):
        name = cell_name(study)
        reason = why_impossible(study, comparison.units[0], known)
        if reason is None:
            cells.setdefault(study, PlannedCell(study, name))
        else:
            left_out.setdefault(name, LeftOut(name, reason))
    if not cells:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in left_out.values())
        raise ConfigError(f"no cell of the comparison can be run: {reasons}")
    planned = tuple(_with_native(tuple(cells.values()), comparison))
    keys = Counter(cell.key for cell in planned)
    same = [cell.name for cell in planned if keys[cell.key] > 1]
    if same:
        raise ConfigError(
            f"{len(same)} cells differ in nothing but where a file or folder lies (first: {same[0]}); give folders and "
            f"files that are compared names of their own."
        )
    return Plan(planned, tuple(left_out.values()))


def why_impossible(study: Study, first_unit: str, widths: Mapping[str, int]) -> str | None:
    """Why a combination cannot be run, or would only repeat another one; None if it can."""
    parent, child = widths.get(study.parent), widths.get(study.child)
    if study.parent == study.child:
        return "parent and child are the same model; its own concept is the native cell"
    if study.projection == "identity" and parent is not None and child is not None and parent != child:
        return f"identity needs equal widths, but the models are {parent} and {child} wide"
    fewest = LAYER_MAPS[study.layer_map].fewest_pairs
    if study.n_pairs < fewest:
        return f"{study.layer_map} needs {fewest} contrast pairs or more, but n_pairs is {study.n_pairs}"
    if not has_strength(study.operator) and study.unit != first_unit:
        return f"{study.operator} does not use a strength, so that {study.unit} and {first_unit} are the same cell"
    return None


def cell_name(study: Study) -> str:
    """A name for people: "gsm8k, phi-4 -> Qwen3-0.6B, cka, ridge, relative"."""
    parent, child = (
        reference.rstrip("/").replace(":", "/").split("/")[-1] for reference in (study.parent, study.child)
    )
    if study.parent == study.child:
        return f"{study.dataset}, {child}, native, {study.unit}"
    return f"{study.dataset}, {parent} -> {child}, {study.layer_map}, {study.projection}, {study.unit}"


def _transfers(comparison: Comparison) -> Iterator[Study]:
    for parent in comparison.parents:
        for child in comparison.children:
            for number in range(len(comparison.datasets)):
                for layer_map in comparison.layer_maps:
                    for projection in comparison.projections:
                        for unit in comparison.units:
                            yield comparison.study(
                                number,
                                parent=parent,
                                child=child,
                                layer_map=layer_map,
                                projection=projection,
                                unit=unit,
                            )


def _with_native(cells: Sequence[PlannedCell], comparison: Comparison) -> Iterator[PlannedCell]:
    """The cells, and the native ones behind the first pair that has their child."""
    placed: set[Study] = set()
    waiting: list[PlannedCell] = []
    pair: tuple[str, str] | None = None
    for cell in cells:
        if pair is not None and (cell.study.parent, cell.study.child) != pair:
            yield from waiting
            waiting = []
        pair = (cell.study.parent, cell.study.child)
        yield cell
        own = cell.study.model_copy(
            update={"parent": cell.study.child, "layer_map": "proportional", "projection": "identity"}
        )
        if comparison.native and own not in placed:
            placed.add(own)
            waiting.append(PlannedCell(own, cell_name(own), native=True))
    yield from waiting
