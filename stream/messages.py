"""Kafka records as plain values: those consumed and those to publish."""

import msgspec

Headers = tuple[tuple[str, bytes], ...]
IncomingHeaders = tuple[tuple[str, bytes | None], ...]


CUT_OFF_HEADER = "value-cut-off-from-bytes"
"""Header of a record whose value was cut off while it was unpacked: the bytes that it had."""


class Incoming(msgspec.Struct, frozen=True):
    """A consumed record; ``timestamp`` is the producer's, in seconds since 1970, and ``headers`` are as they came."""

    value: bytes | None
    key: bytes | None
    topic: str
    partition: int
    offset: int
    timestamp: float | None = None
    headers: IncomingHeaders = ()


class Message(msgspec.Struct, frozen=True):
    """A message to publish; ``headers`` in order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes of value and key."""
        return len(self.value or b"") + len(self.key or b"")
