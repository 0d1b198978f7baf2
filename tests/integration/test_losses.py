"""What the outside world loses is noticed, in one line with numbers, and counted."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from redis import Redis

from state.settings import load_settings
from state.store.redis.store import RedisStore
from stream.durability_watch import DurabilityWatch
from stream.kafka.topics import ensure_topics
from tests.integration.test_kafka_outage import WatchedWorker
from tests.integration.workers import nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.redis import RedisServer
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0

pytestmark = [pytest.mark.timeout(240), pytest.mark.durable]


class Shop:
    """One partition, and a worker whose metrics and log are read."""

    def __init__(self, variables: dict[str, str], kafka: Service, log: Path) -> None:
        self.variables = variables | {"NEXTBASKET_PARTITIONS": "1"}
        self.settings = load_settings(self.variables)
        ensure_topics(self.settings)
        self.topic = self.settings.topics.invoices
        self._producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
        self._admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
        self.group = Group(kafka.address, self.settings.group, self.topic)
        self.worker = WatchedWorker(self.variables, log)
        self.sent = 0

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            event = invoice(f"{number}", f"c{number % 20}", "2011-11-01T10:00:00Z", f"A{number % 9}")
            self._producer.produce(self.topic, json.dumps(event).encode(), b"c")
        assert self._producer.flush(30) == 0
        self.sent += count

    def expire(self, before: int) -> None:
        """Delete the records before an offset, as retention does."""
        for deleted in self._admin.delete_records([TopicPartition(self.topic, 0, before)]).values():
            deleted.result()

    def wait_until_done(self) -> None:
        wait_until(lambda: self.group.done() == self.sent, "all is processed", LIMIT_S, self.worker.assert_alive)

    def metric(self, name: str) -> float:
        found = re.search(rf"^nextbasket_{name} (\S+)$", self.worker.get("metrics")[1], re.M)
        return float(found[1]) if found else 0.0


@pytest.fixture
def shop(environment: dict[str, str], kafka: Service, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(environment, kafka, tmp_path / "worker.log")
    yield shop
    shop.worker.end()
    shop.group.close()


def test_events_that_were_deleted_while_no_worker_ran_are_counted(shop: Shop) -> None:
    shop.worker.start()
    shop.send(10)
    shop.wait_until_done()
    assert shop.worker.stop() == 0
    shop.send(100)
    shop.expire(60)
    shop.worker.start()
    shop.wait_until_done()
    (line,) = shop.worker.loud()
    assert line.startswith(f"50 events of {shop.topic}, partition 0, were deleted by the retention")
    assert "(offsets 10 to 59, " in line
    assert shop.metric("events_lost_total") == 50


def test_events_that_were_deleted_under_a_worker_are_counted(shop: Shop) -> None:
    shop.worker.start()
    shop.send(10)
    shop.wait_until_done()
    process = shop.worker._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(2 * shop.settings.fetch_wait_ms / 1_000)  # the fetch that is under way ends empty
        shop.send(100)
        shop.expire(60)
    finally:
        process.send_signal(signal.SIGCONT)
    shop.wait_until_done()
    wait_until(lambda: shop.metric("events_lost_total") == 50, "the loss is counted", LIMIT_S)
    (line,) = [line for line in shop.worker.loud() if "were deleted by the retention" in line]
    assert "(offsets 10 to 59, " in line


def test_a_redis_that_is_emptied_under_a_worker_is_one_line_and_can_be_rebuilt(shop: Shop, redis: Service) -> None:
    shop.worker.start()
    shop.send(50)
    shop.wait_until_done()
    before = nextbasket(shop.variables, "export", "histories")
    with Redis.from_url(redis.address) as client:
        client.unlink(*client.scan_iter(f"{shop.settings.key_prefix}*", count=1000))
    wait_until(lambda: shop.metric("redis_losses_total") == 1, "the loss is counted", LIMIT_S)
    (line,) = shop.worker.loud()
    assert re.match(r"Redis lost its data: its items were at version \d+, and it is empty; ", line)
    assert "nextbasket rebuild" in line
    nextbasket(shop.variables, "rebuild")
    assert nextbasket(shop.variables, "export", "histories") == before
    assert shop.worker.stop() == 0
    with Redis.from_url(redis.address) as client:
        client.unlink(*client.scan_iter(f"{shop.settings.key_prefix}*", count=1000))
    shop.worker.start()
    wait_until(lambda: len(shop.worker.loud()) == 2, "the next worker notices it too", LIMIT_S)
    assert shop.worker.loud()[1].startswith("Redis is empty, though the workers have processed 50 events before: ")


def test_keys_that_redis_evicts_are_counted_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(fsync="no") as server, Redis.from_url(server.url) as client:
        store = RedisStore(load_settings({"NEXTBASKET_REDIS_URL": server.url}))
        counted: list[int] = []
        watch = DurabilityWatch(store.durability, on_evicted=counted.append, allow_eviction=True, interval_s=0.2)
        watch.start(store.durability())
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "3mb")
        for number in range(400):
            client.set(f"h:{{{number}}}", b"x" * 10_000)
        evicted = client.info("stats")["evicted_keys"]
        assert evicted > 0
        wait_until(lambda: sum(counted) == evicted, "they are counted", LIMIT_S)
        watch.stop()
        store.close()
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith("Redis evicted ")]
    assert len(lines) == len(counted)
    assert f"Redis evicted {counted[0]} keys since the last check" in lines[0]
