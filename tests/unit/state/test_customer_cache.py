"""The customers that a worker holds are bounded in bytes, whatever they consist of."""

from typing import Any

import msgspec
import pytest

from state import CustomerHistory, HeldInvoice, HeldLine
from state.events.invoice import Invoice, Line
from state.store.redis.cache import BYTES_OF_A_LINE, CustomerCache
from state.store.redis.stored_customer import StoredCustomer, read_customer, write_customer

LINES = 1_000
BYTES = LINES * BYTES_OF_A_LINE
EMOJI = "😀"


def customer(number: int, *, codes: int = 1, code: str = "A", **changed: Any) -> StoredCustomer:
    lines = tuple(HeldLine(f"{code}{index}", 1_000, 1.0) for index in range(codes))
    history = CustomerHistory(f"c{number}", (HeldInvoice("1", 100, lines),))
    history = msgspec.structs.replace(history, dated_attributes=changed.pop("attributes", {}))
    stored = read_customer(history.customer_id, {}, changed.pop("recommendation", None))
    return msgspec.structs.replace(stored, record=msgspec.structs.replace(stored.record, history=history))


def held(cache: CustomerCache, numbers: int) -> int:
    return sum(cache.get(f"c{number}") is not None for number in range(numbers))


@pytest.mark.parametrize(
    ("parts", "size"),
    [
        ({}, 100),
        ({"attributes": {f"{key:02}": (100, EMOJI * 250) for key in range(32)}}, 32_000),
        ({"recommendation": b"x" * 20_000}, 20_000),
        ({"codes": 10, "code": EMOJI * 90}, 3_600),
    ],
)
def test_customers_count_by_their_bytes(parts: dict[str, Any], size: int) -> None:
    cache = CustomerCache(BYTES)
    for number in range(60):
        cache.put(f"c{number}", customer(number, **parts))
    assert 0 < held(cache, 60) <= max(1, LINES * BYTES_OF_A_LINE // size)
    assert cache.get("c59") is not None
    for number in range(60):
        cache.drop(f"c{number}")
    assert cache._lines == 0


def test_what_a_customer_gets_is_counted_without_the_rest() -> None:
    cache = CustomerCache(BYTES)
    stored = customer(0)
    cache.put("c0", stored)
    added = [Invoice("2", "c0", 100, (Line(EMOJI * 100, 1_000, 1.0),))]
    for _ in range(400):
        cache.put("c0", stored, added)
    assert held(cache, 1) == 1
    for _ in range(400):
        cache.put("c0", stored, added)
    assert cache._lines <= LINES


@pytest.mark.parametrize("line_id", [None, "0198f2a4-7c3e-7d52-9a1b-2f6e8c4d0a17"])
@pytest.mark.parametrize(
    ("code", "codes"), [("A", 10), ("A", 500), ("A" * 90, 10), (EMOJI * 90, 500)], ids=["few", "many", "long", "wide"]
)
def test_a_customer_that_was_read_counts_as_one_that_was_written(code: str, codes: int, line_id: str | None) -> None:
    lines = tuple(
        HeldLine(f"{code}{index:03}", 1_000, 1.0, line_id and f"{line_id}{index:03}") for index in range(codes)
    )
    nobody = read_customer("c0", {}, None)
    history = CustomerHistory("c0", (HeldInvoice("1", 100, lines),))
    written, fields, _ = write_customer(
        nobody, msgspec.structs.replace(nobody.record, history=history, revision=1), sequence=0
    )
    as_read = {name.encode(): part.encode() if isinstance(part, str) else part for name, part in fields.items()}
    counted = []
    for stored in (written, read_customer("c0", as_read, None)):
        cache = CustomerCache(100 * BYTES)
        cache.put("c0", stored)
        counted.append(cache._lines)
    assert counted[1] == pytest.approx(counted[0], rel=0.3)
