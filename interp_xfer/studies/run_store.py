"""A run on disk: one directory, every file whole or absent, the same command resumes.

    study.yaml               the resolved study
    comparison.yaml          or the resolved comparison, and
    plan.json                its cells, and what was left out with the reason
    concepts/<key>/          concept.json  concept.safetensors
    transfers/<key>/         transfer.json transfer.safetensors
    alignments/<key>/        alignment.json alignment.safetensors; the key is that of the transfer
    baselines/<key>.json     unsteered answers of a child, where several cells share them
    cells/<key>.json         one immutable record per cell
    items/<key>.jsonl        one line per (split, question, strength)
    unfinished/<key>.jsonl   answers of a cell that is being made; gone when it has its record
    sensitivities/<key>.json which child layers respond (`sensitivity_record`); the key is that of the cell
    failures/<key>.json      why a cell has no record; gone when it has one
    figures/  report.html

A key is a hash of the settings a file depends on, so a file that is there need not be made again.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from interp_xfer.artifacts import read_json, write_json, write_text
from interp_xfer.component_alignment import ComponentAlignment
from interp_xfer.errors import ArtifactError, WriteError
from interp_xfer.places import RUN_MARK, require_settings_place
from interp_xfer.studies.config import Study


class RunStore:
    """Paths and records of one run."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._settings: Path | None = None
        """Written by this process."""

    def concept(self, study: Study) -> Path:
        """Directory of the concept artifact."""
        return self.root / "concepts" / study.concept_key

    def transfer(self, study: Study) -> Path:
        """Directory of the steering vectors."""
        return self.root / "transfers" / study.transfer_key

    def alignment(self, study: Study) -> Path:
        """Directory of the comparison of parent and child components."""
        return self.root / "alignments" / study.transfer_key

    def cell(self, study: Study) -> Path:
        """File of the results."""
        return self.root / "cells" / f"{study.cell_key}.json"

    def items(self, study: Study) -> Path:
        """File of the single answers."""
        return self.root / "items" / f"{study.cell_key}.jsonl"

    def unfinished(self, study: Study) -> Path:
        """File of the answers of a cell that is being made."""
        return self.root / "unfinished" / f"{study.cell_key}.jsonl"

    def baseline(self, study: Study) -> Path:
        """File of the child's unsteered answers."""
        return self.root / "baselines" / f"{study.baseline_key}.json"

    def failure(self, study: Study) -> Path:
        """File that says why a cell has no record."""
        return self.root / "failures" / f"{study.cell_key}.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.root / "report.html"

    def write_study(self, study: Study) -> None:
        """Keep the resolved study."""
        values = study.model_dump(mode="json")
        self._write_settings("study.yaml", values)

    def write_plan(self, settings: dict[str, Any], plan: dict[str, Any]) -> None:
        """Keep a resolved comparison and its plan."""
        self._write_settings("comparison.yaml", settings)
        write_json(self.root / "plan.json", plan)

    def _write_settings(self, name: str, values: dict[str, Any]) -> None:
        self._settings = self.root / name
        require_settings_place(self._settings)
        write_text(self._settings, RUN_MARK + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))

    def read_plan(self) -> dict[str, Any] | None:
        """What `write_plan` kept of the plan; None for a run that is no comparison.

        Raises: ArtifactError if it is damaged.
        """
        path = self.root / "plan.json"
        return read_json(path) if path.exists() else None

    def write_cell(self, study: Study, record: dict[str, Any], items: Iterable[dict[str, Any]]) -> Path:
        """Keep the answers, then the record: a cell that is there has its answers."""
        if self._settings is not None and not self._settings.exists():
            raise WriteError(f"{self.root} was removed or moved while the run was going on; run the command again.")
        lines = "".join(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in items)
        write_text(self.items(study), lines)
        path = write_json(self.cell(study), record)
        self.failure(study).unlink(missing_ok=True)
        return path

    def write_failure(self, study: Study, error: BaseException, name: str) -> Path:
        """Keep why a cell could not be made; `write_cell` removes it."""
        details = {"type": type(error).__name__, "message": str(error)}
        values = study.model_dump(mode="json")
        return write_json(
            self.failure(study),
            {"key": study.cell_key, "status": "failed", "name": name, "error": details, "study": values},
        )

    def read_failures(self) -> list[dict[str, Any]]:
        """All cells that could not be made and have not been since, in the order of their names.

        Raises: ArtifactError if a record is damaged.
        """
        return [read_json(file) for file in sorted((self.root / "failures").glob("*.json"))]

    def read_cells(self) -> list[dict[str, Any]]:
        """All finished cells, in the order of their names.

        Raises: ArtifactError if there is none, or one is damaged.
        """
        files = sorted((self.root / "cells").glob("*.json"))
        if not files:
            raise ArtifactError(f"{self.root} has no finished cell; run the study first: interp-xfer run STUDY.yaml.")
        return [read_json(file) for file in files]

    def read_alignment(self, key: str) -> ComponentAlignment | None:
        """The comparison of components that belongs to a `transfer_key`; None where none was made.

        Raises: ArtifactError if it is damaged.
        """
        path = self.root / "alignments" / key
        return ComponentAlignment.load(path) if path.exists() else None

    def read_items(self, key: str) -> list[dict[str, Any]]:
        """The single answers of a cell.

        Raises: ArtifactError with file and line if one does not parse.
        """
        path = self.root / "items" / f"{key}.jsonl"
        try:
            # Not splitlines: a text may hold U+2028, which JSON leaves as it is and which is no end of a record.
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing; delete the cell and run the study again.") from None
        out = []
        for number, line in enumerate(lines, 1):
            try:
                out.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ArtifactError(f"{path}, line {number}: {error.msg}. Delete the cell and run it again.") from None
        return out
