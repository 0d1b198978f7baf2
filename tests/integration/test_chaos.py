"""Whatever dies and whenever: nothing is lost, nothing counts twice, and no bad event stops or skips anything.

Two workers on a Kafka and a Redis of their own are fed by a foreign client, and workers, Redis and Kafka are killed
(SIGKILL) while they work. Then the state must be the one that rules written down independently lead to.
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
from tests.integration.shop import Event, Shop, garbage, open_shop, send_carelessly
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.group import Group, wait_until
from tests.services.kafka import KafkaServer
from tests.services.process import Server
from tests.services.redis import RedisServer

INVOICES = 5_000
WINDOW = 20
WORKERS = 2


class Blow(NamedTuple):
    """What is killed; a server stays away until the second victim is dead, too.

    Usually the blow falls in the middle of the work. ``idle``: it falls before there is any, so that both workers are
    stuck at the first step of a full batch when the second victim dies.
    """

    first: str
    second: str | None = None
    idle: bool = False

    def __str__(self) -> str:
        return f"{self.first} and {self.second}" if self.second else self.first


BLOWS = (
    Blow("worker 0"),
    Blow("redis"),
    Blow("redis", "worker 1", idle=True),
    Blow("kafka"),
    Blow("worker 0", "worker 1"),
    Blow("kafka", "worker 0"),
)
STALL_S = 120.0
SENT_PER_S = 500
"""Slow enough for a share to last for a few commits, a second apart."""
OUTAGE_S = 2.5
"""How long the outage lasts in which a worker is killed: workers commit every second, and must not while they wait."""

pytestmark = [pytest.mark.durable, pytest.mark.timeout(900)]

Place = tuple[int, int]
"""Partition and offset."""


class World:
    """The servers, the workers, and everything that was sent."""

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
            "NEXTBASKET_BATCH_MAX": "32",  # many batches, so that there are many moments between two steps
            "NEXTBASKET_LOG_FORMAT": "json",
        }
        self.settings = load_settings(self.variables)
        self.workers = [Worker(self.variables, folder / f"worker-{i}.log") for i in range(WORKERS)]
        self.group = Group(self.kafka.brokers, self.settings.group, self.settings.topics.invoices)
        self.sent: dict[Place, Event] = {}
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
        """Put events into Kafka, not too fast unless hurried, and wait until it has confirmed them."""
        start = time.monotonic()
        for place, event in enumerate(events):
            while time.monotonic() - start < place / SENT_PER_S and not self.hurry.is_set():
                self._producer.poll(0.01)

            def confirmed(error: Any, message: Any, event: Event = event) -> None:
                assert error is None, error
                self.sent[message.partition(), message.offset()] = event

            self._producer.produce(self.settings.topics.invoices, event.value, event.key, on_delivery=confirmed)
            self._producer.poll(0)
        assert self._producer.flush(300) == 0

    def strike(self, blow: Blow, events: list[Event], moment: int, sender: ThreadPoolExecutor) -> None:
        """Send events, kill when ``moment`` of them are done, bring everything back, and wait until all are done."""
        before = len(self.sent)
        self.hurry.clear()
        if blow.idle:
            self._kill(blow.first)
            self.hurry.set()
        sent = sender.submit(self.send, events)
        if not blow.idle:
            self.wait_for(before + moment, f"{before + moment} events are done, before {blow} dies")
            self.hurry.set()
            self._kill(blow.first)
        if blow.second is not None:
            if blow.first in self.servers:
                time.sleep(OUTAGE_S)
            self._kill(blow.second)
        for victim in filter(None, (blow.first, blow.second)):
            if victim in self.servers:
                self.servers[victim].start()
            else:
                self.workers[int(victim[-1])].start()
        sent.result(STALL_S)
        self.wait_for(before + len(events), f"what was sent when {blow} died is done")

    def _kill(self, victim: str) -> None:
        if victim in self.servers:
            self.servers[victim].kill()
        else:
            self.workers[int(victim[-1])].kill()

    def wait_for(self, done: int, what: str) -> None:
        """Wait until the workers have committed so many events."""
        wait_until(lambda: self.group.done() >= done, what, STALL_S, self._alive)

    def wait_for_all(self, what: str) -> None:
        """Wait until every worker has partitions: a victim without any would die for nothing."""
        wait_until(lambda: self.group.members() == WORKERS, what, STALL_S, self._alive)

    def _alive(self) -> None:
        for worker in self.workers:
            assert worker.ended() is None, f"a worker ended with {worker.ended()}:\n{worker.last_words()}"

    def end(self) -> None:
        for worker in self.workers:
            worker.give_up()
        self.group.close()
        for server in self.servers.values():
            server.stop()


@pytest.fixture(scope="module")
def shop() -> Shop:
    return open_shop(INVOICES, WINDOW, random.Random(20111209))


@pytest.fixture(scope="module")
def world(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything sent, everything killed, everything processed, workers stopped in order."""
    rng = random.Random(7)
    events = send_carelessly(shop, rng)
    world = World(tmp_path_factory.mktemp("chaos"), shop.dialect)
    try:
        for worker in world.workers:
            worker.start()
        topics = world.group
        wait_until(lambda: len(topics.partitions()) == world.settings.partitions, "the topics are there", STALL_S)
        share = len(events) // (len(BLOWS) + 1)
        with ThreadPoolExecutor(1) as sender:
            for turn, blow in enumerate(BLOWS):
                world.wait_for_all(f"all workers share the partitions, before {blow} dies")
                moment = rng.randrange(1, share // 2)
                world.strike(blow, events[turn * share : (turn + 1) * share], moment, sender)
        world.send(events[len(BLOWS) * share :])
        world.wait_for(len(events), f"all {len(events)} events are done")
        assert len(read_topic(world.kafka.brokers, world.settings.topics.invoices)) == len(events)
        assert [worker.stop() for worker in world.workers] == [0] * WORKERS
        yield world
    except BaseException:
        for worker in world.workers:
            print(worker.log, worker.last_words(), sep=":\n")  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        world.end()


def test_histories_are_those_that_the_rules_lead_to(world: World, shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "histories.jsonl"
    nextbasket(world.variables, "export", "histories", "--output", str(output))
    exported = output.read_bytes().splitlines()
    assert len(exported) > 300
    assert exported == reference.histories(shop.rows, WINDOW)
    assert output.read_bytes().endswith(b"}\n")


def test_histories_are_those_computed_offline_from_the_same_events(world: World, tmp_path: Path) -> None:
    decoder, histories = Decoder(world.settings), dict[str, CustomerHistory]()
    for event in world.sent.values():
        try:
            invoice = decoder.decode(event.value, now=2_000_000_000)
        except InvalidEvent:
            continue
        if invoice.customer_id is not None:
            before = histories.get(invoice.customer_id, CustomerHistory(invoice.customer_id))
            histories[invoice.customer_id] = add_invoice(before, invoice, WINDOW).history
    output = tmp_path / "histories.jsonl"
    nextbasket(world.variables, "export", "histories", "--output", str(output))
    offline = [canonical_json(histories[customer]) for customer in sorted(histories)]
    assert output.read_bytes() == b"".join(line + b"\n" for line in offline if line)


def test_dead_letters_are_the_bad_events_with_their_bytes_and_no_good_one(world: World) -> None:
    bad = {place: event for place, event in world.sent.items() if not event.good}
    assert len(bad) == 3 * len(garbage())
    found: set[Place] = set()
    for letter in read_topic(world.kafka.brokers, world.settings.topics.dead_letter):
        headers = {name: value.decode() for name, value in letter.headers()}
        assert headers["source-topic"] == world.settings.topics.invoices
        assert headers["reason"].strip()
        place = int(headers["source-partition"]), int(headers["source-offset"])
        assert place in bad, f"a good event is in the dead letters: {headers['reason']}"
        assert letter.value() == bad[place].value
        assert letter.key() == bad[place].key
        found.add(place)
    assert found == set(bad)


def test_demand_counts_every_purchase_once(world: World, shop: Shop) -> None:
    store = RedisStore(world.settings)
    try:
        now, states = store.now(), store.items().states
    finally:
        store.close()
    held = [row for row in shop.rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0]
    assert now == max(row.date for row in held)
    for place, half_life in enumerate(HALF_LIVES):
        wanted = reference.demand(shop.rows, WINDOW, now, half_life)
        assert len(wanted) > 50
        for code, value in wanted.items():
            counted = demand_at(states[code], now)[place]
            assert math.isclose(counted, value, rel_tol=1e-6, abs_tol=1e-9), f"{code} at half-life {half_life}"


def test_every_customer_has_a_valid_recommendation(world: World, shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "recommendations.jsonl"
    nextbasket(world.variables, "export", "recommendations", "--output", str(output))
    kept = {answer["customer_id"]: answer for answer in map(json.loads, output.read_text().splitlines())}
    assert set(kept) == reference.customers(shop.rows)
    sold = {row.stock_code for row in shop.rows}
    for customer, answer in kept.items():
        check_recommendation(answer)
        assert {item["stock_code"] for item in answer["items"]} <= sold, customer


def test_the_newest_message_of_every_customer_is_what_redis_keeps(world: World, shop: Shop, tmp_path: Path) -> None:
    messages: dict[str, list[dict[str, Any]]] = {}
    for message in read_topic(world.kafka.brokers, world.settings.topics.recommendations):
        answer = json.loads(message.value())
        check_recommendation(answer)
        assert message.key() == answer["customer_id"].encode()
        messages.setdefault(answer["customer_id"], []).append(answer)
    assert set(messages) == reference.customers(shop.rows)
    output = tmp_path / "recommendations.jsonl"
    nextbasket(world.variables, "export", "recommendations", "--output", str(output))
    for kept in map(json.loads, output.read_text().splitlines()):
        # A subscriber takes what is newer than what it has: a worker that slept through a rebalance may speak late.
        newest = messages[kept["customer_id"]][0]
        for answer in messages[kept["customer_id"]]:
            if answer["revision"] > newest["revision"]:
                newest = answer
            elif answer["revision"] == newest["revision"]:
                assert answer["rec_id"] == newest["rec_id"]  # the same once more, after a crash
        assert kept["revision"] == newest["revision"]
        assert kept["rec_id"] == newest["rec_id"]


def check_recommendation(answer: dict[str, Any]) -> None:
    """The contract of the design page for one message."""
    items = answer["items"]
    assert 1 <= len(items) <= 10
    chances = [item["probability"] for item in items]
    assert chances == sorted(chances, reverse=True)
    assert all(0 <= chance <= 1 for chance in chances)
    assert len({item["stock_code"] for item in items}) == len(items)
    assert all(item["slot"] in ("replenish", "discover") and item["reason"]["code"] for item in items)
    assert answer["revision"] > 0
    assert answer["rec_id"]
    assert answer["model"]["name"]
    within = [answer["next_purchase"]["within_days"][str(days)] for days in (7, 14, 30, 60, 90)]
    assert within == sorted(within)
    assert all(0 <= chance <= 1 for chance in within)
