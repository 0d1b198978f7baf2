"""Records of Kafka as plain values: what comes in, what goes out."""

import msgspec


class Incoming(msgspec.Struct, frozen=True):
    """A record of the ``invoices`` topic as it came; ``timestamp`` in seconds since 1970, as the producer set it."""

    value: bytes | None
    key: bytes | None
    topic: str
    partition: int
    offset: int
    timestamp: float | None = None


class Message(msgspec.Struct, frozen=True):
    """A message for a topic; ``headers`` in order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
