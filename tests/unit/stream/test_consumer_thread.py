import contextlib
from types import SimpleNamespace
from typing import Any, cast

import aiokafka
import pytest
from confluent_kafka import Producer
from faust.types import TP, ConsumerMessage

from stream.kafka.consumer_thread import MAX_CHUNK, MAX_POLL_BYTES, BufferedConsumerThread, rewind
from stream.tools.embedded import embedded_kafka


def messages(*offsets: int, size: int = 10) -> list[ConsumerMessage]:
    return [ConsumerMessage("t", 0, offset, 0.0, 0, None, None, b"x" * size, None) for offset in offsets]


async def test_rewind_seeks_to_the_committed_offset_or_the_beginning() -> None:
    with embedded_kafka() as address:
        producer = Producer({"bootstrap.servers": address, "log_level": 0})
        for number in range(4):
            producer.produce("t", str(number).encode(), partition=0)
            producer.produce("t", str(number).encode(), partition=1)
        assert producer.flush(20) == 0
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=address,
            group_id="g",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=10,
        )
        committed, uncommitted = aiokafka.TopicPartition("t", 0), aiokafka.TopicPartition("t", 1)
        consumer.assign([committed, uncommitted])
        await consumer.start()
        try:
            for partition in (committed, uncommitted):
                assert [(await consumer.getone(partition)).offset for _ in range(3)] == [0, 1, 2]
            await consumer.commit({committed: 2})

            assert await rewind(consumer) == {committed: 2, uncommitted: None}

            assert (await consumer.getone(committed)).offset == 2
            assert (await consumer.getone(uncommitted)).offset == 0
        finally:
            await consumer.stop()


class Fetcher:
    """What was fetched, as aiokafka's fetcher hands it out; an exception among it is raised once."""

    _closed = False

    def __init__(self, *fetched: Any) -> None:
        self.fetched = list(fetched)
        self.waits: list[float | None] = []

    @property
    def _subscriptions(self) -> Any:
        return SimpleNamespace(fetch_context=contextlib.nullcontext)

    async def fetched_records(self, partitions: Any, timeout: float | None, max_records: int) -> dict[TP, Any]:
        self.waits.append(timeout)
        if self.fetched and isinstance(self.fetched[0], Exception):
            raise self.fetched.pop(0)
        until = next((i for i, each in enumerate(self.fetched) if isinstance(each, Exception)), len(self.fetched))
        taken = self.fetched[: min(max_records, until)]
        del self.fetched[: len(taken)]
        return {TP("t", 0): taken} if taken else {}


async def poll(thread: BufferedConsumerThread, fetcher: Fetcher) -> list[int]:
    consumer = SimpleNamespace(_fetcher=fetcher, _closed=False)
    polled = await thread._fetch_records(consumer, {TP("t", 0)}, timeout=1.0, max_records=2_000)
    return [record.offset for record in polled.get(TP("t", 0), [])]


@pytest.fixture
def thread() -> BufferedConsumerThread:
    made = object.__new__(BufferedConsumerThread)
    made.consumer = cast(Any, SimpleNamespace(flow_active=True))
    return made


async def test_a_poll_is_bounded_in_bytes_and_waits_for_its_first_record_only(thread: BufferedConsumerThread) -> None:
    size = 1_000_000
    fetcher = Fetcher(*messages(*range(100), size=size))
    offsets: list[int] = []
    while polled := await poll(thread, fetcher):
        assert len(polled) * size <= MAX_POLL_BYTES + MAX_CHUNK * size
        offsets += polled
    assert offsets == list(range(100))
    assert fetcher.waits[:2] == [1.0, 0]


async def test_a_poll_of_small_records_is_bounded_in_number(thread: BufferedConsumerThread) -> None:
    fetcher = Fetcher(*messages(*range(3_000)))
    assert [len(await poll(thread, fetcher)) for _ in range(3)] == [2_000, 1_000, 0]


async def test_records_before_an_error_are_not_lost_and_the_error_is_raised(thread: BufferedConsumerThread) -> None:
    fetcher = Fetcher(*messages(0, 1, 2), RuntimeError("not authorized"), *messages(3, 4))
    assert await poll(thread, fetcher) == [0, 1, 2]
    with pytest.raises(RuntimeError, match="not authorized"):
        await poll(thread, fetcher)
    assert await poll(thread, fetcher) == [3, 4]
