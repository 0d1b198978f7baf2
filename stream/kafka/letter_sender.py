"""Sends dead letters back, and commits in the same transaction which ones: each goes once, and one redrive at a time.

Kafka lets one producer of a transactional id at a time send: where a second redrive begins, what the first has not
committed is undone, and the first one ends with an error.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from state.settings import Settings
from stream.errors import OtherRedrive, RightMissing
from stream.kafka.config import EMBEDDED_API_VERSION, kafka_python_config
from stream.kafka.publisher import MAX_MESSAGE_BYTES
from stream.messages import Message

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

TRANSACTION_TIMEOUT_S = 30.0
"""After that Kafka ends the transaction of a redrive that died; until then workers read no event behind it."""


def has_transactions(settings: Settings) -> bool:
    """Whether the broker has transactions: all have them but the embedded one, which is known by its version."""
    return settings.kafka_api_version != EMBEDDED_API_VERSION


class LetterSender:
    """Sends letters with kafka-python, whose consumer reads any header name; used by one thread.

    The embedded broker has no transactions: there the offset is committed afterwards.

    Args:
        settings: Where the brokers are, and the group.
        consumer: A consumer of the group of redrives, which commits where there are no transactions.
    """

    def __init__(self, settings: Settings, consumer: "KafkaConsumer") -> None:
        self._settings = settings
        self._consumer = consumer
        self._group = f"{settings.group}-redrive"
        self._in_transactions = has_transactions(settings)
        self._producer: KafkaProducer | None = None

    def begin(self) -> None:
        """End what another redrive does; its letters that are not committed are undone.

        Raises:
            RightMissing: The user may not use the transactional id.
            KafkaError: Kafka does not answer.
        """
        from kafka import KafkaProducer
        from kafka.errors import TransactionalIdAuthorizationFailedError

        if self._producer is not None:
            return
        more = {"acks": "all", "max_request_size": MAX_MESSAGE_BYTES}
        if self._in_transactions:
            more |= {"transactional_id": self._group, "transaction_timeout_ms": int(TRANSACTION_TIMEOUT_S * 1000)}
        producer = KafkaProducer(**kafka_python_config(self._settings, **more))
        try:
            if self._in_transactions:
                producer.init_transactions()
        except TransactionalIdAuthorizationFailedError as error:
            producer.close(timeout=0)
            raise RightMissing(
                f"Kafka does not let this user send dead letters back; give it the right Write on the transactional id "
                f"{self._group}."
            ) from error
        except BaseException:
            producer.close(timeout=0)
            raise
        self._producer = producer

    def send(
        self, letters: Sequence[Message], partition: "TopicPartition", offset: int, metadata: str
    ) -> list[tuple[str, int, int]]:
        """Send letters and commit the offset of their partition, both or neither; topic, partition, offset of each.

        Raises:
            OtherRedrive: Another redrive began; nothing of this call was sent.
            KafkaError: Kafka does not answer.
        """
        from kafka import OffsetAndMetadata
        from kafka.errors import InvalidProducerEpochError, ProducerFencedError

        self.begin()
        producer = self._producer
        assert producer is not None
        committed = {partition: OffsetAndMetadata(offset, metadata, -1)}
        if not self._in_transactions:
            sent = _send(producer, letters)
            self._consumer.commit(committed)
            return sent
        try:
            producer.begin_transaction()
            sent = _send(producer, letters)
            producer.send_offsets_to_transaction(committed, self._group)
            producer.commit_transaction()
        except (ProducerFencedError, InvalidProducerEpochError) as error:
            raise OtherRedrive(
                "Another redrive began, and goes on with the letters that this one had not sent; the letters of this "
                "one's last batch were not sent."
            ) from error
        except BaseException:
            with suppress(Exception):  # or Kafka ends it after its timeout
                producer.abort_transaction()
            raise
        return sent

    def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            self._producer.close(timeout=5)


def _send(producer: "KafkaProducer", letters: Sequence[Message]) -> list[tuple[str, int, int]]:
    futures = [producer.send(one.topic, key=one.key, value=one.value, headers=list(one.headers)) for one in letters]
    return [(each.topic, each.partition, each.offset) for each in (future.get() for future in futures)]
