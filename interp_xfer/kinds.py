"""Tables of what there is to choose from: layer maps, linear maps, extraction methods, operators, arms, tasks, ...

Each kind is one table of small frozen entries. Command line, settings and messages read the table, so a new entry is
one file and one line. Where a name is accepted, a function is accepted, too: it joins the table under its qualified
name and the digest of its source, which is what records keep.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from interp_xfer.errors import ConfigError
from interp_xfer.words import shown, unknown

_FUNCTION = re.compile(r"[\w.<>]{1,200}@[0-9a-f]{8}")


@runtime_checkable
class Named(Protocol):
    """What an entry has at least."""

    @property
    def name(self) -> str:
        """In settings, records and figures."""
        ...


E = TypeVar("E", bound=Named)


class Table(Mapping[str, E], Generic[E]):
    """The entries of one kind by name, in the order in which they are offered.

    Arguments:
        what: of which the names are, in messages: "layer map".
        entries: those of this project.
        from_function: makes the entry of a function given in place of a name; None where only names are accepted.
    """

    def __init__(
        self, what: str, entries: Iterable[E], from_function: Callable[[str, Callable[..., Any]], E] | None = None
    ) -> None:
        self.what, self._from_function = what, from_function
        self._entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> E:
        """The entry of that name.

        Raises: ConfigError with the names there are.
        """
        if name in self._entries:
            return self._entries[name]
        if _FUNCTION.fullmatch(name):
            raise ConfigError(f"the {self.what} {name} is a function that was given by hand; give it here again.")
        raise ConfigError(unknown(self.what, name, self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def add(self, entry: E) -> E:
        """A new entry, from this package or any other.

        Raises: ConfigError where the name is taken.
        """
        if entry.name in self._entries:
            raise ConfigError(f"there is a {self.what} {shown(entry.name)} already; choose another name.")
        self._entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an entry out again."""
        del self._entries[name]

    def accept(self, given: str | Callable[..., Any]) -> str:
        """The name of what was given: a name of the table, or a function, which joins it.

        Raises: ConfigError for an unknown name, or a function where only names are accepted.
        """
        if isinstance(given, str):
            return self[given].name
        if self._from_function is None or not callable(given):
            raise ConfigError(unknown(self.what, given, self._entries))
        name = function_name(given)
        if name not in self._entries:
            self._entries[name] = self._from_function(name, given)
        return name

    def named(self, given: Any) -> Any:
        """The name of a function, which joins the table; anything else as it is, to be checked."""
        return self.accept(given) if callable(given) else given

    def check(self, name: str) -> str:
        """The name, if it is one of the table or that of a function whose record is read without it.

        Raises: ValueError otherwise, as validators of settings do.
        """
        if name not in self._entries and not _FUNCTION.fullmatch(name):
            raise ValueError(unknown(self.what, name, self._entries))
        return name


def function_name(function: Callable[..., Any]) -> str:
    """Module, qualified name and digest of the source of a function: "my_maps.halved@0a1b2c3d"."""
    inner = inspect.unwrap(function)
    place = f"{getattr(inner, '__module__', None) or 'unknown'}.{getattr(inner, '__qualname__', type(inner).__name__)}"
    try:
        source = inspect.getsource(inner).encode()
    except (OSError, TypeError):  # typed at a prompt, or an object with `__call__`
        code = getattr(inner, "__code__", None)
        source = code.co_code + repr(code.co_consts).encode() if code is not None else repr(type(inner)).encode()
    return f"{place[:200]}@{hashlib.sha256(source).hexdigest()[:8]}"
