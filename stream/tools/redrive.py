"""Redrive: dead letters back to the topic they came from, each once, in whatever order their reasons are chosen.

Kafka stores which letters were sent back, as the committed position of a consumer group: all letters before it are
done, and its metadata lists the later ones that are done too, as ranges of offsets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from stream.errors import StreamError
from stream.pipeline.dead_letters import OMITTED_BYTES, REASON, TOPIC

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

MAX_METADATA_BYTES = 4_000
"""Kafka stores up to 4,096 bytes with a committed position."""

POLL_MS = 1_000
BATCH_SIZE = 1_000
"""Letters that are sent before their confirmations are awaited and the position is committed."""


class TooScattered(StreamError):
    """The letters with these reasons lie between too many others: the ranges of those done do not fit into Kafka."""


class Position(NamedTuple):
    """Which letters of a partition are done: all offsets below ``next``, and those in ``beyond``."""

    next: int
    beyond: frozenset[int]


class DeadLetter(NamedTuple):
    """The bytes and key of a dead letter, and what its headers contain."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    source: str
    omitted: bool


class RedriveCounts(NamedTuple):
    """Letters sent back, letters left because of their reason, and letters that cannot be sent back."""

    sent: int
    left: int
    impossible: int


def redrive_letters(
    consumer: "KafkaConsumer",
    producer: "KafkaProducer",
    topic: str,
    target: str,
    *,
    is_wanted: Callable[[str], bool],
    dry_run: bool,
) -> RedriveCounts:
    """Send the letters that are in ``topic`` now and whose reason is wanted to ``target``, and commit which were sent.

    A letter that came from another topic, or whose value was left out for its size, is not sent.

    Raises:
        KafkaError: Kafka does not answer; letters that were confirmed before count as done.
        TooScattered: Kafka could not store which letters are done; the rest of that partition was not sent.
    """
    from kafka import TopicPartition

    total = RedriveCounts(0, 0, 0)
    for partition in sorted(consumer.partitions_for_topic(topic) or ()):
        counts = _redrive_partition(consumer, producer, TopicPartition(topic, partition), target, is_wanted, dry_run)
        total = RedriveCounts(*(a + b for a, b in zip(total, counts, strict=True)))
    return total


def _redrive_partition(
    consumer: "KafkaConsumer",
    producer: "KafkaProducer",
    partition: "TopicPartition",
    target: str,
    is_wanted: Callable[[str], bool],
    dry_run: bool,
) -> RedriveCounts:
    from kafka import OffsetAndMetadata

    position = _committed_position(consumer, partition)
    not_sent: list[int] = []
    counts = RedriveCounts(0, 0, 0)
    letters = _read_letters(consumer, partition, position)
    while batch := list(islice(letters, BATCH_SIZE)):
        wanted = [letter for letter in batch if is_wanted(letter.reason)]
        possible = [letter for letter in wanted if letter.source == target and not letter.omitted]
        sent = {letter.offset for letter in possible}
        not_sent += [letter.offset for letter in batch if letter.offset not in sent]
        counts = RedriveCounts(
            counts.sent + len(possible),
            counts.left + len(batch) - len(wanted),
            counts.impossible + len(wanted) - len(possible),
        )
        if not possible or dry_run:
            continue
        position = advance(position, not_sent, sent, batch[-1].offset + 1)
        metadata = encode_offsets(position.beyond)
        if len(metadata) > MAX_METADATA_BYTES:
            raise TooScattered(
                f"The letters of this reason lie too scattered in partition {partition.partition} of "
                f"{partition.topic}; choose a wider --reason, or none."
            )
        for future in [producer.send(target, key=letter.key, value=letter.value) for letter in possible]:
            future.get()
        consumer.commit({partition: OffsetAndMetadata(position.next, metadata, -1)})
    return counts


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


def _read_letters(consumer: "KafkaConsumer", partition: "TopicPartition", position: Position) -> Iterator[DeadLetter]:
    """The letters that are not done, up to the present end of the partition."""
    end = consumer.end_offsets([partition])[partition]
    consumer.assign([partition])
    consumer.seek(partition, position.next)
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                if record.offset < end and record.offset not in position.beyond:
                    yield _letter(record)


def _letter(record: Any) -> DeadLetter:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    return DeadLetter(
        offset=record.offset,
        key=record.key,
        value=record.value,
        reason=headers.get(REASON, ""),
        source=headers.get(TOPIC, ""),
        omitted=OMITTED_BYTES in headers,
    )
