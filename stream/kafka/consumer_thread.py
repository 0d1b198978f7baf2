"""Faust's thread around aiokafka's consumer: bounded polls, events of committed transactions only, offsets."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka.fetch_buffer import record_size

logger = logging.getLogger(__name__)

CONNECT_INTERVAL_S = 1.0
"""Time between two attempts to connect to the first broker."""
MAX_POLL_BYTES = 8 << 20
"""Bytes after which a poll ends. Kafka bounds a fetch as it is compressed; unpacked it may be a thousand times that."""
MAX_CHUNK = 32
"""Records that are taken from a fetch at a time, before their bytes are counted."""


async def rewind(consumer: Any) -> Mapping[TP, int | None]:
    """Seek every assigned partition of aiokafka's consumer to its committed offset, or to its beginning without one.

    ``seek_to_committed`` alone does not move partitions without a committed offset. A fetch that is dropped before the
    first commit would never be read again: ``auto_offset_reset`` sets the position only once.

    Returns:
        The committed offsets, as ``seek_to_committed`` returns them.

    Raises:
        KafkaError: The broker does not answer, or a partition was revoked meanwhile.
    """
    committed: Mapping[TP, int | None] = await consumer.seek_to_committed()
    if uncommitted := [partition for partition, offset in committed.items() if not offset]:
        await consumer.seek_to_beginning(*uncommitted)
    return committed


async def partition_spans(consumer: Any, partitions: Sequence[TP]) -> dict[TP, tuple[int, int]]:
    """The first offset and the end of each partition, as Kafka has them now; {} where it does not answer."""
    try:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    except KafkaError as error:
        logger.debug("The offsets of %s are not known: %s", partitions, error)
        return {}
    return {ensure_TP(tp): (starts[tp], ends[tp]) for tp in partitions if tp in starts and tp in ends}


class BufferedConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer; an empty fetch waits ``fetch_wait_ms`` instead of 1,500 ms."""

    fetch_wait_ms: int
    connecting_error: str | None = None
    """Why the consumer could not connect yet."""
    _fetch_error: Exception | None = None
    """An error that came after records of the same poll; the next poll raises it."""

    async def on_start(self) -> None:
        """Connect; while no broker answers, try again. Faust would end the application."""
        while not self.should_stop:
            try:
                await super().on_start()
            except KafkaConnectionError as error:
                self.connecting_error = str(error)
                await self._ensure_consumer().stop()
                self._consumer = None
                await self.sleep(CONNECT_INTERVAL_S)
            else:
                self.connecting_error = None
                return

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], timeout: float | None = None, max_records: int | None = None
    ) -> dict[TP, list[Any]]:
        """Takes fetched records until their number or their bytes are enough; the rest stays compressed.

        Records that were taken are never dropped: aiokafka has moved the position past them.
        """
        if self._fetch_error is not None:
            error, self._fetch_error = self._fetch_error, None
            raise error
        polled: dict[TP, list[Any]] = {}
        count = size = 0
        chunk = 1
        while size < MAX_POLL_BYTES and (max_records is None or count < max_records):
            most = chunk if max_records is None else min(chunk, max_records - count)
            try:
                records = await super()._fetch_records(
                    consumer, active_partitions, timeout=0 if polled else timeout, max_records=most
                )
            except Exception as error:
                if not polled:
                    raise
                self._fetch_error = error
                break
            if not records:
                break
            for tp, found in records.items():
                polled.setdefault(tp, []).extend(found)
                count += len(found)
                size += sum(map(record_size, found))
            chunk = min(2 * chunk, MAX_CHUNK)
        return polled

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek back as ``rewind`` does."""
        found: Mapping[TP, int] = await self.call_thread(rewind, self._ensure_consumer())
        return found

    async def spans(self, partitions: Sequence[TP]) -> dict[TP, tuple[int, int]]:
        """See ``partition_spans``."""
        spans: dict[TP, tuple[int, int]] = await self.call_thread(
            partition_spans, self._ensure_consumer(), list(partitions)
        )
        return spans

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these. Events of an aborted transaction were never sold.
        consumer._isolation_level = "read_committed"
        # A real broker answers as soon as there is data; librdkafka's mock does not.
        consumer._fetch_max_wait_ms = self.fetch_wait_ms
        return consumer

    def positions(self) -> dict[TP, int]:
        """The offset of the next fetch of each assigned partition; while nothing is fetched, it stands still."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription and subscription.assignment
        if assignment is None:
            return {}
        states = ((ensure_TP(tp), assignment.state_value(tp)) for tp in assignment.tps)
        return {tp: state.position for tp, state in states if state is not None and state.has_valid_position}

    def readable_end(self, tp: TP) -> int | None:
        """The offset behind the last event that can be read, as of the last fetch: open transactions end it."""
        consumer = self._ensure_consumer()
        stable: int | None = consumer.last_stable_offset(tp)
        end: int | None = consumer.highwater(tp)
        return end if stable is None or stable < 0 else stable
