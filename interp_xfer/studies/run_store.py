"""A run on disk: one directory, every file whole or absent, the same command resumes.

    study.yaml               the resolved study
    comparison.yaml          or the resolved comparison, and
    plan.json                its cells, and what was left out with the reason
    concepts/<key>/          concept.json  concept.safetensors
    transfers/<key>/         transfer.json transfer.safetensors
    alignments/<key>/        alignment.json alignment.safetensors
    baselines/<key>.json     unsteered answers of a child, where several cells share them
    cells/<key>.json         one immutable record per cell
    items/<key>.jsonl        one line per (split, question, strength)
    unfinished/<key>.jsonl   answers of a cell that is being made; gone when it has its record
    sensitivities/<key>.json which child layers respond (`sensitivity_record`); the key is that of the cell
    failures/<key>.json      why a study has no cell; gone when it has one; the key is that of its settings
    figures/  report.html

A key is a hash of the contents and settings a file depends on (`identity`), so a file that is there need not be made
again. No file of a run says where on a machine anything lies.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import yaml

from interp_xfer.errors import ArtifactError, WriteError
from interp_xfer.fields import Json, checked_text
from interp_xfer.files.artifacts import write_text
from interp_xfer.files.json_lines import Lines
from interp_xfer.files.places import RUN_MARK, require_settings_place
from interp_xfer.files.reading import require_file
from interp_xfer.files.writing import require_writable
from interp_xfer.measures.component_alignment import ComponentAlignment
from interp_xfer.studies.cell_record import CellRecord, FailureRecord, PlanRecord
from interp_xfer.studies.config import Study
from interp_xfer.studies.item_record import ItemRecord

_KEY = re.compile(r"[0-9a-f]{12}")
R = TypeVar("R", CellRecord, FailureRecord)


class RunStore:
    """Paths and records of one run; keys are those of `studies.identity`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._settings: Path | None = None
        """Written by this process."""

    def concept(self, key: str) -> Path:
        """Directory of the concept artifact."""
        return self._place("concepts", key)

    def transfer(self, key: str) -> Path:
        """Directory of the steering vectors."""
        return self._place("transfers", key)

    def alignment(self, key: str) -> Path:
        """Directory of the comparison of parent and child components."""
        return self._place("alignments", key)

    def cell(self, key: str) -> Path:
        """File of the results."""
        return self._place("cells", key, ".json")

    def items(self, key: str) -> Path:
        """File of the single answers; the key is that of the cell."""
        return self._place("items", key, ".jsonl")

    def unfinished(self, key: str) -> Path:
        """File of the answers of a cell that is being made; the key is that of the cell."""
        return self._place("unfinished", key, ".jsonl")

    def baseline(self, key: str) -> Path:
        """File of the child's unsteered answers."""
        return self._place("baselines", key, ".json")

    def failure(self, key: str) -> Path:
        """File that says why a study has no cell; the key is that of its settings."""
        return self._place("failures", key, ".json")

    def sensitivity(self, key: str) -> Path:
        """File of a layer-sensitivity measurement; the key is that of the cell."""
        return self._place("sensitivities", key, ".json")

    def _place(self, folder: str, key: str, ending: str = "") -> Path:
        """A place inside the run, whatever a file says its key is."""
        if not _KEY.fullmatch(key):
            raise ArtifactError(f"{key!r} is no key of {self.root}; keys are twelve hex digits.")
        return self.root / folder / f"{key}{ending}"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.root / "report.html"

    def require_writable(self) -> None:
        """Raise WriteError unless the run can be written; to be asked before models are loaded.

        Raises: WriteError if it cannot.
        """
        require_writable(self.report)

    def write_study(self, study: Study) -> None:
        """Keep the resolved study, as it may be shown to anybody."""
        values = study.model_dump(mode="json")
        self._write_settings("study.yaml", values)

    def write_plan(self, settings: Json, plan: PlanRecord) -> None:
        """Keep a resolved comparison and its plan."""
        self._write_settings("comparison.yaml", settings)
        plan.write(self.root / "plan.json")

    def _write_settings(self, name: str, values: Json) -> None:
        self._settings = self.root / name
        require_settings_place(self._settings)
        write_text(self._settings, RUN_MARK + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))

    def read_plan(self) -> PlanRecord | None:
        """What `write_plan` kept of the plan; None for a run that is no comparison.

        Raises: ArtifactError if it is damaged.
        """
        path = self.root / "plan.json"
        return PlanRecord.read(path) if os.path.lexists(path) else None

    def write_cell(self, record: CellRecord, items: Iterable[ItemRecord]) -> CellRecord:
        """Keep the answers, then the record: a cell that is there has its answers. A failure of it is removed.

        Arguments:
            record: of the cell, without the digest of its answers.
            items: the answers.
        Returns: the record as it was written.
        Raises: WriteError if the run is not there any more, or cannot be written.
        """
        if self._settings is not None and not self._settings.exists():
            raise WriteError(f"{self.root} was removed or moved while the run was going on; run the command again.")
        lines = "".join(item.line() for item in items)
        record = record.model_copy(update={"items_sha256": hashlib.sha256(lines.encode()).hexdigest()})
        write_text(self.items(record.key), lines)
        record.write(self.cell(record.key))
        self.forget_failure(record.asked)
        return record

    def write_failure(self, failure: FailureRecord) -> Path:
        """Keep why a cell could not be made (`failures`); `write_cell` removes it."""
        return failure.write(self.failure(failure.key))

    def forget_failure(self, key: str) -> None:
        """Remove why something could not be made: it is made."""
        self.failure(key).unlink(missing_ok=True)

    def read_failures(self) -> list[FailureRecord]:
        """All cells that could not be made and have not been since, in the order of their names.

        Raises: ArtifactError if a record is damaged.
        """
        return [self._read("failures", file, FailureRecord) for file in sorted((self.root / "failures").glob("*.json"))]

    def read_cell(self, key: str) -> CellRecord:
        """One finished cell.

        Raises: ArtifactError if it is not there or damaged.
        """
        return self._read("cells", self.cell(key), CellRecord)

    def finished_cell(self, key: str) -> CellRecord | None:
        """A cell that need not be made again; None where it is not there. What a kill left of making it is removed.

        Raises: ArtifactError if it is damaged.
        """
        if not os.path.lexists(self.cell(key)):
            return None
        record = self.read_cell(key)
        with suppress(OSError):  # a finished run may be read-only
            for path in (self.unfinished(key), self.failure(record.asked)):
                path.unlink(missing_ok=True)
        return record

    def read_cells(self) -> list[CellRecord]:
        """All finished cells, in the order of their names.

        Raises: ArtifactError if there is none, or one is damaged.
        """
        files = sorted((self.root / "cells").glob("*.json"))
        if not files:
            raise ArtifactError(f"{self.root} has no finished cell; run the study first: interp-xfer run STUDY.yaml.")
        return [self._read("cells", file, CellRecord) for file in files]

    def read_alignment(self, key: str) -> ComponentAlignment | None:
        """The comparison of components of that key; None where none was made.

        Raises: ArtifactError if it is damaged.
        """
        path = self.alignment(key)
        return ComponentAlignment.load(path) if os.path.lexists(path) else None

    def read_items(self, key: str) -> list[ItemRecord]:
        """The single answers of a cell, as many and as right as its record says.

        Raises: MissingError if they are not there; ArtifactError if they are not those the cell was written with.
        """
        record = self.read_cell(key)
        path = self.items(key)
        require_file(path, lambda name: f"{name} is missing; delete the cell and run the study again.")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from None
        if hashlib.sha256(content).hexdigest() != record.items_sha256:
            raise ArtifactError(f"{path} does not hold the answers of its cell; delete the cell and run it again.")
        items = [checked_text(ItemRecord, line.decode("utf-8"), str(path)) for line in Lines.of(content).whole]
        _require_counts(path, items, record)
        return items

    def _read(self, folder: str, file: Path, model: type[R]) -> R:
        """A record that lies under its own key."""
        record = model.read(file)
        if file != self._place(folder, file.stem, ".json") or record.key != file.stem:
            raise ArtifactError(f"{file} holds the record of {record.key!r}. Delete it and make it again.")
        return record


def _require_counts(path: Path, items: Sequence[ItemRecord], record: CellRecord) -> None:
    swept = [item for item in items if item.arm == "sweep"]
    asked = Counter((item.split, item.strength) for item in swept)
    right = Counter((item.split, item.strength) for item in swept if item.correct)
    for split, part in (("validation", record.validation), ("test", record.test)):
        for row in part.strengths:
            found = (asked[split, row.strength], right[split, row.strength])
            if found != (row.n, row.correct):
                raise ArtifactError(
                    f"{path} holds {found[1]} right of {found[0]} {split} answers at strength {row.strength:g}, but "
                    f"its cell says {row.correct} of {row.n}. Delete the cell and run it again."
                )
