import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from state.errors import InvalidEvent
from state.events.invoice import Invoice, Line
from state.events.wire import Decoder
from state.settings import Settings, load_settings
from stream.tools.replay import ReplayCheckpoint, replay_fingerprint, send, throttle
from stream.tools.replay_events import EventShape, ReplayEvent, encode_invoice
from stream.tools.replay_events import replay_events as events_of_parts
from training.data.table_rows import TableRows
from training.data.tables.invoice_table import TableBatches, from_frame

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
ROWS: list[tuple[Any, ...]] = [
    ("2", "B", "ITEM B", 2, "2011-12-02 10:00", 1.5, 8.0, "France"),
    ("1", "A", "ITEM A", 1, "2011-12-01 10:00", 0.85, 7.0, "France"),
    ("3", "C", None, -1, "2011-12-02 10:00", 2, 9.0, "France"),
    ("2", "A", "ITEM A", 2.5, "2011-12-02 10:00", 1.5, 8.0, "France"),
    ("4", "D", "ITEM D", "many", "2011-12-03 10:00", 1.0, None, "France"),
    ("5", "E", "ITEM E", 1, "some day", 1.0, 7.0, "France"),
    ("2", "F", "ITEM F", 1, "2011-12-04 10:00", 1.0, 8.0, "France"),
]


def replay_events(rows: Sequence[tuple[Any, ...]], shape: EventShape, **options: Any) -> Iterator[ReplayEvent]:
    """The events of a table with these rows, all of them in one part, and without bounds unless some are given."""
    table = from_frame(pd.DataFrame([*rows], columns=COLUMNS))
    parts = TableRows(TableBatches(len(rows), iter([table])), Settings(dialect="uci")).parts()
    return events_of_parts(parts, shape, **({"since": None, "until": None} | options))


def seconds(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").timestamp())


def contents(outgoing: Any) -> list[dict[str, Any]]:
    return [json.loads(event.value) for event in outgoing]


def test_lines_are_in_time_order_and_rows_of_one_date_in_that_of_the_table() -> None:
    sent = list(replay_events(ROWS, "lines"))
    lines = contents(sent)
    assert [(line["InvoiceNo"], line["StockCode"]) for line in lines] == [
        ("1", "A"), ("2", "B"), ("3", "C"), ("2", "A"), ("4", "D"), ("5", "E"), ("2", "F"),
    ]  # fmt: skip
    assert list(lines[0]) == COLUMNS
    assert lines[0] == {
        "InvoiceNo": "1",
        "StockCode": "A",
        "Description": "ITEM A",
        "Quantity": 1,
        "InvoiceDate": "2011-12-01T10:00:00Z",
        "UnitPrice": 0.85,
        "CustomerID": "7",
        "Country": "France",
    }
    assert lines[3]["Quantity"] == 2.5
    assert [event.key for event in sent] == [b"7", b"8", b"9", b"8", None, b"7", b"8"]


def test_dirty_rows_are_sent_unchanged() -> None:
    lines = contents(replay_events(ROWS, "lines"))
    assert lines[2]["Description"] is None
    assert lines[4]["Quantity"] is None
    assert lines[4]["CustomerID"] is None
    assert lines[5]["InvoiceDate"] is None


def test_rows_of_one_date_stay_in_the_order_of_a_long_table() -> None:
    rows = [(str(n), "A", "", 1, f"2011-12-0{1 + n % 2} 10:00", 1.0, 7.0, "France") for n in range(2_000)]
    sent = replay_events(rows, "lines")
    assert [int(line["InvoiceNo"]) for line in contents(sent)] == [*range(0, 2_000, 2), *range(1, 2_000, 2)]


def test_bounds_are_half_open_and_exclude_rows_without_a_date() -> None:
    span = replay_events(ROWS, "lines", since=seconds("2011-12-02 10:00"), until=seconds("2011-12-04 10:00"))
    assert [line["InvoiceNo"] for line in contents(span)] == ["2", "3", "2", "4"]


def test_rows_with_the_same_invoice_customer_and_date_are_one_event() -> None:
    sent = list(replay_events(ROWS, "invoices"))
    whole = contents(sent)
    assert [(one["invoice_no"], [line["stock_code"] for line in one["lines"]]) for one in whole] == [
        ("1", ["A"]), ("2", ["B", "A"]), ("3", ["C"]), ("4", ["D"]), ("5", ["E"]), ("2", ["F"]),
    ]  # fmt: skip
    assert whole[1]["customer_id"] == "8"
    assert whole[1]["invoice_date"] == "2011-12-02T10:00:00Z"
    assert whole[1]["country"] == "France"
    assert whole[1]["lines"][1] == {"stock_code": "A", "description": "ITEM A", "quantity": 2.5, "unit_price": 1.5}
    assert [event.key for event in sent] == [b"7", b"8", b"9", None, b"7", b"8"]


@pytest.mark.parametrize("shape", ["lines", "invoices"])
def test_attributes_are_sent_with_customers_and_items(shape: EventShape) -> None:
    customers, items = {"8": {"city": "Nice"}}, {"A": {"category": "Books"}}
    sent = replay_events(ROWS, shape, customers=customers, items=items)
    decoder = Decoder(load_settings({}))
    seen: set[str] = set()
    for event in sent:
        with suppress(InvalidEvent):  # dirty rows
            invoice = decoder.decode(event.value, now=2_000_000_000)
            others = {key: value for key, value in invoice.attributes.items() if key != "country"}
            assert others == customers.get(invoice.customer_id or "", {})
            assert all(line.attributes == items.get(line.stock_code, {}) for line in invoice.lines)
            seen.update(line.stock_code for line in invoice.lines if line.attributes and others)
    assert seen == {"A"}


def test_an_invoice_with_very_many_lines_is_several_events() -> None:
    rows = [("1", f"A{n}", "", 1, "2011-12-01 10:00", 1.0, 7.0, "France") for n in range(4_500)]
    sent = list(replay_events(rows, "invoices"))
    assert [len(one["lines"]) for one in contents(sent)] == [2_000, 2_000, 500]
    assert max(len(event.value) for event in sent) < 1_000_000


def test_an_encoded_invoice_is_decoded_to_the_same_invoice() -> None:
    lines = (
        Line("A", 12_000, 0.85, "ITEM A", attributes={"category": "Books"}),
        Line("B", -2_500, 1.5, None, "l1"),
    )
    invoice = Invoice("1", "7", seconds("2011-12-09 12:50"), lines, {"city": "Nice", "country": "France"})
    assert Decoder(load_settings({})).decode(encode_invoice(invoice), now=2_000_000_000) == invoice


def test_the_fingerprint_depends_on_the_content_and_the_options_not_on_the_path(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"rows")
    other.write_bytes(b"rows")
    known = replay_fingerprint(one, "lines", None, None)
    assert known == replay_fingerprint(other, "lines", None, None)
    assert known != replay_fingerprint(one, "invoices", None, None)
    assert known != replay_fingerprint(one, "lines", 5, None)
    other.write_bytes(b"more rows")
    assert known != replay_fingerprint(other, "lines", None, None)


@pytest.mark.parametrize(
    ("rate", "speed", "waits"),
    [(40.0, None, [0.025, 0.025, 0.025]), (None, 600.0, [0.1]), (None, None, [])],
)
def test_events_wait_until_they_are_due(
    rate: float | None, speed: float | None, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 40 events a second one is due every 25 ms; 600 times as fast, 60 seconds between events are 100 ms."""
    clock = Clock(monkeypatch)
    sent = [ReplayEvent(None, b"", date) for date in (100, 100, None, 160)]
    assert list(throttle(sent, rate=rate, speed=speed)) == sent
    assert clock.waits == pytest.approx(waits)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 5.0
        self.waits: list[float] = []
        monkeypatch.setattr("stream.tools.replay.time.monotonic", lambda: self.now)
        monkeypatch.setattr("stream.tools.replay.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Future:
    """The answer of a broker to one event: confirmed, or an error."""

    def __init__(self, error: Exception | None = None, *, is_done: bool = True) -> None:
        self.error = error
        self.is_done = is_done

    def get(self, timeout: float | None) -> None:
        self.is_done = True
        if self.error is not None:
            raise self.error


class Producer:
    """Answers each event with the next of the futures."""

    def __init__(self, futures: list[Future]) -> None:
        self.futures = futures
        self.sent = 0
        self.flushed = False

    def flush(self, timeout: float) -> None:
        """All that was sent is answered."""
        self.flushed = True
        for future in self.futures[: self.sent]:
            future.is_done = True

    def send(self, topic: str, *, key: bytes | None, value: bytes) -> Future:
        self.sent += 1
        return self.futures[self.sent - 1]


def send_events(futures: list[Future], checkpoint: ReplayCheckpoint, saved: list[int], shown: list[int]) -> Any:
    sent = [ReplayEvent(None, b"%d" % number, None) for number in range(len(futures))]
    return send(
        Producer(futures),
        "invoices",
        sent,
        checkpoint,
        save=lambda checkpoint: saved.append(checkpoint.done),
        on_done=shown.append,
    )


def test_refused_events_count_as_done() -> None:
    from kafka.errors import MessageSizeTooLargeError

    checkpoint, saved, shown = ReplayCheckpoint("x", done=7), list[int](), list[int]()
    result = send_events([Future(), Future(MessageSizeTooLargeError()), Future()], checkpoint, saved, shown)
    assert (result.confirmed, result.refused) == (2, 1)
    assert saved[-1] == checkpoint.done == 10
    assert sum(shown) == 3


def test_an_event_behind_a_failed_one_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint counts the events before the first one without an answer, so that none is left out later."""
    from kafka.errors import KafkaTimeoutError

    monkeypatch.setattr("stream.tools.replay.MAX_IN_FLIGHT", 0)
    checkpoint, saved = ReplayCheckpoint("x"), list[int]()
    with pytest.raises(KafkaTimeoutError):
        send_events([Future(), Future(KafkaTimeoutError()), Future()], checkpoint, saved, [])
    assert saved[-1] == checkpoint.done == 1


def test_an_interruption_waits_for_what_was_sent() -> None:
    """Two events are with the broker when Ctrl-C comes; both are awaited, and the checkpoint has both."""
    producer = Producer([Future(is_done=False), Future(is_done=False)])
    checkpoint, saved = ReplayCheckpoint("x"), list[int]()

    def interrupted() -> Iterator[ReplayEvent]:
        yield from (ReplayEvent(None, b"", None), ReplayEvent(None, b"", None))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(
            producer,
            "invoices",
            interrupted(),
            checkpoint,
            save=lambda checkpoint: saved.append(checkpoint.done),
            on_done=lambda events: None,
        )
    assert producer.flushed
    assert saved == [2]


def test_the_file_format_of_a_checkpoint() -> None:
    assert msgspec.json.encode(ReplayCheckpoint("0f", 3)) == b'{"what":"0f","done":3}'
    assert msgspec.json.decode(b'{"what":"0f"}', type=ReplayCheckpoint) == ReplayCheckpoint("0f", 0)
