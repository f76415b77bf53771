"""Options that several verbs share, and how a command line becomes study settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp_xfer.bounds import MAX_MEMORY_MIB, MAX_NEW_TOKENS, MAX_SEED, MAX_SHOTS
from interp_xfer.choices import DTypeName, Scoring, StrengthUnit, TokenScope, WeightProcessing
from interp_xfer_cli import tables

_NAMES = "see `interp-xfer presets`"

MethodOption = Annotated[str, typer.Option("--method", parser=tables.METHOD, help=f"Of extraction; {_NAMES}.")]
if TYPE_CHECKING:
    from interp_xfer.fields import Json

ParentOption = Annotated[
    str,
    typer.Option("--parent", help="Model with the concept: org/name[@rev], folder, gguf:PATH, bundled:NAME."),
]
ChildOption = Annotated[str, typer.Option("--child", help="Model that is steered; same forms as --parent.")]
DatasetOption = Annotated[
    str, typer.Option("--dataset", parser=tables.TASK, help="Task name; see `interp-xfer datasets`.")
]
DataDirOption = Annotated[
    str | None,
    typer.Option("--data-dir", envvar="INTERP_XFER_DATA", help="Folder of DATASET/SPLIT.jsonl; default: the hub."),
]
DTypeOption = Annotated[DTypeName | None, typer.Option("--dtype", help="Default float32 on CPU, bfloat16 on CUDA.")]
ProcessingOption = Annotated[
    WeightProcessing, typer.Option("--weight-processing", help="hooked-transformer folds and centres as of old.")
]
SeedOption = Annotated[
    int,
    typer.Option("--seed", min=0, max=MAX_SEED, help="Of splits, problems, pairs, and all that is drawn."),
]
PairKindOption = Annotated[
    str, typer.Option("--pairs", parser=tables.CONTRAST, help=f"Kind of contrast pair; {_NAMES}.")
]
ShotsOption = Annotated[int, typer.Option("--n-shots", min=0, max=MAX_SHOTS, help="Few-shot examples.")]
UnitOption = Annotated[
    StrengthUnit, typer.Option("--unit", help="relative: share of the residual norm; raw: the paper.")
]
OperatorOption = Annotated[
    str, typer.Option("--operator", parser=tables.OPERATOR, help=f"How the vector changes the stream; {_NAMES}.")
]
TokensOption = Annotated[TokenScope, typer.Option("--tokens", help="Which positions are steered.")]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-new-tokens", min=1, max=MAX_NEW_TOKENS, help="Default: the task's own limit."),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, ...; default cuda where there is one.")
]
MaxMemoryOption = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        min=1,
        max=MAX_MEMORY_MIB,
        help="MiB that generation may add to the model; default half of what is free.",
    ),
]
GridOption = Annotated[
    str | None, typer.Option("--grid", help="Strengths, comma-separated; default the paper's 19, 0.01 to 1.0.")
]
SystemPromptOption = Annotated[Path | None, typer.Option("--system-prompt", help="Text file; default the task's own.")]
RationalesOption = Annotated[
    Path | None, typer.Option("--rationales", help="JSONL from `interp-xfer rationales`; its problems come first.")
]
ScoringOption = Annotated[
    Scoring, typer.Option("--scoring", help="generate text, or rank options by likelihood (multiple choice).")
]
FewShotOption = Annotated[Path | None, typer.Option("--few-shot", help="JSONL of examples; default the task's own.")]


def require_usable(arguments: Sequence[str]) -> None:
    """Nothing, if every argument of the command line is text and not empty.

    An empty path would be the working directory, an empty list the default; bytes that are no text cannot be printed
    or kept.

    Raises: ConfigError that names the argument.
    """
    from interp_xfer.errors import ConfigError
    from interp_xfer.words import shown, why_no_text

    for number, argument in enumerate(arguments, 1):
        before = f" after {arguments[number - 2]}" if number > 1 else ""
        name, separator, value = argument.partition("=")
        if separator and name.startswith("--"):
            before, argument = f" of {name}", value
        if not argument.strip():
            raise ConfigError(f"argument {number}{before} is empty; give a value, or leave the option out.")
        if problem := why_no_text(argument):
            raise ConfigError(f"argument {number}, {shown(argument)}, {problem}; give it as UTF-8 text.")


def in_bytes(mebibytes: int | None) -> int | None:
    """What --max-memory says, in bytes."""
    return None if mebibytes is None else mebibytes * 2**20


def parse_grid(text: str | None) -> tuple[float, ...]:
    """The grid a user wrote, or the paper's.

    Raises: ConfigError if an entry is no number, or the numbers are no grid of strengths.
    """
    from interp_xfer.errors import ConfigError
    from interp_xfer.evaluation.search import PAPER_GRID, check_grid
    from interp_xfer.words import shown

    if text is None:
        return PAPER_GRID
    try:
        grid = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"strengths {shown(text)} are not a comma-separated list of numbers, such as 0.1,0.2."
        ) from None
    check_grid(grid)
    return grid


def parse_settings(assignments: list[str]) -> "Json":
    """`key=value` pairs; values are read as YAML, so that 3, true and [0.1, 0.2] mean what they look like.

    Raises: ConfigError for an entry without `=`, or with a value that is not YAML of plain settings.
    """
    from interp_xfer.errors import ConfigError
    from interp_xfer.files.plain_yaml import parse_yaml
    from interp_xfer.words import shown

    out: Json = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set {shown(assignment)} is not key=value.")
        out[key.strip()] = parse_yaml(value, f"--set {shown(assignment)}")
    return out
