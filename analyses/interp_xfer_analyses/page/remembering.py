"""A run store that reads each file once: several analyses of one report need the same cells and answers."""

from pathlib import Path

from interp_xfer.studies.cell_record import CellRecord
from interp_xfer.studies.item_record import ItemRecord
from interp_xfer.studies.run_store import RunStore

_ANSWERS_KEPT = 200_000  # some 200 MB; what does not fit is read again


class RememberingStore(RunStore):
    """Reads like a `RunStore`; do not change what it returns."""

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._cells: list[CellRecord] | None = None
        self._items: dict[str, list[ItemRecord]] = {}

    def read_cells(self) -> list[CellRecord]:
        """All finished cells, read once."""
        if self._cells is None:
            self._cells = super().read_cells()
        return self._cells

    def read_items(self, key: str) -> list[ItemRecord]:
        """The single answers of a cell, kept while there is room."""
        if key in self._items:
            return self._items[key]
        items = super().read_items(key)
        if len(items) + sum(map(len, self._items.values())) <= _ANSWERS_KEPT:
            self._items[key] = items
        return items
