"""What the pipeline needs of the world outside, as protocols; Kafka and the registry implement them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stream.messages import Message


class Publisher(Protocol):
    """Sends messages and waits for their confirmation."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Send the messages, in order within each partition, and return when all of them are confirmed.

        Raises:
            PublisherUnavailable: Some are not confirmed; they may be sent again, and the error carries them.
            MessageTooLarge: Some will never be taken for their size; all others are confirmed.
        """
        ...

    def close(self) -> None:
        """Release connections; what is unconfirmed is dropped."""
        ...


class ModelRegistry(Protocol):
    """What is needed of a registry."""

    def current(self) -> str | None:
        """The version that serves."""
        ...

    def open(self, version: str) -> Path:
        """A folder that holds the verified bundle."""
        ...
