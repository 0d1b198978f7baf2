"""Dead letters: rejected events with their bytes unchanged, the reason, and the source position for a redrive."""

import hashlib

import msgspec

from state.events.control_characters import escape_control
from stream.messages import Incoming, Message

REASON = "reason"
TOPIC = "source-topic"
PARTITION = "source-partition"
OFFSET = "source-offset"
WHEN = "dead-lettered-at"
OMITTED_BYTES = "omitted-bytes"
OMITTED_SHA256 = "omitted-sha256"

MAX_REASON_CHARS = 1_000


def dead_letter(event: Incoming, reason: str, *, topic: str, when: str) -> Message:
    """The dead letter of an event: its value and key; the reason, source position and time are headers."""
    headers = {
        REASON: escape_control(reason)[:MAX_REASON_CHARS],
        TOPIC: event.topic,
        PARTITION: str(event.partition),
        OFFSET: str(event.offset),
        WHEN: when,
    }
    return Message(topic, event.key, event.value, tuple((name, text.encode()) for name, text in headers.items()))


def position(letter: Message) -> str:
    """Topic, partition and offset of the event of a dead letter."""
    headers = dict(letter.headers)
    return "/".join(headers.get(name, b"").decode() for name in (TOPIC, PARTITION, OFFSET))


def without_value(letter: Message) -> Message:
    """A dead letter without its value, for an event that is too large for the dead-letter topic.

    Headers hold the size and the SHA-256 of the value. The original is in the source topic for as long as that topic
    retains it.
    """
    value = letter.value or b""
    omitted = {OMITTED_BYTES: str(len(value)), OMITTED_SHA256: hashlib.sha256(value).hexdigest()}
    headers = (*letter.headers, *((name, text.encode()) for name, text in omitted.items()))
    return msgspec.structs.replace(letter, value=None, headers=headers)
