"""Batches with any header names, read as both clients read them."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from stream.kafka.header_names import accept_in_aiokafka, accept_in_kafka_python

Headers = list[tuple[bytes, bytes]]


class RawName(str):
    """A header name that is sent as these bytes."""

    raw = b""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def raw_name(raw: bytes) -> str:
    name = RawName("x")
    name.raw = raw
    return name


def batch(records: list[Headers], codec: int, first: int) -> bytes:
    """A batch of records with these headers; the value of each is its offset."""
    builder = MemoryRecordsBuilder(2, codec, 1 << 20, offset=first)
    for number, headers in enumerate(records, first):
        builder.append(
            timestamp=1, key=None, value=b"%d" % number, headers=[(raw_name(name), value) for name, value in headers]
        )
    builder.close()
    return bytes(builder.buffer())


def by_aiokafka(content: bytes) -> list[Any]:
    accept_in_aiokafka()
    records = fetcher.MemoryRecords(content)
    return list(fetcher.PartitionRecords(TopicPartition("t", 0), records, [], 0, None, None, False, 0))


def by_kafka_python(content: bytes) -> list[Any]:
    accept_in_kafka_python()
    records, found = MemoryRecords(content), []
    while (one := records.next_batch()) is not None:
        found += list(one)
    return found


NAMES = st.one_of(st.sampled_from([b"a", b"\xff", "ä".encode(), b"\xed\xa0\x80", b""]), st.binary(max_size=200))
RECORDS = st.lists(st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=3), min_size=1, max_size=8)


@pytest.mark.parametrize("codec", [0, 1, 4])  # none, gzip, zstd
@given(first=RECORDS, second=RECORDS)
def test_every_record_is_read_once_with_its_headers(codec: int, first: list[Headers], second: list[Headers]) -> None:
    content = batch(first, codec, 0) + batch(second, codec, len(first))
    sent = [*first, *second]
    for read, errors in ((by_aiokafka, "surrogateescape"), (by_kafka_python, "backslashreplace")):
        found = read(content)
        assert [(each.offset, each.value) for each in found] == [(n, b"%d" % n) for n in range(len(sent))]
        assert [list(each.headers) for each in found] == [
            [(name.decode("utf-8", errors), value) for name, value in headers] for headers in sent
        ]
