"""Lets aiokafka, kafka-python and confluent-kafka read any batch: any header names, any size when it is unpacked.

Kafka stores any bytes as the name of a header. aiokafka and kafka-python raise ``UnicodeDecodeError`` in the middle of
a fetch, at every attempt, so that one such record would end each worker that is given its partition. Neither has a
setting for it. Here such a name becomes text all the same, and no record is lost. From aiokafka it has surrogates, so
that the processor can count it. confluent-kafka gives the record without its headers.

Both of the first two also unpack a batch whole, for which see ``compressed_batches``.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from operator import methodcaller
from typing import Any, SupportsIndex

from stream.kafka.compressed_batches import is_bounded, parts, read_varint

_LENGTH_OFFSET = 8
"""Where a batch has its length, which counts what follows its first 12 bytes."""
_LOG_OVERHEAD = 12
_MAGIC_OFFSET = 16

_checked_headers = methodcaller("headers")
"""``message.headers()`` of confluent-kafka, which returns a list and sets an error at once where a name is not UTF-8.

Python turns that into a ``SystemError`` here. Where a call in Python code ran a few times, CPython 3.11 replaces it by
one that looks for no error where there is a result: the error comes up in a later line, and the list has holes.
"""


def confluent_headers(message: Any) -> list[tuple[str, bytes | None]] | None:
    """The headers of a message of confluent-kafka, empty where it has none, None where a name is not UTF-8."""
    try:
        return list(_checked_headers(message) or ())
    except SystemError:
        return None


class _Text(bytearray):
    """A part of a record; as text, bytes that are no UTF-8 become surrogates."""

    errors = "surrogateescape"

    def decode(self, encoding: str = "utf-8", errors: str = "") -> str:
        return super().decode(encoding, errors or self.errors)


class _EscapedText(_Text):
    r"""The same for kafka-python, which encodes names again: such bytes become ``\xff``."""

    errors = "backslashreplace"


class _Buffer(bytearray):
    """The bytes of a record, of which parts can be decoded."""

    text: type[_Text] = _Text

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        part = super().__getitem__(key)
        return self.text(part) if isinstance(part, bytearray) else part


class _EscapedBuffer(_Buffer):
    """The same for kafka-python."""

    text = _EscapedText


@cache
def accept_in_aiokafka() -> None:
    """Let the consumers of aiokafka in this process read any header name, and large batches in parts."""
    from aiokafka.consumer import fetcher

    fetcher.MemoryRecords = _Batches


@cache
def accept_in_kafka_python() -> None:
    """Let the consumers of kafka-python in this process read any header name, and large batches in parts."""
    from kafka.record.default_records import DefaultRecordBatch

    read = DefaultRecordBatch._read_msg

    def read_any_names(batch: Any) -> Any:
        try:
            return read(batch)
        except UnicodeDecodeError:
            return _read_again(batch, read, _EscapedBuffer)

    DefaultRecordBatch._read_msg = read_any_names
    iterate = DefaultRecordBatch.__iter__

    def iterate_in_parts(batch: Any) -> Any:
        content = batch._buffer
        if batch._decompressed or is_bounded(content):
            return iterate(batch)
        return (record for part in parts(content) for record in iterate(DefaultRecordBatch(part)))

    DefaultRecordBatch.__iter__ = iterate_in_parts


class _Batches:
    """The batches of a fetch, as aiokafka reads them."""

    def __init__(self, content: bytes) -> None:
        from aiokafka.record.memory_records import MemoryRecords

        self._batches = MemoryRecords(content)
        self._content = memoryview(content)
        self._start = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def next_batch(self) -> Any:
        """The next batch."""
        batch = self._batches.next_batch()
        start = self._start
        (length,) = struct.unpack_from(">i", self._content, start + _LENGTH_OFFSET)
        self._start = start + _LOG_OVERHEAD + length
        content = self._content[start : self._start]
        return _Batch(batch, content) if content[_MAGIC_OFFSET] >= 2 else batch  # older ones have no headers


class _Batch:
    """A batch of aiokafka; where its parser cannot read a header name, the one in Python reads the batch again.

    That begins at the first record; aiokafka skips records before the next offset.
    """

    def __init__(self, batch: Any, content: memoryview) -> None:
        self._batch = batch
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        if is_bounded(self._content):
            yield from _read(self._batch, self._content)
            return
        from aiokafka.record.default_records import DefaultRecordBatch

        for part in parts(self._content):
            yield from _read(DefaultRecordBatch(part), part)


def _read(batch: Any, content: bytes | memoryview) -> Iterator[Any]:
    with suppress(UnicodeDecodeError):
        yield from batch
        return
    yield from _any_names()(content)


@cache
def _any_names() -> type[Any]:
    """The class of a batch that is read in Python, whatever the names of headers."""
    from aiokafka.record.default_records import _DefaultRecordBatchPy

    read = _DefaultRecordBatchPy._read_msg

    class AnyNames(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no types
        def _read_msg(self) -> Any:
            try:
                return read(self)
            except UnicodeDecodeError:
                return _read_again(self, read, _Buffer)

    return AnyNames


def _read_again(batch: Any, read: Callable[[Any], Any], buffer: type[_Buffer]) -> Any:
    """Read the record at the position of a batch, whose parser raised before it moved on."""
    whole, start = batch._buffer, batch._pos
    length, begin = read_varint(whole, start)
    batch._buffer, batch._pos = buffer(whole[start : begin + length]), 0
    try:
        record = read(batch)
    finally:
        batch._buffer, batch._pos = whole, start
    batch._pos = begin + length
    return record
