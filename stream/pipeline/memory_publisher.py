"""The publisher in memory, for tests and for what runs without a broker."""

from collections.abc import Sequence

from stream.messages import Message


class MemoryPublisher:
    """Keeps messages in a list: for tests, and for what runs without a broker."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, messages: Sequence[Message]) -> None:
        """Keep the messages."""
        self.messages.extend(messages)

    def close(self) -> None:
        """Nothing to release."""
