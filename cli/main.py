"""`interp-xfer`: the command line. Each verb calls one stage of the library and prints what it wrote."""

import sys

import typer

from cli import comparisons, crosscheck, evaluation, layers, listing, rationales, sensitivities, stages, studies
from interp_xfer.errors import InterpXferError

app = typer.Typer(
    name="interp-xfer",
    help="Does a concept found in one language model exist, and work, in another one?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (studies, comparisons, sensitivities, stages, rationales, evaluation, crosscheck, layers, listing):
    module.register(app)


def main() -> None:
    """Run the application; errors a user can mend become one line and exit code 1."""
    try:
        app()
    except InterpXferError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except SystemExit as exit_:
        if exit_.code == 130:  # how Typer ends on Ctrl-C
            sys.stderr.write("\ninterrupted; finished artifacts are kept, the same command goes on from there\n")
        raise
    except BrokenPipeError:
        sys.exit(1)
