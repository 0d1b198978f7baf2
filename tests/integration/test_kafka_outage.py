"""Outages of Kafka while a worker has nothing to do, and while it starts."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from state.settings import Settings
from tests.integration.workers import Worker
from tests.services.group import Group, wait_until
from tests.services.kafka import KafkaServer
from tests.services.process import free_port
from tests.services.relay import Relay
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0

pytestmark = [pytest.mark.timeout(300), pytest.mark.durable]


class WatchedWorker(Worker):
    """A worker whose metrics and log are read."""

    def __init__(self, variables: dict[str, str], log: Path) -> None:
        self._port = free_port()
        super().__init__(variables | {"NEXTBASKET_METRICS_PORT": str(self._port)}, log)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer; 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def outage_s(self) -> float:
        """Seconds that the worker has waited for Kafka."""
        found = re.search(r'^nextbasket_outage_seconds_total\{service="Kafka"\} (\S+)$', self.get("metrics")[1], re.M)
        return float(found[1]) if found else 0.0

    def ready(self) -> bool:
        return self.get("readyz")[0] == 200

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def loud(self) -> list[str]:
        """Messages of level WARNING and above, and whatever is no line of the log, such as a traceback."""
        found = []
        for line in self.lines():
            record: dict[str, Any] = json.loads(line) if line.startswith("{") else {"level": "RAW", "message": line}
            if record["level"] not in ("DEBUG", "INFO") or "exc_info" in record:
                found.append(line if "exc_info" in record else str(record["message"]))
        return found

    def assert_alive(self) -> None:
        assert self.ended() is None, self.log_tail()

    def wait_until_ready(self) -> None:
        wait_until(self.ready, "the worker is ready", LIMIT_S, self.assert_alive)


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    with KafkaServer() as server:
        yield server


@contextmanager
def running(variables: dict[str, str], folder: Path) -> Iterator[WatchedWorker]:
    worker = WatchedWorker(variables, folder / "worker.log")
    worker.start()
    try:
        yield worker
    finally:
        worker.end()


def test_an_idle_worker_notices_an_outage_and_logs_it_in_one_line(
    broker: KafkaServer, environment: dict[str, str], tmp_path: Path
) -> None:
    with running(environment | {"NEXTBASKET_KAFKA_BROKERS": broker.brokers}, tmp_path) as worker:
        worker.wait_until_ready()
        assert worker.loud() == []
        before = worker.outage_s()
        broker.kill()
        wait_until(lambda: worker.outage_s() > before, "the outage is noticed", LIMIT_S, worker.assert_alive)
        status, text = worker.get("readyz")
        assert status == 503
        assert text.startswith("Kafka: ")
        assert worker.get("livez")[0] == 200
        first = worker.outage_s()
        wait_until(lambda: worker.outage_s() > first + 15.0, "the metric rises", LIMIT_S, worker.assert_alive)
        broker.start()
        worker.wait_until_ready()
        wait_until(lambda: "Kafka answers after" in worker.log.read_text(), "its end is logged", LIMIT_S)
        (line,) = worker.loud()
        assert line.startswith("Waiting for Kafka: ")
        ended = worker.outage_s()
        time.sleep(3.0)  # three checks of Kafka, which must add nothing
        assert worker.outage_s() == ended
        assert worker.stop() == 0
        assert worker.loud() == [line]


def test_an_outage_under_load_is_one_line_and_no_event_is_lost(
    broker: KafkaServer, environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    variables = environment | {"NEXTBASKET_KAFKA_BROKERS": broker.brokers}
    topics = settings.topics
    producer = Producer({"bootstrap.servers": broker.brokers, "log_level": 0})
    sent = 0

    def send(number: int) -> None:
        nonlocal sent
        for customer in range(40):
            event = invoice(f"{number}-{customer}", f"c{customer}", "2011-11-01T10:00:00Z", f"A{number}")
            producer.produce(topics.invoices, json.dumps(event).encode(), f"c{customer}".encode())
            sent += 1

    with running(variables, tmp_path) as worker:
        worker.wait_until_ready()
        group = Group(broker.brokers, settings.group, topics.invoices)
        send(0)
        assert producer.flush(30) == 0
        wait_until(lambda: group.done() == sent, "the first are done", LIMIT_S, worker.assert_alive)
        for number in range(1, 50):
            send(number)
            producer.poll(0)
            if number == 25:
                producer.flush(30)
                broker.kill()
        wait_until(lambda: worker.outage_s() > 20.0, "the outage lasts", LIMIT_S, worker.assert_alive)
        broker.start()
        assert producer.flush(60) == 0
        wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, worker.assert_alive)
        group.close()
        worker.wait_until_ready()
        (line,) = worker.loud()
        assert line.startswith("Waiting for Kafka: ")
        assert worker.stop() == 0


def test_a_broker_that_accepts_connections_and_does_not_answer_is_an_outage(
    broker: KafkaServer, environment: dict[str, str], tmp_path: Path
) -> None:
    with running(environment | {"NEXTBASKET_KAFKA_BROKERS": broker.brokers}, tmp_path) as worker:
        worker.wait_until_ready()
        process = psutil.Process(broker.pid)
        process.suspend()
        try:
            wait_until(lambda: worker.outage_s() > 0.0, "the outage is noticed", LIMIT_S, worker.assert_alive)
            assert worker.get("readyz")[0] == 503
        finally:
            process.resume()
        worker.wait_until_ready()
        (line,) = worker.loud()
        assert line.startswith("Waiting for Kafka: ")
        assert worker.stop() == 0


@pytest.mark.parametrize("connections", [1, 3], ids=["before customers are read", "before its consumer starts"])
def test_a_worker_waits_for_a_broker_that_goes_away_while_it_starts(
    broker: KafkaServer, environment: dict[str, str], tmp_path: Path, connections: int
) -> None:
    port = free_port()
    variables = environment | {"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{port}"}
    with running(variables, tmp_path) as worker:
        # The first connection makes the topics, the second reads the lists of customers, the third the catalogue.
        with Relay(port, "127.0.0.1", broker.port, connections=connections):
            line = "Created topics" if connections == 1 else "Worker started"
            wait_until(lambda: line in worker.log.read_text(), "it has come so far", LIMIT_S)
        wait_until(lambda: worker.outage_s() > 3.0, "it waits", LIMIT_S, worker.assert_alive)
        status, text = worker.get("readyz")
        assert status == 503
        assert "Kafka: " in text
        with Relay(port, "127.0.0.1", broker.port):
            worker.wait_until_ready()
            line = worker.loud()[-1]
            assert line.startswith("Waiting for Kafka: ")
            assert len(worker.loud()) <= 2  # nothing listened before the first connection
            assert worker.stop() == 0


def test_a_worker_that_waits_for_its_consumer_can_be_stopped(
    broker: KafkaServer, environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    with running(environment | {"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{port}"}, tmp_path) as worker:
        with Relay(port, "127.0.0.1", broker.port, connections=3):
            wait_until(lambda: "Worker started" in worker.log.read_text(), "the topics are there", LIMIT_S)
        wait_until(lambda: worker.outage_s() > 3.0, "it waits", LIMIT_S, worker.assert_alive)
        assert worker.stop() == 0
        assert len(worker.loud()) <= 2
        assert not any("Redis" in line for line in worker.loud())
