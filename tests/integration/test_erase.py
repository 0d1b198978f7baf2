"""``nextbasket erase`` and ``merge``: nothing names the person any more, and nothing brings them back."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from redis import Redis

from state.settings import Settings
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 90.0
KEY = "0123456789abcdef" * 4
ANNA, ANNA_BEFORE = "anna-4711", "till-customer-4712"
TRACES = (ANNA.encode(), ANNA_BEFORE.encode(), b"ANNAS-INVOICE")
"""Her ids, and how the numbers of her invoices begin."""

pytestmark = [pytest.mark.timeout(300)]


def events() -> list[dict[str, Any]]:
    """Invoices of Anna under both ids, and of others, over the same items."""
    found = []
    for number in range(120):
        customer = (ANNA, ANNA_BEFORE, *(f"c{n}" for n in range(10)))[number % 12]
        name = "ANNAS-INVOICE" if number % 12 < 2 else "invoice"
        date = f"2011-{number % 12 + 1:02d}-{number % 28 + 1:02d}T10:00:00Z"
        found.append(invoice(f"{name}-{number}", customer, date, f"A{number % 7}", f"B{number % 5}"))
    return found


def send(kafka: Service, topic: str, some: list[dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    for event in some:
        producer.produce(topic, json.dumps(event).encode(), str(event["customer_id"]).encode())
    assert producer.flush(30) == 0


def contents(client: Any, key: bytes) -> Iterator[bytes]:
    """The key, and every byte string under it."""
    yield key
    kind = client.type(key)
    if kind == b"string":
        yield client.get(key)
    elif kind == b"hash":
        yield from (each for pair in client.hgetall(key).items() for each in pair)
    elif kind == b"zset":
        yield from client.zrange(key, 0, -1)
    elif kind == b"set":
        yield from client.smembers(key)
    elif kind == b"stream":
        yield from (each for _, fields in client.xrange(key) for each in fields.values())


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes, and what they are where they are compressed."""
    yield content
    for bits in (zlib.MAX_WBITS, zlib.MAX_WBITS | 16, -zlib.MAX_WBITS):
        try:
            yield zlib.decompress(content, bits)
        except zlib.error:
            continue


def found_in_redis(redis: Service, settings: Settings) -> list[bytes]:
    """The keys that name Anna, or hold something that does."""
    with Redis.from_url(redis.address) as client:
        return [
            key
            for key in client.scan_iter(f"{settings.key_prefix}*", count=1_000)
            if any(trace in text for content in contents(client, key) for text in unpacked(content) for trace in TRACES)
        ]


def found_in(kafka: Service, topic: str) -> list[Any]:
    """The records of a topic that name Anna, in key, value or headers."""
    return [
        record
        for record in read_topic(kafka.address, topic)
        if any(
            trace in (content or b"")
            for content in (record.key(), record.value(), *(value for _, value in record.headers() or ()))
            for trace in TRACES
        )
    ]


@pytest.fixture
def shop(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return environment | {"NEXTBASKET_ERASURE_KEY": KEY}


def test_an_erased_customer_is_nowhere_in_redis_and_stays_away(
    shop: dict[str, str], settings: Settings, kafka: Service, redis: Service, tmp_path: Path
) -> None:
    topic = settings.topics.invoices
    worker = Worker(shop, tmp_path / "worker.log")
    group = Group(kafka.address, settings.group, topic)
    sent = events()
    receipt = tmp_path / "receipt.json"

    def processed(count: int) -> None:
        wait_until(lambda: group.done() >= count, f"{count} events are processed", LIMIT_S)

    try:
        worker.start()
        wait_until(lambda: group.members() > 0, "the worker has its partitions", LIMIT_S)
        send(kafka, topic, sent)
        nextbasket(shop, "merge", ANNA_BEFORE, ANNA)
        processed(len(sent) + 1)
        assert found_in_redis(redis, settings)
        merged = nextbasket(shop, "show", ANNA)
        assert "20 invoices" in merged or "ANNAS-INVOICE-1" in merged
        others = [line for line in nextbasket(shop, "export", "histories").splitlines() if ANNA not in line]
        assert len(others) == 10
        printed = nextbasket(shop, "erase", ANNA_BEFORE, "--receipt", str(receipt))
        assert "of 2 ids" in printed
        assert "genuine" in nextbasket(shop, "erase", ANNA, "--verify", str(receipt))
        assert found_in_redis(redis, settings) == []
        send(kafka, topic, sent)  # as a reset of offsets does
        processed(2 * len(sent) + 1)
        assert found_in_redis(redis, settings) == []
        assert nextbasket(shop, "export", "histories").splitlines() == others
        recommended = {record.key(): record for record in read_topic(kafka.address, settings.topics.recommendations)}
        assert recommended[ANNA.encode()].value() is None
        assert recommended[ANNA_BEFORE.encode()].value() is None
        assert found_in(kafka, settings.topics.customers)[-1].value() is None  # the tombstone of the merge
        assert worker.stop() == 0
    finally:
        group.close()
        worker.end()
    with Redis.from_url(redis.address) as client:
        client.unlink(*client.scan_iter(f"{settings.key_prefix}*", count=1_000))
    nextbasket(shop, "rebuild")
    assert found_in_redis(redis, settings) == []
    assert nextbasket(shop, "export", "histories").splitlines() == others
