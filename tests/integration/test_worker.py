"""The worker as a process, on Kafka and Redis."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer
from redis import Redis

from state.settings import Settings
from stream.tools.embedded import embedded_redis
from tests.integration.topic import read_topic
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.process import free_port
from tests.services.redis import RedisServer, missing_tools, set_user
from tests.services.relay import Relay
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0
CUSTOMERS = 40
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OFTEN = """
import sys
from stream import durability_watch
from stream.cli.main import main

durability_watch.DurabilityWatch.__init__.__kwdefaults__["interval_s"] = {interval_s}
sys.exit(main(["worker"]))
"""

pytestmark = pytest.mark.timeout(300)


class Process:
    """``nextbasket worker`` in an empty working directory, which must stay empty."""

    def __init__(self, variables: dict[str, str], folder: Path, durability_interval_s: float | None) -> None:
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        self.log = folder / "worker.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        program = ["-m", "stream", "worker"]
        if durability_interval_s is not None:  # a minute is long for a test
            program = ["-c", OFTEN.format(interval_s=durability_interval_s)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program],
                env=environment | variables | {"PYTHONPATH": str(Path(__file__).parents[2])},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def has_logged(self, words: str) -> bool:
        """Whether a log line contains these words."""
        return any(words in line["message"] for line in self.log_lines())

    def assert_alive(self) -> None:
        """Fail with the log if the process ended."""
        assert self.process.poll() is None, self.log.read_text()[-3_000:]

    def stop(self) -> int:
        """Send SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def end(self) -> None:
        """End the process, whatever its state."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts workers, and ends them after the test."""
    started: list[Process] = []

    def start(variables: dict[str, str], durability_interval_s: float | None = None) -> Process:
        started.append(Process(variables, tmp_path / f"worker-{len(started)}", durability_interval_s))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def group(kafka: Service, settings: Settings) -> Iterator[Group]:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    yield group
    group.close()


@pytest.fixture
def producer(kafka: Service) -> Producer:
    return Producer({"bootstrap.servers": kafka.address, "log_level": 0})


def events(number: int) -> list[bytes]:
    """The number-th invoice of every customer, each as one event of two lines."""
    day = f"2011-11-{number % 28 + 1:02d}T10:00:00Z"
    return [
        json.dumps(invoice(f"{number:03d}{customer:03d}", str(12_000 + customer), day, "A", f"B{number}")).encode()
        for customer in range(CUSTOMERS)
    ]


def send(producer: Producer, settings: Settings, values: list[bytes], **headers: str | bytes | None) -> int:
    for value in values:
        producer.produce(settings.topics.invoices, value, value[:40], headers=headers)
    assert producer.flush(60) == 0
    return len(values)


def newest(kafka: Service, settings: Settings) -> dict[str, dict[str, Any]]:
    """The newest recommendation of each customer on the topic."""
    answers: dict[str, dict[str, Any]] = {}
    for message in read_topic(kafka.address, settings.topics.recommendations):
        answer = json.loads(message.value())
        assert message.key().decode() == answer["customer_id"]
        before = answers.get(answer["customer_id"])
        if before is None or answer["revision"] >= before["revision"]:
            answers[answer["customer_id"]] = answer
    return answers


def test_invoices_lead_to_recommendations_and_sigterm_ends_the_worker(
    start: Any, environment: dict[str, str], settings: Settings, kafka: Service, group: Group, producer: Producer
) -> None:
    worker = start(environment)
    wait_until(
        lambda: worker.has_logged("Worker started"), "the worker has made its topics", LIMIT_S, worker.assert_alive
    )
    sent = send(producer, settings, events(0))
    wait_until(lambda: group.done() == sent, "the first recommendations are published", LIMIT_S, worker.assert_alive)
    sent += sum(send(producer, settings, events(number), traceparent=TRACE) for number in (1, 2))
    sent += send(producer, settings, [b"not json"], traceparent=b"\xff\x00")
    wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, worker.assert_alive)

    answers = newest(kafka, settings)
    assert set(answers) == {str(12_000 + customer) for customer in range(CUSTOMERS)}
    for answer in answers.values():
        assert answer["items"][0]["stock_code"] == "A"
        assert answer["trigger"]["invoice_no"].startswith("002")
    for message in read_topic(kafka.address, settings.topics.recommendations):
        headers, answer = dict(message.headers()), json.loads(message.value())
        assert headers["ce_id"].decode() == answer["rec_id"]
        assert headers.get("traceparent") == (None if answer["trigger"]["invoice_no"].startswith("000") else TRACE)
    (letter,) = read_topic(kafka.address, settings.topics.dead_letter)
    assert letter.value() == b"not json"
    scores = [json.loads(message.value()) for message in read_topic(kafka.address, settings.topics.scores)]
    assert {score["customer_id"] for score in scores} == set(answers)

    process = psutil.Process(worker.process.pid)
    assert process.memory_info().rss < 700 << 20
    assert not [one for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
    assert worker.stop() == 0
    assert list(worker.folder.iterdir()) == []
    assert worker.log_lines()[-1]["message"] == "Worker ended"
    assert not [line for line in worker.log_lines() if line["level"] in ("ERROR", "CRITICAL")]


def test_the_next_worker_continues_where_one_was_stopped(
    start: Any, environment: dict[str, str], settings: Settings, kafka: Service, group: Group, producer: Producer
) -> None:
    small = environment | {"NEXTBASKET_BATCH_MAX": "5"}
    first = start(small)
    wait_until(lambda: first.has_logged("Worker started"), "the topics are there", LIMIT_S, first.assert_alive)
    sent = sum(send(producer, settings, events(number)) for number in range(10))
    wait_until(lambda: group.done() > 0, "something is done", LIMIT_S, first.assert_alive)
    assert first.stop() == 0
    second = start(small)
    # If nothing was left to do, the worker may not handle SIGTERM yet.
    wait_until(lambda: second.has_logged("Worker started"), "it is up", LIMIT_S, second.assert_alive)
    wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, second.assert_alive)
    answers = newest(kafka, settings)
    assert {answer["trigger"]["invoice_no"][:3] for answer in answers.values()} == {"009"}
    assert second.stop() == 0


def test_no_event_is_lost_in_an_outage_of_redis(
    start: Any, environment: dict[str, str], settings: Settings, kafka: Service, group: Group, producer: Producer
) -> None:
    with embedded_redis() as url, Redis.from_url(url) as client:
        server = psutil.Process(client.info("server")["process_id"])
        worker = start(environment | {"NEXTBASKET_REDIS_URL": url})
        wait_until(lambda: worker.has_logged("Worker started"), "the topics are there", LIMIT_S, worker.assert_alive)
        sent = send(producer, settings, events(0))
        wait_until(lambda: group.done() == sent, "the first events are done", LIMIT_S, worker.assert_alive)
        # First Redis returns an error, then it does not answer at all.
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        sent += send(producer, settings, events(1))
        wait_until(
            lambda: worker.has_logged("Waiting for Redis"), "the outage is noticed", LIMIT_S, worker.assert_alive
        )
        server.suspend()
        sent += send(producer, settings, events(2))
        time.sleep(1.0)
        server.resume()
        assert group.done() < sent
        client.config_set("maxmemory", 0)
        wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, worker.assert_alive)
        assert worker.has_logged("Redis answers after")
        answers = newest(kafka, settings)
        assert {answer["trigger"]["invoice_no"][:3] for answer in answers.values()} == {"002"}
        assert len(answers) == CUSTOMERS
        assert worker.stop() == 0


def test_a_worker_that_waits_for_redis_can_be_stopped(start: Any, environment: dict[str, str]) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    worker = start(environment | {"NEXTBASKET_REDIS_URL": nowhere})
    wait_until(lambda: worker.has_logged("Waiting for Redis"), "it waits", LIMIT_S, worker.assert_alive)
    assert worker.stop() == 0


def test_a_worker_stopped_in_an_outage_acknowledges_nothing(
    start: Any, environment: dict[str, str], settings: Settings, group: Group, producer: Producer
) -> None:
    with embedded_redis() as url, Redis.from_url(url) as client:
        worker = start(environment | {"NEXTBASKET_REDIS_URL": url})
        wait_until(lambda: worker.has_logged("Worker started"), "the topics are there", LIMIT_S, worker.assert_alive)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        send(producer, settings, events(0))
        wait_until(
            lambda: worker.has_logged("Waiting for Redis"), "the outage is noticed", LIMIT_S, worker.assert_alive
        )
        assert worker.stop() == 0
        assert group.done() == 0
        assert worker.has_logged("is left to the next worker")


def test_a_worker_waits_for_the_broker(start: Any, environment: dict[str, str], kafka: Service) -> None:
    # Nothing listens on the port until the relay is started.
    port = free_port()
    worker = start(environment | {"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{port}"})
    wait_until(lambda: worker.has_logged("Waiting for Kafka"), "it waits", LIMIT_S, worker.assert_alive)
    host, _, broker_port = kafka.address.split(",")[0].rpartition(":")
    with Relay(port, host, int(broker_port)):
        wait_until(lambda: worker.has_logged("Worker started"), "it starts", LIMIT_S, worker.assert_alive)
        # The worker may still be joining the group, so the relay runs until it has ended.
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("NEXTBASKET_KAFKA_BROKERS", "NEXTBASKET_KAFKA_BROKERS is not set"),
        ("NEXTBASKET_REDIS_URL", "NEXTBASKET_REDIS_URL"),
    ],
)
def test_a_missing_setting_prints_one_sentence(
    start: Any, environment: dict[str, str], missing: str, sentence: str
) -> None:
    worker = start({name: value for name, value in environment.items() if name != missing})
    assert worker.process.wait(LIMIT_S) == 3
    (line,) = worker.log.read_text().splitlines()
    assert line.startswith("nextbasket: ")
    assert sentence in line


def http_status(port: int, path: str) -> tuple[int, str]:
    """Status and text of an answer of the worker; 0 while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_worker_is_ready_while_redis_answers_and_lives_all_the_time(start: Any, environment: dict[str, str]) -> None:
    port = free_port()
    with embedded_redis() as url:
        worker = start(environment | {"NEXTBASKET_REDIS_URL": url, "NEXTBASKET_METRICS_PORT": str(port)})
        wait_until(lambda: http_status(port, "readyz")[0] == 200, "it is ready", LIMIT_S, worker.assert_alive)
    status, text = http_status(port, "readyz")
    assert status == 503
    assert text.startswith("Redis: ")
    assert http_status(port, "livez")[0] == 200
    assert worker.stop() == 0


def test_an_outage_of_redis_counts_while_there_is_nothing_to_do(start: Any, environment: dict[str, str]) -> None:
    port = free_port()
    with embedded_redis() as url:
        worker = start(environment | {"NEXTBASKET_REDIS_URL": url, "NEXTBASKET_METRICS_PORT": str(port)})
        wait_until(lambda: http_status(port, "readyz")[0] == 200, "it is ready", LIMIT_S, worker.assert_alive)
    wait_until(lambda: worker.has_logged("Waiting for Redis"), "it is noticed", LIMIT_S, worker.assert_alive)
    name = 'nextbasket_outage_seconds_total{service="Redis"}'
    wait_until(
        lambda: f"{name} 0.0" not in http_status(port, "metrics")[1], "the metric rises", LIMIT_S, worker.assert_alive
    )
    assert worker.stop() == 0


def test_a_redis_that_gets_an_eviction_policy_makes_a_running_worker_not_ready(
    start: Any, environment: dict[str, str]
) -> None:
    port = free_port()
    with embedded_redis() as url, Redis.from_url(url) as client:
        worker = start(
            environment | {"NEXTBASKET_REDIS_URL": url, "NEXTBASKET_METRICS_PORT": str(port)}, durability_interval_s=0.2
        )
        wait_until(lambda: http_status(port, "readyz")[0] == 200, "it is ready", LIMIT_S, worker.assert_alive)
        assert worker.log_lines()[0]["message"].endswith(f", metrics port {port}")
        assert "nextbasket_redis_evicts 0.0" in http_status(port, "metrics")[1]
        client.config_set("maxmemory-policy", "allkeys-lru")
        wait_until(lambda: http_status(port, "readyz")[0] == 503, "it is not ready", LIMIT_S, worker.assert_alive)
        assert "Redis eviction: Redis evicts keys (maxmemory-policy allkeys-lru)" in http_status(port, "readyz")[1]
        assert "nextbasket_redis_evicts 1.0" in http_status(port, "metrics")[1]
        client.config_set("maxmemory-policy", "noeviction")
        wait_until(lambda: http_status(port, "readyz")[0] == 200, "it is ready again", LIMIT_S, worker.assert_alive)
        time.sleep(1.0)  # five more checks, which must log nothing
        assert len([line for line in worker.log_lines() if line["level"] == "ERROR"]) == 1
    worker.stop()


def test_a_worker_that_waits_for_kafka_lives_and_is_not_ready(start: Any, environment: dict[str, str]) -> None:
    port = free_port()
    nowhere = {"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{free_port()}", "NEXTBASKET_METRICS_PORT": str(port)}
    worker = start(environment | nowhere)
    wait_until(lambda: worker.has_logged("Waiting for Kafka"), "it waits", LIMIT_S, worker.assert_alive)
    assert http_status(port, "readyz") == (503, "model: no scorer is loaded yet\nKafka: the group is not joined yet\n")
    assert http_status(port, "livez")[0] == 200
    assert worker.stop() == 0


def test_metrics_are_served_on_the_configured_port(
    start: Any, environment: dict[str, str], settings: Settings, group: Group, producer: Producer
) -> None:
    port = free_port()
    worker = start(environment | {"NEXTBASKET_METRICS_PORT": str(port)})
    wait_until(lambda: worker.has_logged("Worker started"), "the topics are there", LIMIT_S, worker.assert_alive)
    sent = send(producer, settings, events(0))
    wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, worker.assert_alive)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert f"nextbasket_events_total {float(sent)}" in text
    assert 'nextbasket_recommendations_total{fate="sent"}' in text
    for path, status in (("livez", 200), ("readyz", 200), ("", 404), ("metricsx", 404)):
        assert http_status(port, path)[0] == status
    # A second worker on the same machine.
    second = start(environment | {"NEXTBASKET_METRICS_PORT": str(port)})
    wait_until(lambda: second.has_logged("Worker started"), "the second has started", LIMIT_S, second.assert_alive)
    assert f"({port} is taken)" in second.log_lines()[0]["message"]
    assert second.stop() == 0
    assert worker.stop() == 0


def test_no_event_is_dead_lettered_while_redis_forbids_or_breaks_off_scripts(
    start: Any, environment: dict[str, str], settings: Settings, group: Group, producer: Producer, tmp_path: Path
) -> None:
    port = free_port()
    with redis_with_a_user(tmp_path) as (url, client):
        worker = start(environment | {"NEXTBASKET_REDIS_URL": url, "NEXTBASKET_METRICS_PORT": str(port)})
        wait_until(lambda: http_status(port, "readyz")[0] == 200, "it is ready", LIMIT_S, worker.assert_alive)
        set_user(client, "-evalsha")
        sent = send(producer, settings, events(0))
        wait_until(lambda: worker.has_logged("Waiting for Redis"), "it waits", LIMIT_S, worker.assert_alive)
        wait_until(lambda: http_status(port, "readyz")[0] == 503, "it is not ready", LIMIT_S, worker.assert_alive)
        assert "has no permissions to run the 'evalsha' command" in http_status(port, "readyz")[1]
        set_user(client, "+evalsha", "-xadd")
        sent += send(producer, settings, events(1))
        time.sleep(2.0)
        assert group.done() == 0
        set_user(client, "+xadd")
        wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, worker.assert_alive)
        assert http_status(port, "readyz") == (200, "ok\n")
        assert worker.stop() == 0
    assert not worker.has_logged("dead-lettered")


def test_a_missing_right_ends_the_worker_with_a_sentence(
    start: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    with redis_with_a_user(tmp_path, "-hset") as (url, _):
        worker = start(environment | {"NEXTBASKET_REDIS_URL": url})
        assert worker.process.wait(LIMIT_S) == 5
    assert "The user of Redis lacks a permission" in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text()


@contextmanager
def redis_with_a_user(folder: Path, *rights: str) -> Iterator[tuple[str, Redis]]:
    """A Redis with the user ``worker``, as whom the URL connects, and a client of its administrator."""
    if missing_tools():
        pytest.skip("needs redis-server on the PATH")
    with RedisServer(folder / "redis", fsync="no") as server, Redis.from_url(server.url) as client:
        set_user(client, "on", ">s3cret", "~*", "+@all", *rights)
        yield server.url.replace("//", "//worker:s3cret@"), client


def test_a_failover_behind_an_address_is_followed_within_seconds(
    start: Any, environment: dict[str, str], settings: Settings, group: Group, producer: Producer, tmp_path: Path
) -> None:
    if missing_tools():
        pytest.skip("needs redis-server on the PATH")
    with (
        RedisServer(tmp_path / "old", fsync="no") as old,
        RedisServer(tmp_path / "new", fsync="no") as new,
        Redis(port=old.port) as old_client,
        Redis(port=new.port) as new_client,
        Relay(free_port(), "127.0.0.1", old.port) as relay,
    ):
        new_client.replicaof("127.0.0.1", str(old.port))
        worker = start(environment | {"NEXTBASKET_REDIS_URL": relay.url("redis")})
        wait_until(lambda: worker.has_logged("Worker started"), "the topics are there", LIMIT_S, worker.assert_alive)
        sent = send(producer, settings, events(0))
        wait_until(lambda: group.done() == sent, "the first events are done", LIMIT_S, worker.assert_alive)
        old_client.wait(1, 30_000)
        # For some seconds there is no primary, so that the pauses between the attempts grow.
        old_client.replicaof("127.0.0.1", str(new.port))
        sent += send(producer, settings, events(1))
        wait_until(lambda: worker.has_logged("Waiting for Redis"), "it waits", LIMIT_S, worker.assert_alive)
        time.sleep(12.0)
        new_client.replicaof("NO", "ONE")
        relay.target = ("127.0.0.1", new.port)
        promoted = time.monotonic()
        wait_until(lambda: worker.has_logged("Redis answers after"), "work goes on", LIMIT_S, worker.assert_alive)
        assert time.monotonic() - promoted < 5.0
        wait_until(lambda: group.done() == sent, "everything is done", LIMIT_S, worker.assert_alive)
        assert worker.stop() == 0


def test_a_redis_that_evicts_is_refused_with_a_sentence_unless_it_is_allowed(
    start: Any, environment: dict[str, str]
) -> None:
    with embedded_redis() as url, Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        variables = environment | {"NEXTBASKET_REDIS_URL": url}
        refused = start(variables)
        assert refused.process.wait(LIMIT_S) == 3
        assert "Redis evicts keys (maxmemory-policy allkeys-lru)" in refused.log.read_text()
        allowed = start(variables | {"NEXTBASKET_ALLOW_EVICTION": "1"})
        wait_until(lambda: allowed.has_logged("Worker started"), "it starts", LIMIT_S, allowed.assert_alive)
        assert allowed.has_logged("Redis evicts keys")
        assert allowed.has_logged("Redis does not write to disk")
        assert allowed.stop() == 0
