"""Sends item events that cannot be taken to the dead letters, each once among all workers.

Every worker follows the whole topic ``items``, so if followers wrote dead letters there would be one a worker and a
start. Here the workers share the partitions in a consumer group that does nothing else.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, Message

from state.errors import InvalidEvent
from state.events.catalogue import CatalogueDecoder
from state.events.dates import to_iso
from state.settings import Settings
from stream.errors import Stopped
from stream.kafka.config import confluent_config
from stream.kafka.header_names import confluent_headers
from stream.messages import Incoming
from stream.messages import Message as Outgoing
from stream.pipeline.dead_letters import dead_letter

logger = logging.getLogger(__name__)

_WAIT_S = 0.5
_MAX_RECORDS = 1_000
_STOP_S = 2.0
NO_KEY = "The record has no stock code as its key; it must be the stock code of the item."


class ItemValidation:
    """Reads ``items`` in the group ``GROUP-items``, in a thread.

    Args:
        settings: Where the brokers are, the names of the topics, the bounds of events.
        publish: Publishes dead letters and waits for their confirmation; raises ``Stopped`` where the worker stops.
        count: Called with the number of dead letters.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        publish: Callable[[Sequence[Outgoing]], None],
        count: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._topic = settings.topics.items
        self._dead_letter_topic = settings.topics.dead_letter
        self._publish = publish
        self._count = count
        self._clock = clock
        self._decoder = CatalogueDecoder(settings)
        self._consumer = Consumer(
            confluent_config(
                settings,
                **{
                    "group.id": f"{settings.group}-items",
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "isolation.level": "read_committed",
                    "fetch.wait.max.ms": settings.fetch_wait_ms,
                    "session.timeout.ms": 10_000,
                    "allow.auto.create.topics": False,
                },
            )
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="item-validation", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the group and end the thread; a read in progress has two seconds to finish."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._topic])
            while not self._stopping.is_set():
                try:
                    self._validate(self._consumer.consume(_MAX_RECORDS, _WAIT_S))
                except Stopped:
                    return
                except KafkaException as error:
                    logger.debug("Item events are not validated now: %s", error.args[0])
                    self._stopping.wait(1.0)
                except Exception:  # the thread must live as long as the worker
                    logger.exception("Validating item events failed")
                    self._stopping.wait(1.0)
        finally:
            self._consumer.close()

    def _validate(self, messages: Sequence[Message]) -> None:
        """Dead-letter the invalid events of a batch, then commit it."""
        read = [message for message in messages if message.error() is None]
        if not read:
            return
        when = to_iso(int(self._clock()))
        letters = []
        for message in read:
            record = _incoming(message)
            if (reason := self._problem(record)) is not None:
                letters.append(dead_letter(record, reason, topic=self._dead_letter_topic, when=when))
        if letters:
            logger.warning("%d item events dead-lettered", len(letters))
            self._publish(letters)
            self._count(len(letters))
        for message in read:
            self._consumer.store_offsets(message=message)
        self._consumer.commit(asynchronous=False)

    def _problem(self, record: Incoming) -> str | None:
        if self._decoder.stock_code_of(record.key) is None:
            return NO_KEY
        if record.value is None:
            return None
        try:
            self._decoder.decode(record.value, record.key)
        except InvalidEvent as error:
            return str(error)
        return None


def _incoming(message: Message) -> Incoming:
    key, value = message.key(), message.value()
    headers = tuple(confluent_headers(message) or ())
    position = (str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
    return Incoming(value, key, *position, headers=headers)
