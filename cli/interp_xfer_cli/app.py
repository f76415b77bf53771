"""The Typer application with all verbs."""

import typer

from interp_xfer_cli import (
    comparisons,
    crosscheck,
    evaluation,
    layers,
    listing,
    rationales,
    sensitivities,
    stages,
    studies,
)

app = typer.Typer(
    name="interp-xfer",
    help="Does a concept found in one language model exist, and work, in another one?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (studies, comparisons, sensitivities, stages, rationales, evaluation, crosscheck, layers, listing):
    module.register(app)
