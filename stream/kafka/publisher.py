"""The publisher on Kafka: messages out, confirmed by Kafka or not at all."""

import logging
import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from state.settings import Settings
from stream.errors import MessageTooLarge, PublisherUnavailable
from stream.kafka.config import confluent_config
from stream.messages import Message

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 << 20
"""What the client lets through; the broker and the topic have the last word."""

_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)


class KafkaPublisher:
    """Publishes with confluent-kafka: idempotent, confirmed by all in-sync replicas, partitioned as Java's client does.

    Used by one thread. ``stop`` ends a wait for a broker that does not answer; ``delivery_s`` is how long one call
    tries before it gives its messages back.
    """

    def __init__(self, settings: Settings, stop: threading.Event | None = None, *, delivery_s: float = 15.0) -> None:
        """Prepare the client; it connects in the background.

        Raises:
            SettingsError: No broker is set.
        """
        self._stop = stop or threading.Event()
        self._delivery_s = delivery_s
        self._config = confluent_config(
            settings,
            **{
                "client.id": "nextbasket-worker",
                "enable.idempotence": True,  # acks=all, no duplicates by the client's own retries, order kept
                "partitioner": "murmur2_random",  # as Kafka's own clients partition, so that keys co-locate
                "linger.ms": 1,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "message.timeout.ms": int(delivery_s * 1000),
                "reconnect.backoff.max.ms": 2_000,
            },
        )
        self._producer = Producer(self._config)

    def publish(self, messages: Sequence[Message]) -> None:
        """Send the messages and wait for the confirmation of each."""
        outcomes: list[KafkaError | None] = [KafkaError(KafkaError._TIMED_OUT)] * len(messages)
        waiting = len(messages)

        for place, message in enumerate(messages):

            def report(error: KafkaError | None, _: Any, place: int = place) -> None:
                nonlocal waiting
                outcomes[place] = error
                waiting -= 1

            try:
                self._produce(message, report)
            except KafkaException as error:
                report(error.args[0], None)
        # librdkafka reports every message within message.timeout.ms, delivered or not.
        while waiting and not self._stop.is_set():
            self._producer.flush(0.2)
        if waiting:
            # Stopping: what is on its way gets a moment, and what has not arrived then will be sent by the next worker.
            self._producer.flush(2.0)
            self._producer.purge()
            self._producer.flush(1.0)
        self._judge(messages, outcomes)

    def close(self) -> None:
        """Drop what is unconfirmed and disconnect."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _produce(self, message: Message, report: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic, message.value, message.key, headers=list(message.headers), on_delivery=report
                )
            except BufferError:
                self._producer.poll(0.1)  # the client's queue is full: reports make room
            else:
                return

    def _judge(self, messages: Sequence[Message], outcomes: Sequence[KafkaError | None]) -> None:
        failed = [(message, error) for message, error in zip(messages, outcomes, strict=True) if error is not None]
        lost = [(message, error) for message, error in failed if error.code() not in _TOO_LARGE]
        if any(error.fatal() for _, error in lost):
            # An idempotent producer that lost its sequence says so once and then refuses everything.
            logger.warning("Kafka's client gave up (%s); starting a new one", lost[0][1].str())
            self._producer = Producer(self._config)
        if lost:
            # Those too large come back too: they are judged when the rest is through.
            raise PublisherUnavailable(
                f"{len(lost)} of {len(messages)} messages were not confirmed: {lost[0][1].str()}",
                [message for message, _ in failed],
            )
        if failed:
            raise MessageTooLarge([message for message, _ in failed])
