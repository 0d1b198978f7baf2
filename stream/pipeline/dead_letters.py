"""Dead letters: events that cannot be taken, whole, with the reason; and what is needed to send them back."""

import hashlib

import msgspec

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
    """The dead letter of an event: its bytes and key, and headers with the reason, where it stood, and when it left."""
    headers = {
        REASON: reason[:MAX_REASON_CHARS],
        TOPIC: event.topic,
        PARTITION: str(event.partition),
        OFFSET: str(event.offset),
        WHEN: when,
    }
    return Message(topic, event.key, event.value, tuple((name, text.encode()) for name, text in headers.items()))


def without_value(letter: Message) -> Message:
    """The dead letter of an event that the dead-letter topic does not take for its size.

    Its value is left out, and the headers say so: how many bytes it had and their SHA-256. The original stands where
    the other headers say, as long as the source topic keeps it.
    """
    value = letter.value or b""
    omitted = {OMITTED_BYTES: str(len(value)), OMITTED_SHA256: hashlib.sha256(value).hexdigest()}
    headers = (*letter.headers, *((name, text.encode()) for name, text in omitted.items()))
    return msgspec.structs.replace(letter, value=None, headers=headers)
