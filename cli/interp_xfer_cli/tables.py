"""Options whose values are the names of a table (`interp_xfer.kinds`), which is read when the option is."""

from importlib import import_module

import typer

from interp_xfer.kinds import Named, Table


class NameOf:
    """Reads a name of a table; given to an option as its parser.

    Arguments:
        home: "module:TABLE".
    """

    def __init__(self, home: str) -> None:
        self.home, self.__name__ = home, "NAME"

    def table(self) -> Table[Named]:
        """The table, with what was added to it."""
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)

    def __call__(self, name: str) -> str:
        """The name, if it is one of the table.

        Raises: BadParameter with the names there are.
        """
        from interp_xfer.errors import ConfigError

        try:
            return self.table()[name].name
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from None


METHOD = NameOf("interp_xfer.concepts.methods:METHODS")
LAYER_MAP = NameOf("interp_xfer.maths.layer_map_kinds:LAYER_MAPS")
LINEAR_MAP = NameOf("interp_xfer.maths.linear_map_kinds:LINEAR_MAPS")
OPERATOR = NameOf("interp_xfer.steering.operators:OPERATORS")
TASK = NameOf("interp_xfer.tasks:TASKS")
CONTRAST = NameOf("interp_xfer.tasks:CONTRAST_KINDS")
ANALYSIS = NameOf("interp_xfer_analyses.registry:ANALYSES")
TABLES = (METHOD, LAYER_MAP, LINEAR_MAP, OPERATOR, TASK, CONTRAST, ANALYSIS)
