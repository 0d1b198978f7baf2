"""The Faust application: membership in the consumer group, and commits. The rest is the processor's."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.types.transports import ConsumerT

from state.settings import Settings
from stream.kafka.buffered_consumer import BufferedConsumer, BufferedTransport
from stream.kafka.config import METADATA_MAX_AGE_MS, faust_config
from stream.kafka.fetch_buffer import FetchBuffer
from stream.kafka.header_names import accept_in_aiokafka

DAY_S = 86_400.0


class Boot(BootStrategy):
    """Starts neither Faust's producer (``KafkaPublisher`` is used) nor its web server."""

    enable_kafka_producer = False
    enable_web = False


class StreamApp(faust.App):
    """A Faust application that reads through a ``FetchBuffer`` and creates no folder.

    ``on_events_lost`` is called with the number of events that Kafka deleted before they were read,
    ``on_partition_reset`` for each partition whose offsets began anew. ``idle`` is set while no batch is being
    processed and none will be.
    """

    BootStrategy = Boot

    def __init__(self, *args: Any, fetch_wait_ms: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fetch_wait_ms = fetch_wait_ms
        self.fetch_buffer = FetchBuffer()
        self.on_events_lost: Callable[[int], None] = lambda events: None
        self.on_partition_reset: Callable[[], None] = lambda: None
        self.idle = asyncio.Event()
        self.idle.set()

    def _new_transport(self) -> BufferedTransport:
        return BufferedTransport(self.conf.broker_consumer, self)

    @property
    def buffered_consumer(self) -> BufferedConsumer:
        """The consumer with its actual type."""
        return cast(BufferedConsumer, self.consumer)

    def read_again(self) -> None:
        """Read all partitions from their beginning; may be called from any thread."""
        if self._consumer is not None:
            cast(BufferedConsumer, self._consumer).read_again()

    def group_problem(self) -> str | None:
        """Why the worker is no member of its consumer group, or None; may be called from any thread."""
        consumer = self._consumer
        if consumer is None:
            return "the consumer is not started yet"
        return cast(BufferedConsumer, consumer).group_problem()

    def coordinator_problem(self) -> str | None:
        """Why the consumer cannot reach Kafka, or None; may be called from any thread."""
        consumer = self._consumer
        return None if consumer is None else cast(BufferedConsumer, consumer).coordinator_problem()

    def _new_consumer(self) -> ConsumerT:
        consumer = cast(BufferedConsumer, super()._new_consumer())
        consumer.fetch_buffer = self.fetch_buffer
        consumer.on_events_lost = self.on_events_lost
        consumer.on_partition_reset = self.on_partition_reset
        consumer.thread.fetch_wait_ms = self.fetch_wait_ms
        return consumer

    def _create_directories(self) -> None:
        """Creates nothing: there are no tables, so no folder is needed."""


def new_app(settings: Settings) -> StreamApp:
    """Build the application without its agent; call it on the event loop it will run on.

    Raises:
        SettingsError: No broker is set, or a certificate cannot be read.
    """
    accept_in_aiokafka()
    return StreamApp(
        settings.group,
        fetch_wait_ms=settings.fetch_wait_ms,
        **faust_config(settings),
        broker_client_id="nextbasket-worker",
        # The partitions of a crashed worker move on after this time; heartbeats come from a separate thread.
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        broker_rebalance_timeout=30.0,
        # While Redis or Kafka is unavailable, the current batch is retried and nothing is fetched. However long that
        # lasts, the worker must stay in the group. (Kafka's maximum is 2^31 ms.)
        broker_max_poll_interval=20 * DAY_S,
        broker_max_poll_records=2_000,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        # A partition that is added is read within so much time; Kafka's default is five minutes.
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        # A rebalance does not wait for the current batch: its effects are idempotent, the next owner repeats it.
        stream_wait_empty=False,
        stream_buffer_maxsize=16_384,
        cython_optimizations=True,
        # No internal topics: Faust's tables are not used, and ``stream.kafka.topics`` creates the topics.
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        store="memory://",
        web_enabled=False,
        autodiscover=False,
        key_serializer="raw",
        value_serializer="raw",
    )
