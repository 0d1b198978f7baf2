"""A new model is taken over between two batches, a damaged one refused, and no event is lost or waits for either."""

import json
import random
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import Settings
from tests.integration import reference
from tests.integration.shop import Event, Shop, open_shop, send_carelessly
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.process import free_port
from training.models.baselines.model import Baseline
from training.registry import Registry

LIMIT_S = 90.0
CLOCK = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = [pytest.mark.durable, pytest.mark.timeout(420)]


class Stream:
    """A worker that watches a registry, and a client that sends in shares."""

    def __init__(self, environment: dict[str, str], settings: Settings, brokers: str, folder: Path, shop: Shop) -> None:
        self.port = free_port()
        self.settings = settings
        self.variables = environment | {
            "NEXTBASKET_DIALECT": shop.dialect,
            "NEXTBASKET_REGISTRY_POLL_SECONDS": "0.1",
            "NEXTBASKET_METRICS_PORT": str(self.port),
        }
        self.worker = Worker(self.variables, folder / "worker.log")
        self.group = Group(brokers, settings.group, settings.topics.invoices)
        self.registry = Registry(settings.registry_url)
        self.sent = 0
        self._events = send_carelessly(shop, random.Random(3))
        self._producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": 2_000_000, "log_level": 0})

    def send(self, share: float) -> None:
        """Send the events up to this share of them all; does not wait for them."""
        for event in self._events[self.sent : int(share * len(self._events))]:
            self._send(event)
        assert self._producer.flush(60) == 0

    def _send(self, event: Event) -> None:
        self._producer.produce(self.settings.topics.invoices, event.value, event.key)
        self._producer.poll(0)
        self.sent += 1

    def finish(self) -> None:
        """Wait until everything sent is done."""
        wait_until(lambda: self.group.done() >= self.sent, f"all {self.sent} events are done", LIMIT_S, self.alive)

    def alive(self) -> None:
        assert self.worker.ended() is None, self.worker.last_words()

    def metric(self, pattern: str) -> float:
        """The value of the first metric line that matches; 0 where there is none yet."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            found = re.search(rf"^{pattern}[^ ]* (\S+)$", response.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def serves(self, version: str) -> bool:
        """Whether the worker says that it serves this version."""
        return self.metric(rf'nextbasket_model_info{{.*version="{re.escape(version)}"') == 1.0

    def publish(self, name: str, shop: Shop, folder: Path) -> str:
        """Fit a small model and publish it, without promoting it."""
        fitted = Baseline(name, calibrate=False).fit(purchases(shop), until=2_000_000_000)
        folder.mkdir()
        fitted.save(folder)
        until = datetime(2011, 12, 10, tzinfo=UTC)
        return self.registry.publish(
            folder, name=name, data_from=datetime(2011, 1, 1, tzinfo=UTC), data_until=until, metrics={}, created=CLOCK
        )


def purchases(shop: Shop) -> list[Invoice]:
    """The shop's log as models are fitted on it."""
    log = []
    for rows in shop.invoices:
        kept = [row for row in rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0]
        if kept:
            lines = tuple(
                Line(row.stock_code, int(row.quantity * THOUSAND), row.price, row.description) for row in kept
            )
            log.append(Invoice(kept[0].invoice_no, kept[0].customer_id, min(row.date for row in kept), lines))
    return sorted(log, key=lambda invoice: (invoice.date, invoice.invoice_no))


@pytest.fixture
def shop() -> Shop:
    return open_shop(800, 100, random.Random(1))


@pytest.fixture
def stream(
    environment: dict[str, str], settings: Settings, kafka: Service, shop: Shop, tmp_path: Path
) -> Iterator[Stream]:
    stream = Stream(environment, settings, kafka.address, tmp_path, shop)
    stream.worker.start()
    try:
        yield stream
    finally:
        stream.worker.give_up()
        stream.group.close()


def test_models_are_swapped_and_refused_while_events_flow(
    stream: Stream, shop: Shop, kafka: Service, tmp_path: Path
) -> None:
    wait_until(lambda: bool(stream.group.partitions()), "the topics are there", LIMIT_S, stream.alive)
    # Without any model the worker serves, and says with what.
    stream.send(0.25)
    stream.finish()
    first = models_used(kafka, stream.settings)
    assert len(first) == 1

    good = stream.publish("gp_topfreq", shop, tmp_path / "good")
    stream.send(0.4)
    stream.registry.promote(good, at=CLOCK)
    wait_until(lambda: stream.serves(good), f"{good} serves", LIMIT_S, stream.alive)
    stream.send(0.55)
    stream.finish()
    assert models_used(kafka, stream.settings) == first | {good}

    # Damaged after it was published; promote would refuse it too, so the pointer is moved by hand.
    damaged = stream.publish("count_demand", shop, tmp_path / "damaged")
    place = Path(stream.settings.registry_url)
    victim = max((place / "versions" / damaged).iterdir(), key=lambda path: (path.name != "manifest.json", path.name))
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    (place / "current").write_text(damaged)
    stream.send(0.7)
    wait_until(lambda: stream.metric("nextbasket_models_refused_total") >= 1, "it is refused", LIMIT_S, stream.alive)
    stream.send(0.8)
    stream.finish()
    assert stream.serves(good)
    assert models_used(kafka, stream.settings) == first | {good}
    refusals = [line for line in stream.worker.log.read_text().splitlines() if damaged in line]
    assert len(refusals) == 1  # said once, not at every look

    better = stream.publish("count_demand", shop, tmp_path / "better")
    stream.registry.promote(better, at=CLOCK)
    wait_until(lambda: stream.serves(better), f"{better} serves", LIMIT_S, stream.alive)
    stream.send(1.0)
    stream.finish()
    assert models_used(kafka, stream.settings) == first | {good, better}
    assert stream.worker.stop() == 0

    output = tmp_path / "histories.jsonl"
    nextbasket(stream.variables, "export", "histories", "--output", str(output))
    assert output.read_bytes().splitlines() == reference.histories(shop.rows, 100)


def models_used(kafka: Service, settings: Settings) -> set[str]:
    """Versions named in recommendations so far."""
    answers: list[dict[str, Any]] = [
        json.loads(message.value()) for message in read_topic(kafka.address, settings.topics.recommendations)
    ]
    return {answer["model"]["version"] for answer in answers}
