"""Checks whether the dead-letter topic can take letters: it exists, is writable, not compacted, and large enough."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from state.errors import StateError
from state.settings import Settings
from state.wording import count
from stream.errors import BrokerUnavailable, MessageTooLarge, StreamError
from stream.kafka.config import confluent_config
from stream.kafka.topics import EVENT_OVERHEAD_BYTES, ensure_topics, wanted_topics
from stream.messages import Message
from stream.periodic import PeriodicThread
from stream.pipeline.dead_letters import position
from stream.pipeline.ports import LetterSpool, Publisher

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 30.0
LETTERS_AT_ONCE = 100
_FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
_NO_BROKER = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE)


class TopicState(NamedTuple):
    """The result of a check: why no letter can be sent, the size of the largest record, and what should be changed."""

    blocked: str | None
    max_bytes: int | None
    notes: tuple[str, ...] = ()


class DeadLetterTopic:
    """Checks the topic; may be used by any thread. Implements ``LetterTopic``."""

    def __init__(self, settings: Settings, *, timeout_s: float = 5.0) -> None:
        self._settings = settings
        self._name = settings.topics.dead_letter
        self._timeout_s = timeout_s
        self._admin = AdminClient(confluent_config(settings, log_level=0))
        self._lock = threading.Lock()
        self._state = TopicState(None, None)

    def problem(self, largest: int = 0) -> str | None:
        """Why a letter of so many bytes cannot be sent, as of the last check; None where it can be sent."""
        blocked, max_bytes, _ = self._state
        if blocked is None and max_bytes is not None and largest + EVENT_OVERHEAD_BYTES > max_bytes and largest:
            return (
                f"a dead letter of {largest:,} bytes does not fit into {self._name}, whose max.message.bytes is "
                f"{max_bytes:,}; set it to {largest + EVENT_OVERHEAD_BYTES:,} at least"
            )
        return blocked

    def check(self, largest: int = 0) -> str | None:
        """Check the topic, create it where it is missing, and return ``problem``.

        Raises:
            BrokerUnavailable: Kafka does not answer.
        """
        with self._lock:
            before, self._state = self._state, self._inspect()
        for note in self._state.notes:
            if note not in before.notes:
                logger.warning(note)
        return self.problem(largest)

    def _inspect(self) -> TopicState:
        name = self._name
        try:
            if name not in self._admin.list_topics(timeout=self._timeout_s).topics:
                try:
                    ensure_topics(self._settings, wanted_topics(self._settings, name), timeout_s=self._timeout_s)
                except BrokerUnavailable as error:
                    return TopicState(f"the topic {name} does not exist and cannot be created: {error}", None)
                logger.warning("The dead-letter topic %s was missing; it was made again", name)
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka does not answer: {error.args[0].str()}") from error
        try:
            asked = self._admin.describe_topics(
                TopicCollection([name]), include_authorized_operations=True, request_timeout=self._timeout_s
            )
            allowed = asked[name].result().authorized_operations
            if allowed and AclOperation.WRITE not in allowed:
                return TopicState(self._forbidden(), None)
        except KafkaException as error:
            if error.args[0].code() in _FORBIDDEN:
                return TopicState(self._forbidden(), None)
            self._require_broker(error)
        return self._inspect_config()

    def _inspect_config(self) -> TopicState:
        name, resource = self._name, ConfigResource(ResourceType.TOPIC, self._name)
        try:
            asked = self._admin.describe_configs([resource], request_timeout=self._timeout_s)
            config = {key: str(entry.value) for key, entry in asked[resource].result().items()}
        except KafkaException as error:
            self._require_broker(error)
            return TopicState(None, None, (f"The configuration of {name} may not be read, so it is not checked",))
        if "compact" in config.get("cleanup.policy", ""):
            return TopicState(
                f"{name} is compacted, so that letters with equal keys replace each other; set its cleanup.policy to "
                "delete",
                None,
            )
        wanted = {one.topic: one.config or {} for one in wanted_topics(self._settings)}[name]
        notes = []
        max_bytes, event_bytes = int(config["max.message.bytes"]), self._settings.max_event_bytes + EVENT_OVERHEAD_BYTES
        if max_bytes < event_bytes:
            notes.append(
                f"The dead-letter topic {name} is too small for the largest events: its max.message.bytes is "
                f"{max_bytes:,}; set it to {event_bytes:,} at least"
            )
        retention = int(config.get("retention.ms", "-1"))
        least = int(wanted["retention.ms"])
        if retention >= 0 and (least < 0 or retention < least):
            notes.append(
                f"The dead-letter topic {name} holds letters for {retention / 86_400_000:.1f} days only; set its "
                f"retention.ms to {least}"
            )
        return TopicState(None, max_bytes, tuple(notes))

    def _forbidden(self) -> str:
        return f"{self._name} may not be written to; give the user of the worker the right to Write to it"

    def _require_broker(self, error: KafkaException) -> None:
        if error.args[0].code() in _NO_BROKER:
            raise BrokerUnavailable(f"Kafka does not answer: {error.args[0].str()}") from error


class DeadLetterWatch:
    """Checks the topic repeatedly, and sends the letters that were set aside, in a separate thread.

    Args:
        topic: The topic to check.
        spool: Where letters are set aside; None where they are not.
        connect: Opens the publisher for the letters that were set aside.
        report: Called after each check with whether the topic can be used, and how many letters are set aside.
        interval_s: Time between two checks.
    """

    def __init__(
        self,
        topic: DeadLetterTopic,
        spool: LetterSpool | None,
        connect: Callable[[], Publisher],
        report: Callable[[bool, int], None],
        *,
        interval_s: float = CHECK_INTERVAL_S,
    ) -> None:
        self._topic = topic
        self._spool = spool
        self._connect = connect
        self._report = report
        self._publisher: Publisher | None = None
        self._problem: str | None = None
        self._unreadable: set[str] = set()
        self._thread = PeriodicThread(
            "dead-letter-watch", self._check, "Checking the dead-letter topic", interval_s=interval_s
        )

    def start(self) -> None:
        """Run the first check and start the thread."""
        self._check()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._thread.stop()

    def _check(self) -> None:
        try:
            problem = self._topic.check()
            if problem is not None and problem != self._problem:
                logger.error("The dead-letter topic cannot be used: %s", problem)
            if problem is None and self._problem is not None:
                logger.info("The dead-letter topic can be used")
            self._problem = problem
            if problem is None:
                self._send()
            self._report(problem is None, self._spool.count() if self._spool else 0)
        except (StreamError, StateError) as error:  # an outage, which the processor logs
            logger.debug("The dead-letter topic is not checked: %s", error)
        except Exception:  # the thread must live as long as the worker
            logger.exception("Checking the dead-letter topic failed")

    def _send(self) -> None:
        """Send the letters that were set aside; one that is sent twice has the same position in its headers."""
        while (
            self._spool is not None
            and not self._thread.stopping.is_set()
            and (found := self._spool.first(LETTERS_AT_ONCE))
        ):
            if self._publisher is None:
                self._publisher = self._connect()
            letters = self._readable(found)
            if not letters:
                return
            try:
                self._publisher.publish(list(letters.values()))
            except MessageTooLarge as error:
                logger.error("Dead letters stay in Redis: %s", self._topic.problem(error.largest) or error)
                stay = {position(letter) for letter in error.messages}
                if sent := [one for one in letters if one not in stay]:
                    self._spool.drop(sent)
                return
            self._spool.drop(list(letters))
            logger.info("Sent %s that Redis held to the dead-letter topic", count(len(letters), "dead letter"))

    def _readable(self, found: Mapping[str, bytes]) -> dict[str, Message]:
        """The letters by position; one that cannot be read stays in Redis, and is logged once."""
        letters: dict[str, Message] = {}
        for at, packed in found.items():
            try:
                letters[at] = msgspec.msgpack.decode(packed, type=Message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if at not in self._unreadable:
                    self._unreadable.add(at)
                    logger.error(
                        "What Redis holds as the dead letter of %s cannot be read (%s) and stays there; read that "
                        "event in its topic, then delete the field from the hash of letters",
                        repr(at),
                        error,
                    )
        return letters
