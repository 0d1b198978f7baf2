"""Compressed records and aborted transactions: the worker, the trainer's reader and redrive read the same events."""

import json
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
from tests.unit.stream.harness import invoice

CODECS = ("gzip", "snappy", "lz4", "zstd")
BY_TOPIC = "the topic's snappy"
"""The broker compresses; Java's framing of snappy differs from that of librdkafka."""
EVENTS = 300
LIMIT_S = 60.0
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


def send(
    producer: Producer, topic: str, values: list[bytes], headers: dict[str, str | bytes | None] | None = None
) -> int:
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
    wait_until(lambda: group.done() == 2 * EVENTS, "all events are done", LIMIT_S, lambda: assert_alive(worker))
    answers = [json.loads(message.value()) for message in read_messages(kafka.address, topics.recommendations)]
    assert {answer["customer_id"] for answer in answers} == {"c", "d"}
    assert worker.stop() == 0


def assert_alive(worker: Worker) -> None:
    assert worker.ended() is None, worker.log_tail()
