"""Lists of invoices in transactions, on a real Kafka."""

import itertools
from collections.abc import Iterator
from contextlib import closing

import pytest

from state.settings import Settings
from stream.errors import MessageTooLarge, PublisherUnavailable
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics
from stream.kafka.transactional_publisher import TransactionalPublisher
from stream.messages import Message
from tests.integration.topic import read_topic
from tests.services.choice import Service

pytestmark = pytest.mark.durable  # the embedded broker shows readers what was not committed


@pytest.fixture
def publisher(settings: Settings) -> Iterator[TransactionalPublisher]:
    ensure_topics(settings)
    with closing(TransactionalPublisher(settings, delivery_s=4.0)) as publisher:
        yield publisher


def test_readers_see_all_messages_of_a_list_or_none(
    publisher: TransactionalPublisher, settings: Settings, kafka: Service
) -> None:
    topic = settings.topics.invoices

    def values() -> set[bytes]:
        return {message.value() for message in read_topic(kafka.address, topic)}

    publisher.publish([Message(topic, b"%d" % number, b"first %d" % number) for number in range(100)])
    first = {b"first %d" % number for number in range(100)}
    assert values() == first
    # Larger than the topic takes: the broker refuses one message after it has taken others.
    large = Message(topic, b"0", b"x" * 1_500_000)
    with pytest.raises(MessageTooLarge) as refused:
        publisher.publish([*(Message(topic, b"%d" % number, b"refused") for number in range(100)), large])
    assert refused.value.messages == [large]
    assert values() == first
    # The next call works, and so does one after a process that ended in the middle of its transaction.
    publisher.publish([Message(topic, b"1", b"second")])
    assert values() == first | {b"second"}
    abandoned = TransactionalPublisher(settings, delivery_s=4.0)
    abandoned._config["transactional.id"] = publisher._config["transactional.id"]
    producer = abandoned._connected()  # Kafka fences the producer of ``publisher`` from here on
    producer.begin_transaction()
    producer.produce(topic, b"abandoned", b"1")
    producer.flush(5)
    for attempt in itertools.count():
        try:
            publisher.publish([Message(topic, b"1", b"third"), Message(topic, b"2", b"third")])
        except PublisherUnavailable:
            assert attempt == 0  # it was fenced: the next call connects again
        else:
            break
    assert values() == first | {b"second", b"third"}


def test_single_messages_and_lists_share_a_topic(
    publisher: TransactionalPublisher, settings: Settings, kafka: Service
) -> None:
    topic = settings.topics.invoices
    with closing(KafkaPublisher(settings)) as single:
        for number in range(20):
            (publisher if number % 2 else single).publish([Message(topic, b"k", b"%d" % number)])
    assert [message.value() for message in read_topic(kafka.address, topic)] == [b"%d" % n for n in range(20)]
