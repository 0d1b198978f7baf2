"""A Redis that hangs: the metric rises while it lasts, and no slow call goes unsaid."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from state.settings import Settings
from tests.integration.test_kafka_outage import WatchedWorker
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.redis import RedisServer
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0

pytestmark = [pytest.mark.timeout(240), pytest.mark.durable]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(fsync="no") as server:
        yield server


def test_a_hang_is_logged_and_counted_while_it_lasts(
    environment: dict[str, str], settings: Settings, kafka: Service, server: RedisServer, tmp_path: Path
) -> None:
    worker = WatchedWorker(environment | {"NEXTBASKET_REDIS_URL": server.url}, tmp_path / "worker.log")
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    sent = 0

    def send() -> None:
        nonlocal sent
        event = invoice(f"{sent}", "c", "2011-11-01T10:00:00Z", "A", f"B{sent}")
        producer.produce(settings.topics.invoices, json.dumps(event).encode(), b"c")
        assert producer.flush(30) == 0
        sent += 1

    def outage_s() -> float:
        found = re.search(r'^nextbasket_outage_seconds_total\{service="Redis"\} (\S+)$', worker.get("metrics")[1], re.M)
        return float(found[1]) if found else 0.0

    worker.start()
    process = psutil.Process(server.pid)
    try:
        worker.wait_until_ready()
        send()
        wait_until(lambda: group.done() == sent, "the first is done", LIMIT_S, worker.assert_alive)
        process.send_signal(signal.SIGSTOP)
        send()
        wait_until(lambda: outage_s() > 0, "the outage is noticed while it lasts", 14.0, worker.assert_alive)
        first = outage_s()
        wait_until(lambda: outage_s() > first + 2, "the metric rises", LIMIT_S, worker.assert_alive)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: group.done() == sent, "the second is done", LIMIT_S, worker.assert_alive)
        wait_until(lambda: "Redis answers after" in worker.log.read_text(), "its end is logged", LIMIT_S)
        assert next(line for line in worker.loud() if "Redis" in line).startswith("Waiting for Redis: ")
        process.send_signal(signal.SIGSTOP)
        send()
        time.sleep(2.0)  # shorter than an outage
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "A call of Redis took " in worker.log.read_text(), "the slow call is logged", LIMIT_S)
        assert worker.stop() == 0
    finally:
        process.send_signal(signal.SIGCONT)
        worker.end()
        group.close()
