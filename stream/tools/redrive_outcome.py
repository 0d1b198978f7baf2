"""What became of the letters of a redrive: taken by the workers, back as new dead letters, or not processed yet."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from stream.tools.redrive import Position, RedriveResult, unread_letters

if TYPE_CHECKING:
    from kafka import KafkaConsumer

LOOK_INTERVAL_S = 0.5


class Outcome(NamedTuple):
    """Letters that were sent back: those taken, those that came back by their reason, those not processed yet."""

    taken: int
    came_back: Counter[str]
    unprocessed: int


def wait_for_workers(committed: Callable[[int], int], sent_to: Mapping[int, set[int]], *, limit_s: float) -> int:
    """Wait until the workers have processed everything that was sent.

    Args:
        committed: The offset that the group of the workers has committed, by partition.
        sent_to: Offsets by partition.
        limit_s: How long to wait at most.

    Returns:
        The number of offsets that are not processed.
    """
    deadline = time.monotonic() + limit_s
    while True:
        done = {partition: committed(partition) for partition in sent_to}
        unprocessed = sum(offset >= done[partition] for partition, offsets in sent_to.items() for offset in offsets)
        if not unprocessed or time.monotonic() >= deadline:
            return unprocessed
        time.sleep(LOOK_INTERVAL_S)


def returned_letters(consumer: "KafkaConsumer", result: RedriveResult, target: str) -> Counter[str]:
    """The reasons of the new dead letters whose events are those that were sent back; a letter counts once.

    A worker that repeats a batch after a crash sends its dead letters again.

    Raises:
        KafkaError: Kafka does not answer.
    """
    reasons: dict[tuple[int, int], str] = {}
    ends = consumer.end_offsets(list(result.ends))
    for partition, before in result.ends.items():
        for letter in unread_letters(consumer, partition, Position(before, frozenset()), ends[partition]):
            if letter.source != target or letter.source_position is None:
                continue
            source_partition, offset = letter.source_position
            if offset in result.sent_to.get(source_partition, ()):
                reasons[letter.source_position] = letter.reason
    return Counter(reasons.values())


def outcome_of(sent: int, came_back: Counter[str], unprocessed: int) -> Outcome:
    """The outcome of ``sent`` letters. One that came back is processed, even where it is not committed yet."""
    known = sent - came_back.total()
    unprocessed = min(unprocessed, known)
    return Outcome(known - unprocessed, came_back, unprocessed)
