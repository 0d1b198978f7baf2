"""Who is due: all customers by expected value within a window, the first of them with a basket.

Two passes. The first predicts only the return of all customers, from the index (``due_index``) or their histories. The
second ranks items for the customers that are listed.
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
from state.store.protocol import CustomerUpdate, DueIndex, Store
from stream.messages import Message
from stream.monitoring import Metrics
from stream.pipeline.due_index import (
    PORTION,
    DueColumns,
    complete_index,
    read_attributes,
    read_columns,
)
from stream.pipeline.event_headers import DUE_CUSTOMER, event_headers
from stream.pipeline.ports import Publisher, SentDue
from stream.pipeline.recommendations import BatchContext, next_purchase, recommend
from stream.pipeline.resilient_scorer import ModelPrediction, ResilientScorer
from stream.pipeline.selector import needs_further, ranking_depth, selector_for
from training.features.item_table import ItemTable
from training.serving.load import fallback_scorer
from training.serving.return_time.network import curve_after
from training.serving.scorer import HORIZONS, ReturnCurves, ReturnSurvival, Scorer


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
    index: DueIndex | None = None,
    on_read: Callable[[int], object] = lambda number: None,
) -> DueList:
    """The customers who are likely to buy within a window, given no purchase since their last one.

    Args:
        store: Histories and items.
        scorer: The model that predicts the return and ranks the items.
        query: Which customers are listed.
        top_k: Greatest number of items of a basket.
        merchandising: The catalogue and the rules, None where there are none.
        index: The numbers of each customer, so that no history is read. Used with a scorer that is a
            ``ReturnSurvival``.
        on_read: Called with the number of customers read or compared since the last call.

    Raises:
        StoreUnavailable, StoreRefused: The store does not answer, or refuses.
    """
    if index is not None and isinstance(scorer, ReturnSurvival):
        columns = read_columns(index, with_rest=bool(query.segment))
        columns = complete_index(store, scorer, index, columns, on_read)
        found = due_order(columns, query)
    else:
        found = read_order(store, scorer, query, on_read)
    left_out: list[str] = []
    customers = with_baskets(store, scorer, query, found, top_k, merchandising, left_out)
    return DueList(customers, found.read, found.eligible, left_out)


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


class DueOrder(NamedTuple):
    """The customers of a query by falling expected value, of equal ones by id; no more than its limit.

    ``read``: customers in the store · ``eligible``: those that match, listed or not · ``value``: of a basket ``[n]`` ·
    ``last``: date of the newest purchase ``[n]``.
    """

    read: int
    eligible: int
    customer_ids: list[str]
    value: NDArray[np.float64]
    last: NDArray[np.int64]


def ordered(
    read: int,
    customer_ids: Sequence[str],
    expected: NDArray[np.float64],
    value: NDArray[np.float64],
    last: NDArray[np.int64],
    limit: int | None,
) -> DueOrder:
    """The first of some customers by falling ``expected``; the others as in ``DueOrder``."""
    number = len(customer_ids)
    candidates = np.arange(number)
    if limit is not None and limit < number:
        lowest = np.partition(expected, number - limit)[number - limit]
        candidates = np.flatnonzero(expected >= lowest)
    pairs = zip((-expected[candidates]).tolist(), candidates.tolist(), strict=True)
    rows = [row for _, _, row in sorted((negative, customer_ids[row], row) for negative, row in pairs)][:limit]
    return DueOrder(read, number, [customer_ids[row] for row in rows], value[rows], last[rows])


def read_order(store: Store, scorer: Scorer, query: DueQuery, on_read: Callable[[int], object]) -> DueOrder:
    """The customers of a query from all histories, for a model whose return is not in the index."""
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
            curves = return_curves(scorer, [history for history, _, _ in bought], query.at)
            for (history, dates, spent), curve in zip(bought, curves.tolist(), strict=True):
                chance = chance_within(curve, HORIZONS, query.within_days)
                if chance >= query.min_chance:
                    ids.append(history.customer_id)
                    chances.append(chance)
                    spending.append(spent)
                    purchases.append(len(dates))
                    last.append(dates[-1])
        on_read(len(portion))
    mean = shop_spending / shop_purchases if shop_purchases else 0.0
    value = [basket_value(one, number, mean) for one, number in zip(spending, purchases, strict=True)]
    values = np.asarray(value, np.float64)
    expected = np.asarray(chances, np.float64) * values
    return ordered(read, ids, expected, values, np.asarray(last, np.int64), query.limit)


def due_order(columns: DueColumns, query: DueQuery) -> DueOrder:
    """The customers of a query by the columns of the index; with a segment these must have the attributes."""
    has_bought = columns.rows["purchases"] > 0
    spending, purchases = columns.rows["spending"], columns.rows["purchases"].astype(np.float64)
    matches = has_bought
    if query.segment:
        rests = columns.rests or ()
        accepted = (query.accepts(read_attributes(rest)) for rest in rests)
        matches = has_bought & np.fromiter(accepted, np.bool_, len(rests))
    rows = np.flatnonzero(matches)
    chance = chances_within(columns.rows["survival"][rows], columns.rows["last"][rows], query)
    rows, chance = rows[chance >= query.min_chance], chance[chance >= query.min_chance]
    ids = [columns.customer_ids[row] for row in rows.tolist()]
    value = basket_value(spending[rows], purchases[rows], shop_mean(columns))
    return ordered(len(columns.customer_ids), ids, chance * value, value, columns.rows["last"][rows], query.limit)


def shop_mean(columns: DueColumns) -> float:
    """Mean basket value of all customers with a purchase; 0 where there are none."""
    purchases = columns.rows["purchases"]
    bought = float(purchases.sum())
    return float(columns.rows["spending"][purchases > 0].sum() / bought) if bought else 0.0


def chances_within(survival: NDArray[np.float32], last: NDArray[np.int64], query: DueQuery) -> NDArray[np.float64]:
    """The chance of each customer within the window of a query.

    Args:
        survival: As the index has it, without the first edge ``[customers, edges - 1]``.
        last: Date of the newest purchase ``[customers]``.
        query: The window.
    """
    survival = np.concatenate([np.zeros((len(survival), 1), np.float32), survival], axis=1)
    passed = np.maximum(query.at - last, 0) / DAY
    after = next(position for position, days in enumerate(HORIZONS) if days >= query.within_days)
    if after == 0:
        return curve_after(survival, passed, HORIZONS[:1])[:, 0] * query.within_days / HORIZONS[0]
    left, right = HORIZONS[after - 1 : after + 1]
    low, high = curve_after(survival, passed, (left, right)).T
    chance: NDArray[np.float64] = low + (high - low) * (query.within_days - left) / (right - left)
    return chance


def return_curves(scorer: Scorer, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
    """Probability of a return within each of ``HORIZONS`` days of ``now``, by any model."""
    if isinstance(scorer, ReturnCurves):
        return scorer.return_curves(histories, now)
    return np.asarray([each.return_curve for each in scorer.predict(histories, ItemTable(), now, 1)])


def with_baskets(
    store: Store,
    scorer: Scorer,
    query: DueQuery,
    found: DueOrder,
    top_k: int,
    merchandising: Merchandising | None,
    left_out: list[str],
    items: ItemTable | None = None,
) -> Iterator[DueCustomer]:
    """The customers of an order, each with a basket; ``left_out`` gets those who bought since, or expired.

    ``items``: all items, where they were read already.
    """
    if items is None:
        items = ItemTable(store.items().states.values())
    demand = items.decayed_demand(query.at)
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
    depth, further = ranking_depth(top_k, merchandising), needs_further(merchandising)
    for start in range(0, len(found.customer_ids), PORTION):
        positions = range(start, min(start + PORTION, len(found.customer_ids)))
        states = store.customers([found.customer_ids[position] for position in positions])
        present: list[tuple[int, CustomerHistory]] = []
        for position, state in zip(positions, states, strict=True):
            if state is None or state.history.purchase_dates[-1:] != [int(found.last[position])]:
                left_out.append(found.customer_ids[position])
            else:
                present.append((position, state.history))
        histories = [history for _, history in present]
        curves = return_curves(scorer, histories, query.at).tolist() if histories else []
        predictions = resilient.predict(histories, items, query.at, depth, further=further)
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
