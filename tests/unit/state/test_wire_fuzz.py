"""For any bytes the decoder returns an invoice that can be stored, or raises ``InvalidEvent``."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from state import CustomerHistory, InvalidEvent, Settings, add_invoice, canonical_json, line_text
from state.events.wire import Decoder

NOW = 1_323_435_000
DECODERS = [Decoder(Settings()), Decoder(Settings(dialect="uci", timezone="Australia/Lord_Howe"))]

TEXT = st.text(st.characters(codec="utf-8") | st.characters(), max_size=5)
ODD = st.sampled_from(
    ["581587", "C1", "22613", "12680.0", "2011-12-09T12:50:00Z", "12/9/2011 12:50", "invoice", 1, 12, 0.85]
)
VALUE = st.recursive(
    ODD | st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
WHOLE = ["invoice_no", "customer_id", "invoice_date", "lines", "country", "type", "version", "customer", "attributes"]
LINE = ["stock_code", "quantity", "unit_price", "description", "line_id", "attributes"]
FLAT = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
    "line_id",
    "customer",
    "attributes",
]


def objects(names: list[str], **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={name: known.get(name, ODD | VALUE) for name in names})


ATTRIBUTES = st.dictionaries(TEXT, VALUE, max_size=3) | VALUE
CUSTOMER_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "attributes": ATTRIBUTES,
    "customer": objects(["attributes"], attributes=ATTRIBUTES) | VALUE,
}
LINES = st.lists(objects(LINE, attributes=ATTRIBUTES), max_size=3) | VALUE
EVENT = objects(WHOLE, lines=LINES, **CUSTOMER_FIELDS) | objects(FLAT, **CUSTOMER_FIELDS) | VALUE


def check(raw: bytes) -> None:
    for decoder in DECODERS:
        try:
            invoice = decoder.decode(raw, now=NOW)
        except InvalidEvent:
            continue
        for attributes in (invoice.attributes, *(line.attributes for line in invoice.lines)):
            assert all(0 < len(key) <= 64 and 0 < len(value) <= 256 for key, value in attributes.items())
            msgspec.msgpack.encode(attributes)
        for line in invoice.lines:
            line_text(line.stock_code, line.quantity, line.unit_price, line.line_id).encode()
        canonical_json(add_invoice(CustomerHistory(invoice.customer_id or "x"), invoice, 100).history)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(EVENT, st.booleans())
def test_any_json(event: object, ascii_only: bool) -> None:
    check(json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(EVENT, st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=3))
def test_damaged_json(event: object, damages: list[tuple[int, int]]) -> None:
    raw = bytearray(json.dumps(event).encode())
    for position, byte in damages:
        if raw:
            raw[position % len(raw)] = byte
    check(bytes(raw))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.binary(max_size=50))
def test_any_bytes(raw: bytes) -> None:
    check(raw)
