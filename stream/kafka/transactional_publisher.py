"""Publishes in transactions: all messages of a call, or none that a reader of committed records sees."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from state.settings import Settings
from stream.errors import BrokerUnavailable, MessageTooLarge, PublisherUnavailable
from stream.kafka.config import confluent_config
from stream.kafka.publisher import MAX_MESSAGE_BYTES, TOO_LARGE, produce
from stream.messages import Message

TRANSACTION_TIMEOUT_S = 10.0
"""After that Kafka ends a transaction of a process that is gone; until then nobody reads past its beginning."""

_ABORT_S = 2.0
_FORBIDDEN = (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


class TransactionalPublisher:
    """Publishes with confluent-kafka; used by one thread. Implements ``Publisher``, but sends nothing where it raises.

    Only where Kafka does not answer the commit its outcome is not known: all or nothing was sent.

    Args:
        settings: Where the brokers are, and the namespace.
        delivery_s: How long one call tries.
    """

    def __init__(self, settings: Settings, *, delivery_s: float) -> None:
        """Prepare the configuration; the first call connects.

        Raises:
            SettingsError: No broker is set.
        """
        self._delivery_s = delivery_s
        self._prefix = f"{settings.namespace}.nextbasket-api" if settings.namespace else "nextbasket-api"
        self._config = confluent_config(
            settings,
            **{
                "client.id": "nextbasket-api",
                # The same for the life of the process: a new producer then ends the transaction of the one before.
                "transactional.id": f"{self._prefix}-{uuid.uuid4().hex}",
                "transaction.timeout.ms": int(TRANSACTION_TIMEOUT_S * 1000),
                "partitioner": "murmur2_random",  # as Kafka's Java client, so that equal keys share a partition
                "linger.ms": 1,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "message.timeout.ms": int(delivery_s * 1000),
                "reconnect.backoff.max.ms": 2_000,
            },
        )
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        """Send all messages in one transaction, and return when it is committed.

        Raises:
            MessageTooLarge: Kafka refuses these for their size, and nothing was sent.
            PublisherUnavailable: Kafka does not confirm; all messages are undelivered, or none.
            BrokerUnavailable: Kafka does not allow transactions.
        """
        deadline = time.monotonic() + self._delivery_s
        try:
            producer = self._connected()
            producer.begin_transaction()
            errors = self._send(producer, messages, deadline)
            if not any(errors):
                self._commit(producer, deadline)
                return
            producer.abort_transaction(_ABORT_S)
        except KafkaException as error:
            self._drop()
            reason: KafkaError = error.args[0]
            if reason.code() in _FORBIDDEN:
                raise BrokerUnavailable(
                    f"Kafka does not allow transactions ({reason.str()}); give the user the rights Write and Describe "
                    f"for transactional ids that begin with {self._prefix}"
                ) from error
            raise PublisherUnavailable(reason.str(), messages) from error
        if large := [each for each, error in zip(messages, errors, strict=True) if error and error.code() in TOO_LARGE]:
            raise MessageTooLarge(large)
        raise PublisherUnavailable(next(error.str() for error in errors if error), messages)

    def close(self) -> None:
        """Disconnect."""
        self._drop()

    def _connected(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._config)
            producer.init_transactions(self._delivery_s)  # ends the transaction of a producer before it
            self._producer = producer
        return self._producer

    def _send(self, producer: Producer, messages: Sequence[Message], deadline: float) -> list[KafkaError | None]:
        """Send the messages and wait for Kafka's answer to each."""
        errors: list[KafkaError | None] = [KafkaError(KafkaError._TIMED_OUT)] * len(messages)

        def report(index: int, error: KafkaError | None) -> None:
            errors[index] = error

        for index, message in enumerate(messages):

            def delivered(error: KafkaError | None, _: Any, index: int = index) -> None:
                report(index, error)

            try:
                produce(producer, message, delivered)
            except KafkaException as error:
                if error.args[0].code() not in TOO_LARGE:
                    raise
                report(index, error.args[0])
        producer.flush(max(0.0, deadline - time.monotonic()))
        return errors

    def _commit(self, producer: Producer, deadline: float) -> None:
        while True:
            try:
                producer.commit_transaction(max(0.1, deadline - time.monotonic()))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return

    def _drop(self) -> None:
        """Forget the producer: what is open of its transaction is ended by the next one, or by Kafka."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
