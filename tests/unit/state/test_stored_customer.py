"""What is stored of a customer is read back equal, and a change rewrites the blocks it concerns and no others."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import CustomerHistory, CustomerRefused, HeldInvoice, HeldLine, Invoice, Line, add_invoice
from state.domain.history import line_order
from state.store.customer import CustomerRecord, apply_events
from state.store.redis.blocks import BLOCK_LINES, INLINE
from state.store.redis.stored_customer import Head, StoredCustomer, read_customer, write_customer
from tests.contract.events import AWKWARD, arrivals, batches, invoice_parts, recommendation


class Hash:
    """The hash of a customer in Redis, and what a worker has of it in memory."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.stored = read_customer("a", {}, None)

    def write(self, record: CustomerRecord) -> int:
        """Writes a record; returns the number of lines of the blocks that were written."""
        self.stored, fields, gone = write_customer(self.stored, record, sequence=0)
        encoded = {
            name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in fields.items()
        }
        self.fields.update(encoded)
        for name in gone:
            del self.fields[name.encode()]
        layout = self.stored.layout
        written = [int(name[1:]) for name in fields if name[0] == "b"] + [INLINE]
        return sum(len(lines) for each in written for lines in layout.blocks[each].values()) if layout else 0

    def check(self, record: CustomerRecord) -> None:
        """What is read is what was written, and so is what is in memory; all blocks are within their bound."""
        read = read_customer("a", self.fields, None)
        assert read.record == self.stored.record == msgspec.structs.replace(record, last=None)
        assert (read.expected, read.layout is None) == (self.stored.expected, self.stored.layout is None)
        assert read.record.history.dated_attributes == record.history.dated_attributes
        layout = self.stored.layout
        if layout is None:
            return
        assert read.layout is not None
        assert {number: dict(block) for number, block in read.layout.blocks.items()} == layout.blocks
        assert read.layout.ids == layout.ids
        assert all(
            0 < sum(map(len, block.values())) <= BLOCK_LINES for number, block in layout.blocks.items() if number
        )


@settings(derandomize=True, max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read(data: st.DataObject) -> None:
    events = data.draw(arrivals(data.draw(invoice_parts(customers=("a",)))))
    window = data.draw(st.sampled_from([1, 2, 100]))
    record, written = CustomerRecord(CustomerHistory("a")), Hash()
    for clock, batch in enumerate(data.draw(batches(events)), 1):
        record = apply_events(record, list(enumerate(batch)), window=window, cap=1_000, clock_ms=clock).record
        written.write(record)
        written.check(record)
        if data.draw(st.booleans()):
            record = msgspec.structs.replace(record, published=clock, last=recommendation("a", clock, "A", AWKWARD))


def line(rng: random.Random) -> Line:
    line_id = str(rng.randrange(2_000)) if rng.random() < 0.3 else None
    return Line(str(rng.randrange(10_000)), rng.choice([1_000, -1_000]), 1.0, None, line_id)


def test_large_histories_are_read_as_they_were_written() -> None:
    rng = random.Random(5)
    history, written = CustomerHistory("a"), Hash()
    for number in range(300):
        size = rng.choice([1, 1, 1, 5, 40, 300])
        event = Invoice(str(rng.randrange(25)), "a", rng.randrange(500), tuple(line(rng) for _ in range(size)))
        history = add_invoice(history, event, 20 if number % 50 else 4).history
        record = CustomerRecord(history, number)
        written.write(record)
        if number % 5 == 0:
            written.check(record)
            if number % 25 == 0:  # another worker goes on
                written.stored = read_customer("a", written.fields, None)
        for held in history.invoices:
            orders = [line_order(each) for each in held.lines]
            assert orders == sorted(set(orders))
    written.check(record)
    assert written.stored.layout is not None
    record = CustomerRecord(add_invoice(history, Invoice("last", "a", 999, (line(rng),)), 1).history, 1_000)
    written.write(record)
    written.check(record)
    assert set(written.fields) == {b"v", b"m", b"d"}


def test_one_line_more_rewrites_one_block_however_large_the_invoice() -> None:
    rng = random.Random(3)
    lines = tuple(Line(f"{code:06}", 1_000, 1.0) for code in range(0, 60_000, 2))
    history, written = add_invoice(CustomerHistory("a"), Invoice("1", "a", 1, lines), 100).history, Hash()
    written.write(CustomerRecord(history, 1))
    for revision in range(2, 60):
        event = Invoice("1", "a", 1, (Line(f"{rng.randrange(30_000) * 2 + 1:06}", 1_000, 1.0),))
        history = add_invoice(history, event, 100).history
        assert written.write(CustomerRecord(history, revision)) <= 3 * BLOCK_LINES
    earlier = add_invoice(history, Invoice("1", "a", 0, lines[:1]), 100).history
    assert written.write(CustomerRecord(earlier, 60)) <= 3 * BLOCK_LINES  # the date is in no block of lines
    written.check(CustomerRecord(earlier, 60))


def test_invoices_that_do_not_change_are_the_same_objects() -> None:
    lines = tuple(Line(str(code), 1_000, 1.0) for code in range(10))
    history = CustomerHistory("a")
    for number in range(5):
        history = add_invoice(history, Invoice(str(number), "a", number, lines), 100).history
    after = add_invoice(history, Invoice("3", "a", 3, (Line("x", 1_000, 1.0),)), 100).history
    same = [one is other for one, other in zip(history.invoices, after.invoices, strict=True)]
    assert same == [True, True, True, False, True]
    assert all(one is other for one, other in zip(history.invoices[3].lines, after.invoices[3].lines[:10], strict=True))


@pytest.mark.parametrize("foreign", [b"", b"\xc1", b"{}", b"\x03\x00"])
@pytest.mark.parametrize("field", [b"m", b"d", b"b1"])
def test_foreign_bytes_are_no_history(field: bytes, foreign: bytes) -> None:
    lines = tuple(HeldLine(f"{code:03}", 1_000, 1.0) for code in range(200))
    written = Hash()
    written.write(CustomerRecord(CustomerHistory("a", (HeldInvoice("1", 1, lines),)), 1))
    assert field in written.fields
    with pytest.raises(msgspec.DecodeError):
        read_customer("a", {**written.fields, field: foreign}, None)
    with pytest.raises(msgspec.DecodeError):
        read_customer("a", {name: value for name, value in written.fields.items() if name != field}, None)


def test_a_newer_schema_is_refused() -> None:
    fields: dict[bytes, Any] = {b"v": b"3", b"m": b"1 0 0 1"}
    with pytest.raises(CustomerRefused, match="a newer version wrote it"):
        read_customer("a", fields, None)


def test_the_head_is_its_four_numbers() -> None:
    assert Head(1_700_000_000_000, 5, 0, 2).text() == "1700000000000 5 0 2"
    assert isinstance(read_customer("a", {}, None), StoredCustomer)
