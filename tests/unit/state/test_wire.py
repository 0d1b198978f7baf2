"""Every row of the design page's table: what is taken, what is a dead letter and with which sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from state import InvalidEvent, Invoice, Line, Settings
from state.domain.recommendation import recommendation_schema
from state.events.catalogue import item_event_schema
from state.events.rules import rules_schema
from state.events.schema import event_schema
from state.events.wire import Decoder

NOW = 1_323_435_000  # 2011-12-09T12:50:00Z
DATE = "2011-12-09T12:50:00Z"


def decode(event: object, *, now: int = NOW, **settings: Any) -> Invoice:
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    return Decoder(Settings(**settings)).decode(raw, now=now)


def reason(event: object, **settings: Any) -> str:
    with pytest.raises(InvalidEvent) as caught:
        decode(event, **settings)
    return str(caught.value)


def whole(**changes: Any) -> dict[str, Any]:
    """A good invoice with changes; ``...`` leaves a field out."""
    event = {
        "invoice_no": "581587",
        "customer_id": "12680",
        "invoice_date": DATE,
        "country": "France",
        "lines": [line()],
    } | changes
    return {key: value for key, value in event.items() if value is not ...}


def line(**changes: Any) -> dict[str, Any]:
    values = {"stock_code": "22613", "description": "NAPKINS", "quantity": 12, "unit_price": 0.85} | changes
    return {key: value for key, value in values.items() if value is not ...}


def flat(**changes: Any) -> dict[str, Any]:
    event = {
        "InvoiceNo": "581587",
        "StockCode": "22613",
        "Description": "NAPKINS",
        "Quantity": 12,
        "InvoiceDate": "12/9/2011 12:50",
        "UnitPrice": 0.85,
        "CustomerID": 12680.0,
        "Country": "France",
    } | changes
    return {key: value for key, value in event.items() if value is not ...}


@pytest.mark.parametrize("invoice_no", ["581587", None])
def test_an_event_with_invoice_no_has_the_first_shape(invoice_no: str | None) -> None:
    assert decode({**flat(InvoiceNo="1"), **whole()}).invoice_no == "581587"
    mixed = {**flat(), "invoice_no": invoice_no}
    assert reason(mixed) == reason({**mixed, "lines": None})


def test_both_shapes_give_the_same_invoice() -> None:
    expected = Invoice("581587", "12680", NOW, (Line("22613", 12_000, 0.85, "NAPKINS"),), {"country": "France"})
    assert decode(whole()) == expected
    assert decode(flat()) == expected


def test_the_shape_does_not_depend_on_the_spelling_of_the_json() -> None:
    assert decode(json.dumps(whole()).replace('"lines"', '"l\\u0069nes"').encode()) == decode(whole())
    assert decode(flat(Description="lines")).lines[0].description == "lines"
    assert decode(flat(lines=5)) == decode(flat())  # an unknown extra field of that shape
    assert decode(whole(InvoiceNo=[], Quantity="x")) == decode(whole())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "is empty"),
        (b"", "is empty"),
        (b" ", "is not JSON"),
        (b"null", "is no JSON object"),
        (b"[]", "is no JSON object"),
        (b'"lines"', "is no JSON object"),
        (b"not json", "is not JSON"),
        (b"{}", "neither invoice_no with lines nor InvoiceNo"),
        (b'{"invoice_no": "1"', "is not JSON"),
        (b'{"invoice_no": "\xff", "lines": []}', "is not UTF-8"),
        (b'{"other": "\xff"}', "is not UTF-8"),
        (b'{"other": "\xed\xa0\x80"}', "is not UTF-8"),
        (b'{"invoice_no": "\\ud800", "lines": []}', "is not JSON"),
        (b'{"other": "\\udfff"}', "is not JSON"),
        (b'{"other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"country": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
        (b'{"lines": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"lines": ' + b"[" * 100 + b"]" * 100 + b"}", "lines[0] cannot be taken; it must be an object."),
        (b'{"invoice_no": true, "lines": [}', "is not JSON"),
        (b'{"invoice_no": "1"} {}', "is not JSON"),
        (b'\xef\xbb\xbf{"invoice_no": "1"}', "is not JSON"),
        (json.dumps(whole()).encode("utf-16"), "is not UTF-8"),
    ],
)
def test_bytes_that_are_not_a_json_object_in_utf8_are_invalid(raw: bytes | None, words: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Decoder(Settings()).decode(raw, now=NOW)
    assert words in str(caught.value)


def test_a_too_large_event_is_invalid() -> None:
    padded = json.dumps(whole()).encode().ljust(1000)
    assert decode(padded, max_event_bytes=1000) == decode(whole())
    assert reason(padded + b" ", max_event_bytes=1000) == "The event has 1,001 bytes; it may have at most 1,000."


@pytest.mark.parametrize(
    ("code", "kept"),
    [("22613", "22613"), (" 22613\t", "22613"), (22613, "22613"), (10**30, "1" + "0" * 30), ("85123a", "85123a"),
     ("x" * 100, "x" * 100), ("käse 😀", "käse 😀")],
)  # fmt: skip
def test_codes_are_trimmed_strings_or_integers(code: object, kept: str) -> None:
    invoice = decode(whole(invoice_no=code, lines=[line(stock_code=code)]))
    assert (invoice.invoice_no, invoice.lines[0].stock_code) == (kept, kept)
    invoice = decode(flat(InvoiceNo=code, StockCode=code))
    assert (invoice.invoice_no, invoice.lines[0].stock_code) == (kept, kept)


@pytest.mark.parametrize("code", [..., None, "", "  ", "x" * 101, 10**100, 1.5, 85123.0, True, [], {}])
def test_other_codes_are_invalid_and_the_reason_names_the_field(code: object) -> None:
    rule = "it must be a string of 1 to 100 characters, no control characters, or an integer."
    problem = "is missing" if code in (..., None) else "cannot be taken"
    assert reason(whole(invoice_no=code)) == f"invoice_no {problem}; {rule}"
    assert reason(whole(lines=[line(), line(stock_code=code)])) == f"lines[1].stock_code {problem}; {rule}"
    assert reason(flat(StockCode=code)) == f"StockCode {problem}; {rule}"
    if problem == "cannot be taken":
        assert reason(flat(InvoiceNo=code)) == f"InvoiceNo {problem}; {rule}"


@pytest.mark.parametrize("written", [12680, 12680.0, "12680", "12680.0", " 12680.00 "])
def test_spellings_of_one_customer(written: object) -> None:
    assert decode(whole(customer_id=written)).customer_id == "12680"
    assert decode(flat(CustomerID=written)).customer_id == "12680"


@pytest.mark.parametrize(
    ("written", "kept"),
    [("anna", "anna"), ("0012", "0012"), (12680.5, "12680.5"), (-3, "-3"), (1e22, "1" + "0" * 22), (-0.0, "0"),
     ("{a}%", "{a}%"), ("1e5", "1e5"), ("12680.", "12680.")],
)  # fmt: skip
def test_other_customers_are_kept_as_written(written: object, kept: str) -> None:
    assert decode(whole(customer_id=written)).customer_id == kept


@pytest.mark.parametrize("written", [..., None, "", "   "])
def test_a_missing_customer_is_an_anonymous_sale(written: object) -> None:
    assert decode(whole(customer_id=written)).customer_id is None
    assert decode(flat(CustomerID=written)).customer_id is None


@pytest.mark.parametrize("written", [True, [], {"id": 1}, "x" * 101, 10**100, 1e300])
def test_other_customer_types_are_invalid(written: object) -> None:
    rule = (
        "it must be a string of up to 100 characters, no control characters, a number, or null for an anonymous sale."
    )
    assert reason(whole(customer_id=written)) == f"customer_id cannot be taken; {rule}"
    assert reason(flat(CustomerID=written)) == f"CustomerID cannot be taken; {rule}"


@pytest.mark.parametrize(
    "written",
    ["2011-12-09T12:50:00Z", "2011-12-09 12:50:00", "2011-12-09T12:50", "2011-12-09 12:50:00.999999999Z",
     " 2011-12-09T12:50:00,5Z ", "2011-12-09T13:50:00+01:00", "2011-12-09 07:20:00 -0530", "2011-12-09T14:50+02",
     "12/9/2011 12:50", "12/09/2011 12:50:00"],
)  # fmt: skip
def test_spellings_of_one_date(written: str) -> None:
    assert decode(whole(invoice_date=written)).date == NOW
    assert decode(flat(InvoiceDate=written)).date == NOW


def test_a_date_without_a_zone_is_in_the_configured_zone() -> None:
    assert decode(whole(invoice_date="2011-07-09 12:00"), timezone="Europe/London").date == 1_310_209_200  # 11:00 UTC
    assert decode(whole(invoice_date="7/9/2011 12:00"), timezone="Europe/London").date == 1_310_209_200
    assert decode(whole(invoice_date="2011-07-09 12:00Z"), timezone="Europe/London").date == 1_310_212_800


def test_old_dates_are_valid() -> None:
    assert decode(whole(invoice_date="1900-01-01T00:00:00Z")).date == -2_208_988_800
    assert decode(whole(invoice_date="0001-01-01T00:00:00Z")).date == -62_135_596_800
    assert decode(whole(invoice_date="1969-12-31T23:59:59.7Z")).date == -1


@pytest.mark.parametrize(
    "written",
    [..., None, "", "yesterday", "2011-12-09", "12/9/2011", "2011-02-30T12:00:00Z", "13/9/2011 12:50",
     "2011-12-09T24:00:00Z", "2011-12-09T12:60:00Z", "20111209T125000Z", "2011-12-09X12:50:00", "0000-01-01T00:00:00Z",
     "0001-01-01T00:00:00+05:00", "2011-12-09T12:50:00+25:00", "١٢/٩/2011 12:50", 1323434999, 1.5, True, [],
     "2011-12-09T12:50:00Z, probably", "12/9/11 12:50"],
)  # fmt: skip
def test_other_dates_are_invalid(written: object) -> None:
    rule = "it must be a date with a time, such as 2011-12-09T12:50:00Z or 12/9/2011 12:50."
    problem = "is missing" if written in (..., None) else "cannot be taken"
    assert reason(whole(invoice_date=written)) == f"invoice_date {problem}; {rule}"
    assert reason(flat(InvoiceDate=written)) == f"InvoiceDate {problem}; {rule}"


def test_a_date_may_be_at_most_a_day_ahead_of_the_clock() -> None:
    assert decode(whole(invoice_date="2011-12-10T12:50:00Z")).date == NOW + 86_400
    assert reason(whole(invoice_date="2011-12-10T12:50:01Z")) == (
        "invoice_date 2011-12-10T12:50:01Z is ahead of the clock; it may be 1 day ahead at most."
    )
    assert "9999-12-31T23:59:59Z is ahead" in reason(flat(InvoiceDate="9999-12-31 23:59:59"))


@pytest.mark.parametrize(
    ("quantity", "thousandths"),
    [(12, 12_000), (-3, -3_000), (1.5, 1_500), (0.001, 1), (0.1 + 0.2 - 5e-17, 300), (10_000_000, 10**10),
     (-9_999_999.999, -9_999_999_999), (1e2, 100_000), (8.009, 8_009), (1234567.891, 1_234_567_891)],
)  # fmt: skip
def test_quantities_are_exact_thousandths(quantity: float, thousandths: int) -> None:
    assert decode(whole(lines=[line(quantity=quantity)])).lines[0].quantity == thousandths
    assert decode(flat(Quantity=quantity)).lines[0].quantity == thousandths


@pytest.mark.parametrize(
    "written",
    ["...", "null", '"12"', "true", "[]", "NaN", "Infinity", "1e400", "10000000.001", "9" * 400, "-1e8", "0x10",
     "1.0005", "1e-9"],
)  # fmt: skip
def test_other_quantities_are_invalid(written: str) -> None:
    raw = json.dumps(whole(lines=[line(quantity="HERE")])).replace('"HERE"', written)
    if written == "...":
        raw = json.dumps(whole(lines=[line(quantity=...)]))
    sentence = reason(raw.encode())
    if written in ("NaN", "Infinity", "0x10"):
        assert "is not JSON" in sentence
    else:
        rule = "it must be a number within ±10,000,000 with at most three decimals."
        problem = "is missing" if written in ("...", "null") else "cannot be taken"
        assert sentence == f"lines[0].quantity {problem}; {rule}"


@pytest.mark.parametrize(
    "written", ["null", '"0.85"', "false", "{}", "-Infinity", "-1e400", "10000000.01", "1" + "0" * 5000]
)
def test_other_prices_are_invalid(written: str) -> None:
    sentence = reason(json.dumps(flat(UnitPrice="HERE")).replace('"HERE"', written).encode())
    assert "UnitPrice" in sentence or "is not JSON" in sentence


def test_excluded_lines_are_counted_by_reason() -> None:
    lines = [
        line(unit_price=0),
        line(unit_price=-0.0),
        line(unit_price=-5.5),
        line(quantity=0),
        line(quantity=-0.0),
        line(),
    ]
    invoice = decode(whole(lines=lines))
    assert len(invoice.lines) == 1
    assert invoice.excluded_lines == {"zero_price": 2, "negative_price": 1, "zero_quantity": 2}


@pytest.mark.parametrize(
    ("written", "kept"), [(..., None), (None, None), ("", None), (" x ", "x"), ("x" * 1000, "x" * 1000)]
)
def test_descriptions(written: object, kept: str | None) -> None:
    assert decode(whole(lines=[line(description=written)])).lines[0].description == kept


def test_text_is_cleaned_and_codes_are_not() -> None:
    invoice = decode(whole(country=" RÃ©union", lines=[line(stock_code="Â£5", description="GIFT  Â£5")]))

    assert (invoice.attributes, invoice.lines[0].stock_code, invoice.lines[0].description) == (
        {"country": "Réunion"},
        "Â£5",
        "GIFT £5",
    )


@pytest.mark.parametrize("written", [5, True, [], "x" * 1001])
def test_other_descriptions_are_invalid(written: object) -> None:
    rule = "it must be a string of up to 1,000 characters or null."
    assert reason(whole(lines=[line(description=written)])) == f"lines[0].description cannot be taken; {rule}"
    assert reason(flat(Description=written)) == f"Description cannot be taken; {rule}"


@pytest.mark.parametrize("lines", [..., None, [], {}, "x", [line(quantity=i) for i in range(1, 6)]])
def test_the_number_of_lines_is_bounded(lines: object) -> None:
    sentence = reason(whole(lines=lines), max_lines=4)
    assert sentence.startswith("lines ")
    assert sentence.endswith("it must be a list of 1 to 4 lines.")


@pytest.mark.parametrize("entry", [None, 1, "x", [1]])
def test_a_line_that_is_not_an_object_is_invalid(entry: object) -> None:
    assert reason(whole(lines=[line(), entry])) == "lines[1] cannot be taken; it must be an object."


def test_type_and_version() -> None:
    assert decode(whole(type="invoice", version=1)) == decode(whole(type=None, version=None)) == decode(whole())
    assert decode(whole(version=1.0)) == decode(whole())  # to JSON Schema 1.0 is 1
    for value in ("order", "", 1):
        assert reason(whole(type=value)) == 'type cannot be taken; it must be "invoice", or be left out.'
        assert reason(flat(type=value)) == 'type cannot be taken; it must be "invoice", or be left out.'
    for value in (2, 0, "1", True):
        assert reason(whole(version=value)) == "version cannot be taken; it must be 1, or be left out."


def test_unknown_and_optional_fields_are_allowed() -> None:
    extra = {"attributes": 7, "customer": [1], "till": 7, "country": 5}
    assert decode(whole(**extra, lines=[line(attributes="red", colour="red")])) == decode(whole(country=None))
    assert decode(whole(country="x" * 101)).attributes == {}
    assert decode(flat(attributes=None, customer="12680", Country=None)).attributes == {}


def test_line_ids() -> None:
    ids = [line(line_id=value).get("line_id", ...) for value in ("L1", 7, "", None, ...)]
    kept = decode(whole(lines=[line(line_id=value) for value in ids])).lines
    assert [one.line_id for one in kept] == ["L1", "7", None, None, None]
    assert "lines[0].line_id cannot be taken" in reason(whole(lines=[line(line_id=1.5)]))
    assert decode(flat(line_id="L1")).lines[0].line_id == "L1"


def test_the_last_of_duplicate_keys_is_used() -> None:
    assert decode(b'{"InvoiceNo": "1", ' + json.dumps(flat(InvoiceNo="2")).encode()[1:]).invoice_no == "2"


def test_the_uci_dialect() -> None:
    lines = [line(stock_code="85123a"), line(stock_code="POST"), line(stock_code="gift_0001"), line(stock_code="1234")]
    invoice = decode(whole(lines=lines), dialect="uci")
    assert [one.stock_code for one in invoice.lines] == ["85123A"]
    assert invoice.excluded_lines == {"not_a_product": 3}
    returned = decode(whole(invoice_no="C581587", lines=[line(quantity=2), line(quantity=-3)]), dialect="uci")
    assert [one.quantity for one in returned.lines] == [-2_000, -3_000]
    plain = decode(whole(invoice_no="C581587", lines=[line(stock_code="POST", quantity=2)]))
    assert [(one.stock_code, one.quantity) for one in plain.lines] == [("POST", 2_000)]


GOOD = [
    whole(),
    flat(),
    whole(customer_id=None),
    flat(CustomerID="x"),
    whole(type="invoice", version=1),
    whole(extra=[1]),
    whole(attributes={"age": 40}, customer={"attributes": {"city": None}}, lines=[line(attributes={"category": []})]),
    flat(attributes=[], customer=7, Country=8),
]
BAD = [
    {},
    [],
    whole(invoice_no=...),
    whole(lines=[]),
    whole(lines=[line(quantity="1")]),
    whole(lines=[line(unit_price=10_000_001)]),
    flat(StockCode=None),
    flat(InvoiceDate="2011-12-09"),
    whole(customer_id=[]),
    whole(version=2),
    flat(Description="x" * 1001),
]


@pytest.mark.parametrize(("event", "good"), [(event, True) for event in GOOD] + [(event, False) for event in BAD])
def test_the_json_schema_agrees_with_the_decoder(event: object, good: bool) -> None:
    schema = event_schema(Settings())
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(event) is good
    if good:
        decode(event)
    else:
        reason(event)


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("invoice-event.v1", event_schema(Settings())),
        ("item-event.v1", item_event_schema(Settings())),
        ("recommendation.v1", recommendation_schema()),
        ("rules.v1", rules_schema()),
    ],
)
def test_the_published_schemas_are_up_to_date(name: str, schema: dict[str, Any]) -> None:
    page = Path(__file__).parents[3] / "docs" / "schemas" / f"{name}.json"
    assert json.loads(page.read_text(encoding="utf-8")) == schema, f"update docs/schemas/{name}.json"


@pytest.mark.parametrize(
    "word", ["NULL", "\\N", "nan", "None", "<NA>", "NaT", "#N/A", "N/A", "(null)", "NaN", " null "]
)
def test_a_word_for_missing_is_no_customer_no_line_id_and_no_code(word: str) -> None:
    assert decode(whole(customer_id=word)).customer_id is None
    assert decode(flat(CustomerID=word)).customer_id is None
    assert decode(whole(lines=[line(line_id=word)])).lines[0].line_id is None
    assert reason(whole(invoice_no=word)).startswith("invoice_no cannot be taken")
    assert reason(whole(lines=[line(stock_code=word)])).startswith("lines[0].stock_code cannot be taken")


@pytest.mark.parametrize("customer", ["guest", 0, 0.0, "0", "0.0", " 0 "])
def test_a_customer_under_an_anonymous_id_is_not_known(customer: object) -> None:
    assert decode(whole(customer_id=customer), anonymous_ids="0, guest").customer_id is None
    assert decode(whole(customer_id=customer)).customer_id is not None
    assert decode(whole(), anonymous_ids="0, guest").customer_id == "12680"


@pytest.mark.parametrize(
    ("written", "decimal"),
    [
        (0.30000000000000004, 0.3),
        (0.7999999999999999, 0.8),
        (0.8500000238418579, 0.85),  # 0.85 in single precision
        (0.1000000014901161, 0.1),  # 0.1 in single precision, written with 16 digits
        (1.70000004768372, 1.7),  # 1.7 in single precision, written with 15 digits
        (0.100000001, 0.1),  # with 9 digits
        (0.30000001, 0.3),  # with 8 digits
        (1.25, 1.25),
        (1234.125, 1234.125),
    ],
)
def test_a_float_stands_for_its_decimal(written: float, decimal: float) -> None:
    (found,) = decode(whole(lines=[line(quantity=written, unit_price=written)])).lines

    assert (found.quantity, found.unit_price) == (round(decimal * 1000), decimal)


def test_more_decimals_are_no_noise() -> None:
    assert "at most three decimals" in reason(whole(lines=[line(quantity=0.3004)]))
