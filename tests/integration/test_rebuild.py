"""``nextbasket rebuild``: what Redis lost is the same again, byte for byte."""

import csv
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from redis import Redis

from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.kafka.topics import ensure_topics
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 90.0
CUSTOMERS = 30
COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]

pytestmark = [pytest.mark.timeout(300), pytest.mark.durable]


@pytest.fixture
def producer(kafka: Service) -> Producer:
    return Producer({"bootstrap.servers": kafka.address, "log_level": 0})


def events() -> list[dict[str, Any] | bytes]:
    """Lines apart, twice, in disorder, returns, and invalid ones."""
    found: list[dict[str, Any] | bytes] = []
    for number in range(400):
        customer = f"c{number % CUSTOMERS}"
        date = f"2011-{number % 12 + 1:02d}-{number % 28 + 1:02d}T10:00:00Z"
        event = invoice(str(number), customer, date, f"A{number % 17}", f"B{number % 5}", quantity=1 + number % 4)
        found.append(event)
        if number % 7 == 0:
            found.append(event)
        if number % 11 == 0:
            found.append(invoice(f"r{number}", customer, date, f"A{number % 17}", quantity=-1))
        if number % 50 == 0:
            found.append(b"no JSON")
    return found[::-1]


def send(producer: Producer, topic: str, some: list[dict[str, Any] | bytes]) -> None:
    for event in some:
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        producer.produce(topic, value, None if isinstance(event, bytes) else str(event["customer_id"]).encode())
        producer.poll(0)
    assert producer.flush(30) == 0


def empty(redis: Service, settings: Settings) -> None:
    """Redis loses the keys of the namespace, as FLUSHALL would do for all."""
    with Redis.from_url(redis.address) as client:
        keys = list(client.scan_iter(f"{settings.key_prefix}*", count=1000))
        assert len(keys) > CUSTOMERS
        client.unlink(*keys)


def exported(variables: dict[str, str]) -> str:
    return nextbasket(variables, "export", "histories")


def test_lost_histories_are_rebuilt_byte_for_byte(
    environment: dict[str, str],
    settings: Settings,
    kafka: Service,
    redis: Service,
    producer: Producer,
    tmp_path: Path,
) -> None:
    ensure_topics(settings)
    sent = events()
    send(producer, settings.topics.invoices, sent)
    aborted = Producer({"bootstrap.servers": kafka.address, "log_level": 0, "transactional.id": settings.group})
    aborted.init_transactions(30)
    aborted.begin_transaction()
    send(aborted, settings.topics.invoices, [invoice("never", "c1", "2011-12-01T10:00:00Z", "A1")])
    aborted.abort_transaction(30)
    worker = Worker(environment, tmp_path / "worker.log")
    worker.start()
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    try:
        wait_until(lambda: group.done() >= len(sent), "all events are processed", LIMIT_S)
        before = exported(environment)
        assert len(before.splitlines()) == CUSTOMERS
        empty(redis, settings)
        printed = nextbasket(environment, "rebuild")  # while the worker runs
        assert exported(environment) == before
        assert f"Topic {settings.topics.invoices}: {len(sent)} events; " in printed
        assert "8 invalid events" in printed
        assert "histories of 30 customers" in printed
        printed = nextbasket(environment, "rebuild")
        assert "; 0 lines restored" in printed
        assert exported(environment) == before
        with pytest.raises(AssertionError, match="Stop the workers first"):
            nextbasket(environment, "rebuild", "--from-scratch")
        assert exported(environment) == before
        assert worker.stop() == 0
    finally:
        group.close()
        worker.end()
    empty(redis, settings)
    nextbasket(environment, "rebuild")
    assert exported(environment) == before
    counted = baskets(settings)
    with Redis.from_url(redis.address) as client:  # a node of a Cluster is lost, and not the one of the items
        lost = list(client.scan_iter(f"{settings.key_prefix}h:*"))[::2]
        client.unlink(*lost)
    nextbasket(environment, "rebuild", "--from-scratch")
    assert exported(environment) == before
    assert baskets(settings) == counted


def baskets(settings: Settings) -> dict[str, int]:
    """The number of baskets ever of each item."""
    with closing(RedisStore(settings)) as store:
        return {item.stock_code: item.sold for item in store.items().states.values()}


def test_what_is_older_than_the_topic_comes_from_a_table(
    environment: dict[str, str], settings: Settings, kafka: Service, redis: Service, producer: Producer, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(120):
            date = f"2011-{number % 12 + 1:02d}-{number % 28 + 1:02d} 10:00"
            for line in range(3):
                writer.writerow(
                    [f"{500 + number}", f"A{line}", "X", line + 1, date, "1.5", f"{100 + number % 40}", "France"]
                )
    nextbasket(environment, "replay", str(table))
    nextbasket(environment, "rebuild")
    before = exported(environment)
    assert len(before.splitlines()) == 40
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    partitions = admin.list_topics(settings.topics.invoices, timeout=10).topics[settings.topics.invoices].partitions
    deleted = admin.delete_records(
        [TopicPartition(settings.topics.invoices, number, 5) for number in partitions]  # as retention does
    )
    for future in deleted.values():
        future.result()
    empty(redis, settings)
    printed = nextbasket(environment, "rebuild")
    assert "begins later than it did" in printed
    assert "at offset 5" in printed
    assert exported(environment) != before
    nextbasket(environment, "rebuild", "--data", str(table))
    assert exported(environment) == before
