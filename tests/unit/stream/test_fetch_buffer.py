import asyncio
import time
from typing import Any

import pytest
from faust.types import ConsumerMessage

from stream.kafka.fetch_buffer import FetchBuffer


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


async def test_a_rebalance_while_a_batch_fills_ends_nothing() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1))
    pending = asyncio.ensure_future(next_offsets(fetch_buffer, max_messages=3, max_wait_s=0.02))
    await asyncio.sleep(0)
    fetch_buffer.clear()
    await asyncio.sleep(0.05)
    assert not pending.done()  # an empty batch would end the agent
    fetch_buffer.put(messages(5, 6))
    assert await pending == [5, 6]


async def test_how_long_the_events_of_a_batch_took_and_waited_is_reported() -> None:
    fetch_buffer, reported = FetchBuffer(), list[tuple[str, float, int]]()
    fetch_buffer.on_stage = lambda stage, seconds, events: reported.append((stage, seconds, events))
    now = time.time()
    fetch_buffer.put(
        [ConsumerMessage("t", 0, offset, now - age, 0, None, None, b"x", None) for offset, age in ((1, 5.0), (2, 7.0))]
    )
    fetch_buffer.put(messages(3))  # without a timestamp
    await asyncio.sleep(0.05)
    assert await next_offsets(fetch_buffer) == [1, 2, 3]
    (fetch, fetched_in, fetched), (wait, waited, waiting) = reported
    assert (fetch, fetched, wait, waiting) == ("fetch", 2, "wait", 2)
    assert 6.0 <= fetched_in < 7.0
    assert 0.05 <= waited < 1.0


async def test_the_next_fetch_waits_for_the_batch_in_progress_but_not_for_long() -> None:
    fetch_buffer = FetchBuffer()
    fetch_buffer.put(messages(1, 2))
    assert await next_offsets(fetch_buffer, max_messages=1) == [1]
    began = time.perf_counter()
    await fetch_buffer.wait_until_wanted(0.05)  # the batch is still in progress
    assert time.perf_counter() - began >= 0.045
    pause = asyncio.ensure_future(fetch_buffer.wait_until_wanted(60.0))
    await asyncio.sleep(0)
    assert not pause.done()
    assert await next_offsets(fetch_buffer) == [2]  # taken at once, and yet the pause ends
    await asyncio.wait_for(pause, 5)
    pending = asyncio.ensure_future(next_offsets(fetch_buffer))
    await asyncio.sleep(0)
    await asyncio.wait_for(fetch_buffer.wait_until_wanted(60.0), 5)  # a batch waits for its first message
    fetch_buffer.put(messages(3))
    assert await pending == [3]
