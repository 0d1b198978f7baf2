"""The publisher on Kafka: every message is confirmed, or returned to the caller with an error."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from state.settings import Settings
from stream.errors import BrokerUnavailable, MessageTooLarge, PublisherUnavailable
from stream.kafka.config import confluent_config
from stream.messages import Message

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 << 20
"""The bound of the client; the broker and the topic may have lower ones."""

TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)

_FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
"""The second one comes where a user may write to no topic at all: then it gets no id as an idempotent producer."""


class KafkaPublisher:
    """Publishes with confluent-kafka: idempotent, confirmed by all in-sync replicas, partitioned as by Java's client.

    Used by one thread, except ``problem``. ``stop`` ends the wait for a broker that does not answer; ``delivery_s`` is
    how long one call tries before it raises ``PublisherUnavailable`` with the undelivered messages.
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
                "enable.idempotence": True,  # acks=all, retries make no duplicates and keep the order
                "partitioner": "murmur2_random",  # as Kafka's Java client, so that equal keys share a partition
                "linger.ms": 0.3,  # a batch's messages follow one another within that; they go in one request
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "message.timeout.ms": int(delivery_s * 1000),
                "reconnect.backoff.max.ms": 2_000,
            },
        )
        self._producer = Producer(self._config)

    def publish(self, messages: Sequence[Message]) -> None:
        """Send the messages and wait for the confirmation of each."""
        self.publish_while(messages, lambda: None)

    def publish_while(self, messages: Sequence[Message], work: Callable[[], None]) -> None:
        """Send the messages, work, and wait for the confirmation of each message."""
        unreported = KafkaError(KafkaError._TIMED_OUT)
        outcomes: list[KafkaError | None] = [unreported] * len(messages)
        waiting = len(messages)

        for index, message in enumerate(messages):

            def report(error: KafkaError | None, _: Any, index: int = index) -> None:
                nonlocal waiting
                outcomes[index] = error
                waiting -= 1

            try:
                produce(self._producer, message, report)
            except KafkaException as error:
                report(error.args[0], None)
        work()
        # librdkafka reports every message within message.timeout.ms, delivered or not.
        while waiting and not self._stop.is_set():
            try:
                self._producer.flush(0.2)
            except KafkaException as error:  # a fatal one: this client sends nothing any more
                outcomes[:] = [error.args[0] if outcome is unreported else outcome for outcome in outcomes]
                break
        if waiting and self._stop.is_set():
            # Stopping: messages in flight get two seconds; the next worker sends the rest.
            self._producer.flush(2.0)
            self._producer.purge()
            self._producer.flush(1.0)
        self._raise_failures(messages, outcomes)

    def problem(self, topic: str, *, timeout_s: float) -> str | None:
        """Why the topic cannot be used now, None if it can; may be called from any thread.

        A topic that does not exist is no such reason: waiting does not help.
        """
        try:
            partitions = self._producer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        except KafkaException as error:
            return f"no broker answers ({error.args[0].str()})"
        leaderless = sorted(number for number, partition in partitions.items() if partition.leader < 0)
        return f"partitions {leaderless} of {topic} have no leader" if leaderless else None

    def partitions(self, topic: str, *, timeout_s: float) -> int:
        """The number of partitions of a topic.

        Raises:
            BrokerUnavailable: No broker answers, or the topic does not exist.
        """
        try:
            number = len(self._producer.list_topics(topic, timeout=timeout_s).topics[topic].partitions)
        except KafkaException as error:
            raise BrokerUnavailable(f"the partitions of {topic} are not known ({error.args[0].str()})") from error
        if number == 0:
            raise BrokerUnavailable(f"{topic} does not exist")
        return number

    def close(self) -> None:
        """Drop unconfirmed messages and disconnect."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _raise_failures(self, messages: Sequence[Message], outcomes: Sequence[KafkaError | None]) -> None:
        failed = [(message, error) for message, error in zip(messages, outcomes, strict=True) if error is not None]
        undelivered = [(message, error) for message, error in failed if error.code() not in TOO_LARGE]
        if any(error.fatal() for _, error in undelivered):
            # After a fatal error, for example a lost sequence number, an idempotent producer refuses every message.
            logger.warning("Kafka's producer failed (%s); creating a new one", undelivered[0][1].str())
            self._producer = Producer(self._config)
        if undelivered:
            # Too large messages are returned too: they raise ``MessageTooLarge`` once the others are confirmed.
            message, error = undelivered[0]
            reason = error.str()
            if error.code() in _FORBIDDEN:
                reason = f"the user may not write to {message.topic}; give it the right Write on this topic"
            raise PublisherUnavailable(
                f"{len(undelivered)} of {len(messages)} messages were not confirmed: {reason}",
                [message for message, _ in failed],
            )
        if failed:
            raise MessageTooLarge([message for message, _ in failed])


def produce(producer: Producer, message: Message, on_delivery: Callable[[KafkaError | None, Any], None]) -> None:
    """Give a message to a client; waits while its queue is full.

    Raises:
        KafkaException: The client does not take it.
    """
    while True:
        try:
            producer.produce(
                message.topic, message.value, message.key, headers=list(message.headers), on_delivery=on_delivery
            )
        except BufferError:
            producer.poll(0.1)  # delivery reports free it
        else:
            return
