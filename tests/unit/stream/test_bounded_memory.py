"""Whatever events bring, the memory of a worker is bounded: nothing that is refused or skipped is remembered."""

import gc
import logging
import random
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from bench.hostile import FIELDS, LONG, Sink, feed, hostile_events
from state.events.short_cache import cache_short
from state.events.wire import Decoder
from state.settings import Settings
from training.features.text import TermVectors

MOST_BYTES = 50_000_000
NOW = 1_323_435_000


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    """The lines on dead letters are not what grows here."""
    caplog.set_level(logging.ERROR)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start(1)
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("field", FIELDS)
def test_texts_of_a_megabyte_are_not_remembered(field: str, traced: None) -> None:
    sink = Sink()
    rng = random.Random(3)
    events = hostile_events(rng)
    feed(sink, events, 16)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(80):
        text = f"{rng.getrandbits(64):x}" + "x" * LONG
        sink.process([msgspec.json.encode(FIELDS[field](text))])
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] - before < 20_000_000


def test_full_caches_are_within_50_mb(traced: None) -> None:
    decoder = Decoder(Settings(dialect="uci"))
    before = tracemalloc.get_traced_memory()[0]
    for start in range(0, 20_000, 400):
        lines = [
            {
                "stock_code": f"{index}" + "ß" * 15 + "😀" * 16,  # in capitals it is longer
                "quantity": 1,
                "unit_price": 1 + index / 1_000,
                "description": f"{index} " + "😀" * 120,
                "attributes": {f"{index}{key}": str(key) for key in range(60)} if index % 8 == 0 else {},
            }
            for index in range(start, start + 400)
        ]
        invoice = {"invoice_no": "1", "invoice_date": f"2011-12-09T12:50:00.{start}Z", "lines": lines}
        decoder.decode(msgspec.json.encode(invoice), now=NOW)
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] - before < MOST_BYTES


def test_a_stream_of_hostile_events_leaves_no_trace_in_the_state(traced: None) -> None:
    sink = Sink()
    before = tracemalloc.get_traced_memory()[0]
    feed(sink, hostile_events(random.Random(5), long_share=0.05), 1_600)
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] - before < MOST_BYTES
    assert list(sink.store.histories()) == []
    assert sink.published > 100


def test_a_long_text_is_read_each_time_and_a_short_one_once() -> None:
    read: list[str] = []

    def length(text: str) -> int:
        read.append(text)
        return len(text)

    look_up = cache_short(length, entries=10, longest=3)
    assert [look_up(text) for text in ("abc", "abc", "abcd", "abcd")] == [3, 3, 4, 4]
    assert read == ["abc", "abcd", "abcd"]


def test_vectors_of_long_descriptions_are_not_remembered(traced: None) -> None:
    encoder = TermVectors.empty()
    before = tracemalloc.get_traced_memory()[0]
    encoder.encode([f"{index} " + "😀" * 1_000 for index in range(8_000)])
    assert tracemalloc.get_traced_memory()[0] - before < 5_000_000
