"""Compressed batches that are read in parts have the records of those that are read whole."""

import random
import resource
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.consumer import fetcher
from kafka.record.memory_records import MemoryRecords

from stream.kafka.compressed_batches import (
    CUT_VALUE_BYTES,
    HEADER_SIZE,
    MAX_RECORD_BYTES,
    PART_BYTES,
    parts,
    write_varint,
)
from stream.kafka.header_names import accept_in_aiokafka, accept_in_kafka_python
from stream.messages import CUT_OFF_HEADER

CODECS = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def record(number: int, value: bytes, key: bytes | None = b"k", headers: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A record of the format 2."""
    content = b"\0" + write_varint(number * 10) + write_varint(number)
    content += write_varint(-1) if key is None else write_varint(len(key)) + key
    content += write_varint(len(value)) + value + write_varint(len(headers))
    for name, text in headers:
        content += write_varint(len(name)) + name + write_varint(len(text)) + text
    return write_varint(len(content)) + content


def batch(records: list[bytes], codec: int, packed: bytes | None = None) -> bytes:
    """A batch of the format 2, at offset 100 and time 1,000."""
    content = CODECS[codec](b"".join(records)) if packed is None else packed
    count = len(records)
    rest = struct.pack(">hiqqqhii", codec, count - 1, 1_000, 1_000 + 10 * count, -1, -1, -1, count) + content
    # The checksum is not looked at here.
    return struct.pack(">qiibI", 100, len(rest) + 9, 0, 2, zlib.crc32(rest)) + rest


def by_aiokafka(content: bytes) -> Iterator[Any]:
    accept_in_aiokafka()
    return iter(
        fetcher.PartitionRecords(TopicPartition("t", 0), fetcher.MemoryRecords(content), [], 100, None, None, False, 0)
    )


def by_kafka_python(content: bytes) -> Iterator[Any]:
    accept_in_kafka_python()
    records = MemoryRecords(content)
    while (one := records.next_batch()) is not None:
        yield from one


def seen(found: Any) -> list[tuple[Any, ...]]:
    return [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in found]


# Only snappy (2) has two forms.
@pytest.mark.parametrize(("codec", "framed"), [*((codec, True) for codec in CODECS), (2, False)])
def test_records_of_any_size_are_read_once(codec: int, framed: bool) -> None:
    rng = random.Random(codec)
    sizes = [rng.choice([0, 10, 1_000, 60_000, PART_BYTES - 50, 3 * PART_BYTES]) for _ in range(60)]
    values = [rng.randbytes(min(64, size)) * max(1, size // 64) for size in sizes]
    headers = [((b"name", b"v"), (b"\xff", b"")) if number % 7 == 0 else () for number in range(60)]
    records = [
        record(number, value, None if number % 5 == 0 else b"key", headers[number])
        for number, value in enumerate(values)
    ]
    packed = None if framed else snappy_encode(b"".join(records), xerial_compatible=False)
    first = batch(records, codec, packed)
    content = first + batch([], 0, b"")
    expected = [
        (100 + number, 1_000 + 10 * number, None if number % 5 == 0 else b"key", value)
        for number, value in enumerate(values)
    ]
    for found in (seen(by_aiokafka(content)), seen(by_kafka_python(content))):
        assert [one[:4] for one in found] == expected
        assert [len(one[4]) for one in found] == [len(each) for each in headers]
    assert max(len(part) for part in parts(first)) < 5 * PART_BYTES


@pytest.mark.parametrize("codec", CODECS)
def test_a_record_that_is_too_large_is_cut_off_and_the_others_are_read(
    codec: int, caplog: pytest.LogCaptureFixture
) -> None:
    large = b"x" * (MAX_RECORD_BYTES + 5)
    content = batch([record(0, b"first"), record(1, large, b"key"), record(2, b"last")], codec)
    first, cut, last = by_aiokafka(content)
    assert (first.value, last.value, last.offset) == (b"first", b"last", 102)
    assert (cut.offset, cut.timestamp, cut.key, cut.value) == (101, 1_010, b"key", large[:CUT_VALUE_BYTES])
    assert cut.headers == ((CUT_OFF_HEADER, str(len(large)).encode()),)
    assert "is cut off" in caplog.text


def test_a_batch_of_half_a_gigabyte_takes_little_memory() -> None:
    unpacked = zlib.compressobj(1, wbits=31)
    one = record(0, b"x" * 900_000)
    packed = b"".join(unpacked.compress(one) for _ in range(600)) + unpacked.flush()
    content = batch([one] * 600, 1, packed)
    assert len(content) < 3_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(part) - HEADER_SIZE for part in parts(content)) == 600 * len(one)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_a_batch_that_ends_early_is_an_error() -> None:
    whole = b"".join(record(number, b"x" * 900_000) for number in range(3))
    content = batch([b""] * 3, 1, gzip_encode(whole[:-10]))
    with pytest.raises(ValueError, match="ends in the middle"):
        list(parts(content))
