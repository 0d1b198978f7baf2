"""Compressed records and aborted transactions: the worker, the trainer's reader and redrive read the same events."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from state.settings import Settings
from stream.kafka.topic_reader import read_topic
from stream.kafka.topics import ensure_topics
from stream.pipeline.dead_letters import REASON, TOPIC
from tests.integration.topic import read_topic as read_messages
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.process import free_port
from tests.unit.stream.harness import invoice

CODECS = ("gzip", "snappy", "lz4", "zstd")
BY_TOPIC = "the topic's snappy"
"""The broker compresses; Java's framing of snappy differs from that of librdkafka."""
EVENTS = 300
LIMIT_S = 40.0
Headers = dict[str, str | bytes | None] | None
CLOCK = 2_000_000_000

pytestmark = [pytest.mark.durable, pytest.mark.timeout(300)]


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(environment, tmp_path / "worker.log")
    yield worker
    worker.end()


@pytest.fixture
def group(kafka: Service, settings: Settings) -> Iterator[Group]:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    yield group
    group.close()


def events(customer: str, count: int = EVENTS) -> list[bytes]:
    return [
        json.dumps(invoice(f"{customer}-{number}", customer, "2011-11-05T10:00:00Z", "A", "B")).encode()
        for number in range(count)
    ]


def producer(kafka: Service, **config: str) -> Producer:
    return Producer({"bootstrap.servers": kafka.address, "log_level": 0, "linger.ms": 50} | config)


def send(producer: Producer, topic: str, values: list[bytes], headers: Headers = None) -> int:
    for value in values:
        producer.produce(topic, value, b"key", headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0
    return len(values)


def create_topic(kafka: Service, name: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    topic = NewTopic(name, num_partitions=1, replication_factor=1, config=config)
    admin.create_topics([topic])[name].result(30)


@pytest.mark.parametrize("codec", [*CODECS, BY_TOPIC])
def test_every_codec_is_read_by_worker_trainer_and_redrive(
    kafka: Service, environment: dict[str, str], settings: Settings, worker: Worker, group: Group, codec: str
) -> None:
    topics = settings.topics
    if codec == BY_TOPIC:
        sender = producer(kafka)
        for topic in (topics.invoices, topics.dead_letter):
            create_topic(kafka, topic, **{"compression.type": "snappy"})
    else:
        sender = producer(kafka, **{"compression.type": codec})
    ensure_topics(settings)
    send(sender, topics.invoices, events("c"))
    assert len(read_topic(settings, clock=CLOCK).invoices) == EVENTS

    send(sender, topics.dead_letter, events("d"), {TOPIC: topics.invoices, REASON: "tried"})
    assert f"{EVENTS:,} dead letters were sent back" in nextbasket(environment, "redrive")

    worker.start()
    # A redrive ends its transaction with a marker, which has an offset.
    wait_until(lambda: group.done() >= 2 * EVENTS, "all events are done", LIMIT_S, lambda: assert_alive(worker))
    answers = [json.loads(message.value()) for message in read_messages(kafka.address, topics.recommendations)]
    assert {answer["customer_id"] for answer in answers} == {"c", "d"}
    assert worker.stop() == 0


def send_transactions(kafka: Service, topic: str, customers: dict[str, bool], headers: Headers = None) -> None:
    """One transaction for each customer, one event each, in this order; those with False are aborted."""
    sender = producer(kafka, **{"transactional.id": f"sales of {topic}"})
    sender.init_transactions(30)
    for customer, committed in customers.items():
        sender.begin_transaction()
        send(sender, topic, events(customer, 1), headers)
        if committed:
            sender.commit_transaction(30)
        else:
            sender.abort_transaction(30)


def metric(port: int, name: str) -> list[float]:
    """The values of a metric, one for each combination of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return [float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)]


@pytest.fixture
def port(environment: dict[str, str]) -> int:
    environment["NEXTBASKET_METRICS_PORT"] = str(free_port())
    return int(environment["NEXTBASKET_METRICS_PORT"])


def test_events_of_an_aborted_transaction_are_left_out_and_markers_are_no_lag(
    kafka: Service, port: int, settings: Settings, worker: Worker, group: Group
) -> None:
    topics = settings.topics
    ensure_topics(settings)
    send_transactions(kafka, topics.invoices, {"first": True, "aborted": False, "second": True, "last aborted": False})
    assert {one.customer_id for one in read_topic(settings, clock=CLOCK).invoices} == {"first", "second"}

    worker.start()
    events_and_markers = 4 + 4
    wait_until(lambda: group.done() == events_and_markers, "all is done", LIMIT_S, lambda: assert_alive(worker))
    answers = [json.loads(message.value()) for message in read_messages(kafka.address, topics.recommendations)]
    assert {answer["customer_id"] for answer in answers} == {"first", "second"}
    wait_until(lambda: len(metric(port, "nextbasket_lag_events")) > 0, "the lag is known", LIMIT_S)
    assert set(metric(port, "nextbasket_lag_events")) == {0.0}
    assert metric(port, "nextbasket_events_total") == [2.0]

    # Events that come after the markers are neither skipped nor read twice.
    send_transactions(kafka, topics.invoices, {"third": True, "again aborted": False})
    wait_until(lambda: group.done() == events_and_markers + 4, "all is done", LIMIT_S, lambda: assert_alive(worker))
    assert metric(port, "nextbasket_events_total") == [3.0]
    assert worker.stop() == 0


def test_an_open_transaction_is_waited_for(kafka: Service, settings: Settings, worker: Worker, group: Group) -> None:
    topics = settings.topics
    ensure_topics(settings)
    sender = producer(kafka, **{"transactional.id": settings.namespace})
    sender.init_transactions(30)
    send(producer(kafka), topics.invoices, events("before", 1))
    sender.begin_transaction()
    send(sender, topics.invoices, events("open", 1))
    send(producer(kafka), topics.invoices, events("after", 1))
    worker.start()
    wait_until(lambda: group.done() == 1, "the event before it is done", LIMIT_S, lambda: assert_alive(worker))
    time.sleep(2.0)  # two commits
    assert group.done() == 1
    sender.commit_transaction(30)
    wait_until(lambda: group.done() == 4, "all is done", LIMIT_S, lambda: assert_alive(worker))
    answers = [json.loads(message.value()) for message in read_messages(kafka.address, topics.recommendations)]
    assert {answer["customer_id"] for answer in answers} == {"before", "open", "after"}


def test_redrive_leaves_out_the_letters_of_an_aborted_transaction(
    kafka: Service, environment: dict[str, str], settings: Settings
) -> None:
    topics = settings.topics
    ensure_topics(settings)
    send_transactions(kafka, topics.dead_letter, {"a": True, "b": False}, {TOPIC: topics.invoices, REASON: "tried"})
    assert "1 dead letter was sent back" in nextbasket(environment, "redrive")
    assert "0 dead letters were sent back" in nextbasket(environment, "redrive")


def assert_alive(worker: Worker) -> None:
    assert worker.ended() is None, worker.log_tail()
