"""Recommendations computed offline, while the demand of no item changes."""

import json
import random
import re
from collections.abc import Collection, Iterable

import msgspec

from state.domain.history import CustomerHistory, add_invoice
from state.domain.recommendation import ModelVersion, Recommendation
from state.events.dates import to_iso
from state.events.wire import Decoder
from state.store.protocol import CustomerUpdate
from stream.pipeline.recommendations import BatchContext, recommend
from tests.faults.checks import NOW
from tests.faults.shop import STALL_S, WINDOW, Record, Shop
from tests.integration import reference
from tests.integration.reference import Row
from tests.integration.storefront import Event
from tests.services.group import wait_until
from training.features.item_table import ItemTable
from training.serving.load import fallback_scorer, load_scorer
from training.serving.scorer import Prediction

ASKED = 25
"""Customers whose recommendations are compared after a step."""
TIED = 40
"""Candidates more than a list has, because any of nearly equal probability may be its last one."""
ROUNDING = 2e-6


def check_recommendations_offline(shop: Shop, rng: random.Random, *, every: bool = False) -> None:
    """Send returns, which change histories and the demand of no item; compare the recommendations that come of it.

    Args:
        shop: Has processed all events.
        rng: Draws the customers.
        every: Ask for all customers, as the last check; otherwise for some.
    """
    _wait_for_model(shop)
    rows = shop.rows()
    returns = _returns(rows, _all(rows) if every else _some(rows, rng), rng, "last" if every else "probe")
    shop.send([_event(row) for row in returns], rng, 0.0)
    shop.settle()
    _compare_all(shop, [str(row.customer_id) for row in returns], every=every)


def _all(rows: Iterable[Row]) -> list[str]:
    return sorted(reference.customers(rows))


def _some(rows: Iterable[Row], rng: random.Random) -> list[str]:
    """Some customers whose window has room for an invoice more."""
    numbers: dict[str, set[str]] = {}
    for row in rows:
        if row.customer_id:
            numbers.setdefault(row.customer_id, set()).add(row.invoice_no)
    room = sorted(each for each in reference.customers(rows) if len(numbers[each]) < WINDOW - 1)
    return rng.sample(room, min(ASKED, len(room)))


def _returns(rows: Collection[Row], customers: Iterable[str], rng: random.Random, name: str) -> list[Row]:
    """A return of each customer, in one invoice for all that has this name, dated as the newest purchase was then."""
    sales = [row for row in rows if row.product and row.quantity > 0 and row.price > 0]
    newest = max(row.date for row in rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0)
    dates = {row.invoice_no: row.date for row in rows}
    returns = []
    for customer in customers:
        number, sold = f"{name}-{customer}", rng.choice(sales)
        date = dates.get(number, newest)
        line_id = str(rng.randrange(10**9))
        returns.append(Row(number, customer, date, sold.stock_code, None, -sold.quantity, sold.price, line_id))
    return returns


def _event(row: Row) -> Event:
    content = {
        "invoice_no": row.invoice_no,
        "customer_id": row.customer_id,
        "invoice_date": to_iso(row.date),
        "lines": [
            {
                "stock_code": row.stock_code,
                "quantity": float(row.quantity),
                "unit_price": row.price,
                "line_id": row.line_id,
            }
        ],
    }
    return Event(json.dumps(content).encode(), str(row.customer_id).encode(), rows=(row,))


def _wait_for_model(shop: Shop) -> None:
    """Wait until each worker serves the version that is promoted."""
    version = shop.registry.current()
    if version is not None:
        for worker in shop.workers:
            wait_until(
                lambda worker=worker: bool(  # type: ignore[misc]
                    re.search(rf'^nextbasket_model_info{{.*version="{version}"}} 1', worker.get("metrics")[1], re.M)
                ),
                f"the worker of {worker.log} serves {version}",
                STALL_S,
                shop.alive,
            )


def _compare_all(shop: Shop, customers: Collection[str], *, every: bool) -> None:
    """Each recommendation of these customers is the one of the history computed offline, by the promoted model."""
    histories = _histories(Decoder(shop.settings), shop.records(), set(customers))
    with shop.store() as store:
        changes = store.items()
        stored = {one.customer_id: one for one in store.recommendations()}
        revisions = dict(zip(histories, store.revisions(list(histories)), strict=True))
    assert set(histories) == set(customers)
    assert set(histories) <= set(stored), f"{set(histories) - set(stored)} have no recommendation"
    assert not every or set(stored) == set(histories)
    table, now = ItemTable(changes.states.values()), changes.now or 0
    context = BatchContext(
        now=now,
        generated_at="",
        items=table,
        demand=table.decayed_demand(now),
        valid_days=shop.settings.valid_days,
        top_k=shop.settings.top_k,
    )
    version = shop.registry.current()
    scorer = fallback_scorer() if version is None else load_scorer(shop.registry.open(version))
    used = ModelVersion(scorer.name, scorer.version)
    predictions = scorer.predict(list(histories.values()), table, now, shop.settings.top_k + TIED)
    for (customer, history), prediction in zip(histories.items(), predictions, strict=True):
        saved, revision = stored[customer], revisions[customer]
        assert saved.model == used, f"{customer} has a recommendation by {saved.model}, and not by {used}"
        update = CustomerUpdate(history, revision, revision, True, None, [])
        offline = recommend(update, prediction, used, saved.trigger, context)
        assert offline is not None
        _compare(saved, offline, prediction, newest=saved.revision == revision)


def _compare(saved: Recommendation, offline: Recommendation, prediction: Prediction, *, newest: bool) -> None:
    """Compare two recommendations. Items may be exchanged only where probabilities differ in their last digits.

    One that is not ``newest`` was not sent again because its items, its dates and its model did not change.
    """
    chances = {candidate.stock_code: candidate.probability for candidate in prediction.candidates}
    pairs = zip(saved.items, offline.items, strict=True)
    assert all(
        one.stock_code == other.stock_code or 0.0 < abs(chances[one.stock_code] - chances[other.stock_code]) < ROUNDING
        for one, other in pairs
    ), f"{saved.customer_id} has {_codes(saved)}, and not {_codes(offline)}"
    dates = [
        (one.next_purchase.earliest, one.next_purchase.median, one.next_purchase.latest) for one in (saved, offline)
    ]
    assert dates[0] == dates[1], f"{saved.customer_id} has the dates {dates[0]}, and not {dates[1]}"
    if newest:
        items = {item.stock_code: item for item in offline.items}
        for item in saved.items:
            assert items.get(item.stock_code, item) == item
            assert abs(item.probability - chances[item.stock_code]) < ROUNDING
        assert saved == msgspec.structs.replace(offline, generated_at=saved.generated_at, items=saved.items)


def _codes(one: Recommendation) -> list[tuple[str, float]]:
    return [(item.stock_code, item.probability) for item in one.items]


def _histories(decoder: Decoder, records: Iterable[Record], customers: Collection[str]) -> dict[str, CustomerHistory]:
    """The histories of some customers, by the pure functions."""
    histories: dict[str, CustomerHistory] = {}
    for record in records:
        if record.event.rows and record.event.rows[0].customer_id in customers:
            invoice = decoder.decode(record.event.value, now=NOW)
            if invoice.customer_id is not None and invoice.lines:
                before = histories.get(invoice.customer_id, CustomerHistory(invoice.customer_id))
                histories[invoice.customer_id] = add_invoice(before, invoice, WINDOW).history
    return histories
