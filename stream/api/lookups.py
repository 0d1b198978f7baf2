"""Reads the state of an item or a customer from Redis: all waiting questions with one refresh of the items."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from state.domain.catalogue import unavailable
from state.domain.history import baskets
from state.domain.items import HALF_LIVES
from state.domain.recommendation import Recommendation
from state.domain.rules import Merchandising
from state.events.catalogue import encode_item
from state.events.dates import to_iso
from state.events.invoice import THOUSAND
from state.store.protocol import Store
from stream.api.problems import not_found
from stream.api.visits import path_part
from stream.pipeline.item_cache import ItemCache
from training.features.item_table import ItemTable


class Basket(msgspec.Struct, frozen=True):
    """An invoice net of returns: quantities by stock code."""

    invoice_no: str
    invoice_date: str
    items: dict[str, float]


class CustomerView(msgspec.Struct, frozen=True):
    """What is known of a customer; ``sent`` is the recommendation last published, null where there is none."""

    customer_id: str
    revision: int
    attributes: dict[str, str]
    baskets: list[Basket]
    sent: Recommendation | None
    links: dict[str, str]


class ItemView(msgspec.Struct, frozen=True):
    """What is known of an item, from its sales and from the catalogue.

    ``demand``: number of baskets by half-life in days, an older basket counting less. ``price`` is that of the newest
    sale, ``baskets`` the number of baskets ever; prices and dates are null for an item that was never sold.
    ``catalogue`` is the item's event, null where the catalogue does not have it. ``unavailable``: why the catalogue
    forbids to offer it now.
    """

    stock_code: str
    description: str | None
    price: float | None
    first_sold: str | None
    last_sold: str | None
    baskets: int
    demand: dict[str, float]
    attributes: dict[str, str]
    catalogue: dict[str, Any] | None
    unavailable: str | None
    links: dict[str, str]


class ShopState(msgspec.Struct):
    """The store, the items as of the last refresh, and the date of the newest event."""

    store: Store
    items: ItemTable
    now: int


Question = Callable[[ShopState], Any]
"""Answers from the store and the items; raises a ``Problem`` where there is no answer."""


class Lookups:
    """Answers batches of questions, in one thread; ``open_store`` is called again until it succeeds."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._items: ItemCache | None = None

    def answer(self, questions: Sequence[Question]) -> list[Any]:
        """One answer, or error, for each question.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if self._store is None or self._items is None:
            self._store = self._open_store()
            self._items = ItemCache(self._store)
        self._items.refresh()
        shop = ShopState(self._store, self._items.table, self._items.now)
        return [_ask(question, shop) for question in questions]

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()


def _ask(question: Question, shop: ShopState) -> Any:
    try:
        return question(shop)
    except Exception as error:  # of one question; the others are answered all the same
        return error


def find_row(stock_code: str, items: ItemTable) -> int:
    """The row of an item.

    Raises:
        Problem: It was never sold.
    """
    row = items.rows.get(stock_code)
    if row is None:
        raise not_found(f"No item {stock_code!r} was sold here yet; items are known once an invoice has them.")
    return row


def item_view(stock_code: str, shop: ShopState, merchandising: Merchandising, *, clock: int) -> ItemView:
    """What is known of an item; ``clock`` (seconds since 1970) decides whether it is on sale, as it does in lists.

    Raises:
        Problem: It was never sold, and the catalogue does not have it.
    """
    items, item = shop.items, merchandising.catalogue.get(stock_code)
    row = None if item is not None and stock_code not in items.rows else find_row(stock_code, items)
    demand = [0.0] * len(HALF_LIVES) if row is None else items.demand(shop.now)[row].tolist()
    path = f"/v1/items/{path_part(stock_code)}"
    return ItemView(
        stock_code=stock_code,
        description=items.description(stock_code) or (item.name if item else None),
        price=None if row is None else float(items.price[row]),
        first_sold=None if row is None else to_iso(int(items.first[row])),
        last_sold=None if row is None else to_iso(int(items.last[row])),
        baskets=0 if row is None else int(items.sold[row]),
        demand={f"{half_life:g}": round(value, 3) for half_life, value in zip(HALF_LIVES, demand, strict=True)},
        attributes=dict(items.attributes(stock_code)),
        catalogue=None if item is None else msgspec.json.decode(encode_item(item)),
        unavailable=unavailable(item, merchandising.at(shop.now, clock).now, merchandising.unknown_stock),
        links={"self": path, "similar": f"{path}/similar"},
    )


def customer_view(customer_id: str, shop: ShopState) -> CustomerView:
    """What is known of a customer; of one who was merged, what is known of the one that has the purchases.

    Raises:
        Problem: The customer is unknown.
        StoreUnavailable, CustomerRefused: The history cannot be read.
    """
    (state,) = shop.store.customers([customer_id])
    if state is None:
        (customer_id,) = shop.store.current_ids([customer_id])
        (state,) = shop.store.customers([customer_id])
    if state is None:
        raise not_found(f"No customer {customer_id!r} is known here; customers are known once they have an invoice.")
    path = f"/v1/customers/{path_part(customer_id)}"
    return CustomerView(
        customer_id=customer_id,
        revision=state.revision,
        attributes=dict(state.history.attributes),
        baskets=[
            Basket(each.invoice_no, to_iso(each.date), {code: units / THOUSAND for code, units in each.items.items()})
            for each in baskets(state.history)
        ],
        sent=shop.store.recommendation(customer_id),
        links={"self": path, "recommendations": f"{path}/recommendations"},
    )
