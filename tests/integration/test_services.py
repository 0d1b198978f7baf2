"""The services of the test suite: they answer, and their data survives a crash."""

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


def test_kafka_delivers_messages(kafka: Service) -> None:
    values = [b"%d" % i for i in range(100)]
    topic = f"t{uuid.uuid4().hex}"
    produce(kafka.address, topic, values)
    assert sorted(consume(kafka.address, topic, 100)) == sorted(values)


def test_redis_stores_values(redis: Service) -> None:
    with Redis.from_url(redis.address) as client:
        key = f"t{uuid.uuid4().hex}"
        client.set(key, b"value", ex=60)
        assert client.get(key) == b"value"


@pytest.mark.durable
def test_confirmed_messages_survive_a_crash_of_kafka() -> None:
    values = [b"%d" % i for i in range(2000)]
    with KafkaServer() as server:
        produce(server.brokers, "kept", values)
        server.restart()
        assert sorted(consume(server.brokers, "kept", len(values))) == sorted(values)


@pytest.mark.durable
def test_confirmed_writes_survive_a_crash_of_redis() -> None:
    with RedisServer() as server:
        with Redis.from_url(server.url) as client:
            for i in range(500):
                client.hset("kept", str(i), b"value")
        server.restart()
        with Redis.from_url(server.url) as client:
            assert client.hlen("kept") == 500


def test_services_of_the_environment_are_preferred() -> None:
    services = Services({"NEXTBASKET_TEST_KAFKA": "broker:9092", "NEXTBASKET_TEST_REDIS": "redis://cache/1"})
    assert (services.kafka().address, services.redis().address) == ("broker:9092", "redis://cache/1")
    assert services.not_real() is None
    assert not services.require_real


def test_embedded_services_are_the_last_choice_with_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    services = Services({"NEXTBASKET_REQUIRE_REAL": "1"})
    assert set(services.planned.values()) == {"embedded"}
    assert services.require_real
    reason = services.not_real()
    assert reason is not None
    assert "java" in reason
    assert "redis-server" in reason
