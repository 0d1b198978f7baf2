import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP, ConsumerMessage

from stream.kafka.buffered_consumer import BufferedConsumer, BufferedFetcher


def test_messages_of_an_earlier_generation_are_not_committed() -> None:
    consumer = BufferedConsumer.__new__(BufferedConsumer)
    consumer.app = cast(Any, SimpleNamespace(consumer_generation_id=3))
    consumer._processed, consumer._done, consumer._uncommitted_since = {}, {}, None
    consumer._buffered = {TP("t", 0): 8, TP("t", 1): 8}
    by_generation = {
        generation: ConsumerMessage("t", partition, 7, 0.0, 0, None, None, b"", None, generation_id=generation)
        for partition, generation in enumerate((2, 3))
    }
    consumer.mark_processed(list(by_generation.values()))
    assert consumer._processed == {TP("t", 1): 8}


def test_an_event_whose_answer_waits_is_not_committed_until_it_is_answered() -> None:
    consumer = object.__new__(BufferedConsumer)
    consumer.app = cast(Any, SimpleNamespace(consumer_generation_id=3))
    consumer._processed, consumer._done, consumer._uncommitted_since = {}, {}, None
    consumer._buffered = {TP("t", 0): 8, TP("t", 1): 8}
    messages = [
        ConsumerMessage("t", partition, 7, 0.0, 0, None, None, b"", None, generation_id=3) for partition in (0, 1)
    ]
    consumer.mark_processed(messages, {("t", 0): 5, ("t", 2): 1})
    assert consumer._processed == {TP("t", 0): 5, TP("t", 1): 8}
    consumer.mark_processed([], {})
    assert consumer._processed == {TP("t", 0): 8, TP("t", 1): 8}


def test_messages_of_a_topic_that_was_made_again_are_not_committed() -> None:
    consumer = BufferedConsumer.__new__(BufferedConsumer)
    consumer.app = cast(Any, SimpleNamespace(consumer_generation_id=3))
    consumer._processed, consumer._done, consumer._uncommitted_since = {}, {}, None
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


async def test_a_fetcher_that_is_cancelled_and_was_not_stopped_ends_the_application() -> None:
    fetcher = BufferedFetcher(cast(Any, SimpleNamespace(consumer=EndlessConsumer(), should_stop=False)))
    await fetcher.start()
    await asyncio.sleep(0)
    (task,) = fetcher._futures
    task.cancel()
    await asyncio.wait([task])
    assert fetcher.crashed
    assert "cancelled" in str(fetcher.crash_reason)


async def test_a_fetcher_that_is_stopped_ends_without_an_error() -> None:
    fetcher = BufferedFetcher(cast(Any, SimpleNamespace(consumer=EndlessConsumer(), should_stop=False)))
    await fetcher.start()
    await asyncio.sleep(0)
    await fetcher.stop()
    assert not fetcher.crashed


class EndlessConsumer:
    """A consumer whose fetching ends only when it is cancelled."""

    async def _drain_messages(self, fetcher: BufferedFetcher) -> None:
        await asyncio.Event().wait()
