"""Lists of who is due, and of who is due for an item: an order that a process made, with a basket for each customer."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from state.domain.catalogue import unavailable as unavailable_item
from state.domain.due import DueCustomer
from state.domain.rules import Merchandising
from state.events.dates import to_iso
from state.store.protocol import Store
from stream.api.due_reader import NotReady, OrderQuestion, ReadOrder
from stream.api.etags import Versions, matches, opaque_tag
from stream.api.problems import invalid_request, not_ready
from stream.pipeline.due import DueOrder, DueQuery, with_baskets
from stream.pipeline.item_cache import ItemCache
from training.features.item_table import ItemTable
from training.serving.scorer import Scorer

WAIT_S = 8.0
"""How long a request waits for an order. It is made even then, so the next one is quicker."""
REUSE_S = 5.0
"""How long an answer is given again to the same question: its baskets take longer than its order."""
MAX_REUSED = 16
"""Answers that are held for it, of up to 100 customers each."""
MAX_DEPTH = 10_000
"""Greatest number of customers that the pages of a list reach."""


class DueQuestion(msgspec.Struct, frozen=True):
    """A question for a page of a list.

    ``at`` is None for the date of the newest event, ``segment`` as in ``DueQuery``. ``stock_code``: who is due for that
    item. ``none_match``: the tags that the caller knows, as the header ``If-None-Match`` has them. ``wait_s``: how long
    the caller waits for an order.
    """

    within_days: int
    limit: int
    min_chance: float = 0.0
    segment: dict[str, frozenset[str]] = {}
    at: int | None = None
    offset: int = 0
    stock_code: str | None = None
    none_match: str | None = None
    wait_s: float = WAIT_S


class DueAnswer(msgspec.Struct, frozen=True):
    """The customers who are likely to buy within a window, by falling expected value.

    ``matching``: how many customers match, listed or not · ``left_out``: how many are missing on this page, because
    they bought since or expired.
    """

    at: str
    within_days: int
    matching: int
    customers: list[DueCustomer]
    left_out: int = 0


class ItemDueCustomer(msgspec.Struct, frozen=True):
    """A customer who is due for an item.

    ``chance``: of a purchase within the window · ``probability``: of the item in it, given that they buy ·
    ``expected``: both together · ``due_date``: the day on which the chance of a purchase reaches 50 %.
    """

    customer_id: str
    chance: float
    probability: float
    expected: float
    due_date: str | None
    last_purchase: str


class ItemDueAnswer(msgspec.Struct, frozen=True):
    """The customers who are due for an item, by the chance that they come within the window and buy it.

    ``matching``: how many recommendations last sent have the item · ``unavailable``: why the catalogue forbids to offer
    the item now; then nobody is listed.
    """

    stock_code: str
    at: str
    within_days: int
    matching: int
    customers: list[ItemDueCustomer]
    unavailable: str | None = None


class TaggedAnswer(msgspec.Struct, frozen=True):
    """An answer with its entity tag; None where the caller has it already."""

    tag: str
    answer: DueAnswer | ItemDueAnswer | None


class Orders(Protocol):
    """Orders customers."""

    def ask(self, question: OrderQuestion, wait_s: float) -> ReadOrder | NotReady:
        """The answer, or ``NotReady`` after some seconds."""
        ...


class DueLists:
    """Answers questions with one store, which is opened again after an error.

    Args:
        open_store: Opens the store.
        orders: Orders the customers.
        scorer: Returns the scorer that serves now.
        merchandising: Returns the catalogue and the rules as of now.
        versions: Returns what a list would be made from now.
        top_k: Greatest number of items of a basket.
        clock: Seconds since 1970; decides whether an item is on sale.
        monotonic: Seconds, for the age of an answer.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Store],
        orders: Orders,
        scorer: Callable[[], Scorer],
        merchandising: Callable[[], Merchandising],
        versions: Callable[[], Versions],
        top_k: int,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store = open_store
        self._orders = orders
        self._scorer = scorer
        self._merchandising = merchandising
        self._versions = versions
        self._top_k = top_k
        self._clock = clock
        self._monotonic = monotonic
        self._made: dict[str, tuple[float, DueAnswer | ItemDueAnswer]] = {}
        self._store: Store | None = None
        self._items: ItemCache | None = None

    def answer(self, questions: Sequence[DueQuestion]) -> list[TaggedAnswer | Exception]:
        """One list, or error, for each question.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return [self._answer(question) for question in questions]

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _answer(self, question: DueQuestion) -> TaggedAnswer | Exception:
        if self._store is None:
            self._store = self._open_store()
        store, scorer, merchandising = self._store, self._scorer(), self._merchandising()
        newest = store.now() or 0
        at = newest if question.at is None else question.at
        if at < newest:
            return invalid_request(f"at: the histories hold events until {to_iso(newest)}; give that or a later time.")
        # Of an item, twice as many: those whose list has it no longer, by the rules of now, are left out.
        depth = question.offset + question.limit if question.stock_code is None else 2 * question.limit
        query = DueQuery(at, question.within_days, depth, question.min_chance, question.segment)
        made = self._orders.ask(OrderQuestion(query, scorer.version, question.stock_code), question.wait_s)
        if isinstance(made, NotReady):
            return not_ready(f"The numbers of all customers are being read ({made.read:,} until now). Ask again.")
        asked = msgspec.structs.replace(question, at=at, none_match=None, wait_s=0.0)
        tag = opaque_tag(asked, made.digest, self._versions())
        if matches(question.none_match, tag):
            return TaggedAnswer(tag, None)
        answer = self._reused(tag)
        if answer is None:
            answer = self._with_baskets(question, query, made.order, store, scorer, merchandising)
            self._made[tag] = (self._monotonic(), answer)
        return TaggedAnswer(tag, answer)

    def _reused(self, tag: str) -> DueAnswer | ItemDueAnswer | None:
        """The answer with a tag that was made just now; those that are too old, or too many, are let go."""
        now = self._monotonic()
        newest = list(self._made.items())[-MAX_REUSED + 1 :]
        self._made = {made: (at, answer) for made, (at, answer) in newest if now - at < REUSE_S}
        found = self._made.get(tag)
        return None if found is None else found[1]

    def _with_baskets(
        self,
        question: DueQuestion,
        query: DueQuery,
        order: DueOrder,
        store: Store,
        scorer: Scorer,
        merchandising: Merchandising,
    ) -> DueAnswer | ItemDueAnswer:
        if question.stock_code is not None:
            return self._of_item(question.stock_code, question.limit, query, order, store, scorer, merchandising)
        first = question.offset
        page = order._replace(
            customer_ids=order.customer_ids[first:], value=order.value[first:], last=order.last[first:]
        )
        left_out: list[str] = []
        items = self._current_items(store)
        customers = list(with_baskets(store, scorer, query, page, self._top_k, merchandising, left_out, items))
        return DueAnswer(to_iso(query.at), question.within_days, order.eligible, customers, len(left_out))

    def _current_items(self, store: Store) -> ItemTable:
        """All items; only what changed since the last question is read."""
        if self._items is None:
            self._items = ItemCache(store)
        self._items.refresh()
        return self._items.table

    def _of_item(
        self,
        stock_code: str,
        limit: int,
        query: DueQuery,
        order: DueOrder,
        store: Store,
        scorer: Scorer,
        merchandising: Merchandising,
    ) -> ItemDueAnswer:
        in_force = merchandising.at(query.at, int(self._clock()))
        item = merchandising.catalogue.get(stock_code)
        reason = unavailable_item(item, in_force.now, merchandising.unknown_stock)
        customers: list[ItemDueCustomer] = []
        if reason is None:
            items = self._current_items(store)
            for each in with_baskets(store, scorer, query, order, self._top_k, merchandising, [], items):
                for listed in each.items:
                    if listed.stock_code == stock_code:
                        expected = each.chance * listed.probability
                        customers.append(
                            ItemDueCustomer(
                                each.customer_id,
                                each.chance,
                                listed.probability,
                                round(expected, 6),
                                each.due_date,
                                each.last_purchase,
                            )
                        )
        customers.sort(key=lambda each: (-each.expected, each.customer_id))
        at = to_iso(query.at)
        return ItemDueAnswer(stock_code, at, query.within_days, order.eligible, customers[:limit], reason)
