"""`--out` of each verb, checked while the command line is read: a wrong place is told before the work, not after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from interp_xfer.files.places import require_artifact_place, require_record_place, require_run_place


def _out(meaning: str, check: Callable[[Path], None]) -> Any:
    def checked(path: Path | None) -> Path | None:
        if path is not None:
            check(path)
        return path

    return typer.Option("--out", help=meaning, callback=checked)


def _artifact(kind: str) -> Any:
    return _out("Directory to write: new, empty, or of one before.", lambda path: require_artifact_place(path, kind))


def _record(kind: str) -> Any:
    return _out("JSON file to write: new, or of one before.", lambda path: require_record_place(path, kind))


ConceptOut = Annotated[Path, _artifact("concept")]
ProjectionOut = Annotated[Path, _artifact("projection")]
SteeringOut = Annotated[Path, _artifact("transfer")]
MapOut = Annotated[Path, _record("map")]
SearchOut = Annotated[Path, _record("search")]
EvaluationOut = Annotated[Path, _record("evaluation")]
CrosscheckOut = Annotated[Path, _record("crosscheck")]
RunOut = Annotated[Path, _out("Directory of the run: new, empty, or of one before.", require_run_place)]
NamedRunOut = Annotated[Path | None, _out("Directory of the run; default runs/<file name>.", require_run_place)]
