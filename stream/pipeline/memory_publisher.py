"""The in-memory publisher."""

from collections.abc import Sequence

from stream.messages import Message


class MemoryPublisher:
    """Appends messages to a list; for tests and for runs without a broker."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, messages: Sequence[Message]) -> None:
        """Append the messages."""
        self.messages.extend(messages)

    def close(self) -> None:
        """Nothing to release."""
