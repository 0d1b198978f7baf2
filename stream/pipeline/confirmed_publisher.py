"""Publishing until every message is confirmed, and what to do with messages that are too large for the broker."""

import logging
from collections.abc import Sequence

import msgspec

from stream.errors import MessageTooLarge, PublisherUnavailable
from stream.messages import Message
from stream.pipeline.dead_letters import without_value
from stream.pipeline.ports import Publisher
from stream.pipeline.retry import RetryPolicy

logger = logging.getLogger(__name__)


class ConfirmedPublisher:
    """Wraps a publisher: unconfirmed messages are sent again, and too large ones are reduced or dropped.

    A dead letter that is too large is sent without its value, then without its key. Any other message that is too large
    is dropped with a log line of level ERROR.
    """

    def __init__(self, publisher: Publisher, retry: RetryPolicy, *, dead_letter_topic: str) -> None:
        self._publisher = publisher
        self._retry = retry
        self._dead_letter_topic = dead_letter_topic

    def publish(self, messages: Sequence[Message]) -> None:
        """Return when every message is confirmed or dropped; waits while Kafka is unavailable.

        Raises:
            Stopped: The worker is stopping and some messages are not confirmed.
        """
        pending = list(messages)

        def send() -> None:
            nonlocal pending
            try:
                self._publisher.publish(pending)
            except PublisherUnavailable as error:
                pending = error.undelivered
                raise

        while pending:
            try:
                self._retry.call("Kafka", send, PublisherUnavailable)
            except MessageTooLarge as error:
                logger.error("%s", error)
                pending = [reduced for message in error.messages if (reduced := self._reduce(message))]
            else:
                return

    def _reduce(self, message: Message) -> Message | None:
        """A smaller message in the place of one that is too large, None where there is none."""
        if message.topic == self._dead_letter_topic and message.value is not None:
            return without_value(message)
        if message.topic == self._dead_letter_topic and message.key is not None:
            return msgspec.structs.replace(message, key=None)
        logger.error("A message for %s with key %.100r is too large and is dropped", message.topic, message.key)
        return None
