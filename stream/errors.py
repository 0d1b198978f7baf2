"""The errors of ``stream``.

StreamError
├── PublisherUnavailable   Kafka did not confirm in time: wait, then publish the undelivered messages again
├── BrokerUnavailable      Kafka does not answer, or refuses to create a topic: wait, or follow the message
│   ├── BrokerRefused      Kafka refuses the user or the password
│   ├── TlsRefused         a certificate is not accepted, that of Kafka or that of this client
│   ├── RightMissing       Kafka does not allow this user to do this: give the user the right that the message names
│   └── OtherRedrive       another redrive sends the letters: let it end
├── CannotStart            the worker cannot start, and waiting does not help
├── MessageTooLarge        the broker refuses these messages for their size: send smaller ones in their place
├── DeadLettersBlocked     the dead-letter topic cannot take a letter: the message names it and what to do
├── ClockDiffers           the clock of this machine is wrong, or that of a witness: wait until they agree
├── EndpointUnavailable    a webhook's endpoint does not accept a message: repair it, then start again
├── MessageRefused         a webhook's endpoint refuses this message: others may be accepted
├── EndpointGone           a webhook's endpoint wants no more messages
└── Stopped                the worker stops: unfinished batches stay unacknowledged

The names state the problem; a suffix "Error" would add nothing (hence N818).
"""

from collections.abc import Sequence

from state.wording import count
from stream.messages import Message


class StreamError(Exception):
    """Base of the errors of this package; the message contains what to do next."""


class PublisherUnavailable(StreamError):
    """Kafka did not confirm some messages; ``undelivered`` holds them in order."""

    def __init__(self, reason: str, undelivered: Sequence[Message]) -> None:
        super().__init__(reason)
        self.undelivered = list(undelivered)


class BrokerUnavailable(StreamError):
    """Kafka does not answer, or refuses a request; the message contains its reason."""


class BrokerRefused(BrokerUnavailable):
    """Kafka refuses the user or the password; the message names the settings."""


class TlsRefused(BrokerUnavailable):
    """A certificate is not accepted, that of Kafka or that of this client; the message says what to do."""


class RightMissing(BrokerUnavailable):
    """Kafka does not allow the user to do this; the message names the right, and the topic or group."""


class OtherRedrive(BrokerUnavailable):
    """Another redrive began, and Kafka takes no letters of this one any more."""


class CannotStart(StreamError):
    """The worker cannot start, and waiting does not help; the message contains the reason."""


class MessageTooLarge(StreamError):
    """The broker refuses messages for their size; ``messages`` holds them, all others were delivered."""

    def __init__(self, messages: Sequence[Message]) -> None:
        largest = max(len(message.value or b"") for message in messages)
        are = "is" if len(messages) == 1 else "are"
        super().__init__(
            f"{count(len(messages), 'message')} {are} too large for the broker, the largest of {largest:,} bytes"
        )
        self.messages = list(messages)
        self.largest = max(message.size for message in messages)


class DeadLettersBlocked(StreamError):
    """The dead-letter topic cannot take a letter: it is missing, forbidden, compacted or too small."""


class ClockDiffers(StreamError):
    """The clock of this machine and those of its witnesses differ."""


class EndpointUnavailable(StreamError):
    """The endpoint of a webhook did not accept a message in time."""


class MessageRefused(StreamError):
    """The endpoint of a webhook refuses a message itself; the message has its answer."""


class EndpointGone(StreamError):
    """The endpoint of a webhook answered that it wants no more messages."""


class Stopped(StreamError):
    """The worker stops; the current batch is not acknowledged and will be delivered again."""
