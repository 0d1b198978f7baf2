"""What must hold after every fault, compared with what is computed offline from the events of the topic."""

import json
import math
import random
from collections.abc import Sequence

import msgspec

from state.domain.history import CustomerHistory, add_invoice, canonical_json
from state.domain.items import HALF_LIVES, demand_at
from state.domain.recommendation import ModelVersion, Recommendation
from state.errors import InvalidEvent
from state.events.dates import to_iso
from state.events.wire import Decoder
from state.store.protocol import CustomerUpdate
from stream.pipeline.recommendations import BatchContext, recommend
from tests.faults.shop import WINDOW, Record, Shop
from tests.integration import reference
from tests.integration.reference import Row
from tests.integration.storefront import Event
from tests.integration.topic import read_topic
from training.features.item_table import ItemTable
from training.serving.load import FALLBACK, fallback_scorer, load_scorer
from training.serving.scorer import Prediction, Scorer

TIED = 40
"""Candidates more than a list has, because any of nearly equal probability may be its last one."""
ROUNDING = 2e-6
NOW = 2_000_000_000
"""A clock after every date of the events."""


def check_all(shop: Shop) -> None:
    """Compare histories, demand, dead letters and recommendations with those computed offline."""
    records = shop.records()
    rows = [row for record in records for row in record.event.rows]
    check_histories(shop, rows)
    check_demand(shop, rows)
    check_dead_letters(shop, records)
    check_recommendations(shop)
    check_logs(shop)


def check_histories(shop: Shop, rows: Sequence[Row]) -> None:
    """The histories are those of an independent implementation, byte for byte."""
    differing = _differing_histories(shop, rows)
    assert not differing, f"{len(differing)} histories differ, the first: {differing[:2]}"


def histories_differ(shop: Shop) -> bool:
    """Whether a history is not the one of the events."""
    return bool(_differing_histories(shop, shop.rows()))


def _differing_histories(shop: Shop, rows: Sequence[Row]) -> list[bytes]:
    with shop.store() as store:
        lines = {history.customer_id: canonical_json(history) for history in store.histories()}
    found = [line for _, line in sorted(lines.items()) if line]
    expected = reference.histories(rows, WINDOW)
    return [] if found == expected else sorted(set(found) ^ set(expected))


def check_demand(shop: Shop, rows: Sequence[Row]) -> None:
    """Every purchase counts once in the demand of its item."""
    with shop.store() as store:
        now, states = store.now(), store.items().states
    held = [row for row in rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0]
    assert now == max(row.date for row in held)
    for index, half_life in enumerate(HALF_LIVES):
        for code, value in reference.demand(rows, WINDOW, now, half_life).items():
            counted = demand_at(states[code], now)[index]
            assert math.isclose(counted, value, rel_tol=1e-6, abs_tol=1e-9), (
                f"demand of {code} at half-life {half_life}: {counted}, and not {value}"
            )


def check_dead_letters(shop: Shop, records: Sequence[Record]) -> None:
    """Each invalid event is a dead letter with its bytes and its reason, and no valid one is."""
    decoder = Decoder(shop.settings)
    invalid = {
        (record.partition, record.offset, record.event.value): record for record in records if not record.event.valid
    }
    found = set()
    for letter in read_topic(shop.kafka.brokers, shop.settings.topics.dead_letter):
        headers = {name: value.decode() for name, value in letter.headers()}
        position = int(headers["source-partition"]), int(headers["source-offset"]), letter.value()
        assert position in invalid, f"a valid event is in the dead letters: {headers}"
        assert letter.key() == invalid[position].key
        assert headers["reason"] == _reason(decoder, letter.value()), headers
        found.add(position)
    assert found == set(invalid), f"{len(invalid) - len(found)} invalid events are no dead letters"


def _reason(decoder: Decoder, value: bytes | None) -> str:
    try:
        decoder.decode(value, now=NOW)
    except InvalidEvent as error:
        return str(error)
    raise AssertionError(f"the decoder accepts {value!r}")


def check_recommendations(shop: Shop) -> None:
    """Redis has a message with the highest revision of each customer; equal revisions have one id.

    A worker that processes a batch again, after a crash, may send a revision again with the demand of that time.
    """
    published: dict[str, list[Recommendation]] = {}
    for message in read_topic(shop.kafka.brokers, shop.settings.topics.recommendations):
        one = msgspec.json.decode(message.value(), type=Recommendation)
        newest = published.setdefault(one.customer_id, [one])
        if one.revision == newest[0].revision:
            newest.append(one)
        elif one.revision > newest[0].revision:
            published[one.customer_id] = [one]
    with shop.store() as store:
        stored = {one.customer_id: one for one in store.recommendations()}
    assert set(stored) <= set(published)
    for customer, newest in published.items():
        assert len({one.rec_id for one in newest}) == 1, f"{customer} has two recommendations of one revision"
        if customer not in stored or stored[customer].revision < newest[0].revision:
            assert shop.lossy, f"Redis has not the newest recommendation of {customer}"
        else:
            assert stored[customer] in newest, f"Redis has {stored[customer]}, and not one of {newest}"


def check_logs(shop: Shop) -> None:
    """No worker has logged a traceback, or what is no line of a log."""
    raw = [text for level, text in shop.messages() if level == "RAW"]
    assert not raw, "\n".join(raw[:40])


def last_events(shop: Shop, rng: random.Random) -> list[Event]:
    """A return of each customer, dated as the newest purchase: new revisions, and the demand of no item changes."""
    rows = [row for row in shop.rows() if row.product and row.quantity != 0 and row.price > 0]
    date = max(row.date for row in rows if row.customer_id)
    events = []
    for customer in sorted({row.customer_id for row in rows if row.customer_id}):
        sold = rng.choice([row for row in rows if row.quantity > 0])
        returned = Row(f"return-{customer}", customer, date, sold.stock_code, None, -sold.quantity, sold.price)
        content = {
            "invoice_no": returned.invoice_no,
            "customer_id": customer,
            "invoice_date": to_iso(date),
            "lines": [
                {
                    "stock_code": returned.stock_code,
                    "quantity": float(returned.quantity),
                    "unit_price": returned.price,
                }
            ],
        }
        events.append(Event(json.dumps(content).encode(), customer.encode(), rows=(returned,)))
    return events


def check_recommendations_offline(shop: Shop) -> None:
    """Each recommendation is the one of the history computed offline, while no demand changed since ``last_events``."""
    histories = _offline_histories(shop)
    with shop.store() as store:
        changes = store.items()
        stored = {one.customer_id: one for one in store.recommendations()}
        revisions = dict(zip(histories, store.revisions(list(histories)), strict=True))
    assert set(stored) == set(histories)
    table, now = ItemTable(changes.states.values()), changes.now or 0
    context = BatchContext(
        now=now,
        generated_at="",
        items=table,
        demand=table.demand(now),
        valid_days=shop.settings.valid_days,
        top_k=shop.settings.top_k,
    )
    (used,) = {one.model for customer, one in stored.items() if one.revision == revisions[customer]}
    scorer = _scorer(shop, used)
    predictions = scorer.predict(list(histories.values()), table, now, shop.settings.top_k + TIED)
    for (customer, history), prediction in zip(histories.items(), predictions, strict=True):
        saved, revision = stored[customer], revisions[customer]
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


def _offline_histories(shop: Shop) -> dict[str, CustomerHistory]:
    decoder, histories = Decoder(shop.settings), dict[str, CustomerHistory]()
    for record in shop.records():
        if record.event.valid:
            invoice = decoder.decode(record.event.value, now=NOW)
            if invoice.customer_id is not None and invoice.lines:
                before = histories.get(invoice.customer_id, CustomerHistory(invoice.customer_id))
                histories[invoice.customer_id] = add_invoice(before, invoice, WINDOW).history
    return histories


def _scorer(shop: Shop, model: ModelVersion) -> Scorer:
    if model.name == FALLBACK and model.version == fallback_scorer().version:
        return fallback_scorer()
    return load_scorer(shop.registry.open(model.version))
