"""Everything ``stream`` raises on purpose.

StreamError
├── PublisherUnavailable   Kafka did not confirm in time: wait and publish what is undelivered again
├── BrokerUnavailable      Kafka does not answer, or refuses to make a topic: wait, or do what the message says
├── MessageTooLarge        the broker will never take these messages: send something smaller in their place
├── TooScattered           (stream.tools.redrive) dead letters lie too scattered to be redriven by this reason
└── Stopped                the process is asked to end: what is unfinished stays unacknowledged

The names say what is the matter; "Error" behind each would add nothing (hence N818).
"""

from collections.abc import Sequence

from stream.messages import Message


class StreamError(Exception):
    """Base of everything this package raises on purpose; the message says what to do next."""


class PublisherUnavailable(StreamError):
    """Kafka did not confirm some messages; ``undelivered`` are those, in their order."""

    def __init__(self, reason: str, undelivered: Sequence[Message]) -> None:
        super().__init__(reason)
        self.undelivered = list(undelivered)


class BrokerUnavailable(StreamError):
    """Kafka does not answer, or refuses; the message carries its reason."""


class MessageTooLarge(StreamError):
    """The broker refuses messages for their size; ``messages`` are those, everything else was delivered."""

    def __init__(self, messages: Sequence[Message]) -> None:
        largest = max(len(message.value or b"") for message in messages)
        super().__init__(f"{len(messages)} messages are too large for the broker, the largest of {largest:,} bytes")
        self.messages = list(messages)


class Stopped(StreamError):
    """The process is asked to end; the batch in hand is abandoned unacknowledged and will be delivered again."""
