"""Redrive: dead letters back to the topic they came from, each once, in whatever order their reasons are chosen.

Kafka stores which letters were sent back, as the committed position of a consumer group: all letters before it are
done, and its metadata lists the later ones that are done too, as ranges of offsets.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import count, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from state.domain.identities import Identities
from state.events.mentions import customers_in
from stream.messages import Headers, Message
from stream.pipeline.dead_letters import OFFSET, OMITTED_BYTES, PARTITION, REASON, TOPIC, event_headers

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

MAX_METADATA_BYTES = 4_000
"""Kafka stores up to 4,096 bytes with a committed position."""

POLL_MS = 1_000
POLL_TIMEOUT_S = 60.0
"""A topic that returns nothing for so long before its end is treated as unreachable."""
BATCH_SIZE = 1_000
"""Letters that are sent before their confirmations are awaited and the position is committed."""


class Position(NamedTuple):
    """Which letters of a partition are done: all offsets below ``next``, and those in ``beyond``."""

    next: int
    beyond: frozenset[int]


class DeadLetter(NamedTuple):
    """The bytes and key of a dead letter, what its headers contain, and the headers of its event."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    source: str
    omitted: bool
    source_position: tuple[int, int] | None
    headers: Headers = ()


class LetterSender(Protocol):
    """Sends letters and commits which are done, both or neither."""

    def begin(self) -> None:
        """End what another redrive does."""

    def send(
        self, letters: Sequence[Message], partition: "TopicPartition", offset: int, metadata: str
    ) -> Iterable[tuple[str, int, int]]:
        """Send letters and commit the offset of their partition; topic, partition and offset of each."""


class RedriveCounts(NamedTuple):
    """Letters sent back, left because of their reason, that cannot be sent back, and of erased customers."""

    sent: int
    left: int
    impossible: int
    erased: int = 0


class RedriveResult(NamedTuple):
    """What a redrive did.

    Attributes:
        counts: Of all partitions.
        ends: For each partition of the dead letters the offset after its last letter when the redrive began.
        sent_to: For each partition of the target the offsets at which letters were sent back.
        scattered: Partitions of which some letters were not sent: Kafka could not store which ones are done.
    """

    counts: RedriveCounts
    ends: "dict[TopicPartition, int]"
    sent_to: dict[int, set[int]]
    scattered: list[int]


def redrive_letters(
    consumer: "KafkaConsumer",
    sender: LetterSender,
    topic: str,
    target: str,
    *,
    also: Set[str] = frozenset(),
    is_wanted: Callable[[str], bool],
    dry_run: bool,
    is_erased: "Callable[[DeadLetter], bool]" = lambda letter: False,
) -> RedriveResult:
    """Send the letters that are in ``topic`` now and whose reason is wanted back, and commit which were sent.

    Each goes to the topic that it came from: ``target`` or one of ``also``. The ends of all partitions are read before
    the first letter is sent, so a letter that comes back is not taken again. A letter that came from another topic, or
    whose value was left out for its size, is not sent. One of an erased customer (``is_erased``) counts as done.

    Raises:
        OtherRedrive: Another redrive began; letters that were committed before are done.
        KafkaError: Kafka does not answer; letters that were confirmed before count as done.
    """
    from kafka import TopicPartition
    from kafka.errors import KafkaTimeoutError

    if not dry_run:
        sender.begin()  # before the committed offsets are read: no other redrive changes them from now on
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise KafkaTimeoutError(f"The partitions of {topic} are not known")
    ends = consumer.end_offsets(partitions)
    total = RedriveCounts(0, 0, 0, 0)
    sent_to: dict[int, set[int]] = {}
    scattered: list[int] = []
    for partition in partitions:
        redrive = _PartitionRedrive(
            consumer, sender, partition, ends[partition], target, also, is_wanted, dry_run, sent_to, is_erased
        )
        try:
            redrive.run()
        except _TooScattered:
            scattered.append(partition.partition)
        total = RedriveCounts(*(a + b for a, b in zip(total, redrive.counts, strict=True)))
    return RedriveResult(total, ends, sent_to, scattered)


class _TooScattered(Exception):
    """The ranges of the letters that are done do not fit into Kafka."""


class _PartitionRedrive:
    """The redrive of one partition; ``counts`` has what was done, also after an error."""

    def __init__(
        self,
        consumer: "KafkaConsumer",
        sender: LetterSender,
        partition: "TopicPartition",
        end: int,
        target: str,
        also: Set[str],
        is_wanted: Callable[[str], bool],
        dry_run: bool,
        sent_to: dict[int, set[int]],
        is_erased: Callable[[DeadLetter], bool],
    ) -> None:
        self.counts = RedriveCounts(0, 0, 0)
        self._consumer = consumer
        self._sender = sender
        self._partition = partition
        self._end = end
        self._target = target
        self._targets = {target, *also}
        self._is_wanted = is_wanted
        self._is_erased = is_erased
        self._dry_run = dry_run
        self._sent_to = sent_to

    def run(self) -> None:
        """Send the letters, in batches; commit after each."""
        position = _committed_position(self._consumer, self._partition)
        not_sent: list[int] = []
        letters = unread_letters(self._consumer, self._partition, position, self._end)
        while batch := list(islice(letters, BATCH_SIZE)):
            erased = {letter.offset for letter in batch if self._is_erased(letter)}
            wanted = [each for each in batch if each.offset not in erased and self._is_wanted(each.reason)]
            possible = [letter for letter in wanted if letter.source in self._targets and not letter.omitted]
            sent = {letter.offset for letter in possible} | erased
            not_sent += [letter.offset for letter in batch if letter.offset not in sent]
            left, impossible = len(batch) - len(erased) - len(wanted), len(wanted) - len(possible)
            if sent and not self._dry_run:
                position = advance(position, not_sent, sent, batch[-1].offset + 1)
                metadata = encode_offsets(position.beyond)
                if len(metadata) > MAX_METADATA_BYTES:
                    raise _TooScattered
                self._send(possible, position.next, metadata)
            self.counts = RedriveCounts(
                self.counts.sent + len(possible),
                self.counts.left + left,
                self.counts.impossible + impossible,
                self.counts.erased + len(erased),
            )

    def _send(self, letters: Sequence[DeadLetter], next_offset: int, metadata: str) -> None:
        messages = [Message(one.source, one.key, one.value, tuple(one.headers)) for one in letters]
        for topic, partition, offset in self._sender.send(messages, self._partition, next_offset, metadata):
            if topic == self._target:
                self._sent_to.setdefault(partition, set()).add(offset)


def advance(position: Position, not_sent: Sequence[int], sent: set[int], end: int) -> Position:
    """The position after the letters at ``sent`` were sent; ``not_sent`` are all others that were read before ``end``.

    Offsets are ascending in ``not_sent``.
    """
    if not not_sent:
        return Position(end, frozenset(offset for offset in position.beyond if offset >= end))
    done = position.beyond | sent
    return Position(not_sent[0], frozenset(offset for offset in done if offset > not_sent[0]))


def encode_offsets(offsets: Iterable[int]) -> str:
    """Offsets as text: ``5-9,12``."""
    ranges = []
    numbered = zip(sorted(offsets), count(), strict=False)
    for _, run in groupby(numbered, key=lambda pair: pair[0] - pair[1]):
        members = [offset for offset, _ in run]
        ranges.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ",".join(ranges)


def decode_offsets(text: str) -> frozenset[int]:
    """The offsets in a text of ``encode_offsets``; none where it is another text."""
    offsets: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return frozenset()
        offsets.update(range(int(first), int(last or first) + 1))
    return frozenset(offsets)


def _committed_position(consumer: "KafkaConsumer", partition: "TopicPartition") -> Position:
    committed = consumer.committed(partition, metadata=True)
    first = consumer.beginning_offsets([partition])[partition]
    if committed is None or committed.offset < first:
        return Position(first, frozenset())
    return Position(committed.offset, decode_offsets(committed.metadata or ""))


def waiting_letters(consumer: "KafkaConsumer", topic: str) -> Iterator[tuple[int, DeadLetter]]:
    """The letters that are in ``topic`` now and were not sent back, each with its partition.

    Raises:
        KafkaError: Kafka does not answer.
    """
    from kafka import TopicPartition

    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    ends = consumer.end_offsets(partitions) if partitions else {}
    for partition in partitions:
        position = _committed_position(consumer, partition)
        for letter in unread_letters(consumer, partition, position, ends[partition]):
            yield partition.partition, letter


def unread_letters(
    consumer: "KafkaConsumer", partition: "TopicPartition", position: Position, end: int
) -> Iterator[DeadLetter]:
    """The letters before the offset ``end`` that are not done.

    Raises:
        KafkaError: Kafka does not answer.
    """
    from kafka.errors import KafkaTimeoutError

    consumer.assign([partition])
    consumer.seek(partition, position.next)
    reached, last_read = position.next, time.monotonic()
    while reached < end:
        for records in consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                if record.offset < end and record.offset not in position.beyond:
                    yield _letter(record)
        # By position, not by record: the end marker of a transaction has an offset and is never returned.
        now = consumer.position(partition)
        if now > reached:
            reached, last_read = now, time.monotonic()
        elif time.monotonic() - last_read > POLL_TIMEOUT_S:
            raise KafkaTimeoutError(f"{partition.topic} gave nothing for {POLL_TIMEOUT_S:.0f} seconds before its end")


def erased_letters(known: Identities) -> Callable[[DeadLetter], bool]:
    """Whether a letter names an erased customer."""
    return lambda letter: bool(known.erasures) and known.is_erased(customers_in(letter.value, letter.key))


def _letter(record: Any) -> DeadLetter:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    return DeadLetter(
        offset=record.offset,
        key=record.key,
        value=record.value,
        reason=headers.get(REASON, ""),
        source=headers.get(TOPIC, ""),
        omitted=OMITTED_BYTES in headers,
        source_position=_source_position(headers),
        headers=event_headers(record.headers),
    )


def _source_position(headers: Mapping[str, str]) -> tuple[int, int] | None:
    partition, offset = headers.get(PARTITION, ""), headers.get(OFFSET, "")
    return (int(partition), int(offset)) if partition.isdecimal() and offset.isdecimal() else None
