"""The customers that a worker holds are bounded in bytes, whatever they consist of."""

from typing import Any

import msgspec
import pytest

from state import CustomerHistory, HeldInvoice, HeldLine
from state.events.invoice import Invoice, Line
from state.store.redis.cache import BYTES_OF_A_LINE, CustomerCache
from state.store.redis.stored_customer import StoredCustomer, read_customer

LINES = 1_000
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
    cache = CustomerCache(LINES)
    for number in range(60):
        cache.put(f"c{number}", customer(number, **parts))
    assert 0 < held(cache, 60) <= max(1, LINES * BYTES_OF_A_LINE // size)
    assert cache.get("c59") is not None
    for number in range(60):
        cache.drop(f"c{number}")
    assert cache._lines == 0


def test_what_a_customer_gets_is_counted_without_the_rest() -> None:
    cache = CustomerCache(LINES)
    stored = customer(0)
    cache.put("c0", stored)
    added = [Invoice("2", "c0", 100, (Line(EMOJI * 100, 1_000, 1.0),))]
    for _ in range(400):
        cache.put("c0", stored, added)
    assert held(cache, 1) == 1
    for _ in range(400):
        cache.put("c0", stored, added)
    assert cache._lines <= LINES
