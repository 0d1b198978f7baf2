"""Dead letters: rejected events with their bytes unchanged, the reason, and the source position for a redrive."""

import hashlib

import msgspec

from state.events.control_characters import escape_control
from stream.messages import Headers, Incoming, IncomingHeaders, Message

REASON = "reason"
TOPIC = "source-topic"
PARTITION = "source-partition"
OFFSET = "source-offset"
WHEN = "dead-lettered-at"
OMITTED_BYTES = "omitted-bytes"
OMITTED_SHA256 = "omitted-sha256"
OMITTED_HEADERS = "omitted-headers"
OWN_HEADERS = frozenset({REASON, TOPIC, PARTITION, OFFSET, WHEN, OMITTED_BYTES, OMITTED_SHA256, OMITTED_HEADERS})
"""The headers that a dead letter adds to those of its event."""

MAX_REASON_CHARS = 1_000


def dead_letter(event: Incoming, reason: str, *, topic: str, when: str) -> Message:
    """The dead letter of an event: its value, key and headers; the reason, source position and time are headers too.

    Headers of the event with a name of those are left out: they are of an earlier dead letter.
    """
    headers = {
        REASON: escape_control(reason)[:MAX_REASON_CHARS],
        TOPIC: event.topic,
        PARTITION: str(event.partition),
        OFFSET: str(event.offset),
        WHEN: when,
    }
    own = tuple((name, text.encode()) for name, text in headers.items())
    return Message(topic, event.key, event.value, own + event_headers(event.headers))


def event_headers(headers: IncomingHeaders) -> Headers:
    r"""The headers of an event without those of a dead letter; bytes of a name that are no UTF-8 as ``\xff``."""
    return tuple((_escaped(name), value or b"") for name, value in headers if name not in OWN_HEADERS)


def _escaped(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def position(letter: Message) -> str:
    """Topic, partition and offset of the event of a dead letter."""
    headers = dict(letter.headers)
    return "/".join(headers.get(name, b"").decode() for name in (TOPIC, PARTITION, OFFSET))


def without_event_headers(letter: Message) -> Message | None:
    """A dead letter without the headers of its event, whose number it has instead; None where there are none."""
    own = tuple(each for each in letter.headers if each[0] in OWN_HEADERS)
    omitted = len(letter.headers) - len(own)
    if not omitted:
        return None
    return msgspec.structs.replace(letter, headers=(*own, (OMITTED_HEADERS, str(omitted).encode())))


def without_value(letter: Message) -> Message:
    """A dead letter without its value, for an event that is too large for the dead-letter topic.

    Headers hold the size and the SHA-256 of the value. The original is in the source topic for as long as that topic
    retains it.
    """
    value = letter.value or b""
    omitted = {OMITTED_BYTES: str(len(value)), OMITTED_SHA256: hashlib.sha256(value).hexdigest()}
    headers = (*letter.headers, *((name, text.encode()) for name, text in omitted.items()))
    return msgspec.structs.replace(letter, value=None, headers=headers)
