"""The catalogue: the shop's data on its items, and whether they allow to recommend an item."""

from collections.abc import Iterator, Mapping
from typing import Literal

from state.events.catalogue import CatalogueItem

UnknownStock = Literal["offer", "exclude"]
"""What happens to an item whose stock is not known: no entry in the catalogue, or one without a stock."""

BLOCKED = "blocked"
OUT_OF_STOCK = "out_of_stock"
NOT_ON_SALE = "not_on_sale"
UNKNOWN_STOCK = "unknown_stock"
INVALID_EVENT = "invalid_event"
UNAVAILABLE = (INVALID_EVENT, BLOCKED, OUT_OF_STOCK, NOT_ON_SALE, UNKNOWN_STOCK)
"""The reasons why the catalogue alone forbids an item."""


class Catalogue(Mapping[str, CatalogueItem]):
    """Stock code to item; never changed once built, ``with_changes`` returns another one."""

    def __init__(self, items: Mapping[str, CatalogueItem] | None = None) -> None:
        self._items = dict(items or {})
        self._limited = sum(map(_is_limited, self._items.values()))

    def __getitem__(self, stock_code: str) -> CatalogueItem:
        return self._items[stock_code]

    def get(self, stock_code: str, default: None = None) -> CatalogueItem | None:  # type: ignore[override]  # no other default is needed
        """The item, None where there is none; without the detour of ``Mapping.get`` over an exception."""
        return self._items.get(stock_code)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def forbids_nothing(self) -> bool:
        """Whether every item of the catalogue has no bound, at any time; its stock may be unknown."""
        return not self._limited

    def with_changes(self, changes: Mapping[str, CatalogueItem | None]) -> "Catalogue":
        """The catalogue after some items changed; None deletes an item."""
        changed = Catalogue()
        items = changed._items = self._items.copy()
        limited = self._limited
        for code, item in changes.items():
            before = items.pop(code, None) if item is None else items.get(code)
            limited -= before is not None and _is_limited(before)
            if item is not None:
                items[code] = item
                limited += _is_limited(item)
        changed._limited = limited
        return changed


def unavailable(item: CatalogueItem | None, now: int, unknown_stock: UnknownStock) -> str | None:
    """Why an item must not be recommended at ``now``, one of ``UNAVAILABLE``; None where it may be.

    Args:
        item: Its entry in the catalogue, None where it has none.
        now: Seconds since 1970.
        unknown_stock: What happens to an item whose stock is not known.
    """
    if item is None:
        return UNKNOWN_STOCK if unknown_stock == "exclude" else None
    if item.invalid is not None:
        return INVALID_EVENT
    if item.blocked:
        return BLOCKED
    if item.stock is None:
        if unknown_stock == "exclude":
            return UNKNOWN_STOCK
    elif item.stock <= 0:
        return OUT_OF_STOCK
    if (item.on_sale_from is not None and now < item.on_sale_from) or (
        item.on_sale_until is not None and now >= item.on_sale_until
    ):
        return NOT_ON_SALE
    return None


def _is_limited(item: CatalogueItem) -> bool:
    return (
        item.blocked
        or item.invalid is not None
        or (item.stock is not None and item.stock <= 0)
        or item.on_sale_from is not None
        or item.on_sale_until is not None
    )
