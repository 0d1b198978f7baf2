"""What is committed is what was finished, whichever way partitions wander between workers: applications, no processes.

The processor here only notes what it was given, so that a lost event could hide behind nothing.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from confluent_kafka import Producer

from state.settings import Settings
from stream.errors import Stopped
from stream.kafka.agent import create_app
from stream.kafka.faust_app import StreamApp
from stream.kafka.topics import ensure_topics
from stream.messages import Incoming
from stream.worker import die
from tests.integration.topic import read_topic
from tests.services.choice import Service
from tests.services.group import Group

LIMIT_S = 90.0

pytestmark = pytest.mark.timeout(240)

Place = tuple[int, int]


class Notes:
    """A processor that notes what it finished; slow enough that rebalances find a batch in its hands."""

    def __init__(self, done: Counter[Place], pause_s: float = 0.003) -> None:
        self.done = done
        self.mine: set[Place] = set()
        self.stop = threading.Event()
        self._pause_s = pause_s

    def process(self, batch: Sequence[Incoming]) -> None:
        if self.stop.wait(self._pause_s * random.random()):
            raise Stopped("told so")
        places = [(event.partition, event.offset) for event in batch]
        self.done.update(places)
        self.mine.update(places)


@asynccontextmanager
async def worker(settings: Settings, notes: Notes) -> AsyncIterator[StreamApp]:
    """An application that runs until the context ends, and then goes in order."""
    app = create_app(settings, notes.process, die)
    await app.start()
    try:
        yield app
    finally:
        notes.stop.set()
        app.fetch_buffer.close()
        await asyncio.wait_for(app.at_rest.wait(), LIMIT_S)
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


@pytest.mark.durable  # the embedded broker's groups do not survive a second member
async def test_nothing_is_committed_past_while_workers_come_and_go(
    kafka: Service, small_batches: Settings, group: Group
) -> None:
    done: Counter[Place] = Counter()
    one, two, three = Notes(done), Notes(done), Notes(done)
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
    # Handing over costs what was in hand, not the whole again.
    assert sum(done.values()) < 1.5 * sent
    group.close()


async def test_a_batch_abandoned_at_the_stop_is_left_to_the_next_worker(
    kafka: Service, small_batches: Settings, group: Group
) -> None:
    done: Counter[Place] = Counter()
    produce(kafka.address, small_batches, 200)
    stuck = Notes(done, pause_s=600.0)
    async with worker(small_batches, stuck) as app:
        await until(lambda: not app.at_rest.is_set() and len(app.fetch_buffer) < 200, [app])
    assert not done
    assert group.done() == 0
    async with worker(small_batches, Notes(done)) as app:
        await until(lambda: len(done) == 200, [app])
    assert group.done() == 200
    group.close()


async def test_an_orderly_end_commits_what_is_finished(kafka: Service, small_batches: Settings, group: Group) -> None:
    done: Counter[Place] = Counter()
    produce(kafka.address, small_batches, 500)
    async with worker(small_batches, Notes(done)) as app:
        await until(lambda: len(done) > 250, [app])
    finished = len(done)
    assert group.done() == finished
    async with worker(small_batches, Notes(done)) as app:
        await until(lambda: len(done) == 500, [app])
    assert max(done.values()) == 1
    group.close()
