"""The services that the suite itself stands on: they answer, and what they confirmed outlives a crash."""

import uuid

import pytest
from confluent_kafka import Consumer, Producer
from redis import Redis

from tests.services.choice import Service, Services
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer


def produce(brokers: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": brokers, "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


def consume(brokers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    try:
        while len(values) < count:
            messages = consumer.consume(count - len(values), timeout=60)
            assert messages, f"{len(values)} of {count} messages arrived"
            values += [message.value() or b"" for message in messages if message.error() is None]
    finally:
        consumer.close()
    return values


def test_kafka_carries_messages(kafka: Service) -> None:
    values = [b"%d" % i for i in range(100)]
    topic = f"t{uuid.uuid4().hex}"
    produce(kafka.address, topic, values)
    assert sorted(consume(kafka.address, topic, 100)) == sorted(values)


def test_redis_keeps_values(redis: Service) -> None:
    with Redis.from_url(redis.address) as client:
        key = f"t{uuid.uuid4().hex}"
        client.set(key, b"value", ex=60)
        assert client.get(key) == b"value"


@pytest.mark.durable
def test_kafka_brought_back_after_a_crash_has_every_confirmed_message() -> None:
    values = [b"%d" % i for i in range(2000)]
    with KafkaServer() as server:
        produce(server.brokers, "kept", values)
        server.restart()
        assert sorted(consume(server.brokers, "kept", len(values))) == sorted(values)


@pytest.mark.durable
def test_redis_brought_back_after_a_crash_has_every_confirmed_write() -> None:
    with RedisServer() as server:
        with Redis.from_url(server.url) as client:
            for i in range(500):
                client.hset("kept", str(i), b"value")
        server.restart()
        with Redis.from_url(server.url) as client:
            assert client.hlen("kept") == 500


def test_services_given_in_the_environment_come_first() -> None:
    services = Services({"NEXTBASKET_TEST_KAFKA": "broker:9092", "NEXTBASKET_TEST_REDIS": "redis://cache/1"})
    assert (services.kafka().address, services.redis().address) == ("broker:9092", "redis://cache/1")
    assert services.not_real() is None
    assert not services.require_real


def test_without_docker_and_installations_the_embedded_ones_are_chosen_and_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    services = Services({"NEXTBASKET_REQUIRE_REAL": "1"})
    assert set(services.planned.values()) == {"embedded"}
    assert services.require_real
    reason = services.not_real()
    assert reason is not None
    assert "java" in reason
    assert "redis-server" in reason
