"""Reads a compressed batch of Kafka in parts, so that memory is bounded however large it is unpacked.

Kafka bounds a batch as it is compressed; unpacked it may be a thousand times that, and the clients unpack it whole.
Here it is unpacked as a stream, and divided into batches that are not compressed, each with the header of the whole and
some of its records, for the parser of the client. A record that exceeds a bound is cut off and gets a header with the
size that it had; its event is too large in any case.
"""

import gzip
import io
import logging
import struct
from collections.abc import Iterator
from typing import Protocol

from stream.messages import CUT_OFF_HEADER

logger = logging.getLogger(__name__)

PART_BYTES = 1 << 20
"""Of the records of a part; a larger record is alone."""
MAX_RECORD_BYTES = 16 << 20
"""Of a record; more than ``max_event_bytes`` may be. The value of a larger one is cut off."""
CUT_VALUE_BYTES = 64 << 10
"""Of a value that was cut off, what is left."""

HEADER_SIZE = 61
_LENGTH_OFFSET, _LOG_OVERHEAD, _ATTRIBUTES_OFFSET, _COUNT_OFFSET = 8, 12, 21, 57
_CODEC_MASK = 0x07
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_GREATEST_RATIO = {_GZIP: 1_032, _SNAPPY: 22, _LZ4: 255}
"""Of unpacked to compressed bytes; zstd has no bound that is of use."""
_XERIAL_MAGIC = b"\x82SNAPPY\0"
_XERIAL_HEADER = 16


class Stream(Protocol):
    """Unpacked bytes."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, or a few more; none at the end."""
        ...


def is_bounded(batch: bytes | memoryview) -> bool:
    """Whether a batch of format 2 is small also when it is unpacked, so that it may be unpacked whole."""
    codec = _codec(batch)
    return codec == 0 or (len(batch) - HEADER_SIZE) * _GREATEST_RATIO.get(codec, 1 << 20) <= PART_BYTES


def parts(batch: bytes | memoryview, *, max_record_bytes: int | None = None) -> Iterator[bytes]:
    """A compressed batch of format 2 as batches that are not, in order, each with the same offsets and times.

    Raises:
        ValueError: It ends in the middle of a record.
    """
    records = _Records(_unpacked(_codec(batch), batch[HEADER_SIZE:]), max_record_bytes or MAX_RECORD_BYTES)
    header = bytearray(batch[:HEADER_SIZE])
    (attributes,) = struct.unpack_from(">h", header, _ATTRIBUTES_OFFSET)
    struct.pack_into(">h", header, _ATTRIBUTES_OFFSET, attributes & ~_CODEC_MASK)
    (left,) = struct.unpack_from(">i", header, _COUNT_OFFSET)
    while left > 0:
        content, count = records.take(left)
        left -= count
        struct.pack_into(">i", header, _LENGTH_OFFSET, HEADER_SIZE - _LOG_OVERHEAD + len(content))
        struct.pack_into(">i", header, _COUNT_OFFSET, count)
        yield bytes(header) + content


def _codec(batch: bytes | memoryview) -> int:
    (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES_OFFSET)
    codec: int = attributes & _CODEC_MASK
    return codec


def _unpacked(codec: int, content: bytes | memoryview) -> Stream:
    packed = io.BytesIO(content)
    match codec:
        case 1:
            return gzip.GzipFile(fileobj=packed)
        case 2:
            return _SnappyStream(packed)
        case 3:
            import lz4.frame

            frames: Stream = lz4.frame.LZ4FrameFile(packed)
            return frames
        case 4:
            import zstandard

            return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    raise ValueError(f"Kafka has no codec {codec}")


class _SnappyStream:
    """Snappy as Kafka's clients write it: one block, which is at most 22 times as large, or Xerial's frames."""

    def __init__(self, packed: io.BytesIO) -> None:
        self._packed = packed
        self._framed = packed.read(_XERIAL_HEADER).startswith(_XERIAL_MAGIC)
        if not self._framed:
            packed.seek(0)

    def read(self, size: int) -> bytes:
        from aiokafka.codec import snappy_decode

        unpacked: list[bytes] = []
        while sum(map(len, unpacked)) < size:
            block = self._packed.read(int.from_bytes(self._packed.read(4)) if self._framed else -1)
            if not block:
                break
            unpacked.append(snappy_decode(block))
        return b"".join(unpacked)


class _Records:
    """Takes whole records from a stream."""

    def __init__(self, stream: Stream, max_record_bytes: int) -> None:
        self._stream = stream
        self._max_record_bytes = max_record_bytes
        self._buffer = bytearray()
        self._ended = False

    def take(self, most: int) -> tuple[bytes, int]:
        """The next records, at most ``most``, and their number, at least one."""
        self._fill(PART_BYTES)
        end = count = 0
        while count < most and end < PART_BYTES:
            length, start = self._length(end)
            if start + length > len(self._buffer):
                if count:
                    break
                if length > self._max_record_bytes:
                    return self._cut_off(length, start), 1
                self._fill(start + length)
                if start + length > len(self._buffer):
                    raise ValueError("a compressed batch ends in the middle of a record")
            end = start + length
            count += 1
        content = bytes(memoryview(self._buffer)[:end])
        del self._buffer[:end]
        return content, count

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size and not self._ended:
            content = self._stream.read(min(PART_BYTES, size - len(self._buffer)))
            self._ended = not content
            self._buffer += content

    def _length(self, position: int) -> tuple[int, int]:
        """The length of the record at a position, and where what it counts begins."""
        while True:
            try:
                return read_varint(self._buffer, position)
            except IndexError:
                if self._ended:
                    raise ValueError("a compressed batch has fewer records than it says") from None
                self._fill(len(self._buffer) + PART_BYTES)

    def _cut_off(self, length: int, start: int) -> bytes:
        """A record with the beginning of its value, and a header with the bytes that it had; the rest is skipped."""
        buffer = self._buffer
        _, position = read_varint(buffer, start)  # attributes
        _, position = read_varint(buffer, position)  # time
        _, position = read_varint(buffer, position)  # offset
        meta = bytes(buffer[start:position])
        key_length, position = read_varint(buffer, position)
        key = bytes(buffer[position : position + key_length]) if 0 <= key_length <= CUT_VALUE_BYTES else b""
        value_length, value = 0, b""
        if key_length <= CUT_VALUE_BYTES:
            value_length, position = read_varint(buffer, position + max(0, key_length))
            value = bytes(buffer[position : position + min(max(0, value_length), CUT_VALUE_BYTES)])
        logger.error(
            "A record of %d bytes in a compressed batch is cut off after the first %d of its value, because at most %d "
            "are read; its producer should be repaired",
            length, len(value), self._max_record_bytes,
        )  # fmt: skip
        self._skip(start + length)
        name, size = CUT_OFF_HEADER.encode(), str(max(value_length, length - CUT_VALUE_BYTES)).encode()
        header = write_varint(1) + write_varint(len(name)) + name + write_varint(len(size)) + size
        parts_of_record = (write_varint(len(key)) + key, write_varint(len(value)) + value)
        content = meta + b"".join(parts_of_record) + header
        return write_varint(len(content)) + content

    def _skip(self, size: int) -> None:
        while size > len(self._buffer) and not self._ended:
            size -= len(self._buffer)
            self._buffer.clear()
            self._fill(PART_BYTES)
        del self._buffer[:size]


def read_varint(buffer: bytes | bytearray, position: int) -> tuple[int, int]:
    """A number of Kafka's variable length, and the position after it.

    Raises:
        IndexError: The buffer ends before.
    """
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), position


def write_varint(number: int) -> bytes:
    """A number in Kafka's variable length."""
    rest = (number << 1) ^ (number >> 63)
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)
