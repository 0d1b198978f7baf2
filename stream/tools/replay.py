"""Replay: events into Kafka, at a chosen rate, resumable.

The order of the events is fixed, so the checkpoint of a replay is one number: how many of its first events Kafka has
answered.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream.tools.replay_events import ReplayEvent

if TYPE_CHECKING:
    from kafka import KafkaProducer

SAVE_INTERVAL_S = 1.0
MAX_IN_FLIGHT = 20_000
"""Events sent and not yet confirmed."""


class ReplayCheckpoint(msgspec.Struct):
    """The first ``done`` events of the replay with this fingerprint were confirmed or refused."""

    fingerprint: str = msgspec.field(name="what")
    done: int = 0


class ReplayResult(NamedTuple):
    """Events confirmed, events that the broker refused, seconds taken."""

    confirmed: int
    refused: int
    seconds: float


def replay_fingerprint(path: Path, *options: object) -> str:
    """A hash of the table and of the options that decide which events are sent, and where to."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    else:
        digest.update(str(path).encode())
    digest.update(repr(options).encode())
    return digest.hexdigest()


def throttle(events: Iterable[ReplayEvent], *, rate: float | None, speed: float | None) -> Iterator[ReplayEvent]:
    """Wait before each event until it is due.

    Args:
        events: In time order.
        rate: Events a second.
        speed: How many times as fast as they happened. Without ``rate`` and ``speed`` there is no wait.
    """
    began = time.monotonic()
    first: int | None = None
    for position, event in enumerate(events):
        due = 0.0
        if rate is not None:
            due = position / rate
        elif speed is not None and event.date is not None:
            first = event.date if first is None else first
            due = (event.date - first) / speed
        wait = began + due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield event


def send(
    producer: "KafkaProducer",
    topic: str,
    events: Iterable[ReplayEvent],
    checkpoint: ReplayCheckpoint,
    *,
    save: Callable[[ReplayCheckpoint], None],
    on_done: Callable[[int], object],
) -> ReplayResult:
    """Send events and wait until Kafka has answered all of them.

    Args:
        producer: Sends the events.
        topic: Where to.
        events: In the order of the replay, from ``checkpoint.done`` on.
        checkpoint: Updated in place.
        save: Called with the checkpoint about once a second and at the end, also after an error.
        on_done: Called with the number of events that were answered since the last call.

    Raises:
        KafkaError: Kafka does not answer within the producer's limits; the checkpoint was saved before.
    """
    began = saved = time.monotonic()
    pending: deque[Any] = deque()
    confirmed = refused = 0

    def settle(max_pending: int) -> None:
        """Take the answered events from the front of the queue; wait for them while more than ``max_pending`` are."""
        nonlocal confirmed, refused
        answered = 0
        while pending and (len(pending) > max_pending or pending[0].is_done):
            if _is_confirmed(pending[0]):
                confirmed += 1
            else:
                refused += 1
            pending.popleft()
            answered += 1
        checkpoint.done += answered
        on_done(answered)

    try:
        for event in events:
            pending.append(producer.send(topic, key=event.key, value=event.value))
            if time.monotonic() - saved > SAVE_INTERVAL_S or len(pending) > MAX_IN_FLIGHT:
                settle(MAX_IN_FLIGHT // 2)
                save(checkpoint)
                saved = time.monotonic()
        settle(0)
    except KeyboardInterrupt:
        producer.flush(timeout=5)
        settle(len(pending))
        raise
    finally:
        save(checkpoint)
    return ReplayResult(confirmed, refused, time.monotonic() - began)


def _is_confirmed(future: Any) -> bool:
    """Wait for the answer to one event; False where the broker refuses it for its size."""
    from kafka.errors import MessageSizeTooLargeError

    try:
        future.get(timeout=None)
    except MessageSizeTooLargeError:
        return False
    return True
