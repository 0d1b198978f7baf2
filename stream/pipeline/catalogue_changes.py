"""Which items of the catalogue changed since a position in their topic."""

import threading
from collections.abc import Mapping

import msgspec

from state.events.catalogue import CatalogueItem

Positions = dict[int, int]
"""Partition of the topic ``items`` to the offset of the next record."""


class CatalogueChanges:
    """The offset of each item's newest change. One thread notes, any thread may ask.

    Positions are those of the topic, so they mean the same in every worker and after a restart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed_at: dict[str, tuple[int, int]] = {}
        self._positions: Positions = {}

    def note(
        self,
        stock_code: str,
        partition: int,
        offset: int,
        before: CatalogueItem | None,
        after: CatalogueItem | None,
    ) -> None:
        """Note a record of an item that was ``before``; it counts as a change where it can change a list."""
        with self._lock:
            self._positions[partition] = offset + 1
            if _relevant(before) != _relevant(after):
                self._changed_at[stock_code] = (partition, offset)

    def positions(self) -> Positions:
        """Up to where the topic was read."""
        with self._lock:
            return dict(self._positions)

    def since(self, positions: Mapping[int, int]) -> set[str]:
        """The stock codes that changed since these positions."""
        with self._lock:
            return {
                code for code, (partition, offset) in self._changed_at.items() if offset >= positions.get(partition, 0)
            }


def _relevant(item: CatalogueItem | None) -> CatalogueItem | None:
    """An item without what no list depends on: price, addresses, date, and how many there are."""
    if item is None:
        return None
    stock = None if item.stock is None else float(item.stock > 0)
    return msgspec.structs.replace(item, stock=stock, price=None, image=None, url=None, updated=None)
