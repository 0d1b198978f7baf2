import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from state.errors import SettingsError
from state.settings import Settings, load_settings
from stream.errors import MessageTooLarge, PublisherUnavailable
from stream.kafka.publisher import MAX_MESSAGE_BYTES, KafkaPublisher
from stream.messages import Message
from stream.pipeline.memory_publisher import MemoryPublisher
from stream.tools.embedded import embedded_kafka
from tests.integration.topic import read_topic
from tests.services.process import free_port


def murmur2(key: bytes) -> int:
    """Kafka's hash of keys, after org.apache.kafka.common.utils.Utils."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        h = h * m & mask ^ (k ^ k >> 24) * m & mask
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    with embedded_kafka() as address:
        yield address


@pytest.fixture
def settings(brokers: str) -> Settings:
    return load_settings({"NEXTBASKET_KAFKA_BROKERS": brokers})


@pytest.fixture
def publisher(settings: Settings) -> Iterator[KafkaPublisher]:
    publisher = KafkaPublisher(settings)
    yield publisher
    publisher.close()


def read(brokers: str, topic: str, count: int) -> list[tuple[Any, ...]]:
    """Partition, key, value and headers of the messages of a topic, which must be so many."""
    found = [(one.partition(), one.key(), one.value(), one.headers() or []) for one in read_topic(brokers, topic)]
    assert len(found) == count
    return found


def test_messages_are_delivered_in_order_before_the_call_returns(publisher: KafkaPublisher, brokers: str) -> None:
    messages = [Message("a", b"k", b"%d" % n, (("reason", b"r"), ("n", b"%d" % n))) for n in range(500)]
    publisher.publish(messages)
    found = read(brokers, "a", 500)
    assert [value for _, _, value, _ in found] == [message.value for message in messages]
    assert found[7][3] == [("reason", b"r"), ("n", b"7")]
    assert {key for _, key, _, _ in found} == {b"k"}


def test_missing_keys_and_values_are_preserved(publisher: KafkaPublisher, brokers: str) -> None:
    publisher.publish([Message("b", None, None), Message("b", b"", b"")])
    assert {(key, value) for _, key, value, _ in read(brokers, "b", 2)} == {(None, None), (b"", b"")}


def test_keys_are_partitioned_as_by_the_java_client(publisher: KafkaPublisher, brokers: str) -> None:
    keys = [b"%d" % n for n in range(12_000, 12_040)]
    publisher.publish([Message("c", key, b"") for key in keys])
    partitions = {key: partition for partition, key, _, _ in read(brokers, "c", len(keys))}
    assert len(set(partitions.values())) == 4
    for key in keys:
        assert partitions[key] == (murmur2(key) & 0x7FFFFFFF) % 4


def test_too_large_messages_are_returned_and_the_others_delivered(publisher: KafkaPublisher, brokers: str) -> None:
    large = Message("d", b"k", b"x" * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(MessageTooLarge) as refused:
        publisher.publish([Message("d", b"k", b"1"), large, Message("d", b"k", b"2")])
    assert refused.value.messages == [large]
    assert [value for _, _, value, _ in read(brokers, "d", 2)] == [b"1", b"2"]


def test_without_a_broker_all_messages_are_returned() -> None:
    settings = load_settings({"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{free_port()}"})
    publisher = KafkaPublisher(settings, delivery_s=0.5)
    messages = [Message("a", b"k", b"1"), Message("a", b"k", b"2")]
    with pytest.raises(PublisherUnavailable, match="2 of 2 messages were not confirmed") as failed:
        publisher.publish(messages)
    assert failed.value.undelivered == messages
    publisher.close()


def test_a_stop_ends_the_wait_for_a_broker() -> None:
    stop = threading.Event()
    settings = load_settings({"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{free_port()}"})
    publisher = KafkaPublisher(settings, stop, delivery_s=3600)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(PublisherUnavailable):
        publisher.publish([Message("a", b"k", b"1")])
    assert time.monotonic() - began < 60
    publisher.close()


def test_a_missing_broker_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="NEXTBASKET_KAFKA_BROKERS is not set"):
        KafkaPublisher(load_settings({}))


def test_the_memory_publisher_has_the_messages_in_order() -> None:
    publisher = MemoryPublisher()
    publisher.publish([Message("a", None, b"1")])
    publisher.publish([Message("b", None, b"2")])
    assert [message.value for message in publisher.messages] == [b"1", b"2"]
