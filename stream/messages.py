"""Kafka records as plain values: those consumed and those to publish."""

import msgspec


class Incoming(msgspec.Struct, frozen=True):
    """A consumed record of the ``invoices`` topic; ``timestamp`` is the producer's, in seconds since 1970."""

    value: bytes | None
    key: bytes | None
    topic: str
    partition: int
    offset: int
    timestamp: float | None = None


class Message(msgspec.Struct, frozen=True):
    """A message to publish; ``headers`` in order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of value and key."""
        return len(self.value or b"") + len(self.key or b"")
