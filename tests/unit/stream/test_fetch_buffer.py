import asyncio
import contextlib
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import aiokafka
import pytest
from confluent_kafka import Producer
from faust.types import TP, ConsumerMessage

from stream.kafka.fetch_buffer import (
    MAX_CHUNK,
    MAX_POLL_BYTES,
    BufferedConsumer,
    BufferedConsumerThread,
    FetchBuffer,
    rewind,
)
from stream.tools.embedded import embedded_kafka


def message(offset: int, size: int = 10) -> ConsumerMessage:
    return ConsumerMessage("t", 0, offset, 0.0, 0, None, None, b"x" * size, None)


def messages(*offsets: int, size: int = 10) -> list[ConsumerMessage]:
    return [message(offset, size) for offset in offsets]


async def next_offsets(
    fetch_buffer: FetchBuffer, max_messages: int = 100, max_wait_s: float = 0.0, max_bytes: int = 10**9
) -> list[int]:
    batch = await fetch_buffer.next_batch(max_messages, max_wait_s=max_wait_s, max_bytes=max_bytes)
    return [message.offset for message in batch]


async def test_batches_keep_the_order_of_the_messages() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(*range(5)))
    assert await next_offsets(fetch_buffer, max_messages=3) == [0, 1, 2]
    assert await next_offsets(fetch_buffer, max_messages=3) == [3, 4]
    assert len(fetch_buffer) == 0


async def test_headers_count_as_bytes_of_a_message() -> None:
    fetch_buffer = FetchBuffer(max_bytes=1_000)
    headers: Any = (("n" * 100, b"v" * 300), ("none", None))
    fetch_buffer.put([ConsumerMessage("t", 0, offset, 0.0, 0, headers, None, b"x", None) for offset in range(3)])
    waiting = asyncio.ensure_future(fetch_buffer.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await next_offsets(fetch_buffer, max_bytes=405) == [0]
    assert await next_offsets(fetch_buffer, max_bytes=406) == [1, 2]
    await waiting


async def test_a_batch_waits_for_the_first_message() -> None:
    fetch_buffer = FetchBuffer()
    pending = asyncio.ensure_future(next_offsets(fetch_buffer))
    await asyncio.sleep(0)
    assert not pending.done()
    fetch_buffer.put(messages(7))
    assert await pending == [7]


async def test_a_batch_is_returned_as_soon_as_it_is_full() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    pending = asyncio.ensure_future(next_offsets(fetch_buffer, max_messages=3, max_wait_s=60.0))
    for offsets in ((2,), (3, 4)):
        await asyncio.sleep(0)
        assert not pending.done()
        fetch_buffer.put(messages(*offsets))
    assert await pending == [1, 2, 3]


async def test_a_partial_batch_is_returned_after_the_wait() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    assert await next_offsets(fetch_buffer, max_messages=3, max_wait_s=0.01) == [1]


async def test_the_wait_counts_from_the_arrival_of_the_oldest_message() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1, 2, 3))
    await asyncio.sleep(0.02)
    for expected in ([1, 2], [3]):  # the third message has waited just as long
        pending = asyncio.ensure_future(next_offsets(fetch_buffer, max_messages=2, max_wait_s=0.01))
        await asyncio.sleep(0)
        assert pending.done()
        assert await pending == expected
    fetch_buffer.put(messages(4))
    pending = asyncio.ensure_future(next_offsets(fetch_buffer, max_wait_s=60.0))
    await asyncio.sleep(0)
    assert not pending.done()
    fetch_buffer.close()
    assert await pending == []


async def test_a_later_message_does_not_extend_the_wait() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    await asyncio.sleep(0.02)
    fetch_buffer.put(messages(2))
    pending = asyncio.ensure_future(next_offsets(fetch_buffer, max_wait_s=0.01))
    await asyncio.sleep(0)
    assert pending.done()
    assert await pending == [1, 2]


async def test_a_batch_ends_with_the_message_that_exceeds_its_bytes() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(*range(4), size=100))
    assert await next_offsets(fetch_buffer, max_wait_s=60.0, max_bytes=150) == [0, 1]
    fetch_buffer.clear()
    fetch_buffer.put(messages(9, size=1_000))
    assert await next_offsets(fetch_buffer, max_bytes=150) == [9]


@pytest.mark.parametrize("bounds", [{"max_messages": 4}, {"max_bytes": 40}])
async def test_a_full_buffer_has_room_again_once_it_is_half_empty(bounds: dict[str, int]) -> None:
    fetch_buffer = FetchBuffer(**bounds)
    fetch_buffer.put(messages(*range(3)))
    await fetch_buffer.wait_for_room()
    fetch_buffer.put(messages(3, 4))
    waiting = asyncio.ensure_future(fetch_buffer.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await next_offsets(fetch_buffer, max_messages=1)
    await asyncio.sleep(0)
    assert not waiting.done()
    await next_offsets(fetch_buffer, max_messages=3)
    await waiting


async def test_clear_drops_all_messages_and_makes_room() -> None:
    fetch_buffer = FetchBuffer(max_messages=2)
    fetch_buffer.put(messages(1, 2, 3))
    fetch_buffer.clear()
    await fetch_buffer.wait_for_room()
    fetch_buffer.put(messages(4))
    assert await next_offsets(fetch_buffer) == [4]


async def test_a_closed_buffer_returns_empty_batches() -> None:
    fetch_buffer = FetchBuffer()
    pending = asyncio.ensure_future(next_offsets(fetch_buffer))
    await asyncio.sleep(0)
    fetch_buffer.close()
    assert await pending == []
    fetch_buffer.put(messages(1))
    assert await next_offsets(fetch_buffer) == []


async def test_closing_ends_the_wait_for_a_full_batch() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    pending = asyncio.ensure_future(next_offsets(fetch_buffer, max_wait_s=60.0))
    await asyncio.sleep(0)
    fetch_buffer.close()
    assert await pending == []


def test_messages_of_an_earlier_generation_are_not_committed() -> None:
    consumer = BufferedConsumer.__new__(BufferedConsumer)
    consumer.app = cast(Any, SimpleNamespace(consumer_generation_id=3))
    consumer._processed = {}
    consumer._buffered = {TP("t", 0): 8, TP("t", 1): 8}
    by_generation = {
        generation: ConsumerMessage("t", partition, 7, 0.0, 0, None, None, b"", None, generation_id=generation)
        for partition, generation in enumerate((2, 3))
    }
    consumer.mark_processed(list(by_generation.values()))
    assert consumer._processed == {TP("t", 1): 8}


def test_messages_of_a_topic_that_was_made_again_are_not_committed() -> None:
    consumer = BufferedConsumer.__new__(BufferedConsumer)
    consumer.app = cast(Any, SimpleNamespace(consumer_generation_id=3))
    consumer._processed = {}
    consumer._buffered = {TP("t", 0): 5}  # of the new topic
    message = ConsumerMessage("t", 0, 7, 0.0, 0, None, None, b"", None, generation_id=3)
    consumer.mark_processed([message])
    assert consumer._processed == {}


@pytest.mark.parametrize(
    ("committed", "processed", "buffered", "fetched", "expected"),
    [
        (None, None, 0, None, None),
        (5, None, 0, None, 5),
        (5, None, 0, 8, 8),  # three offsets without an event, the end marker of a transaction for example
        (5, 8, 8, 9, 9),
        (5, 7, 8, 9, 7),  # one event is not processed yet
        (5, None, 8, 9, 5),
        (None, None, 0, 4, 4),
    ],
)
def test_the_position_passes_markers_of_transactions_once_all_events_are_processed(
    committed: int | None, processed: int | None, buffered: int, fetched: int | None, expected: int | None
) -> None:
    tp = TP("t", 0)
    consumer = BufferedConsumer.__new__(BufferedConsumer)
    consumer._committed_offset = defaultdict(lambda: None, {tp: committed})
    consumer._processed = {} if processed is None else {tp: processed}
    consumer._buffered = {tp: buffered} if buffered else {}
    consumer._fetched = {} if fetched is None else {tp: fetched}
    assert consumer._position(tp) == expected


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
