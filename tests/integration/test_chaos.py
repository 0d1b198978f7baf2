"""Nothing is lost and nothing counts twice when workers, Redis and Kafka are killed, and invalid events stop nothing.

Two workers on a Kafka and a Redis of their own process the events of a plain client, while workers, Redis and Kafka are
killed with SIGKILL. Then the state must be that of an independent implementation of the rules.
"""

import json
import math
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from state.domain.history import CustomerHistory, add_invoice, canonical_json
from state.domain.items import HALF_LIVES, demand_at
from state.errors import InvalidEvent
from state.events.wire import Decoder
from state.settings import load_settings
from state.store.redis.store import RedisStore
from tests.integration import reference
from tests.integration.storefront import Event, Storefront, invalid_events, open_storefront, sloppy_events
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.group import Group, wait_until
from tests.services.kafka import KafkaServer
from tests.services.process import Server
from tests.services.redis import RedisServer

INVOICES = 5_000
WINDOW = 20
WORKERS = 2


class Failure(NamedTuple):
    """What is killed; a server is started again after the second victim was killed.

    Usually the victims are killed while batches are processed. ``idle``: the first one is killed before, so that both
    workers wait at the first step of a full batch when the second one is killed.
    """

    first: str
    second: str | None = None
    idle: bool = False

    def __str__(self) -> str:
        return f"{self.first} and {self.second}" if self.second else self.first


FAILURES = (
    Failure("worker 0"),
    Failure("redis"),
    Failure("redis", "worker 1", idle=True),
    Failure("kafka"),
    Failure("worker 0", "worker 1"),
    Failure("kafka", "worker 0"),
)
STALL_S = 120.0
SENT_PER_S = 500
"""Slow enough for a portion to last for a few commits, one second apart."""
OUTAGE_S = 2.5
"""Length of the outage in which a worker is killed: workers commit every second, but not in an outage."""

pytestmark = [pytest.mark.durable, pytest.mark.timeout(900)]

Position = tuple[int, int]
"""Partition and offset."""


class Deployment:
    """The servers, the workers, and the events that were sent."""

    def __init__(self, folder: Path, dialect: str) -> None:
        self.kafka = KafkaServer(folder / "kafka")
        self.redis = RedisServer(folder / "redis")
        self.servers: dict[str, Server] = {"kafka": self.kafka, "redis": self.redis}
        for server in self.servers.values():
            server.start()
        self.variables = {
            "NEXTBASKET_KAFKA_BROKERS": self.kafka.brokers,
            "NEXTBASKET_REDIS_URL": self.redis.url,
            "NEXTBASKET_REGISTRY": str(folder / "registry"),
            "NEXTBASKET_NAMESPACE": "chaos",
            "NEXTBASKET_DIALECT": dialect,
            "NEXTBASKET_WINDOW": str(WINDOW),
            "NEXTBASKET_BATCH_MAX": "32",  # many batches, so that many steps can be interrupted
            "NEXTBASKET_LOG_FORMAT": "json",
        }
        self.settings = load_settings(self.variables)
        self.workers = [Worker(self.variables, folder / f"worker-{i}.log") for i in range(WORKERS)]
        self.group = Group(self.kafka.brokers, self.settings.group, self.settings.topics.invoices)
        self.sent: dict[Position, Event] = {}
        self.hurry = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": self.kafka.brokers,
                "enable.idempotence": True,
                "message.max.bytes": 2_000_000,
                "message.timeout.ms": 300_000,
                "log_level": 0,
            }
        )

    def send(self, events: list[Event]) -> None:
        """Produce events, throttled unless ``hurry`` is set, and wait until Kafka confirmed them."""
        start = time.monotonic()
        for index, event in enumerate(events):
            while time.monotonic() - start < index / SENT_PER_S and not self.hurry.is_set():
                self._producer.poll(0.01)

            def confirmed(error: Any, message: Any, event: Event = event) -> None:
                assert error is None, error
                self.sent[message.partition(), message.offset()] = event

            self._producer.produce(self.settings.topics.invoices, event.value, event.key, on_delivery=confirmed)
            self._producer.poll(0)
        assert self._producer.flush(300) == 0

    def inject(self, failure: Failure, events: list[Event], after: int, sender: ThreadPoolExecutor) -> None:
        """Send events, kill the victims after some are done, start them again, and wait until all events are done."""
        before = len(self.sent)
        self.hurry.clear()
        if failure.idle:
            self._kill(failure.first)
            self.hurry.set()
        sent = sender.submit(self.send, events)
        if not failure.idle:
            self.wait_for(before + after, f"{before + after} events are done, before {failure} is killed")
            self.hurry.set()
            self._kill(failure.first)
        if failure.second is not None:
            if failure.first in self.servers:
                time.sleep(OUTAGE_S)
            self._kill(failure.second)
        for victim in filter(None, (failure.first, failure.second)):
            if victim in self.servers:
                self.servers[victim].start()
            else:
                self.workers[int(victim[-1])].start()
        sent.result(STALL_S)
        self.wait_for(before + len(events), f"the events sent around {failure} are done")

    def _kill(self, victim: str) -> None:
        if victim in self.servers:
            self.servers[victim].kill()
        else:
            self.workers[int(victim[-1])].kill()

    def wait_for(self, done: int, what: str) -> None:
        """Wait until the workers have committed so many events."""
        wait_until(lambda: self.group.done() >= done, what, STALL_S, self._alive)

    def wait_for_all(self, what: str) -> None:
        """Wait until every worker has partitions: killing one without any would test nothing."""
        wait_until(lambda: self.group.members() == WORKERS, what, STALL_S, self._alive)

    def _alive(self) -> None:
        for worker in self.workers:
            assert worker.ended() is None, f"a worker ended with {worker.ended()}:\n{worker.log_tail()}"

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
        self.group.close()
        for server in self.servers.values():
            server.stop()


@pytest.fixture(scope="module")
def storefront() -> Storefront:
    return open_storefront(INVOICES, WINDOW, random.Random(20111209))


@pytest.fixture(scope="module")
def deployment(storefront: Storefront, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All events sent and processed, all failures injected, the workers stopped."""
    rng = random.Random(7)
    events = sloppy_events(storefront, rng)
    deployment = Deployment(tmp_path_factory.mktemp("chaos"), storefront.dialect)
    try:
        for worker in deployment.workers:
            worker.start()
        topics = deployment.group
        wait_until(lambda: len(topics.partitions()) == deployment.settings.partitions, "the topics are there", STALL_S)
        portion = len(events) // (len(FAILURES) + 1)
        with ThreadPoolExecutor(1) as sender:
            for turn, failure in enumerate(FAILURES):
                deployment.wait_for_all(f"all workers share the partitions, before {failure} is killed")
                after = rng.randrange(1, portion // 2)
                deployment.inject(failure, events[turn * portion : (turn + 1) * portion], after, sender)
        deployment.send(events[len(FAILURES) * portion :])
        deployment.wait_for(len(events), f"all {len(events)} events are done")
        assert len(read_topic(deployment.kafka.brokers, deployment.settings.topics.invoices)) == len(events)
        assert [worker.stop() for worker in deployment.workers] == [0] * WORKERS
        yield deployment
    except BaseException:
        for worker in deployment.workers:
            print(worker.log, worker.log_tail(), sep=":\n")  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        deployment.end()


def test_histories_equal_those_of_the_reference(deployment: Deployment, storefront: Storefront, tmp_path: Path) -> None:
    output = tmp_path / "histories.jsonl"
    nextbasket(deployment.variables, "export", "histories", "--output", str(output))
    exported = output.read_bytes().splitlines()
    assert len(exported) > 300
    assert exported == reference.histories(storefront.rows, WINDOW)
    assert output.read_bytes().endswith(b"}\n")


def test_histories_equal_those_computed_offline(deployment: Deployment, tmp_path: Path) -> None:
    decoder, histories = Decoder(deployment.settings), dict[str, CustomerHistory]()
    for event in deployment.sent.values():
        try:
            invoice = decoder.decode(event.value, now=2_000_000_000)
        except InvalidEvent:
            continue
        if invoice.customer_id is not None:
            before = histories.get(invoice.customer_id, CustomerHistory(invoice.customer_id))
            histories[invoice.customer_id] = add_invoice(before, invoice, WINDOW).history
    output = tmp_path / "histories.jsonl"
    nextbasket(deployment.variables, "export", "histories", "--output", str(output))
    offline = [canonical_json(histories[customer]) for customer in sorted(histories)]
    assert output.read_bytes() == b"".join(line + b"\n" for line in offline if line)


def test_dead_letters_are_the_invalid_events_unchanged(deployment: Deployment) -> None:
    invalid = {position: event for position, event in deployment.sent.items() if not event.valid}
    assert len(invalid) == 3 * len(invalid_events())
    found: set[Position] = set()
    for letter in read_topic(deployment.kafka.brokers, deployment.settings.topics.dead_letter):
        headers = {name: value.decode() for name, value in letter.headers()}
        assert headers["source-topic"] == deployment.settings.topics.invoices
        assert headers["reason"].strip()
        position = int(headers["source-partition"]), int(headers["source-offset"])
        assert position in invalid, f"a valid event is in the dead letters: {headers['reason']}"
        assert letter.value() == invalid[position].value
        assert letter.key() == invalid[position].key
        found.add(position)
    assert found == set(invalid)


def test_demand_counts_every_purchase_once(deployment: Deployment, storefront: Storefront) -> None:
    store = RedisStore(deployment.settings)
    try:
        now, states = store.now(), store.items().states
    finally:
        store.close()
    held = [row for row in storefront.rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0]
    assert now == max(row.date for row in held)
    for index, half_life in enumerate(HALF_LIVES):
        wanted = reference.demand(storefront.rows, WINDOW, now, half_life)
        assert len(wanted) > 50
        for code, value in wanted.items():
            counted = demand_at(states[code], now)[index]
            assert math.isclose(counted, value, rel_tol=1e-6, abs_tol=1e-9), f"{code} at half-life {half_life}"


def test_every_customer_has_a_valid_recommendation(
    deployment: Deployment, storefront: Storefront, tmp_path: Path
) -> None:
    output = tmp_path / "recommendations.jsonl"
    nextbasket(deployment.variables, "export", "recommendations", "--output", str(output))
    saved = {
        recommendation["customer_id"]: recommendation
        for recommendation in map(json.loads, output.read_text().splitlines())
    }
    assert set(saved) == reference.customers(storefront.rows)
    sold = {row.stock_code for row in storefront.rows}
    for customer, recommendation in saved.items():
        check_recommendation(recommendation)
        assert {item["stock_code"] for item in recommendation["items"]} <= sold, customer


def test_redis_has_the_newest_message_of_every_customer(
    deployment: Deployment, storefront: Storefront, tmp_path: Path
) -> None:
    messages: dict[str, list[dict[str, Any]]] = {}
    for message in read_topic(deployment.kafka.brokers, deployment.settings.topics.recommendations):
        recommendation = json.loads(message.value())
        check_recommendation(recommendation)
        assert message.key() == recommendation["customer_id"].encode()
        messages.setdefault(recommendation["customer_id"], []).append(recommendation)
    assert set(messages) == reference.customers(storefront.rows)
    output = tmp_path / "recommendations.jsonl"
    nextbasket(deployment.variables, "export", "recommendations", "--output", str(output))
    for saved in map(json.loads, output.read_text().splitlines()):
        # A subscriber ignores older revisions: a worker that missed a rebalance may publish late.
        newest = messages[saved["customer_id"]][0]
        for recommendation in messages[saved["customer_id"]]:
            if recommendation["revision"] > newest["revision"]:
                newest = recommendation
            elif recommendation["revision"] == newest["revision"]:
                assert recommendation["rec_id"] == newest["rec_id"]  # published again after a crash
        assert saved["revision"] == newest["revision"]
        assert saved["rec_id"] == newest["rec_id"]


def check_recommendation(recommendation: dict[str, Any]) -> None:
    """The contract of one message (docs/reference/events.md)."""
    items = recommendation["items"]
    assert 1 <= len(items) <= 10
    chances = [item["probability"] for item in items]
    assert chances == sorted(chances, reverse=True)
    assert all(0 <= chance <= 1 for chance in chances)
    assert len({item["stock_code"] for item in items}) == len(items)
    assert all(item["slot"] in ("replenish", "discover") and item["reason"]["code"] for item in items)
    assert recommendation["revision"] > 0
    assert recommendation["rec_id"]
    assert recommendation["model"]["name"]
    within = [recommendation["next_purchase"]["within_days"][str(days)] for days in (7, 14, 30, 60, 90)]
    assert within == sorted(within)
    assert all(0 <= chance <= 1 for chance in within)
