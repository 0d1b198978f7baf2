"""Follows the topics ``items`` and ``rules`` in a thread, and provides the newest catalogue and rules.

Both topics are compacted, so what a follower knows depends on the newest record of each key alone: every worker and
every restart ends with the same catalogue and rules. That is why an invalid record is not skipped. An item whose newest
event is invalid is not recommended, and without valid rules a follower is not ready.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from state.domain.rules import CompiledRules, Merchandising
from state.errors import InvalidEvent
from state.events.catalogue import CatalogueDecoder, CatalogueItem
from state.events.dialect import dialect_named
from state.events.rules import RULES_KEY, decode_rules
from state.settings import Settings
from stream.errors import BrokerUnavailable
from stream.kafka.config import confluent_config
from stream.kafka.topics import existing_topics
from stream.pipeline.catalogue_changes import CatalogueChanges
from stream.pipeline.outages import Outages

logger = logging.getLogger(__name__)

_WAIT_S = 0.1
"""How long a read waits for records; the newest catalogue is available after each."""
_FETCH_WAIT_MS = 100
_QUEUE_KBYTES = 8 * 1024
"""Records that the client reads ahead; its default of 64 MB would stay with the process."""
_MAX_RECORDS = 10_000
_METADATA_INTERVAL_S = 10.0
"""Time between two looks for new partitions, or for topics that did not exist."""

_METADATA_TIMEOUT_S = 5.0
_WARNING_INTERVAL_S = 60.0
_OUTAGE = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE)


class MerchandisingFollower:
    """Reads both topics from their beginning, then follows them. No group is joined and nothing is committed.

    Attributes:
        merchandising: The newest catalogue and rules; replaced as a whole, may be read in any thread.
        changes: Which items changed since a position in their topic; may be asked in any thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        items: bool = True,
        on_change: Callable[[Merchandising], None] = lambda merchandising: None,
        outages: Outages | None = None,
    ) -> None:
        """Prepare the client; it connects in the background.

        Args:
            settings: Where the brokers are, the names of the topics, the bounds of events.
            items: False: follow the rules only, not the catalogue.
            on_change: Called in the thread with every new ``merchandising``.
            outages: Where it is reported that no broker answers; None: nowhere.

        Raises:
            SettingsError: No broker is set.
        """
        self._on_change = on_change
        self._outages = outages or Outages(quiet=True)
        self._waiting = False
        self.merchandising = Merchandising(unknown_stock=settings.unknown_stock)
        self.changes = CatalogueChanges()
        self._topics = settings.topics
        self._followed = (settings.topics.items, settings.topics.rules) if items else (settings.topics.rules,)
        self._decoder = CatalogueDecoder(settings)
        self._dialect = dialect_named(settings.dialect)
        self._consumer = Consumer(
            confluent_config(
                settings,
                **{
                    "group.id": f"{settings.group}-merchandising",  # required, though only assign() is used
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "isolation.level": "read_committed",
                    "queued.max.messages.kbytes": _QUEUE_KBYTES,
                    "fetch.wait.max.ms": min(_FETCH_WAIT_MS, settings.fetch_wait_ms),
                    "reconnect.backoff.max.ms": 1_000,
                    "allow.auto.create.topics": False,
                },
            )
        )
        self._assigned: set[tuple[str, int]] = set()
        self._unread: set[tuple[str, int]] = set()
        self._offsets: dict[tuple[str, int], int] = {}
        self._invalid_rules: str | None = None
        self._warned: dict[int, float] = {}
        self._looked_at = -_METADATA_INTERVAL_S
        self._at_end = threading.Event()
        self._read = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="merchandising", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; takes some seconds where Kafka does not answer a question of it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def problem(self) -> str | None:
        """Why the catalogue and the rules cannot be relied on, None where they can."""
        if self._invalid_rules is not None and not self._read.is_set():
            return f"the newest rules are invalid, set others with nextbasket rules set: {self._invalid_rules}"
        return None if self._read.is_set() else f"{' and '.join(self._followed)}: not read yet"

    def wait_until_read(
        self, stop: threading.Event, timeout_s: float | None = None, *, valid_rules: bool = True
    ) -> bool:
        """Wait for the first read to the end of both topics; False where ``stop`` is set or the time is over first.

        ``valid_rules``: also until the newest rules are valid.
        """
        read = self._read if valid_rules else self._at_end
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        began, warned = time.monotonic(), False
        while not read.wait(_WAIT_S):
            if stop.is_set() or (deadline is not None and time.monotonic() > deadline):
                return False
            if self._waiting:  # an outage is logged as one
                began = time.monotonic()
            if not warned and time.monotonic() - began > _METADATA_INTERVAL_S:
                warned = True
                logger.warning("Waiting for the catalogue and the rules: %s", self.problem())
        return True

    def _follow(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._assign_partitions()
                    self._take(self._consumer.consume(_MAX_RECORDS, _WAIT_S))
                except KafkaException as error:
                    self._warn(error.args[0])
                    self._stopping.wait(1.0)
                except Exception:  # the thread must live as long as its process
                    logger.exception("Following the catalogue and the rules failed")
                    self._stopping.wait(1.0)
        finally:
            self._outages.gives_up("Kafka", self)
            self._consumer.close()

    def _assign_partitions(self) -> None:
        """Assign the partitions of both topics, from time to time also new ones; a topic may be missing."""
        if time.monotonic() - self._looked_at < _METADATA_INTERVAL_S:
            return
        found: set[tuple[str, int]] = set()
        for topic in self._followed:
            metadata = self._consumer.list_topics(topic, timeout=_METADATA_TIMEOUT_S).topics[topic]
            if metadata.error is not None and metadata.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(metadata.error)
            found |= {(topic, partition) for partition in metadata.partitions}
        self._looked_at = time.monotonic()
        self._waiting = False
        self._outages.answers("Kafka", self)
        if added := found - self._assigned:
            self._unread |= added
            self._consumer.incremental_assign([TopicPartition(*each, OFFSET_BEGINNING) for each in sorted(added)])
            self._assigned |= added
        self._note_read()

    def _take(self, records: Sequence[Message]) -> None:
        """Apply records, and replace ``merchandising`` where they changed it."""
        items: dict[str, CatalogueItem | None] = {}
        rules: CompiledRules | None = None
        for record in records:
            if (error := record.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._unread.discard(_partition(record))
                else:
                    self._warn(error)
                continue
            self._offsets[_partition(record)] = int(record.offset() or 0) + 1
            key, value = record.key(), record.value()
            if record.topic() == self._topics.rules:
                rules = self._rules(key, value) or rules
            elif (code := self._decoder.stock_code_of(key)) is not None:
                item = None if value is None else self._item(code, key, value)
                before = items[code] if code in items else self.merchandising.catalogue.get(code)
                self.changes.note(code, *_position(record), before, item)
                items[code] = item
        if items or rules is not None:
            now = self.merchandising
            catalogue = now.catalogue.with_changes(items) if items else now.catalogue
            position = sum(self._offsets.values())
            self.merchandising = Merchandising(catalogue, rules or now.rules, now.unknown_stock, position)
            self._on_change(self.merchandising)
        self._note_read()

    def _item(self, code: str, key: bytes | None, value: bytes) -> CatalogueItem:
        try:
            return self._decoder.decode(value, key)
        except InvalidEvent as error:
            return CatalogueItem(code, invalid=str(error))

    def _rules(self, key: bytes | None, value: bytes | None) -> CompiledRules | None:
        if key != RULES_KEY:
            logger.warning(
                "A record of %s has the key %.100r, not %r, and is ignored", self._topics.rules, key, RULES_KEY
            )
            return None
        try:
            rules = decode_rules(value)
        except InvalidEvent as error:
            self._invalid_rules = str(error)
            logger.error("The newest rules are invalid; the ones before stay in force until a restart: %s", error)
            return None
        self._invalid_rules = None
        logger.info("Rules of version %d are in force: %d rules", rules.version, len(rules.rules))
        return CompiledRules(rules, self._dialect)

    def _warn(self, error: KafkaError) -> None:
        """Report an outage, or log another error, the same one once a minute: the client tries again by itself."""
        if error.code() in _OUTAGE:
            self._waiting = True
            self._looked_at = -_METADATA_INTERVAL_S  # look again now, to see when it is over
            self._outages.waits("Kafka", self, f"the catalogue and the rules cannot be read: {error.str()}")
        if error.retriable() or error.code() in _OUTAGE:
            logger.debug("The catalogue and the rules cannot be read now: %s", error)
            return
        if error.code() not in self._warned or time.monotonic() - self._warned[error.code()] > _WARNING_INTERVAL_S:
            self._warned[error.code()] = time.monotonic()
            logger.warning("The catalogue and the rules cannot be read: %s", error)

    def _note_read(self) -> None:
        if self._unread:
            return
        if self._invalid_rules is None and not self._read.is_set():
            logger.info(
                "The catalogue has %d items, the rules have version %d",
                len(self.merchandising.catalogue),
                self.merchandising.rules.document.version,
            )
            self._read.set()
        self._at_end.set()


def read_merchandising(
    settings: Settings, *, items: bool = True, valid_rules: bool = True, timeout_s: float = 60.0
) -> Merchandising:
    """The catalogue and the rules as of now; missing topics count as empty.

    Args:
        settings: As for ``MerchandisingFollower``.
        items: False: read the rules only, not the catalogue.
        valid_rules: False: where the newest rules are invalid, go on with the newest that are valid, if any.
        timeout_s: How long to wait for Kafka.

    Raises:
        BrokerUnavailable: Kafka does not answer in time, or the newest rules are invalid.
        SettingsError: No broker is set.
    """
    # Names the cause where Kafka cannot be used: without the right to read the rules there would seem to be none.
    needed = [settings.topics.rules, settings.topics.items] if items else [settings.topics.rules]
    existing_topics(settings, needed=needed, timeout_s=min(timeout_s, 10.0))
    follower = MerchandisingFollower(settings, items=items)
    follower.start()
    try:
        read = follower.wait_until_read(threading.Event(), timeout_s, valid_rules=False)
        if not read or (valid_rules and follower.problem() is not None):
            raise BrokerUnavailable(f"The catalogue and the rules cannot be read: {follower.problem()}")
        return follower.merchandising
    finally:
        follower.stop()


def _position(record: Message) -> tuple[int, int]:
    return int(record.partition() or 0), int(record.offset() or 0)


def _partition(record: Message) -> tuple[str, int]:
    return str(record.topic()), int(record.partition() or 0)
