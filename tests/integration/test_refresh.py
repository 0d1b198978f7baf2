"""A refresh on Kafka and Redis, with two workers as processes, one of which is killed, while invoices pour in."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from state.settings import Settings
from state.store.redis.refresh_progress import RedisRefreshProgress
from state.store.redis.store import RedisStore
from stream.kafka.topics import ensure_topics
from stream.pipeline.refresh import MAX_PORTION
from stream.pipeline.refresh_plan import Shard
from stream.tools.refresh_status import RefreshStatus, refresh_status
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0
CUSTOMERS = [f"c{number}" for number in range(600)]
BUSY = CUSTOMERS[:40]
"""Customers whose invoices pour in, with keys by which Kafka puts them into other partitions than their ids."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def workers(environment: dict[str, str], tmp_path: Path) -> Iterator[list[Worker]]:
    """One that refreshes so slowly that it can be killed meanwhile, and one that has all of its time for it."""
    started = [
        Worker(
            environment | {"NEXTBASKET_REFRESH_DELAY_SECONDS": "0.2", "NEXTBASKET_REFRESH_SHARE": share},
            tmp_path / f"worker-{number}.log",
        )
        for number, share in enumerate(("0.02", "1"))
    ]
    for worker in started:
        worker.start()
    yield started
    for worker in started:
        worker.end()


class Till:
    """Sends invoices of the busy customers in turn until the context ends."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self.sent = 0
        self._producer = producer
        self._topic = topic
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sell, daemon=True)

    def __enter__(self) -> "Till":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(30)
        assert self._producer.flush(30) == 0

    def _sell(self) -> None:
        while not self._closing.wait(0.01):
            number, customer = divmod(self.sent, len(BUSY))
            day = f"2011-11-{number % 28 + 1:02d}T{number // 28 % 24:02d}:00:00Z"
            send(self._producer, self._topic, f"t{self.sent}", BUSY[customer], day, f"{customer + number}")
            self.sent += 1


def send(producer: Producer, topic: str, number: str, customer: str, day: str, key: str) -> None:
    event = invoice(number, customer, day, "TEA", f"I{sum(number.encode()) % 17}")
    producer.produce(topic, json.dumps(event).encode(), key.encode())
    producer.poll(0)


def finished_rules(shard: Shard) -> bool:
    return shard.walk is None and shard.finished is not None and shard.finished.cause == "rules"


def codes_of(value: dict[str, Any]) -> list[str]:
    return [item["stock_code"] for item in value["items"]]


@pytest.mark.durable  # a second member breaks a group of the embedded broker
def test_every_customer_is_refreshed_once_while_invoices_pour_in_and_a_worker_is_killed(
    kafka: Service, settings: Settings, environment: dict[str, str], workers: list[Worker], tmp_path: Path
) -> None:
    ensure_topics(settings)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0, "linger.ms": 1})
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    topic = settings.topics.invoices
    store, progress = RedisStore(settings), RedisRefreshProgress(settings)

    def status() -> RefreshStatus:
        return refresh_status(progress.load())

    for customer in CUSTOMERS:
        send(producer, topic, f"first-{customer}", customer, "2011-10-01T12:00:00Z", customer)
    assert producer.flush(30) == 0
    wait_until(lambda: group.done() == len(CUSTOMERS), "the first invoices are done", LIMIT_S)
    wait_until(lambda: len(status().shards) == settings.partitions, "each partition has a record", LIMIT_S)

    with Till(producer, topic) as till:
        rules = tmp_path / "rules.json"
        rules.write_text(
            json.dumps({"rules": [{"kind": "exclude", "name": "no tea", "items": {"stock_codes": ["TEA"]}}]})
        )
        nextbasket(environment, "rules", "set", str(rules))
        wait_until(
            lambda: (
                any(finished_rules(shard) for shard in status().shards.values())
                and {shard.walk is None for shard in status().shards.values()} == {True, False}
                and 0 < status().done < status().total
            ),
            "one worker is done, and the other is under way",
            LIMIT_S,
        )
        workers[0].kill()
        under_way = {partition for partition, shard in status().shards.items() if not finished_rules(shard)}
        assert under_way, "it was killed before its end"
        wait_until(
            lambda: all(finished_rules(shard) for shard in status().shards.values()),
            "the other worker refreshes the rest",
            LIMIT_S,
        )
        time.sleep(1.0)
    wait_until(lambda: group.done() == len(CUSTOMERS) + till.sent, "the invoices are done", LIMIT_S)
    assert workers[1].ended() is None
    assert workers[1].stop() == 0

    messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in read_topic(kafka.address, settings.topics.recommendations):
        messages[record.key().decode()].append(json.loads(record.value()))
    assert messages.keys() == set(CUSTOMERS)
    repeated = 0
    for customer, values in messages.items():
        newest = values[-1]
        assert newest["revision"] == max(value["revision"] for value in values)
        (snapshot,) = store.snapshots([customer])
        assert snapshot is not None
        assert snapshot.published == snapshot.revision, "nothing is pending"
        assert snapshot.last is not None
        assert (snapshot.last.revision, snapshot.last.rec_id) == (newest["revision"], newest["rec_id"])
        assert "TEA" not in codes_of(newest)
        revisions = [value["revision"] for value in values]
        assert len(set(revisions)) == len({value["rec_id"] for value in values})
        if customer not in BUSY:
            assert "TEA" in codes_of(values[0])
            assert [value["trigger"] for value in values[1:]] == [{"refresh": "rules"}] * (len(values) - 1)
            repeated += len(values) - 2
    # What the killed worker had published and not confirmed is sent again: a part of one portion.
    assert 0 <= repeated <= MAX_PORTION
    walked = sum(shard.finished.customers for shard in status().shards.values() if shard.finished)
    assert walked == len(CUSTOMERS)
    assert f"Last of {settings.partitions} partitions: rules" in nextbasket(environment, "refresh")
    group.close()
    progress.close()
    store.close()
