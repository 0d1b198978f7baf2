"""Redrive: dead letters back to where they came from, each once, whichever reasons are chosen in whichever order.

What was sent back is kept with Kafka, as the committed position of a consumer group: all letters before it are done,
and its metadata names the later ones that are done too, as ranges of offsets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from stream.errors import StreamError
from stream.pipeline.dead_letters import OMITTED_BYTES, REASON, TOPIC

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

MAX_METADATA_BYTES = 4_000
"""Kafka keeps 4,096 bytes with a committed position."""

POLL_MS = 1_000
CHUNK = 1_000
"""Letters sent before they are waited for and kept as done."""


class TooScattered(StreamError):
    """The letters of these reasons lie too far apart among others for Kafka to keep which are done."""


class Position(NamedTuple):
    """What is done of a partition: every offset below ``next``, and those in ``beyond``."""

    next: int
    beyond: frozenset[int]


class Letter(NamedTuple):
    """A dead letter: its bytes and key, and what its headers say."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    source: str
    omitted: bool


class Redriven(NamedTuple):
    """What became of the letters: sent back, left for their reason, and those that cannot be sent back at all."""

    sent: int
    left: int
    impossible: int


def redrive(
    consumer: "KafkaConsumer",
    producer: "KafkaProducer",
    topic: str,
    target: str,
    *,
    wanted: Callable[[str], bool],
    dry_run: bool,
) -> Redriven:
    """Send the wanted dead letters of ``topic`` that stand there now back to ``target``, and keep that they were.

    A letter that came from another topic, or whose value was left out for its size, is not sent.

    Raises:
        KafkaError: Kafka does not answer; what was confirmed before is kept.
        TooScattered: Kafka could not keep which letters are done; nothing of that partition was sent.
    """
    from kafka import TopicPartition

    total = Redriven(0, 0, 0)
    for partition in sorted(consumer.partitions_for_topic(topic) or ()):
        done = _one_partition(consumer, producer, TopicPartition(topic, partition), target, wanted, dry_run)
        total = Redriven(*(a + b for a, b in zip(total, done, strict=True)))
    return total


def _one_partition(
    consumer: "KafkaConsumer",
    producer: "KafkaProducer",
    partition: "TopicPartition",
    target: str,
    wanted: Callable[[str], bool],
    dry_run: bool,
) -> Redriven:
    from kafka import OffsetAndMetadata

    position = _committed(consumer, partition)
    still_open: list[int] = []
    total = Redriven(0, 0, 0)
    letters = _read(consumer, partition, position)
    while chunk := list(islice(letters, CHUNK)):
        chosen = [one for one in chunk if wanted(one.reason)]
        possible = [one for one in chosen if one.source == target and not one.omitted]
        sent = {one.offset for one in possible}
        still_open += [one.offset for one in chunk if one.offset not in sent]
        total = Redriven(
            total.sent + len(possible),
            total.left + len(chunk) - len(chosen),
            total.impossible + len(chosen) - len(possible),
        )
        if not possible or dry_run:
            continue
        position = advance(position, still_open, sent, chunk[-1].offset + 1)
        metadata = encode(position.beyond)
        if len(metadata) > MAX_METADATA_BYTES:
            raise TooScattered(
                f"The letters of this reason lie too scattered in partition {partition.partition} of "
                f"{partition.topic}; choose a wider --reason, or none."
            )
        for future in [producer.send(target, key=one.key, value=one.value) for one in possible]:
            future.get()
        consumer.commit({partition: OffsetAndMetadata(position.next, metadata, -1)})
    return total


def advance(position: Position, still_open: Sequence[int], sent: set[int], end: int) -> Position:
    """The position after the letters at ``sent`` were sent back; ``still_open`` are all others read, up to ``end``."""
    if not still_open:
        return Position(end, frozenset(offset for offset in position.beyond if offset >= end))
    done = position.beyond | sent
    return Position(still_open[0], frozenset(offset for offset in done if offset > still_open[0]))


def encode(offsets: Iterable[int]) -> str:
    """Offsets as text: ``5-9,12``."""
    ranges = []
    numbered = zip(sorted(offsets), count(), strict=False)
    for _, run in groupby(numbered, key=lambda pair: pair[0] - pair[1]):
        members = [offset for offset, _ in run]
        ranges.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ",".join(ranges)


def decode(text: str) -> frozenset[int]:
    """The offsets that ``encode`` wrote; none of what is not its writing."""
    offsets: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return frozenset()
        offsets.update(range(int(first), int(last or first) + 1))
    return frozenset(offsets)


def _committed(consumer: "KafkaConsumer", partition: "TopicPartition") -> Position:
    committed = consumer.committed(partition, metadata=True)
    first = consumer.beginning_offsets([partition])[partition]
    if committed is None or committed.offset < first:
        return Position(first, frozenset())
    return Position(committed.offset, decode(committed.metadata or ""))


def _read(consumer: "KafkaConsumer", partition: "TopicPartition", position: Position) -> Iterator[Letter]:
    """The letters that are not done, up to the end of the partition as it is now."""
    end = consumer.end_offsets([partition])[partition]
    consumer.assign([partition])
    consumer.seek(partition, position.next)
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                if record.offset < end and record.offset not in position.beyond:
                    yield _letter(record)


def _letter(record: Any) -> Letter:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    return Letter(
        offset=record.offset,
        key=record.key,
        value=record.value,
        reason=headers.get(REASON, ""),
        source=headers.get(TOPIC, ""),
        omitted=OMITTED_BYTES in headers,
    )
