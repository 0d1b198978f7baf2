"""A promoted model is loaded between two batches and a damaged one refused, without losing or delaying events."""

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
from tests.integration.storefront import Event, Storefront, open_storefront, sloppy_events
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
    """A worker that watches a registry, and a client that sends the events in portions."""

    def __init__(
        self, environment: dict[str, str], settings: Settings, brokers: str, folder: Path, storefront: Storefront
    ) -> None:
        self.port = free_port()
        self.settings = settings
        self.variables = environment | {
            "NEXTBASKET_DIALECT": storefront.dialect,
            "NEXTBASKET_REGISTRY_POLL_SECONDS": "0.1",
            "NEXTBASKET_METRICS_PORT": str(self.port),
        }
        self.worker = Worker(self.variables, folder / "worker.log")
        self.group = Group(brokers, settings.group, settings.topics.invoices)
        self.registry = Registry(settings.registry_url)
        self.sent = 0
        self._events = sloppy_events(storefront, random.Random(3))
        self._producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": 2_000_000, "log_level": 0})

    def send(self, fraction: float) -> None:
        """Send the events up to this fraction of all; does not wait until they are processed."""
        for event in self._events[self.sent : int(fraction * len(self._events))]:
            self._send(event)
        assert self._producer.flush(60) == 0

    def _send(self, event: Event) -> None:
        self._producer.produce(self.settings.topics.invoices, event.value, event.key)
        self._producer.poll(0)
        self.sent += 1

    def finish(self) -> None:
        """Wait until all sent events are processed."""
        wait_until(
            lambda: self.group.done() >= self.sent, f"all {self.sent} events are done", LIMIT_S, self.assert_alive
        )

    def assert_alive(self) -> None:
        assert self.worker.ended() is None, self.worker.log_tail()

    def metric(self, pattern: str) -> float:
        """The value of the first metric line that matches; 0 where there is none yet."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            found = re.search(rf"^{pattern}[^ ]* (\S+)$", response.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def serves(self, version: str) -> bool:
        """Whether the metrics of the worker name this version."""
        return self.metric(rf'nextbasket_model_info{{.*version="{re.escape(version)}"') == 1.0

    def publish(self, name: str, storefront: Storefront, folder: Path) -> str:
        """Fit a small model and publish it, without promoting it."""
        fitted = Baseline(name, calibrate=False).fit(training_log(storefront), until=2_000_000_000)
        folder.mkdir()
        fitted.save(folder)
        until = datetime(2011, 12, 10, tzinfo=UTC)
        return self.registry.publish(
            folder, name=name, data_from=datetime(2011, 1, 1, tzinfo=UTC), data_until=until, metrics={}, created=CLOCK
        )


def training_log(storefront: Storefront) -> list[Invoice]:
    """The invoices as a training log."""
    log = []
    for rows in storefront.invoices:
        kept = [row for row in rows if row.customer_id and row.product and row.quantity != 0 and row.price > 0]
        if kept:
            lines = tuple(
                Line(row.stock_code, int(row.quantity * THOUSAND), row.price, row.description) for row in kept
            )
            log.append(Invoice(kept[0].invoice_no, kept[0].customer_id, min(row.date for row in kept), lines))
    return sorted(log, key=lambda invoice: (invoice.date, invoice.invoice_no))


@pytest.fixture
def storefront() -> Storefront:
    return open_storefront(800, 100, random.Random(1))


@pytest.fixture
def stream(
    environment: dict[str, str], settings: Settings, kafka: Service, storefront: Storefront, tmp_path: Path
) -> Iterator[Stream]:
    stream = Stream(environment, settings, kafka.address, tmp_path, storefront)
    stream.worker.start()
    try:
        yield stream
    finally:
        stream.worker.end()
        stream.group.close()


def test_models_are_swapped_and_refused_while_events_flow(
    stream: Stream, storefront: Storefront, kafka: Service, tmp_path: Path
) -> None:
    wait_until(lambda: bool(stream.group.partitions()), "the topics are there", LIMIT_S, stream.assert_alive)
    # Without a promoted model the worker serves the fallback.
    stream.send(0.25)
    stream.finish()
    first = models_used(kafka, stream.settings)
    assert len(first) == 1

    good = stream.publish("gp_topfreq", storefront, tmp_path / "good")
    stream.send(0.4)
    stream.registry.promote(good, at=CLOCK)
    wait_until(lambda: stream.serves(good), f"{good} serves", LIMIT_S, stream.assert_alive)
    stream.send(0.55)
    stream.finish()
    assert models_used(kafka, stream.settings) == first | {good}

    # Damaged after it was published; promote would refuse it too, so the pointer is moved by hand.
    damaged = stream.publish("count_demand", storefront, tmp_path / "damaged")
    registry = Path(stream.settings.registry_url)
    victim = max(
        (registry / "versions" / damaged).iterdir(), key=lambda path: (path.name != "manifest.json", path.name)
    )
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    (registry / "current").write_text(damaged)
    stream.send(0.7)
    wait_until(
        lambda: stream.metric("nextbasket_models_refused_total") >= 1, "it is refused", LIMIT_S, stream.assert_alive
    )
    stream.send(0.8)
    stream.finish()
    assert stream.serves(good)
    assert models_used(kafka, stream.settings) == first | {good}
    refusals = [line for line in stream.worker.log.read_text().splitlines() if damaged in line]
    assert len(refusals) == 1  # logged once, not at every check

    better = stream.publish("count_demand", storefront, tmp_path / "better")
    stream.registry.promote(better, at=CLOCK)
    wait_until(lambda: stream.serves(better), f"{better} serves", LIMIT_S, stream.assert_alive)
    stream.send(1.0)
    stream.finish()
    assert models_used(kafka, stream.settings) == first | {good, better}
    assert stream.worker.stop() == 0

    output = tmp_path / "histories.jsonl"
    nextbasket(stream.variables, "export", "histories", "--output", str(output))
    assert output.read_bytes().splitlines() == reference.histories(storefront.rows, 100)


def models_used(kafka: Service, settings: Settings) -> set[str]:
    """The versions of the models in all recommendations so far."""
    recommendations: list[dict[str, Any]] = [
        json.loads(message.value()) for message in read_topic(kafka.address, settings.topics.recommendations)
    ]
    return {recommendation["model"]["version"] for recommendation in recommendations}
