"""What reads the topic of invoices without a worker has a worker's rules for clocks."""

import json
from collections.abc import Iterator, Sequence

import pytest

from state import DAY, Settings
from state.events.dates import to_iso
from state.store.memory import MemoryStore
from stream.errors import ClockDiffers
from stream.kafka import topic_reader
from stream.messages import Incoming
from stream.tools.rebuild import RawEvent, RebuildLedger, rebuild

NOW = 1_700_000_000


def record(number: int, *, date: int, stamped: float | None) -> Incoming:
    line = {"stock_code": "A", "quantity": 1, "unit_price": 1.0}
    event = {"invoice_no": str(number), "customer_id": "c", "invoice_date": to_iso(date), "lines": [line]}
    return Incoming(json.dumps(event).encode(), None, "invoices", 0, number, stamped)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[Incoming]:
    """The records of the topic."""
    found: list[Incoming] = []

    class Records:
        def __init__(self, settings: Settings) -> None:
            pass

        def __iter__(self) -> Iterator[Sequence[Incoming]]:
            yield found

        def close(self) -> None:
            pass

    monkeypatch.setattr(topic_reader, "TopicRecords", Records)
    return found


def trained_on(records: Sequence[Incoming], clock: int) -> int:
    log = topic_reader.read_topic(Settings(), clock=clock)
    assert log.events == len(records)
    return len(log.invoices)


def rebuilt(records: Sequence[Incoming], clock: int) -> int:
    ledger = RebuildLedger("topic")
    batch = [RawEvent(one.value, one.timestamp) for one in records]
    rebuild(MemoryStore(Settings()), Settings(), [batch], ledger, clock=clock)
    return ledger.new


@pytest.mark.parametrize("read", [trained_on, rebuilt])
def test_a_clock_behind_is_named_and_no_good_event_is_left_out(records: list[Incoming], read: object) -> None:
    assert callable(read)
    records += [record(number, date=NOW, stamped=NOW + number) for number in range(5)]
    assert read(records, NOW) == 5
    with pytest.raises(ClockDiffers, match="most records were stamped"):
        read(records, NOW - 3 * DAY)


@pytest.mark.parametrize("read", [trained_on, rebuilt])
def test_an_invoice_ahead_of_its_record_is_left_out(records: list[Incoming], read: object) -> None:
    assert callable(read)
    records += [record(number, date=NOW - 5 * DAY, stamped=NOW - 5 * DAY) for number in range(5)]
    records.append(record(5, date=NOW - DAY, stamped=NOW - 5 * DAY))  # the clock has passed it meanwhile
    records.append(record(6, date=NOW + 400 * DAY, stamped=NOW))
    assert read(records, NOW) == 5
