"""Publishing until every message is confirmed, and what to do with messages that are too large for the broker."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from state.errors import AccessRefused, StoreUnavailable
from state.wording import count
from stream.errors import BrokerUnavailable, DeadLettersBlocked, MessageTooLarge, PublisherUnavailable
from stream.messages import Message
from stream.pipeline.dead_letters import position, without_event_headers, without_value
from stream.pipeline.ports import LetterSpool, LetterTopic, OverlappingPublisher, Publisher
from stream.pipeline.retry import RetryPolicy

logger = logging.getLogger(__name__)


class ConfirmedPublisher:
    """Wraps a publisher: unconfirmed messages are sent again, and too large ones are reduced or dropped.

    A dead letter that is too large is sent without the headers of its event, then without its value, then its key. Any
    other message that is too large is dropped with a log line of level ERROR.
    """

    def __init__(
        self,
        publisher: Publisher,
        retry: RetryPolicy,
        *,
        dead_letter_topic: str,
        letter_topic: LetterTopic | None = None,
        spool: LetterSpool | None = None,
    ) -> None:
        """Wrap a publisher.

        Args:
            publisher: What to publish with.
            retry: How to wait.
            dead_letter_topic: Its name.
            letter_topic: Knows whether that topic can take letters; without it, an unusable topic counts as an outage
                of Kafka.
            spool: Where letters are set aside while it cannot; without it they are waited for.
        """
        self._publisher = publisher
        self._retry = retry
        self._dead_letter_topic = dead_letter_topic
        self._letter_topic = letter_topic
        self._spool = spool

    def publish(self, messages: Sequence[Message], work: Callable[[], None] | None = None) -> None:
        """Return when every message is confirmed, set aside or dropped; waits while Kafka is unavailable.

        Dead letters go last, so that a dead-letter topic that cannot be used delays nothing else of the batch.
        ``work`` is called once, while the first confirmations are under way where the publisher can do that.

        Raises:
            Stopped: The worker is stopping and some messages are not confirmed.
            StoreRefused: Redis refuses to hold letters.
        """
        to_do = [] if work is None else [work]

        def work_once() -> None:
            if to_do:
                to_do.pop()()

        letters = [message for message in messages if message.topic == self._dead_letter_topic]
        self._send([message for message in messages if message.topic != self._dead_letter_topic], work_once)
        work_once()
        if self._letter_topic is None:
            self._send(letters)
        else:
            self._send_letters(letters, self._letter_topic)

    def _send(self, messages: Sequence[Message], work: Callable[[], None] = lambda: None) -> None:
        pending = list(messages)

        def send() -> None:
            nonlocal pending
            try:
                if isinstance(self._publisher, OverlappingPublisher):
                    self._publisher.publish_while(pending, work)
                else:
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

    def _send_letters(self, letters: Sequence[Message], topic: LetterTopic) -> None:
        pending = list(letters)

        def send() -> None:
            nonlocal pending
            largest = max(letter.size for letter in pending)
            if (problem := topic.problem()) is not None:
                raise DeadLettersBlocked(problem)
            try:
                self._publisher.publish(pending)
                pending = []
            except (PublisherUnavailable, MessageTooLarge) as error:
                pending = error.undelivered if isinstance(error, PublisherUnavailable) else error.messages
                try:
                    problem = topic.check(largest)
                except BrokerUnavailable:
                    problem = None
                if problem is not None:
                    raise DeadLettersBlocked(problem) from error
                raise

        def require_usable() -> None:
            with suppress(BrokerUnavailable):  # an outage of Kafka, which is waited for when they are sent
                if (problem := topic.check(max(letter.size for letter in pending))) is not None:
                    raise DeadLettersBlocked(problem)

        while pending:
            try:
                self._retry.call("Kafka", send, PublisherUnavailable)
            except MessageTooLarge as error:
                logger.error("%s", error)
                pending = [reduced for message in error.messages if (reduced := self._reduce(message))]
            except DeadLettersBlocked as error:
                if self._set_aside(pending, str(error)):
                    return
                self._retry.call("dead-letter topic", require_usable, DeadLettersBlocked)

    def _set_aside(self, letters: Sequence[Message], problem: str) -> bool:
        """Set letters aside where there is a spool with room for them."""
        if self._spool is None:
            return False
        encode = msgspec.msgpack.Encoder().encode
        spool, packed = self._spool, {position(letter): encode(letter) for letter in letters}
        done = self._retry.call("Redis", lambda: spool.put(packed), StoreUnavailable, AccessRefused)
        if done:
            logger.error("Set %s aside in Redis: %s", count(len(letters), "dead letter"), problem)
        else:
            logger.error("Redis holds as many dead letters as may be set aside: %s", problem)
        return done

    def _reduce(self, message: Message) -> Message | None:
        """A smaller message in the place of one that is too large, None where there is none."""
        if message.topic == self._dead_letter_topic and (shorter := without_event_headers(message)) is not None:
            return shorter
        if message.topic == self._dead_letter_topic and message.value is not None:
            return without_value(message)
        if message.topic == self._dead_letter_topic and message.key is not None:
            return msgspec.structs.replace(message, key=None)
        logger.error("A message for %s with key %.100r is too large and is dropped", message.topic, message.key)
        return None
