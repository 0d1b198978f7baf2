"""Who is due: all customers by expected value within a window, the first of them with a basket.

Two passes over the store. The first predicts only the return of all customers, from their histories or from what is
stored of them (``due_summaries``). The second ranks items for the customers that are listed.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.due import DueCustomer, basket_value, chance_within, net_spending
from state.domain.history import CustomerHistory
from state.domain.recommendation import Trigger
from state.domain.rules import Merchandising
from state.events.attributes import Attributes
from state.events.dates import DAY, LAST, to_iso
from state.store.protocol import CustomerUpdate, Store
from stream.messages import Message
from stream.monitoring import Metrics
from stream.pipeline.due_summaries import Summaries, read_summaries
from stream.pipeline.event_headers import DUE_CUSTOMER, event_headers
from stream.pipeline.ports import DueSummaries, Publisher, SentDue
from stream.pipeline.recommendations import BatchContext, next_purchase, recommend
from stream.pipeline.resilient_scorer import ModelPrediction, ResilientScorer
from stream.pipeline.selector import ranking_depth, selector_for
from training.features.item_table import ItemTable
from training.serving.load import fallback_scorer
from training.serving.return_time.network import curve_after
from training.serving.scorer import HORIZONS, ReturnCurves, ReturnSurvival, Scorer

PORTION = 500
"""Histories whose return is predicted at once, and customers that are ranked, published and recorded at once."""


class DueQuery(NamedTuple):
    """Which customers are listed.

    ``at``: seconds since 1970, not before the newest event. ``within_days``: 1 to the last of ``HORIZONS``.
    ``limit``: greatest length of the list, None for all. ``min_chance``: lowest chance. ``segment``: attribute to its
    accepted values; a customer must have one of them for every attribute.
    """

    at: int
    within_days: int
    limit: int | None = None
    min_chance: float = 0.0
    segment: Mapping[str, frozenset[str]] = {}

    def accepts(self, known: Attributes) -> bool:
        """Whether a customer with these attributes is in the segment."""
        return all(known.get(key) in values for key, values in self.segment.items())


class DueList(NamedTuple):
    """The customers of a query.

    Attributes:
        customers: By falling expected value; predicted while it is read.
        read: Number of customers in the store.
        eligible: Number of those with a purchase, in the segment, whose chance is high enough.
        left_out: Filled while ``customers`` is read: those who bought since, or expired.
    """

    customers: Iterator[DueCustomer]
    read: int
    eligible: int
    left_out: list[str]


def due_customers(
    store: Store,
    scorer: Scorer,
    query: DueQuery,
    *,
    top_k: int,
    merchandising: Merchandising | None = None,
    summaries: DueSummaries | None = None,
    on_read: Callable[[int], object] = lambda number: None,
) -> DueList:
    """The customers who are likely to buy within a window, given no purchase since their last one.

    Args:
        store: Histories and items.
        scorer: The model that predicts the return and ranks the items.
        query: Which customers are listed.
        top_k: Greatest number of items of a basket.
        merchandising: The catalogue and the rules, None where there are none.
        summaries: Where the numbers of each customer are stored, so that only histories that changed since the last
            list are read. Used with a scorer that is a ``ReturnSurvival``.
        on_read: Called with the number of customers read since the last call.

    Raises:
        StoreUnavailable, StoreRefused: The store does not answer, or refuses.
    """
    if summaries is not None and isinstance(scorer, ReturnSurvival):
        found = _of_summaries(read_summaries(store, scorer, scorer.version, summaries, on_read), query)
    else:
        found = _read(store, scorer, query, on_read)
    order = found.order(query.limit)
    left_out: list[str] = []
    customers = _listed(store, scorer, query, found, order, top_k, merchandising, left_out)
    return DueList(customers, found.read, len(found.customer_ids), left_out)


def portions(customers: Iterable[DueCustomer], size: int) -> Iterator[list[DueCustomer]]:
    """The customers in lists of ``size``; the last may be shorter."""
    left = iter(customers)
    while portion := list(islice(left, size)):
        yield portion


def publish_due(customers: Sequence[DueCustomer], publisher: Publisher, topic: str, sent: SentDue, source: str) -> int:
    """Publish the customers that were not published for their day and window yet; returns their number.

    They are recorded once Kafka confirmed all of them. A crash in between sends them again, with the same ids.
    ``source`` is that of the events, see ``event_source``.

    Raises:
        PublisherUnavailable: Kafka did not confirm all; none is recorded.
    """
    if not customers:
        return 0
    day = f"{customers[0].at[:10]}:{customers[0].within_days}"
    unsent = set(sent.unsent(day, [each.customer_id for each in customers]))
    new = [each for each in customers if each.customer_id in unsent]
    if new:
        publisher.publish([_message(each, topic, source) for each in new])
        sent.record(day, [each.customer_id for each in new])
    return len(new)


def _message(one: DueCustomer, topic: str, source: str) -> Message:
    headers = event_headers(DUE_CUSTOMER, one.due_id, source=source, time=one.at, customer_id=one.customer_id)
    return Message(topic, one.customer_id.encode(), msgspec.json.encode(one), headers)


class _Found(NamedTuple):
    """Customers with a purchase in the segment, in the order of the store, columns ``[n]``."""

    read: int
    customer_ids: list[str]
    chance: NDArray[np.float64]
    value: NDArray[np.float64]
    last: NDArray[np.int64]

    def order(self, limit: int | None) -> list[int]:
        """Positions by falling expected value; of equal ones by customer id."""
        expected, ids = (self.chance * self.value).tolist(), self.customer_ids
        return sorted(range(len(ids)), key=lambda row: (-expected[row], ids[row]))[:limit]


def _read(store: Store, scorer: Scorer, query: DueQuery, on_read: Callable[[int], object]) -> _Found:
    ids: list[str] = []
    chances: list[float] = []
    spending: list[float] = []
    purchases: list[int] = []
    last: list[int] = []
    read, shop_spending, shop_purchases = 0, 0.0, 0
    histories = store.histories()
    while portion := list(islice(histories, PORTION)):
        read += len(portion)
        bought = []
        for history in portion:
            if dates := history.purchase_dates:
                spent = net_spending(history)
                shop_spending += spent
                shop_purchases += len(dates)
                if query.accepts(history.attributes):
                    bought.append((history, dates, spent))
        if bought:
            curves = _curves(scorer, [history for history, _, _ in bought], query.at)
            for (history, dates, spent), curve in zip(bought, curves.tolist(), strict=True):
                chance = chance_within(curve, HORIZONS, query.within_days)
                if chance >= query.min_chance:
                    ids.append(history.customer_id)
                    chances.append(chance)
                    spending.append(spent)
                    purchases.append(len(dates))
                    last.append(dates[-1])
        on_read(len(portion))
    shop_mean = shop_spending / shop_purchases if shop_purchases else 0.0
    value = [basket_value(one, number, shop_mean) for one, number in zip(spending, purchases, strict=True)]
    return _Found(read, ids, np.asarray(chances), np.asarray(value), np.asarray(last, np.int64))


def _of_summaries(summaries: Summaries, query: DueQuery) -> _Found:
    """The customers of a query from what is stored of all."""
    has_bought = summaries.purchases > 0
    spending, purchases = summaries.spending[has_bought], summaries.purchases[has_bought]
    shop_mean = float(spending.sum() / purchases.sum()) if len(purchases) else 0.0
    rows = np.asarray(
        [row for row in np.flatnonzero(has_bought).tolist() if query.accepts(summaries.attributes[row])], np.int64
    )
    passed = np.maximum(query.at - summaries.last[rows], 0) / DAY
    curves = curve_after(summaries.survival[rows], passed)
    chance = np.asarray([chance_within(curve, HORIZONS, query.within_days) for curve in curves.tolist()], np.float64)
    rows, chance = rows[chance >= query.min_chance], chance[chance >= query.min_chance]
    pairs = zip(summaries.spending[rows].tolist(), summaries.purchases[rows].tolist(), strict=True)
    value = np.asarray([basket_value(one, number, shop_mean) for one, number in pairs], np.float64)
    ids = [summaries.customer_ids[row] for row in rows.tolist()]
    return _Found(len(summaries.customer_ids), ids, chance, value, summaries.last[rows])


def _curves(scorer: Scorer, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
    if isinstance(scorer, ReturnCurves):
        return scorer.return_curves(histories, now)
    return np.asarray([each.return_curve for each in scorer.predict(histories, ItemTable(), now, 1)])


def _listed(
    store: Store,
    scorer: Scorer,
    query: DueQuery,
    found: _Found,
    order: Sequence[int],
    top_k: int,
    merchandising: Merchandising | None,
    left_out: list[str],
) -> Iterator[DueCustomer]:
    items = ItemTable(store.items().states.values())
    demand = items.demand(query.at)
    resilient = ResilientScorer(lambda: scorer, fallback_scorer(), Metrics())
    context = BatchContext(
        now=query.at,
        generated_at=to_iso(query.at),
        items=items,
        demand=demand,
        valid_days=query.within_days,
        top_k=top_k,
        selector=selector_for(merchandising, query.at, items, demand),
    )
    for start in range(0, len(order), PORTION):
        positions = order[start : start + PORTION]
        states = store.customers([found.customer_ids[position] for position in positions])
        present: list[tuple[int, CustomerHistory]] = []
        for position, state in zip(positions, states, strict=True):
            if state is None or state.history.purchase_dates[-1:] != [int(found.last[position])]:
                left_out.append(found.customer_ids[position])
            else:
                present.append((position, state.history))
        histories = [history for _, history in present]
        curves = _curves(scorer, histories, query.at).tolist() if histories else []
        predictions = resilient.predict(histories, items, query.at, ranking_depth(top_k, merchandising))
        for (position, history), curve, prediction in zip(present, curves, predictions, strict=True):
            value = float(found.value[position])
            yield _due_customer(history, curve, value, prediction, query, context)


def _due_customer(
    history: CustomerHistory,
    curve: Sequence[float],
    value: float,
    predicted: ModelPrediction,
    query: DueQuery,
    context: BatchContext,
) -> DueCustomer:
    update = CustomerUpdate(history=history, revision=0, published=0, changed=False, last=None, priors=[])
    made = recommend(update, predicted.prediction, predicted.model, Trigger(), context)
    dates = history.purchase_dates
    chance = chance_within(curve, HORIZONS, query.within_days)
    at = to_iso(query.at)
    return DueCustomer(
        due_id=due_id(history.customer_id, at[:10], query.within_days),
        customer_id=history.customer_id,
        at=at,
        within_days=query.within_days,
        valid_until=to_iso(min(LAST, query.at + query.within_days * DAY)),
        chance=round(chance, 4),
        due_date=next_purchase(curve, query.at).median,
        last_purchase=to_iso(dates[-1]),
        days_since=max(0, query.at - dates[-1]) // DAY,
        purchases=len(dates),
        basket_value=round(value, 2),
        expected_value=round(chance * value, 2),
        model=predicted.model,
        items=made.items if made else [],
        rules=made.rules if made else None,
        attributes=history.attributes,
    )


def due_id(customer_id: str, day: str, within_days: int) -> str:
    """The id of a due customer; a message that is sent twice has the same id."""
    return hashlib.blake2b(f"{customer_id}\0{day}\0{within_days}".encode(), digest_size=12).hexdigest()
