"""Protocols of the services that the pipeline uses; Kafka and the model registry implement them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from stream.messages import Message


class Publisher(Protocol):
    """Sends messages and waits for their confirmation."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Send the messages, in order within each partition, and return when all of them are confirmed.

        Raises:
            PublisherUnavailable: Some messages are not confirmed; the error has them, and they may be sent again.
            MessageTooLarge: The broker refuses some messages for their size; all others are confirmed.
        """
        ...

    def close(self) -> None:
        """Release connections; unconfirmed messages are dropped."""
        ...


@runtime_checkable
class OverlappingPublisher(Publisher, Protocol):
    """A publisher that lets its caller work while the confirmations are under way."""

    def publish_while(self, messages: Sequence[Message], work: Callable[[], None]) -> None:
        """As ``publish``; calls ``work`` between sending and waiting, and raises what it raises."""
        ...


class LetterTopic(Protocol):
    """Knows whether the dead-letter topic can take a letter."""

    def problem(self, largest: int = 0) -> str | None:
        """Why a letter of so many bytes cannot be sent, as of the last check, or None."""
        ...

    def check(self, largest: int = 0) -> str | None:
        """Check the topic, create the topic where it is missing, and return ``problem``.

        Raises:
            BrokerUnavailable: Kafka does not answer.
        """
        ...


class LetterSpool(Protocol):
    """Holds packed dead letters, by the position of their events, until their topic takes them."""

    def put(self, letters: Mapping[str, bytes]) -> bool:
        """Set letters aside; returns whether it did: not where there would be too many."""
        ...

    def first(self, count: int) -> dict[str, bytes]:
        """Up to ``count`` letters that are set aside, by position, in no particular order."""
        ...

    def drop(self, positions: Sequence[str]) -> None:
        """Delete letters that the topic has taken."""
        ...

    def count(self) -> int:
        """The number of letters that are set aside."""
        ...


class SentDue(Protocol):
    """Remembers which due customers were published for a day and window."""

    def unsent(self, day: str, customer_ids: Sequence[str]) -> list[str]:
        """Those of some customers that are not recorded for the day, in order."""
        ...

    def record(self, day: str, customer_ids: Sequence[str]) -> None:
        """Record customers, at least one, for the day."""
        ...


class RefreshProgress(Protocol):
    """Stores how far the refresh of each partition is, packed, and the last request for a refresh."""

    def load(self) -> dict[int, bytes]:
        """What is stored for each partition."""
        ...

    def save(self, shards: Mapping[int, bytes]) -> None:
        """Replace what is stored for some partitions, at least one."""
        ...

    def asked(self) -> str:
        """The last request, '' where there is none."""
        ...


class ModelRegistry(Protocol):
    """Read access to the model registry."""

    def current(self) -> str | None:
        """The promoted version, None where there is none."""
        ...

    def open(self, version: str) -> Path:
        """The folder of the verified bundle of a version."""
        ...
