"""Which questions an artifact was made from, as hashes that travel with it.

An evaluation on a question that took part in making the vector flatters the vector. Artifacts outlive the process that
made them, so they carry the ids and the hashed normalised texts of their questions, and every later stage compares.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from interp_xfer.errors import LeakError
from interp_xfer.tasks.leaks import Item, leak_keys
from interp_xfer.tasks.problems import Problem


@dataclass(frozen=True)
class PromptHashes:
    """Sixteen hex digits for each id and each normalised text."""

    values: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, items: Iterable[Item]) -> "PromptHashes":
        """Hashes of problems, contrast pairs or fit texts."""
        return cls(frozenset(value for item in items for value in _hashes(item)))

    def __or__(self, other: "PromptHashes") -> "PromptHashes":
        return PromptHashes(self.values | other.values)

    def to_list(self) -> list[str]:
        """Plain JSON, sorted."""
        return sorted(self.values)

    @classmethod
    def from_list(cls, values: Sequence[str]) -> "PromptHashes":
        """What `to_list` wrote."""
        return cls(frozenset(values))

    def require_disjoint(self, items: Sequence[Item], made_from: str, used_for: str) -> None:
        """Raise LeakError if one of the items is in here.

        Raises: LeakError with the number of shared items and the first id.
        """
        shared = [item.id for item in items if self.values & _hashes(item)]
        if shared:
            raise LeakError(
                f"{len(shared)} of {len(items)} {used_for} items (first: {shared[0]}) are also in the {made_from}; the "
                f"result would be a leak, not a transfer. Give the two other problems."
            )


def problems_digest(problems: Iterable[Problem]) -> str:
    """Sixteen hex digits over ids, questions, options and reference answers, in order; reasoning is not asked."""
    content = [[p.id, p.question, p.answer, [[c.label, c.text] for c in p.choices]] for p in problems]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _hashes(item: Item) -> frozenset[str]:
    ids, texts = leak_keys(item)
    return frozenset(
        hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()[:16]
        for kind, values in (("id", ids), ("text", texts))
        for value in values
    )
