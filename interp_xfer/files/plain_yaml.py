"""YAML of settings, read strictly: what a person writes by hand, and nothing that can surprise or exhaust a reader.

Names are plain text and stand once, there are no tags and no aliases (a few lines of them stand for billions of
values), and a date is the text it was written as.
"""

from collections.abc import Hashable
from typing import Any, NoReturn

import yaml

from interp_xfer.errors import ConfigError
from interp_xfer.words import shown

_RESOLVED = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_DIGITS = 400


def parse_yaml(text: str, source: str) -> Any:
    """The value that a YAML text stands for: None, bool, int, float, str, or lists and dicts of them.

    Arguments:
        text: what the user wrote.
        source: where, for the message.
    Raises: ConfigError with line and column: not YAML, a tag, an alias, a name twice, a name that is not text, or
        values nested too deep.
    """
    try:
        return yaml.load(text, _PlainLoader)  # a kind of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise ConfigError(f"{source} is not YAML of plain settings{at}: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise ConfigError(f"{source} is not YAML of plain settings: values are nested too deep.") from None


class _PlainLoader(yaml.SafeLoader):
    """Of `yaml.SafeLoader`, only what settings need."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node that is written out."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"an alias (*{event.anchor}); write the value out")
        elif getattr(event, "tag", None) is not None:
            self._refuse(event, f"a tag ({shown(event.tag)}); write the plain value")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Settings, each named by text and once."""
        names: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                self._refuse(key, f"a name that is not text ({shown(name)}); put it in quotes")
            if name in names:
                self._refuse(key, f"{shown(name)} is there twice; keep one of them")
            names.add(name)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number that Python reads and writes."""
        if len(node.value) > _DIGITS:
            self._refuse(node, f"a whole number of {len(node.value)} digits")
        return super().construct_yaml_int(node)

    @staticmethod
    def _refuse(place: yaml.Node | yaml.Event, problem: str) -> NoReturn:
        raise yaml.constructor.ConstructorError(None, None, problem, place.start_mark)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
# Dates stay text, and `<<` is a name like any other: merging needs aliases.
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _RESOLVED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
