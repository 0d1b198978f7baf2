"""A dead-letter topic that cannot take letters is named, waited for or gone around, and no letter is lost."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from state.settings import load_settings
from stream.kafka.dead_letter_topic import DeadLetterTopic
from stream.kafka.topics import ensure_topics, existing_topics
from tests.integration.test_kafka_outage import WatchedWorker
from tests.integration.topic import read_topic
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 90.0
BAD = b"no JSON " + b"x" * 5_000

pytestmark = [pytest.mark.timeout(300), pytest.mark.durable]


class Shop:
    """A worker, and its dead-letter topic, which is changed."""

    def __init__(self, variables: dict[str, str], kafka: Service, log: Path) -> None:
        self.settings = load_settings(variables)
        ensure_topics(self.settings)
        self.letters = self.settings.topics.dead_letter
        self._brokers = kafka.address
        self._producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
        self.admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
        self.group = Group(kafka.address, self.settings.group, self.settings.topics.invoices)
        self.variables, self._log = variables, log
        self.worker = WatchedWorker(variables, log)
        self.sent = 0

    def configure(self, **config: str) -> None:
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.letters, incremental_configs=entries)
        for changed in self.admin.incremental_alter_configs([resource]).values():
            changed.result()

    def start(self, **variables: str) -> None:
        self.worker = WatchedWorker(self.variables | variables, self._log)
        self.worker.start()

    def send(self, *events: bytes | dict[str, Any]) -> None:
        for event in events:
            value = event if isinstance(event, bytes) else json.dumps(event).encode()
            self._producer.produce(self.settings.topics.invoices, value, b"c")
        assert self._producer.flush(30) == 0
        self.sent += len(events)

    def wait_until_done(self) -> None:
        wait_until(lambda: self.group.done() == self.sent, "all is processed", LIMIT_S, self.worker.assert_alive)

    def wait_until_logged(self, words: str) -> None:
        wait_until(lambda: words in self._log.read_text(), f"{words} is logged", LIMIT_S, self.worker.assert_alive)

    def metric(self, name: str) -> float:
        found = re.search(rf"^nextbasket_{re.escape(name)} (\S+)$", self.worker.get("metrics")[1], re.M)
        return float(found[1]) if found else -1.0

    def received(self) -> list[bytes]:
        return [message.value() for message in read_topic(self._brokers, self.letters)]

    def recommendations(self) -> int:
        return len(read_topic(self._brokers, self.settings.topics.recommendations))


@pytest.fixture
def shop(environment: dict[str, str], kafka: Service, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(environment, kafka, tmp_path / "worker.log")
    yield shop
    shop.worker.end()
    shop.group.close()


GOOD = invoice("1", "c", "2011-11-01T10:00:00Z", "A", "B")


def test_a_compacted_topic_is_named_at_the_start_and_waited_for(shop: Shop) -> None:
    shop.configure(cleanup_policy="compact")
    shop.start()
    shop.wait_until_logged(f"The dead-letter topic cannot be used: {shop.letters} is compacted")
    shop.send(GOOD, BAD, BAD + b"2")
    shop.wait_until_logged(f"Waiting for dead-letter topic: {shop.letters} is compacted")
    wait_until(lambda: shop.recommendations() == 1, "the good event is not delayed", LIMIT_S)
    assert shop.group.done() == 0
    assert shop.metric("dead_letter_topic_usable") == 0
    first = shop.metric('outage_seconds_total{service="dead-letter topic"}')
    wait_until(lambda: shop.metric('outage_seconds_total{service="dead-letter topic"}') > first, "it rises", LIMIT_S)
    shop.configure(cleanup_policy="delete")
    shop.wait_until_done()
    assert sorted(shop.received()) == [BAD, BAD + b"2"]


def test_letters_are_set_aside_in_redis_and_sent_once_the_topic_takes_them(shop: Shop) -> None:
    shop.configure(cleanup_policy="compact")
    shop.start(NEXTBASKET_DEAD_LETTERS="redis")
    shop.send(GOOD, BAD, BAD + b"2")
    shop.wait_until_done()
    shop.wait_until_logged(f"Set 2 dead letters aside in Redis: {shop.letters} is compacted")
    assert shop.received() == []
    assert shop.worker.stop() == 0
    shop.configure(cleanup_policy="delete")
    shop.start(NEXTBASKET_DEAD_LETTERS="redis")
    shop.wait_until_logged("Sent 2 dead letters that Redis held to the dead-letter topic")
    assert sorted(shop.received()) == [BAD, BAD + b"2"]
    wait_until(lambda: shop.metric("dead_letters_set_aside") == 0, "none is set aside", LIMIT_S)


def test_a_topic_that_is_too_small_is_named_and_gets_the_whole_letter_later(shop: Shop) -> None:
    shop.configure(max_message_bytes="1000")
    shop.start()
    shop.wait_until_logged(f"The dead-letter topic {shop.letters} is too small for the largest events")
    shop.send(BAD, GOOD)
    shop.wait_until_logged(f"a dead letter of 5,009 bytes does not fit into {shop.letters}")
    wait_until(lambda: shop.recommendations() == 1, "the good event is not delayed", LIMIT_S)
    assert shop.group.done() == 0
    shop.configure(max_message_bytes="2000000")
    shop.wait_until_done()
    assert shop.received() == [BAD]


def test_a_deleted_topic_is_made_again(shop: Shop) -> None:
    shop.start()
    shop.send(BAD)
    shop.wait_until_done()
    for deleted in shop.admin.delete_topics([shop.letters]).values():
        deleted.result()
    wait_until(lambda: shop.letters not in existing_topics(shop.settings), "it is gone", LIMIT_S)
    shop.send(BAD + b"2", GOOD)
    shop.wait_until_done()
    assert shop.received() == [BAD + b"2"]


def test_a_missing_topic_is_made_again_by_a_check(shop: Shop) -> None:
    for deleted in shop.admin.delete_topics([shop.letters]).values():
        deleted.result()
    wait_until(lambda: shop.letters not in existing_topics(shop.settings), "it is gone", LIMIT_S)
    assert DeadLetterTopic(shop.settings).check() is None
    assert shop.letters in existing_topics(shop.settings)
