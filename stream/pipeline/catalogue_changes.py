"""Which items of the catalogue changed since a position in their topic, or went on or off sale since a time."""

import threading
from bisect import bisect_right
from collections.abc import Mapping

import msgspec

from state.events.catalogue import CatalogueItem

Positions = dict[int, int]
"""Partition of the topic ``items`` to the offset of the next record."""


class CatalogueChanges:
    """The offset of each item's newest change, and when its sale begins and ends. One thread notes, any may ask.

    Positions are those of the topic, so they mean the same in every worker and after a restart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed_at: dict[str, tuple[int, int]] = {}
        self._positions: Positions = {}
        self._sales: dict[str, tuple[int, ...]] = {}
        self._sale_times: list[tuple[int, str]] | None = None

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
            times = _sale_times(after)
            if times != self._sales.get(stock_code, ()):
                self._sale_times = None
                if times:
                    self._sales[stock_code] = times
                else:
                    del self._sales[stock_code]

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

    def on_or_off_sale(self, after: int, until: int) -> set[str]:
        """The stock codes whose sale begins or ends at a time greater than ``after`` and not above ``until``."""
        with self._lock:
            if self._sale_times is None:
                self._sale_times = sorted((at, code) for code, times in self._sales.items() for at in times)
            ordered = self._sale_times
            first, last = (bisect_right(ordered, bound, key=lambda pair: pair[0]) for bound in (after, until))
            return {code for _, code in ordered[first:last]}


def _sale_times(item: CatalogueItem | None) -> tuple[int, ...]:
    return () if item is None else tuple(at for at in (item.on_sale_from, item.on_sale_until) if at is not None)


def _relevant(item: CatalogueItem | None) -> CatalogueItem | None:
    """An item without what no list depends on: price, addresses, date, and how many there are."""
    if item is None:
        return None
    stock = None if item.stock is None else float(item.stock > 0)
    return msgspec.structs.replace(item, stock=stock, price=None, image=None, url=None, updated=None)
