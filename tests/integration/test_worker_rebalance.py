"""Only processed offsets are committed while partitions move between workers.

The workers are applications in this process, with a processor that records the offsets it was given.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from state.settings import Settings
from stream.errors import Stopped
from stream.kafka.agent import create_app
from stream.kafka.faust_app import StreamApp
from stream.kafka.topics import ensure_topics
from stream.messages import Incoming
from stream.worker_process import exit_process
from tests.integration.topic import read_topic
from tests.services.choice import Service
from tests.services.group import Group

LIMIT_S = 90.0

pytestmark = pytest.mark.timeout(240)

Position = tuple[int, int]
"""Partition and offset."""


class RecordingProcessor:
    """Records the positions it processed; slow enough that a rebalance happens while a batch is in work."""

    def __init__(self, done: Counter[Position], pause_s: float = 0.003) -> None:
        self.done = done
        self.mine: set[Position] = set()
        self.stop = threading.Event()
        self._pause_s = pause_s

    def process(self, batch: Sequence[Incoming]) -> None:
        if self.stop.wait(self._pause_s * random.random()):
            raise Stopped("the test stops the processor")
        positions = [(event.partition, event.offset) for event in batch]
        self.done.update(positions)
        self.mine.update(positions)


@asynccontextmanager
async def worker(settings: Settings, processor: RecordingProcessor) -> AsyncIterator[StreamApp]:
    """An application that runs until the context ends, and then shuts down in order."""
    app = create_app(settings, processor.process, exit_process)
    await app.start()
    try:
        yield app
    finally:
        processor.stop.set()
        app.fetch_buffer.close()
        await asyncio.wait_for(app.idle.wait(), LIMIT_S)
        await app.stop()


async def until(condition: Callable[[], bool], apps: Sequence[StreamApp] = ()) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            assert not any(app.crashed for app in apps), [app.crash_reason for app in apps]
            await asyncio.sleep(0.02)


@pytest.fixture
def group(kafka: Service, settings: Settings) -> "Group":
    ensure_topics(settings)
    return Group(kafka.address, settings.group, settings.topics.invoices)


@pytest.fixture
def small_batches(settings: Settings) -> Settings:
    return settings.model_copy(update={"batch_max": 20, "batch_wait_ms": 0, "fetch_wait_ms": 50})


def produce(brokers: str, settings: Settings, count: int) -> None:
    producer = Producer({"bootstrap.servers": brokers, "log_level": 0})
    for number in range(count):
        producer.produce(settings.topics.invoices, b"%d" % number, b"%d" % (number % 97))
    assert producer.flush(30) == 0


@pytest.mark.durable  # a second member breaks a group of the embedded broker
async def test_no_event_is_lost_while_workers_come_and_go(
    kafka: Service, small_batches: Settings, group: Group
) -> None:
    done: Counter[Position] = Counter()
    one, two, three = RecordingProcessor(done), RecordingProcessor(done), RecordingProcessor(done)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    sent = 0

    async def feed() -> None:
        nonlocal sent
        while True:
            for _ in range(20):
                producer.produce(small_batches.topics.invoices, b"", b"%d" % (sent % 97))
                sent += 1
            producer.poll(0)
            await asyncio.sleep(0.005)

    feeding = asyncio.ensure_future(feed())
    async with AsyncExitStack() as first, AsyncExitStack() as others:
        a = await first.enter_async_context(worker(small_batches, one))
        await until(lambda: len(one.mine) > 300, [a])
        b = await others.enter_async_context(worker(small_batches, two))
        await until(lambda: len(two.mine) > 300, [a, b])
        await first.aclose()
        c = await others.enter_async_context(worker(small_batches, three))
        await until(lambda: len(three.mine) > 300, [b, c])
        feeding.cancel()
        assert producer.flush(30) == 0
        await until(lambda: len(done) == sent and group.done() == sent, [b, c])
    assert len(read_topic(kafka.address, small_batches.topics.invoices)) == sent
    # A rebalance repeats the batches in work, not the whole topic.
    assert sum(done.values()) < 1.5 * sent
    group.close()


async def test_a_batch_that_is_stopped_is_left_to_the_next_worker(
    kafka: Service, small_batches: Settings, group: Group
) -> None:
    done: Counter[Position] = Counter()
    produce(kafka.address, small_batches, 200)
    stuck = RecordingProcessor(done, pause_s=600.0)
    async with worker(small_batches, stuck) as app:
        await until(lambda: not app.idle.is_set() and len(app.fetch_buffer) < 200, [app])
    assert not done
    assert group.done() == 0
    async with worker(small_batches, RecordingProcessor(done)) as app:
        await until(lambda: len(done) == 200, [app])
    assert group.done() == 200
    group.close()


async def test_a_shutdown_commits_the_processed_offsets(kafka: Service, small_batches: Settings, group: Group) -> None:
    done: Counter[Position] = Counter()
    produce(kafka.address, small_batches, 500)
    async with worker(small_batches, RecordingProcessor(done)) as app:
        await until(lambda: len(done) > 250, [app])
    assert group.done() == len(done)
    async with worker(small_batches, RecordingProcessor(done)) as app:
        await until(lambda: len(done) == 500, [app])
    assert max(done.values()) == 1
    group.close()


@pytest.mark.durable  # the embedded broker cannot add partitions
async def test_a_partition_that_is_added_is_read_by_every_worker_s_group_within_ten_seconds(
    kafka: Service, small_batches: Settings, group: Group
) -> None:
    done: Counter[Position] = Counter()
    one, two = RecordingProcessor(done), RecordingProcessor(done)
    partitions = small_batches.partitions
    produce(kafka.address, small_batches, 100)
    async with worker(small_batches, one) as a, worker(small_batches, two) as b:
        await until(lambda: len(done) == 100 and group.members() == 2, [a, b])
        admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
        change = admin.create_partitions([NewPartitions(small_batches.topics.invoices, partitions + 2)])
        change[small_batches.topics.invoices].result(10)
        began = time.monotonic()
        producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
        for partition in (partitions, partitions + 1):
            producer.produce(small_batches.topics.invoices, b"new", partition=partition)
        assert producer.flush(30) == 0
        await until(lambda: {(partitions, 0), (partitions + 1, 0)} <= done.keys(), [a, b])
        assert time.monotonic() - began < 10.0
    group.close()
