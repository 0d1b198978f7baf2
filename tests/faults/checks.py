"""What must hold after every fault, compared with what is computed offline from the events of the topic."""

import math
import time
from collections.abc import Sequence

import msgspec

from state.domain.history import canonical_json
from state.domain.items import HALF_LIVES, ItemState, demand_at
from state.domain.recommendation import Recommendation
from state.errors import InvalidEvent
from state.events.wire import Decoder
from state.store.redis.layout import Keys
from state.store.redis.stored_customer import read_customer
from stream.pipeline.scores import Score
from tests.faults.shop import WINDOW, Lost, Record, Shop
from tests.integration import reference
from tests.integration.reference import Row
from tests.integration.topic import read_topic

DAY = 86_400
NOW = 2_000_000_000
"""A clock after every date of the events."""
REPEATS = 10
"""What a refresh has sent is looked for in Redis so often, a second apart."""


def check_all(shop: Shop) -> None:
    """Compare histories, demand, dead letters, recommendations and scores with those computed offline."""
    records = shop.records()
    rows = [row for record in records for row in record.event.rows]
    check_histories(shop, rows)
    check_demand(shop, rows)
    check_dead_letters(shop, records)
    check_recommendations(shop)
    check_scores(shop, rows)
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
    """Every purchase counts once in the demand and the baskets of its item, and nothing else does."""
    with shop.store() as store:
        now, states = store.now(), store.items().states
    held = [row for row in rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0]
    assert now == max(row.date for row in held)
    purchases = reference.purchases(rows, WINDOW)
    # An item stays, with nothing counted, where the lines of its only basket came apart and sum to 0.
    sold = {code for code, state in states.items() if state.sold}
    assert sold - purchases.uncertain == set(purchases.certain)
    for code in states.keys() - purchases.uncertain:
        _require_counted(states[code], now, purchases.certain.get(code, ()))


def _require_counted(state: ItemState, now: int, dates: Sequence[int]) -> None:
    assert state.sold == len(dates), f"{state.stock_code} was sold in {len(dates)} baskets; {state.sold} are counted"
    for half_life, counted in zip(HALF_LIVES, demand_at(state, now), strict=True):
        value = sum(0.5 ** ((now - date) / DAY / half_life) for date in dates)
        assert math.isclose(counted, value, rel_tol=1e-6, abs_tol=1e-9), (
            f"demand of {state.stock_code} at half-life {half_life}: {counted}, and not {value}"
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


def _published(shop: Shop) -> list[Recommendation]:
    """All recommendations, without the null values that a refresh sends where Redis was emptied while it published."""
    values = [message.value() for message in read_topic(shop.kafka.brokers, shop.settings.topics.recommendations)]
    return [msgspec.json.decode(value, type=Recommendation) for value in values if value is not None]


def _newest(published: Sequence[Recommendation]) -> dict[str, list[Recommendation]]:
    """The messages with the highest revision of each customer."""
    newest: dict[str, list[Recommendation]] = {}
    for one in published:
        found = newest.setdefault(one.customer_id, [one])
        if one.revision > found[0].revision:
            newest[one.customer_id] = [one]
        elif one.revision == found[0].revision:
            found.append(one)
    return newest


def check_recommendations(shop: Shop) -> None:
    """Redis has a message with the highest revision of each customer; equal revisions of a model have one id.

    A worker that processes a batch again, after a crash or for one that hangs, may send a revision again with the
    demand and the model of that time. A refresh after a change of the model may be under way: what it has sent is in
    Redis soon afterwards.
    """
    wrong, under_way = _wrong_recommendations(shop)
    for _ in range(REPEATS):
        assert not wrong, f"{len(wrong)} recommendations are wrong, the first: {sorted(wrong)[:3]}"
        if not under_way:
            return
        time.sleep(1.0)
        wrong, still = _wrong_recommendations(shop)
        under_way &= still
    raise AssertionError(f"{len(under_way)} refreshes were not saved, the first: {sorted(under_way)[:3]}")


def _wrong_recommendations(shop: Shop) -> tuple[set[str], set[str]]:
    """Sentences about what is wrong, and about what may be right as soon as a refresh has saved it."""
    with shop.store() as store:
        stored = {one.customer_id: one for one in store.recommendations()}
        revisions = dict(zip(stored, store.revisions(list(stored)), strict=True))
    newest = _newest(_published(shop))  # after Redis was read, which therefore has nothing that is not sent
    wrong = {f"{customer} has a recommendation that was never sent" for customer in set(stored) - set(newest)}
    under_way: set[str] = set()
    for customer, messages in newest.items():
        revision, found = messages[0].revision, stored.get(customer)
        behind = wrong if messages[0].trigger.refresh is None else under_way
        if len({one.rec_id for one in messages}) > len({(one.model.name, one.model.version) for one in messages}):
            wrong.add(f"{customer} has two recommendations of revision {revision}")
        if found is None or found.revision < revision:
            if shop.lost.recommendations.get(customer) != revision:
                behind.add(f"{customer} has no recommendation in Redis as new as {messages[0]}, but {found}")
        elif found not in messages:
            wrong.add(f"{customer} has {found} in Redis, and not one of {messages}")
        elif revision > revisions[customer] and customer not in shop.lost.recommendations:
            behind.add(
                f"{customer} has a recommendation of revision {revision}, and a history of {revisions[customer]}"
            )
    return wrong, under_way


def check_scores(shop: Shop, rows: Sequence[Row]) -> None:
    """Each score compares a published recommendation with an invoice, and no invoice that is to be scored has none."""
    by_id = {one.rec_id: one for one in _published(shop)}
    sent = _scores(shop)
    bought = reference.bought(rows)
    contents: dict[tuple[str, str, int], Score] = {}
    for score in sent:
        one = by_id[score.rec_id]
        assert (one.customer_id, f"{one.model.name}/{one.model.version}") == (score.customer_id, score.model), score
        content = msgspec.structs.replace(score, scored_at="")
        assert contents.setdefault((score.rec_id, score.invoice_no, score.revision), content) == content
        codes = bought[score.customer_id, score.invoice_no]
        assert 0 < score.items <= len(codes), score
        if score.items == len(codes):  # otherwise lines of the invoice came later
            _require_score(score, [item.stock_code for item in one.items], codes)
    missing = _missing_scores(shop, sent) - shop.lost.scores
    assert not missing, f"{len(missing)} invoices have no score, such as {sorted(missing)[:3]}"


def _require_score(score: Score, ranking: Sequence[str], codes: set[str]) -> None:
    hits = len(codes.intersection(ranking[:10]))
    assert score.hit_at_1 == int(ranking[0] in codes), score
    assert score.hit_at_10 == int(hits > 0), score
    assert math.isclose(score.recall_at_10, hits / len(codes), abs_tol=1e-6), score


def _scores(shop: Shop) -> list[Score]:
    return [
        msgspec.json.decode(message.value(), type=Score)
        for message in read_topic(shop.kafka.brokers, shop.settings.topics.scores)
    ]


def _missing_scores(shop: Shop, scores: Sequence[Score]) -> set[tuple[str, str]]:
    """The scores that histories note and that were not sent: (rec_id, invoice number)."""
    sent = {(score.rec_id, score.invoice_no) for score in scores}
    keys, noted = Keys(shop.settings.key_prefix), set[tuple[str, str]]()
    with shop.store() as store:
        ids = [customer_id for some in store.customer_ids() for customer_id in some]
        for customer_id, fields in zip(ids, store._read("hgetall", [keys.history(each) for each in ids]), strict=True):
            record = read_customer(customer_id, fields, None).record
            prior = record.scoring.prior
            if prior is not None:
                held = {one.invoice_no for one in record.history.invoices if one.is_purchase}
                noted |= {(prior.rec_id, number) for number in record.scoring.invoices if number in held}
    return noted - sent


def lost(shop: Shop) -> Lost:
    """What Redis does not have of all that was published, and what a rebuild did not send."""
    with shop.store() as store:
        stored = {one.customer_id: one.revision for one in store.recommendations()}
    newest = {customer: messages[0].revision for customer, messages in _newest(_published(shop)).items()}
    behind = {customer: revision for customer, revision in newest.items() if stored.get(customer, -1) < revision}
    return Lost(behind, frozenset(_missing_scores(shop, _scores(shop))) | shop.lost.scores)


def check_logs(shop: Shop) -> None:
    """No worker has logged a traceback, or what is no line of a log."""
    raw = [text for level, text in shop.messages() if level == "RAW"]
    assert not raw, "\n".join(raw[:40])
