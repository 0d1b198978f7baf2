import asyncio

import aiokafka
import pytest
from confluent_kafka import Producer
from faust.types import ConsumerMessage

from stream.kafka.fetch_buffer import FetchBuffer, rewind
from stream.tools.embedded import embedded_kafka


def message(offset: int, size: int = 10) -> ConsumerMessage:
    return ConsumerMessage("t", 0, offset, 0.0, 0, None, None, b"x" * size, None)


def messages(*offsets: int, size: int = 10) -> list[ConsumerMessage]:
    return [message(offset, size) for offset in offsets]


async def take(fetch_buffer: FetchBuffer, most: int = 100, within_s: float = 0.0, max_bytes: int = 10**9) -> list[int]:
    return [one.offset for one in await fetch_buffer.take(most, within_s=within_s, max_bytes=max_bytes)]


async def test_messages_come_in_their_order_and_in_batches() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(*range(5)))
    assert await take(fetch_buffer, most=3) == [0, 1, 2]
    assert await take(fetch_buffer, most=3) == [3, 4]
    assert len(fetch_buffer) == 0


async def test_taking_waits_for_the_first_message() -> None:
    fetch_buffer = FetchBuffer()
    taking = asyncio.ensure_future(take(fetch_buffer))
    await asyncio.sleep(0)
    assert not taking.done()
    fetch_buffer.put(messages(7))
    assert await taking == [7]


async def test_a_batch_waits_a_moment_for_more_and_no_longer_once_it_is_full() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    taking = asyncio.ensure_future(take(fetch_buffer, most=3, within_s=60.0))
    for offsets in ((2,), (3, 4)):
        await asyncio.sleep(0)
        assert not taking.done()
        fetch_buffer.put(messages(*offsets))
    assert await taking == [1, 2, 3]


async def test_a_batch_that_does_not_fill_comes_after_the_wait() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    assert await take(fetch_buffer, most=3, within_s=0.01) == [1]


async def test_what_has_waited_for_the_last_batch_waits_no_more() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1, 2, 3))
    await asyncio.sleep(0.02)
    for expected in ([1, 2], [3]):  # what a full batch leaves behind has waited just as long
        taking = asyncio.ensure_future(take(fetch_buffer, most=2, within_s=0.01))
        await asyncio.sleep(0)
        assert taking.done()
        assert await taking == expected
    fetch_buffer.put(messages(4))
    taking = asyncio.ensure_future(take(fetch_buffer, within_s=60.0))
    await asyncio.sleep(0)
    assert not taking.done()
    fetch_buffer.close()
    assert await taking == []


async def test_a_batch_ends_with_the_message_that_takes_it_over_the_bytes() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(*range(4), size=100))
    assert await take(fetch_buffer, within_s=60.0, max_bytes=150) == [0, 1]
    fetch_buffer.clear()
    fetch_buffer.put(messages(9, size=1_000))
    assert await take(fetch_buffer, max_bytes=150) == [9]


@pytest.mark.parametrize("bounds", [{"max_messages": 4}, {"max_bytes": 40}])
async def test_a_full_buffer_makes_the_reader_wait_until_half_of_it_is_gone(bounds: dict[str, int]) -> None:
    fetch_buffer = FetchBuffer(**bounds)
    fetch_buffer.put(messages(*range(3)))
    await fetch_buffer.wait_for_room()
    fetch_buffer.put(messages(3, 4))
    waiting = asyncio.ensure_future(fetch_buffer.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await take(fetch_buffer, most=1)
    await asyncio.sleep(0)
    assert not waiting.done()
    await take(fetch_buffer, most=3)
    await waiting


async def test_clearing_forgets_everything_and_makes_room() -> None:
    fetch_buffer = FetchBuffer(max_messages=2)
    fetch_buffer.put(messages(1, 2, 3))
    fetch_buffer.clear()
    await fetch_buffer.wait_for_room()
    fetch_buffer.put(messages(4))
    assert await take(fetch_buffer) == [4]


async def test_closing_ends_a_wait_and_everything_after() -> None:
    fetch_buffer = FetchBuffer()
    taking = asyncio.ensure_future(take(fetch_buffer))
    await asyncio.sleep(0)
    fetch_buffer.close()
    assert await taking == []
    fetch_buffer.put(messages(1))
    assert await take(fetch_buffer) == []


async def test_closing_ends_the_wait_for_more_and_leaves_the_messages_to_the_next_worker() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    taking = asyncio.ensure_future(take(fetch_buffer, within_s=60.0))
    await asyncio.sleep(0)
    fetch_buffer.close()
    assert await taking == []


async def test_what_was_fetched_and_is_not_committed_is_read_again() -> None:
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
        committed, never = aiokafka.TopicPartition("t", 0), aiokafka.TopicPartition("t", 1)
        consumer.assign([committed, never])
        await consumer.start()
        try:
            for partition in (committed, never):
                assert [(await consumer.getone(partition)).offset for _ in range(3)] == [0, 1, 2]
            await consumer.commit({committed: 2})

            assert await rewind(consumer) == {committed: 2, never: None}

            assert (await consumer.getone(committed)).offset == 2
            assert (await consumer.getone(never)).offset == 0
        finally:
            await consumer.stop()
